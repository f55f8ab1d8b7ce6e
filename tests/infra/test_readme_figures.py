"""The README's figures are those that are recorded, and what is recorded is what runs hold."""

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from infra.readme import __main__ as program
from infra.readme import fill, record
from simlib.artifact import write_record
from simlib.dataset.agreement import FirstRow
from simlib.dataset.manifest import Manifest, Plan
from simlib.errors import InputError
from simlib.location import Location
from simlib.parameters import AXES
from simlib.provenance import arithmetic
from trainlib import runs
from trainlib.evaluation.ablation import Ablated, Ablation
from trainlib.evaluation.generalisation import (
    Generalisation,
    OnLines,
    OnSpectra,
    write_generalisation,
)
from trainlib.evaluation.metrics import MEASURES
from trainlib.evaluation.results import RESULTS, Evaluation, Results, write_results
from trainlib.onsky.bundle import SHIPPED

README = fill.README.read_text(encoding="utf-8")
METHODS = ("none", "savgol", "wiener", "rest", "template", "dae", "polished")
ROWS, TRIED = 240, 200
EDGES = [(0, 5), (5, 7), (7, 10), (10, 14), (14, 20), (20, 40), (40, 80)]


def lines_of(readme: str) -> list[str]:
    return [line for line in readme.splitlines() if line.startswith("|")]


def cells(text: str, label: str) -> list[str]:
    """Return the cells of the one row of a text that begins so."""
    (line,) = [one for one in lines_of(text) if one.startswith(f"| {label} |")]
    return line.strip("| ").split(" | ")[1:]


def block_of(readme: str, name: str) -> str:
    begun = readme.index(f"<!-- results: {name} -->")
    return readme[begun : readme.index("<!-- end of results -->", begun)]


def test_each_figure_of_the_readme_is_the_recorded_one() -> None:
    assert fill.filled(README, fill.recorded()) == README


@pytest.mark.parametrize(
    "name", ["demo", "limit", "baselines", "generalise", "ablate", "trust", "fit", "bench"]
)
def test_a_figure_changed_by_hand_is_put_right(name: str) -> None:
    block = block_of(README, name)
    figure = list(re.finditer(r"\d+\.\d+", block))[-1]
    other = block[: figure.start()] + "77.77" + block[figure.end() :]
    assert fill.filled(README.replace(block, other), fill.recorded()) == README


def test_the_run_that_is_told_of_is_that_of_the_shipped_bundle() -> None:
    lineage = json.loads((SHIPPED / "manifest.json").read_text())["lineage"]
    assert fill.recorded()["survey"]["run"]["fingerprint"] == lineage["run"]


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("<!-- results: fit -->", "<!-- results: fits -->"),
        ("<!-- results: fit -->", ""),
        ("<!-- results: fit -->", "<!-- results: fit -->\n<!-- end of results -->\n" * 2),
        ("<!-- end of results -->", ""),
    ],
)
def test_a_marker_that_is_unknown_or_missing_is_told(was: str, becomes: str) -> None:
    with pytest.raises(InputError, match=r"each of ablate, .*, trust has to be there once"):
        fill.filled(README.replace(was, becomes, 1), fill.recorded())


def test_what_is_not_recorded_is_told_by_its_name() -> None:
    parts = {name: part for name, part in fill.recorded().items() if name != "ablation"}
    with pytest.raises(InputError, match=r"results.json lacks .*'ablation' is undefined"):
        fill.filled(README, parts)


def planted_dataset(folder: Path) -> None:
    first = FirstRow(arithmetic="zen9 0 numba 1", flux=(), variance=())
    plan = Plan(rows={"train": 123_456}, block=1, chunk=1, codec="none", first_row=first)
    manifest = Manifest(
        fingerprint="0" * 16, mode="virtual", physics_version=1, inputs={}, plan=plan, rows=123_456,
        config={"dataset": {"seed": 17, "n_train": 123_456}}, terms="", stellar_grid={},
        arithmetic=("zen9 0 numba 1", "zen9 1 numba 1", "alder 0 numba 1"), template={},
        row_files={}, blocks=None, seconds=1.0, provenance={},
    )  # fmt: skip
    write_record(Location.of(folder) / "manifest.json", manifest)


def planted_manifest(run: Path, **outcome: Any) -> None:
    state = {"epoch": 3, "parameters": 2_340_000, "cpu_seconds": 98.6, "is_finished": True,
             "ended": "2031-02-03T04:05:06Z"}  # fmt: skip
    runs.write_manifest(run, runs.RunManifest(
        fingerprint="f" * 16, inputs={"train": {"train.epochs": 3}}, recipe="C", started="",
        dataset=runs.Origin(place="../../dataset", fingerprint="0" * 16),
        provenance={"commit": "c0ffee", "cores": 6}, outcome=runs.State(**(state | outcome)),
    ))  # fmt: skip


def planted_results(run: Path) -> xr.Dataset:
    """Write results of made-up numbers; templates and fits are tried on some of the spectra."""
    dice = np.random.default_rng(5)
    error = dice.uniform(0.002, 0.2, (len(METHODS), ROWS))
    error[METHODS.index("template"), TRIED:] = np.nan
    error[METHODS.index("polished"), 90:] = np.nan
    limit = np.where(np.arange(ROWS) < 150, dice.uniform(0.001, 0.01, ROWS), np.nan)
    on = xr.Dataset(
        {name: (("method", "spectrum"), error) for name in MEASURES}
        | {name: ("spectrum", np.zeros(ROWS)) for name in AXES}
        | {"snr": ("spectrum", dice.uniform(0.0, 80.0, ROWS))}
        | {"floor": ("spectrum", limit), "floor_thread": ("spectrum", limit / 2.0),
           "cpu_ms": ("method", np.arange(len(METHODS)) + 0.625)},
        coords={"method": np.array(METHODS, dtype=object)},
    )  # fmt: skip
    recorded = fill.recorded()["survey"]
    start = {"evaluations": 7.31, "ms": 1.26, "wrong": 0.0444, "wrong_95": [0.0111, 0.0666]}
    fit = {"spectra": 4321, "starts": {
        "cold": start | {"templates": 9876}, "dae": start | {"ms": 3.21, "network_ms": 0.77},
        "truth": start | {"wrong": 0.0},
    }}  # fmt: skip
    trust = recorded["trust"]
    trust["bins"][2]["pixels"]["told"]["within_68"] = 0.12345
    trust["strangers"]["new line"][1]["found"]["share"] = 0.98765
    evaluation = Evaluation(
        fingerprint="e" * 16, checkpoint="c", dataset="0" * 16, split="validation", spectra=ROWS,
        seconds=1.0, cpu_seconds=1.0, bottleneck=1, wiener_rank=1,
        summary={"fit": fit, "trust": trust, "parameters": {}},
    )  # fmt: skip
    write_results(run, Results(on, on, on[["snr"]], xr.Dataset(), evaluation))
    return on


def planted_tests(run: Path) -> None:
    tested = [
        OnSpectra(identity="1", name="as trained", text="as ever", spectra=77, cpu_seconds=40.25,
                  snr=(1.0, 14.26, 30.0), error=0.00456, floor=0.00321, eta=1.4206,
                  eta_error=0.039),
    ]  # fmt: skip
    lines = [OnLines(identity="2", name="l", text="", snr=20.0, new_line=0.0333, deeper_line=0.446,
                     cpu_seconds=10.0)]  # fmt: skip
    write_generalisation(run, Generalisation(
        checkpoint="c", dataset="0" * 16, rows=tuple(tested), lines=tuple(lines), provenance={},
    ))  # fmt: skip


def planted_run(folder: Path) -> Path:
    run = folder / "runs" / "stars-1"
    run.mkdir(parents=True)
    planted_dataset(folder / "dataset")
    planted_manifest(run)
    return run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return a finished run that nothing else is known of."""
    return planted_run(tmp_path)


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, xr.Dataset]:
    """Return a run that was evaluated and tested on other spectra, and its results."""
    run = planted_run(tmp_path_factory.mktemp("judged"))
    planted_tests(run)
    return run, planted_results(run)


def test_blocks_tell_the_numbers_that_a_run_holds(judged: tuple[Path, xr.Dataset]) -> None:
    run, on = judged
    parts = fill.recorded() | {"survey": record.survey_of(run)}
    readme = fill.filled(README, json.loads(json.dumps(parts)))

    error, snr, limit = (on[name].values for name in ("mean_abs_relative_error", "snr", "floor"))
    inside = [(snr >= low) & (snr < high) for low, high in EDGES]
    tried = np.arange(ROWS) < TRIED
    baselines = block_of(readme, "baselines")
    assert "run, `stars-1` (2031-02-03, 6 cores of type\nalder, zen9)" in baselines
    assert f"first {TRIED} validation rows" in baselines
    assert cells(baselines, "spectra") == [str((one & tried).sum()) for one in inside]
    labels = {"as observed": "none", "Savitzky-Golay": "savgol", "Wiener": "wiener",
              "linear, at rest": "rest", "best template": "template", "network": "dae"}  # fmt: skip
    for label, method in labels.items():
        values = error[METHODS.index(method)]
        expected = [f"{100.0 * values[one & tried].mean():.3f}" for one in inside]
        assert cells(baselines, label) == expected

    fit = block_of(readme, "fit")
    for label, method in (("polished", "polished"), ("network", "dae")):
        values = error[METHODS.index(method)]
        some = [one & np.isfinite(values) & np.isfinite(limit) for one in inside]
        expected = [f"{values[one].mean() / limit[one].mean():.2f}" for one in some]
        assert cells(fit.split("Over the limit")[1], label) == expected
    assert "On 4,321 `survey`" in fit
    assert cells(fit, "coarse grid") == ["9,876 templates, then 7.3", "1.3", "4.4 % (1.1-6.7)"]
    assert cells(fit, "truth") == ["7.3", "1.3", "0.0 % (1.1-6.7)"]
    assert "| network | 7.3 | 3.2, after the network's 0.8 | 4.4 % (1.1-6.7) |" in fit

    trust = block_of(readme, "trust")
    told = fill.recorded()["survey"]["trust"]["bins"][2]["pixels"]["calibrated"]["within_68"]
    assert cells(trust, "7-10")[1] == f"12.3 → {100.0 * told:.1f}"
    assert cells(trust, "new line")[1].startswith("98.8 (")

    other = block_of(readme, "generalise")
    assert "77 spectra of each kind (`--spectra 77`), in 50 CPU seconds" in other
    assert cells(other, "as trained: as ever") == ["14.3", "0.456", "0.321", "1.42 ± 0.04"]
    assert cells(other, "new line, %") == ["3.3"] and cells(other, "deeper line, %") == ["45"]

    limits = block_of(readme, "limit")
    assert "costs recipe C 5.62 ms" in limits
    assert "123,456 spectra, each seen 3 times, in 99 CPU\nseconds" in limits


def test_the_demo_and_the_limit_tell_what_was_measured_on_their_spectra(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def figures(*given: Any, **options: Any) -> list[dict[str, Any]]:
        asked.append((*given, options))
        row = {"floor": 0.00876, "error": 0.00912, "eta": 1.0406 + len(asked), "eta_error": 0.0123,
               "bias": -0.000234, "off": 0.0456, "told_masked": None}  # fmt: skip
        many = [row | {"snr": name, "count": 1999} for name in ("0-5", "9-11")]
        few = [row | {"snr": name, "count": 499} for name in ("80-inf", "> 40, Teff < 3750 K")]
        return many + few

    monkeypatch.setattr(record, "network_figures", figures)
    parts = {
        "limit": record.limit_of(run, 512, 4096, "there"),
        "demo": record.demo_of(run, "here", 777),
    }
    readme = fill.filled(README, fill.recorded() | parts)
    assert asked == [
        (run, "test", 4096, {"begin": 512}),
        (run, "test", 4096, {"begin": 512, "masked": True}),
        (run, "test", 4096, {"begin": 512, "dataset": "there"}),
        (run, "validation", 777, {"dataset": "here"}),
    ]  # fmt: skip
    limits, demo = block_of(readme, "limit"), block_of(readme, "demo")
    assert cells(limits, "S/N") == ["0-5", "> 40, Teff < 3750 K"]
    for number, name in enumerate(("test", "masked", "continuous")):
        assert cells(limits, name) == [f"{2.0406 + number:.3f} ± 0.012"] * 2
    assert cells(limits, "redshift off, %") == ["4.56"] * 2
    assert "from number 512 on" in limits and "--begin 512 --rows 4096" in limits
    told = ["1,999", "0.876", "0.912", "5.041 ± 0.012", "-0.023", "4.56"]
    assert cells(demo, "0-5") == cells(demo, "9-11") == told
    assert "80-inf" not in demo and "hardest: 5.04 ± 0.01 times" in demo
    assert "run `stars-1`" in demo and "took 99 CPU seconds" in demo
    assert "the first 777 validation" in demo and "2.3 million weights" in demo


def test_an_ablation_is_told_with_the_run_that_was_trained_as_configured(run: Path) -> None:
    test = OnSpectra(identity="1", name="as trained", text="", eta=1.234, eta_error=0.056)
    rows = (
        Ablated(name="as configured", text="as it is", run="stars-1", epochs=9, cpu_seconds=61.7,
                tests=(test,)),
        Ablated(name="mae", text="another loss", run="stars-2", epochs=8, cpu_seconds=55.5,
                tests=(test.model_copy(update={"eta": 2.5}),)),
    )  # fmt: skip
    base = run.with_name("base")
    base.mkdir()
    with pytest.raises(InputError, match="run `specdenoise ablate` first"):
        record.ablation_of(base)
    write_record(Location.of(base) / "ablation.json", Ablation(minutes=2.5, spectra=66, rows=rows))
    readme = fill.filled(README, fill.recorded() | {"ablation": record.ablation_of(base)})
    told = block_of(readme, "ablate")
    assert "run `stars-1`" in told and "--minutes 2.5 --spectra 66" in told
    assert "`demo` on 123,456 spectra" in told
    assert cells(told, "as configured: as it is") == ["9", "62", "1.23 ± 0.06"]
    assert cells(told, "mae: another loss") == ["8", "56", "2.50 ± 0.06"]


def test_a_bench_is_told_with_its_machine() -> None:
    entry = {"unit": "spectra/s", "against": "that", "command": "so"}
    bench = record.bench_of([entry | {"name": "simulate.x", "value": 12345},
                             entry | {"name": "codec.y", "value": 0.25}])  # fmt: skip
    told = block_of(fill.filled(README, fill.recorded() | {"bench": bench}), "bench")
    assert cells(told, "`simulate.x`") == ["12,345 spectra/s", "that"] and "codec.y" not in told
    assert arithmetic().startswith(bench["cpu"]) and f"of type {bench['cpu']})" in told


def test_a_run_without_all_that_is_told_is_refused(
    judged: tuple[Path, xr.Dataset], run: Path
) -> None:
    shutil.copytree(judged[0] / RESULTS, run / RESULTS)
    with pytest.raises(InputError, match="`specdenoise generalise` to have been run on it"):
        record.survey_of(run)


def test_a_run_cut_off_by_its_budget_is_not_recorded(run: Path) -> None:
    planted_manifest(run, epoch=2)
    with pytest.raises(InputError, match="after 2 of 3 epochs, for want of time"):
        record.run_of(run)


def test_the_command_records_and_fills_and_changes_nothing_the_second_time(
    judged: tuple[Path, xr.Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readme, kept = tmp_path / "README.md", tmp_path / "results.json"
    readme.write_text(README, encoding="utf-8")
    kept.write_text(fill.RECORDED.read_text(encoding="utf-8"), encoding="utf-8")
    for module in (fill, program):
        monkeypatch.setattr(module, "README", readme)
        monkeypatch.setattr(module, "RECORDED", kept)
    monkeypatch.setattr(sys, "argv", ["python -m infra.readme"])
    program.main()
    assert readme.read_text(encoding="utf-8") == README
    assert kept.read_bytes() == Path(program.__file__).with_name("results.json").read_bytes()
    rows = fill.recorded()["limit"]["masked"]
    monkeypatch.setattr(record, "network_figures", lambda *given, **options: rows)
    given = ["--survey", str(judged[0]), "--continuous", "there"]
    monkeypatch.setattr(sys, "argv", ["python -m infra.readme", *given])
    program.main()
    once = readme.read_bytes(), kept.read_bytes()
    assert b"`stars-1`" in once[0] and cells(once[0].decode(), "test") == cells(README, "masked")
    program.main()
    assert (readme.read_bytes(), kept.read_bytes()) == once


@pytest.mark.parametrize("given", [["--survey", "a"], ["--continuous", "b"], ["--demo", "c"]])
def test_a_limit_is_of_the_run_that_is_told_beside_it(
    given: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["python -m infra.readme", *given])
    with pytest.raises(SystemExit, match="2"):
        program.main()
    assert "--survey and --continuous go together" in capsys.readouterr().err
