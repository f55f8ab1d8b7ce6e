"""The way back from any artefact, and what is told where something on it is gone or another."""

import html
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from flows.cli import run_program
from flows.lineage import lineage
from simlib.artifact import read_record, write_record
from simlib.dataset.build import build_dataset
from simlib.dataset.lineage import Step
from simlib.dataset.manifest import Manifest
from simlib.errors import InputError
from simlib.etc.grid.store import ensure_terms_grid
from simlib.instrument import load_instrument
from simlib.location import Location
from simlib.provenance import provenance
from simlib.stellar.grid import open_grid
from simlib.stellar.store import write_grid
from tests.faults.fuzz.text_kinds import write_arm
from tests.simlib.dataset.test_compare import FEW
from tests.simlib.dataset.toy_build import toy_config as simulation
from tests.trainlib.judged_runs import page_without_figures
from tests.trainlib.toy_dataset import write_toy
from tests.trainlib.training_runs import toy_config, train_here
from trainlib.evaluation.evaluate import evaluate
from trainlib.evaluation.page_lineage import NAME, PageLineage
from trainlib.evaluation.results import read_results, write_results
from trainlib.onsky.bundle import SHIPPED, BundleManifest
from trainlib.onsky.mirror import _lineage as denoised_cards
from trainlib.release import Part, Release, releases_in
from trainlib.runs import RunManifest
from trainlib.training.seal import sealed_digest

HERE = provenance()
WAY = ["report", "results", "checkpoint", "run", "dataset", "terms", "instrument", "sky", "code",
       "stellar grid", "config", "code", "config", "code"]  # fmt: skip


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a root with everything that a report comes from."""
    root = tmp_path_factory.mktemp("kept") / "root"
    root.mkdir()
    write_arm(root)
    write_grid(str(root / "grids/mine.zarr"), open_grid("toy"))
    config = simulation(
        root, *FEW, "dataset.n_train=40", "dataset.n_validation=10", "dataset.name=stars",
        f"instrument.name='{root}/arm.toml'", f"stellar.grid='{root}/grids/mine.zarr'",
    )  # fmt: skip
    dataset = build_dataset(config, ensure_terms_grid(config), client=None)  # type: ignore[arg-type]
    run = train_here(toy_config(root, epochs=1), str(dataset), root / "runs/stars-run")
    (dataset / "spectra.zarr").path.mkdir()
    evaluate(run)
    page_without_figures([run])
    return root


@pytest.fixture
def root(kept: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(kept, tmp_path / "moved"))


def steps(step: Step) -> Iterator[Step]:
    yield step
    for parent in step.parents:
        yield from steps(parent)


def of(root: Path, what: str) -> list[Step]:
    return list(steps(lineage(what, Location.of(root))))


def states(root: Path, what: str) -> dict[str, str]:
    """Return what is not as it was."""
    return {step.kind: step.state for step in of(root, what) if step.state != "there"}


def dataset_of(root: Path) -> Path:
    (folder,) = (path for path in (root / "datasets/stars").iterdir() if path.is_dir())
    return folder


@pytest.mark.slow  # each step by itself: below
def test_from_the_report_to_the_code_all_is_there_after_a_move(root: Path) -> None:
    run, dataset = root / "runs/stars-run", dataset_of(root)
    found = of(root, str(run / "report.html"))
    assert [step.kind for step in found] == WAY
    assert {step.state for step in found} == {"there"}
    by_kind = {step.kind: step for step in reversed(found)}
    assert by_kind["results"].fingerprint == read_results(run).evaluation.fingerprint
    assert by_kind["dataset"].fingerprint == dataset.name
    assert by_kind["dataset"].place == str(dataset)
    assert by_kind["terms"].place == str(next((root / "terms").iterdir()))
    assert by_kind["stellar grid"].place == str(root / "grids/mine.zarr")
    assert by_kind["stellar grid"].fingerprint == open_grid("toy").attrs["checksum"]
    assert by_kind["instrument"].place.endswith("/arm.toml")
    for kind in ("report", "results", "run", "dataset", "terms", "code"):
        assert by_kind[kind].commit == HERE["commit"]
        assert by_kind[kind].version == HERE["versions"]["specdenoise"]
        assert str(by_kind[kind].made) <= HERE["written"] or by_kind[kind].made


@pytest.mark.parametrize(
    ("what", "kind"),
    [
        ("{run}", "run"), ("stars-run", "run"), ("{run}/config.toml", "run"),
        ("{run}/manifest.json", "run"), ("{run}/results.zarr", "results"),
        ("{run}/checkpoints/last.pt", "checkpoint"), ("{run}/report.html", "report"),
        ("stars", "dataset"), ("{root}/datasets/stars", "dataset"), ("{dataset}", "dataset"),
        ("{dataset}/spectra.zarr", "dataset"), ("{terms}", "terms"), ("{arrays}", "terms"),
        ("{root}/grids/mine.zarr", "stellar grid"), ("default", "stellar grid"),
        ("{root}/arm.toml", "instrument"), ("pfs-redmr-2024-07-14", "instrument"),
    ],
)  # fmt: skip
def test_every_artefact_is_known_by_its_place_or_name(kept: Path, what: str, kind: str) -> None:
    root = kept
    dataset, terms = dataset_of(root), next((root / "terms").iterdir())
    arrays = next(terms.glob("terms-*.zarr"))
    text = what.format(
        root=root, run=root / "runs/stars-run", dataset=dataset, terms=terms, arrays=arrays
    )
    found = lineage(text, Location.of(root))
    assert (found.kind, found.state) == (kind, "there")
    assert found.fingerprint is not None or kind == "report"


def without_report_record(root: Path) -> None:
    page = root / "runs/stars-run/report.html"
    lines = page.read_text().splitlines(keepends=True)
    page.write_text("".join(line for line in lines if "specdenoise-lineage" not in line))


def other_grid(root: Path) -> None:
    shutil.rmtree(root / "grids/mine.zarr")
    write_grid(str(root / "grids/mine.zarr"), open_grid("toy").isel(teff=slice(0, 3)))


def other_instrument(root: Path) -> None:
    path = root / "arm.toml"
    before = load_instrument(str(path)).read_noise_e
    lines = path.read_text().splitlines()
    path.write_text(
        "\n".join(
            f"read_noise_e = {before + 1}" if line.startswith("read_noise_e") else line
            for line in lines
        )
    )
    assert load_instrument(str(path)).read_noise_e == before + 1


def edited_config(root: Path) -> None:
    path = root / "runs/stars-run/config.toml"
    path.write_text(path.read_text().replace("batch_size = 50", "batch_size = 51"))


def other_checkpoint(root: Path) -> None:
    path = root / "runs/stars-run/checkpoints/last.pt"
    path.write_bytes(path.read_bytes()[:-64] + b"0" * 64)


def other_physics(root: Path) -> None:
    place = Location.of(dataset_of(root) / "manifest.json")
    manifest = read_record(place, Manifest)
    assert manifest is not None
    write_record(place, manifest.model_copy(update={"physics_version": 1}))


def other_training(root: Path) -> None:
    place = Location.of(root / "runs/stars-run/manifest.json")
    manifest = read_record(place, RunManifest)
    assert manifest is not None
    inputs = manifest.inputs | {"version": {"version of training": 0}}
    write_record(place, manifest.model_copy(update={"inputs": inputs}))


def gone(what: str) -> Callable[[Path], None]:
    def remove(root: Path) -> None:
        (place,) = root.glob(what)
        shutil.rmtree(place) if place.is_dir() else place.unlink()

    return remove


def cut(what: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        (place,) = root.glob(what)
        place.write_bytes(place.read_bytes()[:40])

    return change


VERSION = "datasets/stars/" + "[0-9a-f]" * 16


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (without_report_record, {}),
        (other_grid, {"stellar grid": "replaced"}),
        (other_instrument, {"instrument": "replaced"}),
        (edited_config, {"config": "replaced"}),
        (other_checkpoint, {"checkpoint": "replaced"}),
        (other_physics, {"code": "replaced"}),
        (other_training, {"code": "replaced"}),
        (gone("grids/mine.zarr"), {"stellar grid": "missing"}),
        (gone("arm.toml"), {"instrument": "missing"}),
        (gone("terms/*"), {"terms": "missing"}),
        (gone(VERSION), {"dataset": "missing"}),
        (gone("runs/*/config.toml"), {"config": "missing"}),
        (gone("runs/*/results.zarr"), {"results": "missing"}),
        (gone("runs/*/checkpoints"), {"checkpoint": "missing"}),
        (gone("runs/*/manifest.json"), {"run": "unusable"}),
        (cut("grids/mine.zarr/zarr.json"), {"stellar grid": "unusable"}),
        (cut("arm.toml"), {"instrument": "unusable"}),
        (cut("runs/*/checkpoints/last.pt"), {"checkpoint": "unusable"}),
        (cut("terms/*/manifest.json"), {"terms": "unusable"}),
        (cut(f"{VERSION}/manifest.json"), {"dataset": "unusable"}),
        (gone(f"{VERSION}/manifest.json"), {"dataset": "unusable"}),
        (cut("runs/*/config.toml"), {"config": "unusable"}),
        (gone("terms/*/terms-*.zarr"), {"terms": "unusable"}),
    ],
)
def test_what_is_gone_or_another_is_told(
    root: Path, change: Callable[[Path], None], expected: dict[str, str]
) -> None:
    change(root)
    told = [
        step for step in of(root, str(root / "runs/stars-run/report.html")) if step.state != "there"
    ]
    assert {step.kind: step.state for step in told} == expected
    assert all(step.note for step in told)


def test_results_that_were_made_again_are_not_those_of_the_page(root: Path) -> None:
    run = root / "runs/stars-run"
    found = read_results(run)
    again = found.evaluation.model_copy(update={"fingerprint": "0123456789abcdef"})
    write_results(run, replace(found, evaluation=again))
    assert states(root, str(run / "report.html")) == {"results": "replaced"}
    assert states(root, str(run / "results.zarr")) == {}


def test_a_page_about_two_runs_has_both(root: Path, tmp_path: Path) -> None:
    other, page = root / "runs/second", tmp_path / "pages" / "both.html"
    shutil.copytree(root / "runs/stars-run", other)
    both = (Location.of(run) for run in (root / "runs/stars-run", other))
    shown = {run: read_results(run).evaluation for run in both}
    told = html.escape(PageLineage.of(Location.of(page), shown).model_dump_json())
    page.parent.mkdir()
    page.write_text(f'<html><head><meta name="{NAME}" content="{told}"></head></html>')
    parents = lineage(str(page), Location.of(root)).parents
    assert [Path(step.place).parent.name for step in parents] == ["stars-run", "second"]
    assert {step.state for step in parents} == {"there"}


def test_a_run_on_a_store_of_spectra_alone(tmp_path: Path) -> None:
    url = write_toy(tmp_path, train=24, validation=12)
    run = train_here(toy_config(tmp_path, epochs=1), url, tmp_path / "runs/toy")
    data = lineage(str(run), Location.of(tmp_path)).parents[0]
    assert (data.kind, data.place, data.state) == ("dataset", url, "there")
    shutil.rmtree(url)
    write_toy(tmp_path, train=25, validation=12)
    assert states(tmp_path, str(run)) == {"dataset": "replaced"}


@pytest.fixture
def exported(root: Path) -> Path:
    """Return a bundle away from the root, that names the run there; and release it."""
    run = Location.of(root / "runs/stars-run")
    known = read_record(run / "manifest.json", RunManifest)
    assert known is not None
    run.path.rename(run.parent.path / f"stars-{known.fingerprint}")
    run = run.parent / f"stars-{known.fingerprint}"
    shipped = read_record(Location.of(SHIPPED) / "manifest.json", BundleManifest)
    assert shipped is not None
    checkpoint = sealed_digest(run / "checkpoints/last.pt")
    told = {"run": known.fingerprint, "checkpoint": checkpoint, "recipe": "C",
            "dataset": known.dataset.fingerprint}  # fmt: skip
    bundle = Location.of(root.parent / "away/bundle")
    write_record(bundle / "manifest.json", shipped.model_copy(update={"lineage": told}))
    parts = {"run": (run, known.fingerprint), "bundle": (bundle, shipped.fingerprint),
             "dataset": (Location.of(dataset_of(root)), known.dataset.fingerprint)}  # fmt: skip
    releases = releases_in(Location.of(root), "group")
    named = {name: Part(place=place.relative_to(releases), fingerprint=fingerprint)
             for name, (place, fingerprint) in parts.items()}  # fmt: skip
    for number in (1, 2):
        made = f"2026-11-0{number}T00:00:00Z"
        release = Release(number=number, made=made, provenance=HERE, **named)  # type: ignore[arg-type]
        write_record(releases / f"{number:06}.json", release)
    return bundle.path


def write_denoised(path: Path, manifest: BundleManifest) -> None:
    flux = fits.ImageHDU(np.zeros(3), header=denoised_cards(manifest), name="DENOISED")
    fits.HDUList([fits.PrimaryHDU(), flux]).writeto(path)


@pytest.mark.parametrize("what", ["manifest.json", "network.safetensors", "trust.json", ""])
def test_a_bundle_that_went_away_is_traced_to_the_run_it_names(
    what: str, exported: Path, root: Path
) -> None:
    if what:
        (exported / what).touch()
    step = lineage(str(exported / what), Location.of(root))
    assert (step.kind, step.place, step.state) == ("bundle", str(exported), "there")
    assert [one.kind for one in steps(step)][1:] == [*WAY[2:], "code"]
    assert states(root, str(exported)) == {}
    shutil.rmtree(next((root / "runs").iterdir()))
    assert states(root, str(exported)) == {"run": "missing"}  # its dataset is still found
    shutil.rmtree(root / "datasets")
    assert states(root, str(exported)) == {"run": "missing", "dataset": "missing"}


@pytest.mark.parametrize(
    ("what", "number"), [("group", 2), ("{root}/releases/group/000001.json", 1)]
)
def test_a_release_is_traced_to_all_that_it_names(
    what: str, number: int, exported: Path, root: Path
) -> None:
    step = lineage(what.format(root=root), Location.of(root))
    assert (step.kind, step.state, step.note) == ("release", "there", f"number {number}")
    assert step.made == f"2026-11-0{number}T00:00:00Z"
    assert [one.kind for one in step.parents] == ["bundle", "run", "dataset"]
    assert {one.state for one in step.parents} == {"there"}
    path = next((root / "runs").iterdir()) / "manifest.json"
    other = read_record(Location.of(path), RunManifest)
    assert other is not None
    write_record(Location.of(path), other.model_copy(update={"fingerprint": "0" * 16}))
    run = lineage(what.format(root=root), Location.of(root)).parents[1]
    assert run.state == "replaced" and f"what is there has {'0' * 16}" in run.note


def test_denoised_spectra_are_traced_to_the_bundle_that_ships_or_to_the_run(
    exported: Path, root: Path
) -> None:
    file = root / "denoised-star.fits"
    for place, state in ((SHIPPED, "there"), (exported, "missing")):
        manifest = read_record(Location.of(place) / "manifest.json", BundleManifest)
        assert manifest is not None
        if state == "missing":
            manifest = manifest.model_copy(update={"fingerprint": "f" * 16})
        file.unlink(missing_ok=True)
        write_denoised(file, manifest)
        step = lineage(str(file), Location.of(root))
        (bundle,) = step.parents
        assert step.kind == "denoised spectra" and step.note.startswith("specdenoise ")
        assert (bundle.kind, bundle.state) == ("bundle", state)
        assert bundle.fingerprint == manifest.fingerprint
        run = bundle.parents[0]
        assert run.fingerprint == manifest.lineage["run"]
        assert run.state == ("missing" if place == SHIPPED else "there")
    file.write_bytes(file.read_bytes()[:-2880])
    with pytest.raises(InputError, match=f"{file}: it is .*damaged"):
        lineage(str(file), Location.of(root))
    file.write_bytes(b"no FITS")
    with pytest.raises(InputError, match="cannot be read as FITS"):
        lineage(str(file), Location.of(root))
    fits.PrimaryHDU().writeto(file, overwrite=True)
    with pytest.raises(InputError, match="has no card BUNDLE: it is not from"):
        lineage(str(file), Location.of(root))


@pytest.mark.parametrize("what", ["nothing", "{root}/nothing", "{root}", "{root}/runs"])
def test_what_is_nothing_of_ours_is_a_mistake(root: Path, what: str) -> None:
    with pytest.raises(InputError, match="give a"):
        lineage(what.format(root=root), Location.of(root))


def test_the_verb_prints_a_tree(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gone("grids/mine.zarr")(root)
    words = ["lineage", "stars", "--root", str(root)]
    assert run_program(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"dataset: {dataset_of(root)} · {dataset_of(root).name} · made ")
    (grid,) = (line for line in lines if "stellar grid:" in line)
    assert " · MISSING · " in grid and grid.startswith("├── ")
    assert run_program([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["kind"] == "dataset" and found["parents"][1]["state"] == "missing"
    assert run_program(["lineage", "nothing", "--root", str(root)]) == 2
