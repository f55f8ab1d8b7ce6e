"""No argument or option of the program without an effect, each tried against its verb without it.

Generated from the program's own list of verbs: a new option without an entry here fails.
"""

import hashlib
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import fsspec
import pytest
import typer
from distributed import LocalCluster
from fsspec.implementations.memory import MemoryFileSystem

from flows import building, cluster, config, pipeline
from flows.cli import app, run_program
from simlib.config import load_config
from simlib.dataset.build import build_dataset
from simlib.etc.grid.store import ensure_terms_grid
from simlib.stellar import open_grid
from simlib.stellar.archive import download
from simlib.stellar.store import write_grid
from tests.faults.archive_server import Archive, serve
from tests.faults.fuzz.store_kinds import few_terms
from tests.faults.fuzz.text_kinds import write_arm
from tests.faults.test_grid_download import packed, plan
from tests.flows.json_names import NAMES
from tests.simlib.dataset.made import make_plan, make_published
from tests.simlib.dataset.versions import finished, trained_on, unfinished
from tests.simlib.etc.made import write_conditions, write_sky_tables
from tests.simlib.stellar.archive.bosz_files import whole_native_wavelength, write_2017_text
from tests.trainlib.toy_dataset import write_toy
from tests.trainlib.training_runs import toy_config, train_here
from trainlib.evaluation import report
from trainlib.evaluation.evaluate import evaluate

ROOT = Path(__file__).resolve().parents[2]
TOY = ["stellar.grid=toy", "stellar.teff=[4000, 4500]", "stellar.logg=[1, 3]",
       "stellar.feh=[-1, 0]", "stellar.alpha=[0, 0.25]"]  # fmt: skip
TARGETS = (
    "teff,logg,feh,alpha,redshift,ebv,magnitude,warmer\n"
    "4200,2.2,-0.4,0.1,0.001,0.05,{magnitude},4400\n"
)
CONDITION = "0.8,30,0.3,45,60,0.2,900,20"
CLOCKED = (
    r'\d\d:\d\d:\d\d.*\n|"(bytes_per_s|seconds)": [\d.e+-]+|read in [\d.]+ s|[\d.]+ h if.*MB/s'
    r"|written [\d.]+ \w+ ago"
)
DOOR = ("--storage-option", "door=open")


class Shut(MemoryFileSystem):
    """Files in memory that open only with the right option."""

    protocol = "shut"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    cachable = False

    def __init__(self, door: object = None, **settings: object) -> None:
        if door != "open":
            raise PermissionError("the door is shut")
        super().__init__(**settings)

    @classmethod
    def _strip_protocol(cls, path: Any) -> str:
        return "/" + str(path).removeprefix("shut://").strip("/")


def sets(overrides: list[str]) -> list[str]:
    return [part for override in overrides for part in ("--set", override)]


# verb -> what is given to it where its options are tried; `{desk}` is the folder of what it reads
BASE: dict[str, list[str]] = {
    "demo": [],
    "build": ["tiny"],
    "train": ["tiny"],
    "evaluate": ["{desk}/run"],
    "report": ["{desk}/run"],
    "etc": ["{desk}/conditions.csv", "--out", "terms.nc", "--instrument", "{desk}/arm.toml"],
    "simulate": ["{desk}/targets.csv", "--out", "spectra.zarr", *sets(TOY)],
    "inspect": ["{dataset}"],
    "plot": ["{desk}/kept", "--row", "0", "--out", "x.png"],
    "replay": ["{dataset}", "validation", "3"],
    "verify": ["{desk}/kept"],
    "refresh": ["tiny", "--explain"],
    "deploy": ["tiny"],
    "serve": ["tiny"],
    "diff": ["{dataset}", "{dataset}"],
    "lineage": ["{dataset}"],
    "prune": ["{desk}/life"],
    "config show": ["tiny"],
    "config reference": [],
    "config diff": ["tiny", "{desk}/mine.toml"],
    "dataset list": ["--root", "{desk}/life"],
    "dataset info": ["{dataset}"],
    "runs list": ["--root", "{desk}/life"],
    "cache info": [],
    "cache clear": [],
    "etc-grid build": ["tiny", "{few}"],
    "etc-grid check": ["tiny", "{few}", "--rows", "10"],
    "grid list": [],
    "grid info": ["toy", "--no-quality"],
    "grid download": ["bosz2017", "--to", "files", "--dry-run", "--json", "{box}"],
    "grid import": ["{desk}/files", "--to", "grid.zarr", "--window", "850,860", "--json"],
    "grid verify": ["toy"],
    "grid diff": ["toy", "toy"],
}
# of one that has to be there: the argument that is given in its place, and what comes in its stead
INSTEAD: dict[str, tuple[str, str]] = {
    "build config": ("tiny", "demo"),
    "train config": ("tiny", "demo"),
    "evaluate run": ("{desk}/run", "{desk}/other"),
    "etc conditions": ("{desk}/conditions.csv", "{desk}/others.csv"),
    "etc --out": ("terms.nc", "other.nc"),
    "etc --instrument": ("{desk}/arm.toml", "pfs-redmr-2016-02-29"),
    "simulate targets": ("{desk}/targets.csv", "{desk}/fainter.csv"),
    "simulate --out": ("spectra.zarr", "other.zarr"),
    "inspect store": ("{dataset}", "{desk}/run"),
    "plot path": ("{desk}/kept", "{desk}/others"),
    "plot --out": ("x.png", "y.png"),
    "replay store": ("{dataset}", "{desk}/run"),
    "replay split": ("validation", "train"),
    "replay index": ("3", "4"),
    "verify store": ("{desk}/kept", "{desk}/others"),
    "refresh config": ("tiny", "demo"),
    "deploy config": ("tiny", "demo"),
    "serve config": ("tiny", "demo"),
    "refresh --explain": ("--explain", "--set=train.ranks=1"),
    "lineage path": ("{dataset}", "{desk}/run"),
    "prune root": ("{desk}/life", "{desk}/data"),
    "config show config": ("tiny", "demo"),
    "config diff a": ("tiny", "demo"),
    "config diff b": ("{desk}/mine.toml", "demo"),
    "dataset list --root": ("{desk}/life", "{desk}"),
    "dataset info dataset": ("{dataset}", "{desk}/kept"),
    "runs list --root": ("{desk}/life", "{desk}"),
    "etc-grid build config": ("tiny", "{desk}/mine.toml"),
    "etc-grid check config": ("tiny", "{desk}/mine.toml"),
    "etc-grid check --rows": ("10", "11"),
    "grid info name": ("toy", "{desk}/grids/mine.zarr"),
    "grid info --quality": ("--no-quality", "--quality"),
    "grid download name": ("bosz2017", "bosz2024"),
    "grid download --dry-run": ("--dry-run", "--attempts=1"),
    "grid download --json": ("--json", "--attempts=1"),
    "grid import path": ("{desk}/files", "{desk}/one"),
    "grid import --to": ("grid.zarr", "other.zarr"),
    "grid import --window": ("850,860", "850,858"),
    "grid import --json": ("--json", "--carbon=0"),
    "grid verify name": ("toy", "{desk}/grids/mine.zarr"),
}
# what is given beside all that
BESIDE: dict[str, list[str]] = {
    "demo --out": ["--out", "there"],
    "demo --set": ["--set", "train.lr=0.25"],
    "build --set": ["--set", "dataset.seed=77"],
    "build --repair": ["--repair"],
    "train --set": ["--set", "train.lr=0.25"],
    "train --resume": ["--resume"],
    "evaluate --json": ["--json"],
    "report --json": ["--json"],
    "report runs": ["{desk}/other"],
    "etc --sky-tables": ["--sky-tables", "{desk}/sky"],
    "etc --convention": ["--convention", "modified"],
    "etc --quadrature": ["--quadrature", "reference"],
    "etc --lsf": ["--lsf", "table2"],
    "etc --line-extinction": ["--line-extinction", "exact"],
    "etc --magnitude": ["--magnitude", "21"],
    "etc --spectrum": ["--spectrum", "{desk}/star.csv"],
    "etc --set": ["--set", "sky.continuum_scale=2"],
    "etc --json": ["--json"],
    "simulate config": ["{desk}/mine.toml"],
    "simulate --column": ["--column", "teff=warmer"],
    "simulate --seeing": ["--seeing", "1.1"],
    "simulate --zenith-angle": ["--zenith-angle", "11"],
    "simulate --field-angle": ["--field-angle", "0.11"],
    "simulate --moon-zenith-angle": ["--moon-zenith-angle", "71"],
    "simulate --moon-target-angle": ["--moon-target-angle", "71"],
    "simulate --moon-phase": ["--moon-phase", "0.4"],
    "simulate --exposure-time": ["--exposure-time", "450"],
    "simulate --exposure-count": ["--exposure-count", "7"],
    "simulate --path": ["--path", "reference"],
    "simulate --set": ["--set", "noise.sky_subtraction=0.2"],
    "simulate --json": ["--json"],
    "inspect --out": ["--out", "figures"],
    "inspect --html": ["--html", "page.html"],
    "inspect --json": ["--json"],
    "plot --row": ["--row", "1"],
    "plot --split": ["--split", "validation"],
    "plot --lines": ["--lines"],
    "plot --json": ["--json"],
    "replay --json": ["--json"],
    "verify --json": ["--json"],
    "refresh --set": ["--set", "dataset.seed=77"],
    "refresh --json": ["--json"],
    "deploy --set": ["--set", "deploy.cron=0 4 * * *"],
    "deploy --json": ["--json"],
    "serve --set": ["--set", "deploy.cron=0 4 * * *"],
    "diff --json": ["--json"],
    "lineage --json": ["--json"],
    "prune --keep": ["--keep", "1"],
    "prune --older-than": ["--older-than", "0"],
    "prune --runs": ["--runs", "{desk}/life/elsewhere"],
    "prune --used": ["--used"],
    "prune --json": ["--json"],
    "config show --set": ["--set", "dataset.seed=77"],
    "config show --json": ["--json"],
    "config reference key": ["noise"],
    "config reference --json": ["--json"],
    "config diff --json": ["--json"],
    "dataset list --json": ["--json"],
    "dataset info --json": ["--json"],
    "runs list --json": ["--json"],
    "cache info --json": ["--json"],
    "cache clear --json": ["--json"],
    "etc-grid build --set": ["--set", "terms.seeing_nodes=3"],
    "etc-grid build --json": ["--json"],
    "etc-grid check --set": ["--set", "terms.seeing_nodes=3"],
    "etc-grid check --seed": ["--seed", "5"],
    "etc-grid check --json": ["--json"],
    "grid list --root": ["--root", "{desk}"],
    "grid list --json": ["--json"],
    "grid info --json": ["--json"],
    "grid download --resolution": ["--resolution", "5000"],
    "grid download --kind": ["--kind", "fits"],
    "grid download --teff": ["--teff", "3750,4000"],
    "grid download --logg": ["--logg", "2,2"],
    "grid download --feh": ["--feh", "0"],
    "grid download --alpha": ["--alpha", "0.25"],
    "grid download --base-url": ["--base-url", "http://127.0.0.1:9"],
    "grid import --resolution": ["--resolution", "5000"],
    "grid import --carbon": ["--carbon", "0.25"],
    "grid import --microturbulence": ["--microturbulence", "1"],
    "grid import --address": ["--address", "tcp://127.0.0.1:1"],
    "grid verify --json": ["--json"],
    "grid diff --json": ["--json"],
}
# a URL that opens with the option alone, in place of an argument
BEHIND_A_DOOR: dict[str, tuple[str, str]] = {
    "evaluate": ("{desk}/run", "shut://root/run"),
    "report": ("{desk}/run", "shut://root/run"),
    "inspect": ("{dataset}", "shut://root/{way}"),
    "plot": ("{desk}/kept", "shut://root/kept"),
    "replay": ("{dataset}", "shut://root/{way}"),
    "verify": ("{desk}/kept", "shut://root/kept"),
    "diff": ("{dataset}", "shut://root/{way}"),
    "lineage": ("{dataset}", "shut://root/{way}"),
    "prune": ("{desk}/life", "shut://root/life"),
    "dataset list": ("{desk}/life", "shut://root/life"),
    "dataset info": ("{dataset}", "shut://root/{way}"),
    "runs list": ("{desk}/life", "shut://root/life"),
    "grid list": ("", "shut://root"),
    "grid info": ("toy", "shut://root/grids/mine.zarr"),
    "grid import": ("grid.zarr", "shut://root/new.zarr"),
    "grid verify": ("toy", "shut://root/grids/mine.zarr"),
    "grid diff": ("toy", "shut://root/grids/mine.zarr"),
}
# which function further in is told, and the name of what it is told
TOLD: dict[str, tuple[list[str], str, Any]] = {
    "grid download --to": (["--to", "elsewhere"], "to", Path("elsewhere")),
    "grid download --connections": (["--connections", "3"], "connections", 3),
    "grid download --attempts": (["--attempts", "9"], "attempts", 9),
    "grid download --back-off": (["--back-off", "0.75"], "back_off_s", 0.75),
}
_SKY = "tests/flows/test_etc_verbs.py::test_the_embedded_sky_is_compared_by_one_command"
_OFFICIAL = "tests/reference/test_etc_official.py::test_the_verb_shows_the_ratios_of_its_setting"
_ETC = "tests/flows/test_etc_verbs.py::test_terms_are_written_with_signal_to_noise_and_figures"
_ROW = "tests/flows/test_simulate_verbs.py::test_a_replayed_row_shows_every_step_and_is_the_row"
_PFS = "tests/flows/test_simulate_verbs.py::test_own_stars_become_files_of_the_survey"
_BAD = "tests/flows/test_simulate_verbs.py::test_bad_rows_are_left_out_and_a_template_is_read"
_SWEEP = "tests/flows/test_sweep.py::test_the_verb_tells_the_trials"
_PLAN = "tests/flows/test_plan_verb.py::test_a_plan_follows_what_it_is_given"
_DRAWN = "tests/faults/test_grid_commands.py::test_info_tells_everything_and_draws"
_SANE = "tests/faults/test_grid_commands.py::test_info_judges_a_grid_by_what_is_known_of_cool_stars"
_SIDES = "tests/flows/test_every_option.py::test_either_side_of_a_difference_is_its_own"
_THREADS = "tests/flows/test_every_option.py::test_an_import_has_as_many_threads_as_it_is_given"
_DIFFERENT = "tests/simlib/dataset/test_compare.py::test_the_verb_prints_what_was_found"
_WAY = "tests/trainlib/test_lineage.py::test_the_verb_prints_a_tree"
_PRUNED = "tests/flows/test_dataset_verbs.py::test_prune_removes_only_when_told"
_DOOR = "tests/flows/test_rollback_verb.py::test_a_root_behind_a_door_is_opened_by_the_option"
_SKYWARD = "tests/flows/test_onsky_verbs.py::"
_WATCHED = "tests/flows/test_watching.py::test_deploy_stays_to_watch_where_it_is_asked_to"
_FOLDER = "tests/flows/test_watch_verb.py::"
_FILES = f"{_SKYWARD}test_files_are_denoised_and_told_one_by_one"
_FORECAST = f"{_FOLDER}test_a_forecast_is_made_at_the_conditions_of_its_options"
_STATED = f"{_SKYWARD}test_what_files_do_not_say_is_stated_by_options"
_EXPORT = f"{_SKYWARD}test_export_is_told_run_bundle_and_storage"
_TESTED = "tests/trainlib/test_generalise.py::test_the_verb_is_told_run_storage_and_how_many"
_ABLATED = "tests/trainlib/test_ablation.py::test_the_verb_is_told_run_budget_and_how_many"
_SHARED = "tests/trainlib/test_parts.py::test_the_verb_asks_for_the_workers_that_it_is_told_of"
_BACK = "tests/flows/test_rollback_verb.py::test_the_verb_goes_back_one_step_under_a_root"
_RUN_NAMED = "tests/flows/test_names.py::test_a_run_is_looked_for_under_the_root"
_DATA_NAMED = "tests/flows/test_names.py::test_a_dataset_is_looked_for_under_the_root"
_DRAWN_AS_STATED = "tests/simlib/plots/test_plot.py::test_what_a_file_does_not_say_is_stated"
_DRAWN_BY_NAME = "tests/simlib/plots/test_plot.py::test_a_dataset_is_drawn_by_its_name"
_NAMED_INSIDE = "tests/flows/test_names.py::test_verbs_that_look_inside_take_names_too"
ELSEWHERE = {  # the tests that try what takes longer
    "etc --figures": _ETC,
    "etc-sky sky_tables": _SKY,
    "etc-official numbers": _OFFICIAL,
    "etc-official --magnitude": _OFFICIAL,
    "etc-official --sky-tables": _OFFICIAL,
    "etc-official --set": _OFFICIAL,
    "etc-official --json": _OFFICIAL,
    "etc-sky --figures": _SKY,
    "etc-sky --set": _SKY,
    "etc-sky --json": _SKY,
    "sweep config": _SWEEP,
    "sweep --over": _SWEEP,
    "sweep --random": _SWEEP,
    "sweep --budget": _SWEEP,
    "sweep --halving": _SWEEP,
    "sweep --side-by-side": _SWEEP,
    "sweep --set": _SWEEP,
    "sweep --json": _SWEEP,
    "plan config": _PLAN,
    "plan --workers": _PLAN,
    "plan --prices": _PLAN,
    "plan --simulate": _PLAN,
    "plan --rows": _PLAN,
    "plan --set": _PLAN,
    "plan --json": _PLAN,
    "replay --out": _ROW,
    "deploy --watch": _WATCHED,
    "simulate --format": _PFS,
    "simulate --skip-bad": _BAD,
    "simulate --template": _BAD,
    "verify --threads": "tests/flows/test_verify.py::test_as_many_threads_read_as_are_asked_for",
    "evaluate --root": _RUN_NAMED,
    "report --root": _RUN_NAMED,
    "verify --root": _DATA_NAMED,
    "dataset info --root": _DATA_NAMED,
    "inspect --root": _NAMED_INSIDE,
    "replay --root": _NAMED_INSIDE,
    "plot --root": _DRAWN_BY_NAME,
    "plot --wavelength-unit": _DRAWN_AS_STATED,
    "plot --medium": _DRAWN_AS_STATED,
    "diff a": _DIFFERENT,
    "diff b": _DIFFERENT,
    "diff --root": _DIFFERENT,
    "diff --spectra": _DIFFERENT,
    "lineage --root": _WAY,
    "prune --yes": _PRUNED,
    "denoise files": _FILES,
    "denoise --out": _FILES,
    "denoise --bundle": _FILES,
    "denoise --overwrite": _FILES,
    "denoise --json": _FILES,
    "denoise --flux-unit": _STATED,
    "denoise --wavelength-unit": _STATED,
    "denoise --medium": _STATED,
    "denoise --resolution": _STATED,
    "denoise --frame": _STATED,
    "denoise --telluric": _STATED,
    "denoise --reject": f"{_SKYWARD}test_masks_reject_by_the_list_that_is_named",
    "denoise --storage-option": f"{_SKYWARD}test_denoise_is_told_of_storage",
    "denoise --plots": f"{_SKYWARD}test_pictures_and_fits_are_options",
    "denoise --polish": f"{_SKYWARD}test_pictures_and_fits_are_options",
    "denoise --watch": f"{_FOLDER}test_files_that_come_are_denoised_and_stacked_until_it_is_ended",
    "denoise --target-snr": f"{_FOLDER}test_what_is_said_of_a_watch_follows_its_options",
    "denoise --patience": f"{_FOLDER}test_what_is_said_of_a_watch_follows_its_options",
    "denoise --seeing": _FORECAST,
    "denoise --zenith-angle": _FORECAST,
    "denoise --field-angle": _FORECAST,
    "denoise --moon-zenith-angle": _FORECAST,
    "denoise --moon-target-angle": _FORECAST,
    "denoise --moon-phase": _FORECAST,
    "denoise --exposure-time": _FORECAST,
    "denoise --conditions": _FORECAST,
    "denoise --magnitude": _FORECAST,
    "denoise --instrument": _FORECAST,
    "export run": _EXPORT,
    "export bundle": _EXPORT,
    "export --json": _EXPORT,
    "export --root": _EXPORT,
    "export --storage-option": _EXPORT,
    "generalise runs": _TESTED,
    "generalise --spectra": _TESTED,
    "generalise --json": _TESTED,
    "generalise --root": _TESTED,
    "generalise --storage-option": _TESTED,
    "evaluate --workers": _SHARED,
    "evaluate --address": _SHARED,
    "ablate run": _ABLATED,
    "ablate --minutes": _ABLATED,
    "ablate --spectra": _ABLATED,
    "ablate --json": _ABLATED,
    "ablate --root": _ABLATED,
    "ablate --storage-option": _ABLATED,
    "rollback name": _BACK,
    "rollback --root": _BACK,
    "rollback --json": _BACK,
    "rollback --storage-option": _DOOR,
    "grid info --figure": _DRAWN,
    "grid info --sanity": _SANE,
    "grid diff a": _SIDES,
    "grid diff b": _SIDES,
    "grid import --workers": _THREADS,
}


# what has no effect but a refusal where it is tried
REFUSED = {
    "inspect store", "replay store", "train --resume", "grid import --resolution",
    "grid import --carbon", "grid import --microturbulence", "grid import --address",
}  # fmt: skip


def parameters(command: Any = None, words: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every parameter of the program, named by its verb and the option or argument."""
    command = command or typer.main.get_command(app)
    for name, inner in getattr(command, "commands", {}).items():
        yield from parameters(inner, f"{words} {name}".strip())
    for parameter in command.params if words and not hasattr(command, "commands") else ():
        if "--help" not in parameter.opts:
            yield f"{words} {parameter.opts[0]}", parameter


def test_every_argument_and_option_is_tried() -> None:
    doors = {f"{verb} --storage-option" for verb in BEHIND_A_DOOR}
    assert sorted(dict(parameters())) == sorted({*INSTEAD, *BESIDE, *TOLD, *doors, *ELSEWHERE})


@pytest.mark.parametrize("name", ELSEWHERE)
def test_what_is_tried_elsewhere_is_tried_there(name: str) -> None:
    file, _, test = ELSEWHERE[name].partition("::")
    _, found, body = (ROOT / file).read_text(encoding="utf-8").partition(f"def {test}(")
    assert found
    option = name.rpartition(" ")[2]
    assert not option.startswith("--") or f'"{option}"' in body.partition("\ndef ")[0]


@pytest.fixture(scope="module")
def archive() -> Iterator[Archive]:
    with serve({target.path: packed(target.path) for target in plan("http://x")}) as made:
        yield made


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with what the verbs read."""
    folder = tmp_path_factory.mktemp("desk")
    write_conditions(folder / "conditions.csv", CONDITION)
    write_conditions(folder / "others.csv", CONDITION.replace("0.8", "1.1"))
    write_sky_tables(folder / "sky")
    write_arm(folder)
    (folder / "star.csv").write_text("wavelength_nm,flux\n700,1\n900,1\n")
    (folder / "targets.csv").write_text(TARGETS.format(magnitude=20.5))
    (folder / "fainter.csv").write_text(TARGETS.format(magnitude=21.5))
    (folder / "mine.toml").write_text(
        "[conditions]\nseeing = [0.7, 1.1]\n[normalize]\nmedian = 1\n"
    )
    write_grid(str(folder / "grids/mine.zarr"), open_grid("toy").isel(teff=slice(0, 2)))
    native = whole_native_wavelength(7)
    short = native[(native > 849) & (native < 861)]
    for name, temperatures in (("files", (4000.0, 4250.0)), ("one", (4000.0,))):
        for teff in temperatures:
            node = {"teff": teff, "logg": 2.0, "feh": 0.0, "alpha": 0.0}
            write_2017_text(folder / name, open_grid(), node, short)
    url = write_toy(folder, train=24, validation=12)
    for name, seed in (("run", 1), ("other", 2)):
        evaluate(train_here(toy_config(folder, epochs=1, seed=seed), url, folder / name))
    settings = load_config("tiny", [f"storage.root='{folder}/data'", "dataset.mode=virtual", *TOY])
    terms = ensure_terms_grid(settings)
    place = build_dataset(settings, terms, client=None)  # type: ignore[arg-type]
    (folder / "dataset").symlink_to(place.path)
    make_published(folder / "kept", make_plan())
    make_published(folder / "others", make_plan("none"))
    for day, letter in enumerate("abc", start=1):
        finished(folder / "life", letter, day)
    unfinished(folder / "life", "e", 1)
    trained_on(folder / "life/runs/on-a", "a" * 16)
    trained_on(folder / "life/elsewhere/on-b", "b" * 16)
    fsspec.register_implementation("shut", Shut, clobber=True)
    Shut.store.clear()
    Shut(door="open").put(str(folder) + "/", "/root/", recursive=True)
    return folder


Run = Callable[..., tuple[int, str, dict[str, str]]]


@pytest.fixture
def run(
    desk: Path, archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Run:  # fmt: skip
    """Return what runs the program in an empty folder: exit code, output, files it wrote there."""
    told = lambda source, overrides, *more: f"{config.load_config(source, overrides)!r} {more}"  # noqa: E731
    monkeypatch.setattr(building, "build", told)
    for name in ("specdenoise", "train"):
        monkeypatch.setattr(pipeline, name, told)
    server = SimpleNamespace(
        register=lambda *given: [{"name": told(*given)}], serve=lambda *given: print(told(*given))
    )
    monkeypatch.setitem(sys.modules, "flows.deployment", server)
    page = lambda places: f"a page of {[(str(at), at.exists()) for at in places]}"  # noqa: E731
    monkeypatch.setattr(report, "write_report", page)
    monkeypatch.setattr(cluster, "_CONNECT_SECONDS", 1)
    box = ["--base-url", archive.url, "--teff", "3500,4000", "--logg", "1,1",
           "--feh", "0,0.25", "--alpha", "0,0"]  # fmt: skip
    dataset = (desk / "dataset").resolve()
    runs = iter(range(9))

    def program(words: list[str]) -> tuple[int, str, dict[str, str]]:
        folder = tmp_path / str(next(runs))
        (folder / "cache/logs").mkdir(parents=True)
        (folder / "cache/logs/old.log").write_text("old")
        monkeypatch.chdir(folder)
        filled: list[str] = []
        for word in words:
            if word == "{box}":
                filled += box
            elif word == "{few}":
                filled += sets([*few_terms(folder), "terms.tolerance=9"])
            else:
                way = dataset.relative_to(desk)
                filled.append(word.format(desk=desk, dataset=dataset, way=way))
        if filled[0] == "cache":
            monkeypatch.setenv("SPECDENOISE_CACHE", str(folder / "cache"))
        code = run_program(filled)
        out = "".join(capfd.readouterr()).replace(str(folder), "…")
        out = re.sub(CLOCKED, "", out)
        files = {
            re.sub(r"terms-[0-9a-f]+", "", str(path.relative_to(folder))): hashlib.sha256(
                path.read_bytes().replace(str(folder).encode(), b"")
            ).hexdigest()
            for path in folder.rglob("*")
            if path.is_file() and path.name != "manifest.json"  # it tells the time
        }
        return code, out, files

    return program


@pytest.fixture(scope="module")
def without() -> dict[str, tuple[int, str, dict[str, str]]]:
    """Return what verbs did without the option that is tried, filled as they are asked."""
    return {}


def verb_of(name: str) -> str:
    return max((verb for verb in BASE if name.startswith(f"{verb} ")), key=len)


SLOW = {
    "build config", "train config", "refresh --explain", "inspect --html", "inspect --out",
    "plot path", "plot --out", "plot --row", "plot --split", "plot --lines", "plot --json",
}  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name
     for name in (*INSTEAD, *BESIDE)],
)  # fmt: skip
def test_what_is_given_changes_what_the_verb_shows_or_writes(
    name: str, run: Run, without: dict[str, tuple[int, str, dict[str, str]]]
) -> None:
    verb = verb_of(name)
    words = [*verb.split(), *BASE[verb]]
    if verb not in without:
        without[verb] = run(words)
        assert without[verb][0] == 0, without[verb][1]
    if name in INSTEAD:
        old, new = INSTEAD[name]
        assert old in words
        words = [new if word == old else word for word in words]
    with_it = run([*words, *BESIDE.get(name, [])])
    assert with_it[0] == (2 if name in REFUSED else 0), with_it[1]
    assert with_it != without[verb]
    if name.endswith("--json"):
        told = (without[verb] if name in INSTEAD else with_it)[1]
        assert set(re.findall(r'"(\w+)":', told)) == set(NAMES[verb].split())


@pytest.mark.slow
@pytest.mark.parametrize("verb", BASE)
def test_the_same_is_shown_and_written_twice(verb: str, run: Run) -> None:
    """Else a difference from what is without an option would say nothing."""
    words = [*verb.split(), *BASE[verb]]
    assert run(words) == run(words)


@pytest.mark.parametrize("verb", BEHIND_A_DOOR)
def test_a_storage_option_opens_a_url(verb: str, run: Run) -> None:
    old, url = BEHIND_A_DOOR[verb]
    words = [*verb.split(), *(url if word == old else word for word in BASE[verb])]
    if not old:
        words += ["--root", url]
    code, out, _ = run(words)
    assert code == 2 and "the door is shut" in out
    code, out, _ = run([*words, *DOOR])
    assert code == 0, out


@pytest.mark.parametrize("name", TOLD)
def test_a_download_is_told_how_to_fetch(
    name: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Any]] = []

    def fetch(targets: Any, to: Path, policy: Any, **_: Any) -> download.DownloadReport:
        seen.append(asdict(policy) | {"to": to})
        return download.DownloadReport(0, 0, 0, [], {})

    monkeypatch.setattr(download, "download", fetch)
    option, told, value = TOLD[name]
    words = ["grid", "download", *(word for word in BASE["grid download"] if word != "--dry-run")]
    for more in ([], option):
        assert run([*words, *more])[0] == 0
    usual, given = seen
    assert usual != given == usual | {told: value}


# what a verb does where nothing else is said
DEFAULTS = {
    "grid download --resolution": 20000, "grid download --teff": "3500,5000",
    "grid download --logg": "0,5", "grid download --feh": "-2.5,0.75",
    "grid download --alpha": "-0.25,0.5", "grid download --connections": 4,
    "grid download --attempts": 6, "grid download --back-off": 1.0,
    "grid import --carbon": 0.0, "grid import --microturbulence": 2.0,
    "grid import --window": "670,920", "grid list --root": "./data",
    "grid info --quality": True,
    "rollback --root": "./data", "diff --root": "./data", "diff --spectra": 1024,
    "plot --root": "./data", "evaluate --root": "./data",
    "report --root": "./data", "export --root": "./data", "generalise --root": "./data",
    "generalise --spectra": 512, "ablate --minutes": 10.0, "ablate --spectra": 512,
    "ablate --root": "./data", "verify --root": "./data",
    "inspect --root": "./data", "replay --root": "./data", "dataset list --root": "./data",
    "dataset info --root": "./data", "runs list --root": "./data",
    "lineage --root": "./data", "prune root": "./data", "prune --older-than": 24.0,
    "etc-official --magnitude": 22.0, "etc-grid check --rows": 2048, "etc-grid check --seed": 0,
    "denoise --reject": "usual", "denoise --polish": True,
    "simulate --path": "compiled",
    "etc --instrument": "pfs-redmr-2024-07-14", "etc --convention": "centred",
    "etc --quadrature": "converged", "etc --lsf": "etc", "etc --line-extinction": "factorised",
}  # fmt: skip


def test_what_is_not_given_is_as_documented() -> None:
    given = {name: one.default for name, one in parameters()}
    assert {name: given[name] for name in DEFAULTS} == DEFAULTS
    assert not any(value for name, value in given.items() if name not in DEFAULTS)


RANGES = ["grid import --window", *(f"grid download --{one}"
          for one in ("teff", "logg", "feh", "alpha"))]  # fmt: skip


@pytest.mark.parametrize("name", RANGES)
def test_a_range_that_is_none_is_told_with_its_option(name: str, run: Run) -> None:
    verb, _, option = name.rpartition(" ")
    for said, why in (("warm", "write LOW,HIGH, for example"), ("2,1", "the first is the lower")):
        code, out, _ = run([*verb.split(), *BASE[verb], option, said])
        assert code == 2 and f"{option} '{said}': {why}" in out


def test_either_side_of_a_difference_is_its_own(run: Run) -> None:
    mine = "{desk}/grids/mine.zarr"
    (_, one, _), (_, other, _) = (run(["grid", "diff", *p]) for p in (("toy", mine), (mine, "toy")))
    axis = re.compile(r"teff: only in A (.*), only in B (.*)")
    names = re.compile(r"^A (.*)\nB (.*)\n")
    assert [Path(name).name for name in names.match(one).groups()] == ["toy", "mine.zarr"]  # type: ignore[union-attr]
    found = [axis.search(text) for text in (one, other)]
    assert found[0] and found[1]
    assert found[0].groups() == found[1].groups()[::-1]
    assert found[0][1] != "[]" == found[0][2]


def test_an_import_has_as_many_threads_as_it_is_given(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []

    def made(**settings: Any) -> LocalCluster:
        threads.append(settings["threads_per_worker"])
        return LocalCluster(**settings)

    monkeypatch.setattr(cluster, "LocalCluster", made)
    assert run(["grid", "import", *BASE["grid import"], "--workers", "3"])[0] == 0
    assert threads == [3]
