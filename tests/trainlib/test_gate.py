"""A new network takes the released one's place where it is worse in no bin of S/N."""

from pathlib import Path
from typing import Any

import pytest

from simlib.errors import InputError
from tests.trainlib.toy_dataset import write_toy
from tests.trainlib.training_runs import SMALL, toy_config, train_here
from trainlib.config import Gate
from trainlib.evaluation.alike import judged_alike, pass_gate
from trainlib.evaluation.evaluate import evaluate
from trainlib.evaluation.gate import known_judgement, verdict, write_judgement

EDGES = ((0.0, 5.0), (5.0, 7.0), (7.0, None))
GATE = Gate(margin=0.1, spectra=20)


def judged(*errors: float | None, counts: tuple[int, ...] = (50, 50, 50)) -> dict[str, Any]:
    """Return an evaluation with planted mean |R| of the network, and one method beside it."""
    return {
        "bins": [
            {"snr_low": low, "snr_high": high, "count": count,
             "methods": {"none": {"mean_abs_relative_error": 9.0},
                         "dae": {"mean_abs_relative_error": error}}}
            for (low, high), error, count in zip(EDGES, errors, counts, strict=True)
        ]
    }  # fmt: skip


OLD = judged(0.02, 0.01, 0.004)


@pytest.mark.parametrize(
    "new",
    [judged(0.01, 0.009, 0.003), OLD, judged(0.0219, 0.0109, 0.00439)],
    ids=["better", "the same", "worse by less than the margin"],
)
def test_what_is_not_worse_passes(new: dict[str, Any]) -> None:
    found = verdict(OLD, new, GATE)
    assert found.passes and not any(one.is_worse for one in found.bins)
    assert found.reason == "in none of 3 bins of S/N worse by more than 10.0%"
    assert [one.old for one in found.bins] == [0.02, 0.01, 0.004]
    assert [one.new for one in found.bins] == [
        one["methods"]["dae"]["mean_abs_relative_error"] for one in new["bins"]
    ]


@pytest.mark.parametrize("number", range(3))
def test_one_worse_bin_is_enough_and_is_named(number: int) -> None:
    errors = [0.001, 0.001, 0.001]
    errors[number] = 0.05
    found = verdict(OLD, judged(*errors), GATE)
    assert not found.passes
    assert [one.is_worse for one in found.bins] == [place == number for place in range(3)]
    was, span = (("2.000%", "0-5"), ("1.000%", "5-7"), ("0.400%", "7-…"))[number]
    assert found.reason == f"worse than the released one: S/N {span}: 5.000%, was {was}"


@pytest.mark.parametrize("counts", [(50, 19, 50), (50, 0, 50)])
def test_a_bin_of_few_spectra_is_shown_and_not_judged(counts: tuple[int, ...]) -> None:
    empty = None if counts[1] == 0 else 0.5
    found = verdict(OLD, judged(0.02, empty, 0.004, counts=counts), GATE)
    assert found.passes and "none of 2 bins" in found.reason
    assert [one.count for one in found.bins] == list(counts)
    assert verdict(OLD, judged(0.02, 0.5, 0.004, counts=(50, 20, 50)), GATE).passes is False


def test_a_bin_that_was_empty_is_not_judged_and_where_all_are_nothing_passes() -> None:
    assert verdict(judged(0.02, None, 0.004), judged(0.02, 0.5, 0.004), GATE).passes
    found = verdict(OLD, judged(0.001, 0.001, 0.001, counts=(1, 1, 1)), GATE)
    assert not found.passes and found.reason.startswith("no bin of S/N holds 20 spectra")


def test_what_is_no_number_does_not_pass() -> None:
    assert not verdict(OLD, judged(0.001, float("nan"), 0.001), GATE).passes


def trained(folder: Path, epochs: int, pixels: int, rows: int) -> Path:
    """Return a judged run on a dataset of its own."""
    url = write_toy(folder, train=rows, validation=90, pixels=pixels)
    config = toy_config(folder, SMALL, epochs=epochs, lr=3e-3, batch_size=30)
    run = train_here(config, url, folder / "run")
    evaluate(run)
    return run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a run, and one that learnt longer, of another dataset."""
    return {
        "short": trained(tmp_path_factory.mktemp("short"), 1, 128, 60),
        "long": trained(tmp_path_factory.mktemp("long"), 12, 128, 96),
    }


def test_both_are_judged_on_the_spectra_of_the_new_one(runs: dict[str, Path]) -> None:
    before = sorted(path.stat().st_mtime_ns for path in runs["short"].rglob("*"))
    itself = judged_alike(runs["long"], runs["long"])
    assert itself["bins"] != judged_alike(runs["short"], runs["long"])["bins"]
    known = evaluate(runs["long"])
    for one, other in zip(itself["bins"], known["bins"], strict=True):
        assert one["count"] == other["count"]
        assert one["methods"]["dae"] == other["methods"]["dae"]
    gate = Gate(margin=0.0, spectra=5)
    assert pass_gate(runs["long"], runs["short"], gate).passes
    assert not pass_gate(runs["short"], runs["long"], gate).passes
    assert pass_gate(runs["long"], runs["long"], gate).passes
    assert sorted(path.stat().st_mtime_ns for path in runs["short"].rglob("*")) == before


@pytest.mark.slow
def test_a_network_of_other_pixels_is_not_compared(runs: dict[str, Path], tmp_path: Path) -> None:
    found = pass_gate(trained(tmp_path, 1, 64, 60), runs["long"], Gate())
    assert found.passes and not found.bins
    assert found.reason == "not compared: the released network is of 128 pixels, this one of 64"


def test_a_released_run_that_is_gone_is_told(runs: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no run directory"):
        pass_gate(runs["long"], tmp_path / "gone", Gate())
    with pytest.raises(InputError, match="is not evaluated"):
        pass_gate(tmp_path / "new", runs["long"], Gate())


def test_what_was_found_is_kept_and_asked_again_for_another_comparison(tmp_path: Path) -> None:
    assert known_judgement(tmp_path, "e", "r", GATE) is None
    write_judgement(tmp_path, "e", "r", GATE, verdict(OLD, judged(0.5, 0.5, 0.5), GATE))
    found = known_judgement(tmp_path, "e", "r", GATE)
    assert found is not None and not found.passes and "S/N 0-5: 50.000%" in found.reason
    for other in (("x", "r", GATE), ("e", "x", GATE), ("e", "r", Gate(margin=0.2, spectra=20))):
        assert known_judgement(tmp_path, *other) is None
    (tmp_path / "gate.json").write_text("{")
    with pytest.raises(InputError, match="remove it: the run is judged again"):
        known_judgement(tmp_path, "e", "r", GATE)
