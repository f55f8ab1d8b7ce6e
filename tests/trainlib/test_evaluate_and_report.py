import json
import re
import shutil

import numpy as np
import pytest
import torch

from flows.terminal.tables import print_evaluation
from simlib.errors import InputError
from tests.trainlib.judged_runs import page_without_figures
from tests.trainlib.toy_dataset import write_toy
from tests.trainlib.training_runs import toy_config, train_here
from trainlib import runs
from trainlib.evaluation import figures, results
from trainlib.evaluation.evaluate import evaluate
from trainlib.evaluation.methods import METHODS
from trainlib.evaluation.page_numbers import defeats
from trainlib.evaluation.report import write_report
from trainlib.evaluation.results import read_results
from trainlib.evaluation.trained import load_trained
from trainlib.evaluation.trust import trust_of
from trainlib.training.checkpoint import load_checkpoint, save_checkpoint
from trainlib.training.log import read_log
from trainlib.trust.model import TRUST

CPU = torch.device("cpu")
KNOWN_LOSSES = [0.00521503, 0.00516052, 0.00585114]
KNOWN_ERRORS = {  # mean |R| and bias at S/N 20 to 40
    "none": (0.03253773, 0.00077961),
    "smoothing": (0.13687590, 0.04161650),
    "savgol": (0.07843988, 0.01959693),
    "pca": (0.01268837, 0.00072708),
    "wiener": (0.00890324, 0.00064666),
    "dae": (0.00889843, 0.00043984),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    url = write_toy(folder)
    torch.manual_seed(0)
    return train_here(toy_config(folder, epochs=20, lr=3e-3), url, folder / "toy-run")


@pytest.fixture(scope="module")
def summary(run):
    return evaluate(run)


def test_the_summary_is_the_machine_readable_object(summary):
    assert summary["augmentation"] == "on"
    assert summary["split"] == "validation"
    assert summary == json.loads(json.dumps(summary))
    assert [part["snr_low"] for part in summary["bins"]] == [0, 5, 7, 10, 14, 20, 40, 80]
    assert sum(part["count"] for part in summary["bins"]) == 96
    for part in (*summary["bins"], summary["snr_9_11"]):
        assert {"snr_low", "snr_high", "count", "floor", "floor_thread", "eta"} <= set(part)
        assert set(part["methods"]) == set(METHODS)
    assert summary["augmentation_off"]["augmentation"] == "off"


def test_a_network_that_tells_no_errors_is_not_trusted(run, summary):
    assert "trust" not in summary and not read_results(run).trust.variables
    assert not (run / TRUST).exists()
    with pytest.raises(InputError, match="recipe B, whose network tells no errors.*recipe = 'C'"):
        trust_of(load_trained(run))


def test_the_network_beats_the_noisy_input_on_the_toy(summary):
    for part in summary["bins"]:
        if part["count"] >= 10:
            errors = {m: v["mean_abs_relative_error"] for m, v in part["methods"].items()}
            assert errors["dae"] < errors["none"]


def test_evaluating_twice_gives_the_same_numbers(run, summary):
    shutil.rmtree(run / "results.zarr")
    assert evaluate(run) == summary


def test_what_was_judged_so_already_is_not_judged_again(run, summary):
    before = {p: p.stat().st_mtime_ns for p in (run / "results.zarr").rglob("*")}
    assert evaluate(run) == summary
    assert before == {p: p.stat().st_mtime_ns for p in (run / "results.zarr").rglob("*")}


@pytest.mark.parametrize("change", ["version", "example_snr"])
def test_all_that_shapes_a_judgement_is_part_of_its_identity(change, run, summary, monkeypatch):
    before, section = read_results(run).evaluation, runs.read_config(run).evaluate
    if change == "version":
        monkeypatch.setattr(results, "EVALUATION_VERSION", results.EVALUATION_VERSION + 1)
        evaluate(run)
    else:
        evaluate(run, section=section.model_copy(update={"example_snr": 33.0}))
        assert runs.read_config(run).evaluate.example_snr == 33.0
    assert read_results(run).evaluation.fingerprint != before.fingerprint
    assert read_results(run).evaluation.summary == summary
    monkeypatch.undo()
    evaluate(run, section=section)
    assert read_results(run).evaluation.fingerprint == before.fingerprint


# Known values, as far as float32 gives the same on every processor. Where they are off because the
# training or the judgement is meant to be another: raise the version, and put the new values here.
def test_a_known_run_comes_out_as_known(run, summary):
    assert (runs.TRAINING_VERSION, results.EVALUATION_VERSION) == (2, 6)
    log = read_log(run)
    assert [log[0]["loss"], log[-1]["loss"], log[-1]["validation_loss"]] == pytest.approx(
        KNOWN_LOSSES, rel=1e-4
    )
    methods = summary["bins"][5]["methods"]
    found = {m: (v["mean_abs_relative_error"], v["bias"]) for m, v in methods.items()}
    for method, (error, bias) in KNOWN_ERRORS.items():
        assert found[method] == (pytest.approx(error, rel=1e-4), pytest.approx(bias, abs=1e-6))


def test_results_before_an_evaluation_say_what_to_do(tmp_path):
    with pytest.raises(InputError, match="not evaluated"):
        read_results(tmp_path)
    with pytest.raises(InputError, match="is no run directory"):
        evaluate(tmp_path)


def test_the_report_tells_everything_and_needs_nothing(run, summary):
    page = write_report(run)
    html = page.read_text()
    assert page == run / "report.html"
    manifest = runs.read_manifest(run)
    for told in (
        manifest.fingerprint,
        manifest.dataset.fingerprint,
        manifest.provenance["versions"]["torch"],
        f"{manifest.outcome.samples:,}",
        "Where the network does not win",
        "Mean |R| against S/N",
        "Can this denoiser be trusted?",
        "Wiener filter",
        "residual network (1 blocks, width 16, GELU)",
        "recipe B",
        "Not judged: the network tells no errors",
    ):
        assert told in html, told
    assert html.count("<figure>") == 13 and html.count("Left out:") == 2
    outside = re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)
    assert not re.search(r"(src|href)\s*=\s*[\"'](?!data:|#)", outside)
    assert "http" not in re.sub(r"base64,[A-Za-z0-9+/=\s]+", "", outside)
    assert not re.search(
        r"<(script [^>]*src|link [^>]*href=.http|iframe)|@import|url\((?!#)", outside
    )
    error = summary["bins"][5]["methods"]["dae"]["mean_abs_relative_error"]
    assert f"{100 * error:.2f}" in html
    drawn = {path.stem for path in (run / "figures").iterdir()}
    paper = {f"figure-{number}" for number in (1, *range(3, 10))}
    assert drawn == paper | {"error", "bias", "alpha"}


def test_runs_of_one_name_are_two_and_a_run_given_twice_is_one(run, summary, tmp_path):
    other = shutil.copytree(run.parent, tmp_path / "elsewhere") / run.name
    state, _ = load_checkpoint(other / runs.CHECKPOINT, CPU)
    state["model"]["last.1.bias"].add_(0.5)
    save_checkpoint(other / runs.CHECKPOINT, state)
    errors = [part["snr_9_11"]["methods"]["dae"]["mean_abs_relative_error"]
              for part in (summary, evaluate(other))]  # fmt: skip
    assert errors[0] != errors[1]
    html = page_without_figures([run, other], tmp_path / "both.html").read_text()
    assert "2 runs" in html
    for place, error in zip((run, other), errors, strict=True):
        assert f"Mean |R| in per cent: {place}" in html
        assert f"{100 * error:.2f}" in html
    (tmp_path / "link").symlink_to(run)
    same = [run, str(run), run / ".." / run.name, tmp_path / "link"]
    once = page_without_figures(same, tmp_path / "once.html").read_text()
    assert "1 run:" in once and once.count("Where the network does not win") == 1
    with pytest.raises(InputError, match="at least one run"):
        write_report([])


@pytest.fixture(scope="module")
def run_of_few(tmp_path_factory):
    """Return a run judged on two spectra, in one bin of S/N."""
    folder = tmp_path_factory.mktemp("few")
    url = write_toy(folder, train=24, validation=2)
    return train_here(toy_config(folder, epochs=1), url, folder / "few")


def test_empty_bins_stand_in_every_table_and_figure(run_of_few, tmp_path):
    summary = evaluate(run_of_few)
    assert len(read_results(run_of_few).examples["row"]) == 2
    empty = [part for part in (*summary["bins"], summary["snr_9_11"]) if not part["count"]]
    assert len(empty) >= 6
    for part in empty:
        assert {value for entry in part["methods"].values() for value in entry.values()} == {None}
    assert "NaN" not in json.dumps(summary)
    print_evaluation(summary)
    html = write_report(run_of_few).read_text()
    assert html.count(">–<") >= 6 * len(METHODS)


def test_figures_without_a_spectrum_in_any_bin_are_drawn(run_of_few, tmp_path):
    evaluate(run_of_few)
    results = read_results(run_of_few).on
    results["snr"] = ("spectrum", np.full(2, np.nan))
    drawn = [figures.error_figure({"a": results}), figures.bias_figure(results),
             figures.loss_figure({"a": []}), figures.errors_figure(results, "snr")]  # fmt: skip
    for number, figure in enumerate(drawn):
        assert figures.save_and_embed(figure, tmp_path / f"{number}.svg", "it").startswith("<svg")


def test_the_report_lists_every_bin_that_the_network_loses():
    def part(dae: float, count: int) -> dict:
        errors = {"none": 0.5, "pca": 0.1, "dae": dae}
        methods = {m: {"mean_abs_relative_error": e} for m, e in errors.items()}
        return {"count": count, "methods": methods}

    found = defeats({"bins": [part(0.05, 10), part(0.2, 10), part(0.9, 3), part(0.9, 0)]})
    assert [(entry["method"], entry["network"]) for entry in found] == [
        ("pca", 0.2),
        ("none", 0.9),
        ("pca", 0.9),
    ]


def test_what_was_judged_on_some_spectra_is_compared_on_these():
    def told(error: float | None, count: int | None = None, network: float | None = None) -> dict:
        known = {} if count is None else {"count": count, "network": network}
        return {"mean_abs_relative_error": error} | known

    methods = {"none": told(0.5), "dae": told(0.2), "template": told(0.3, 4, 0.35),
               "fit": told(0.1, 4, 0.35), "no": told(None, 0)}  # fmt: skip
    (found,) = defeats({"bins": [{"count": 10, "methods": methods}]})
    assert found == {"bin": {"count": 4}, "method": "template", "error": 0.3, "network": 0.35}
