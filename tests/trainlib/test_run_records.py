"""What a run keeps on disk: finished in one step, movable, and damage told before it is used."""

import dataclasses
import shutil

import numpy as np
import pytest
import torch

from simlib.errors import InputError
from tests.trainlib.toy_dataset import write_toy
from tests.trainlib.training_runs import losses, toy_config, train_here
from trainlib import runs
from trainlib.evaluation import report
from trainlib.evaluation.evaluate import evaluate
from trainlib.evaluation.report import write_report
from trainlib.evaluation.results import RESULTS, read_results
from trainlib.training import launch, train
from trainlib.training.checkpoint import load_checkpoint, save_checkpoint
from trainlib.training.failures import read_failures, report_failure
from trainlib.training.log import LOG, read_log

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Return a root with a dataset and a trained and judged run."""
    root = tmp_path_factory.mktemp("kept") / "root"
    root.mkdir()
    write_toy(root, train=48, validation=24)
    run = train_here(toy_config(root), str(root / "toy.zarr"), root / "runs" / "toy")
    evaluate(run)
    return root


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    """Draw none, but read what would be drawn: what a page is made from counts here."""

    def read(shown, folder):
        for run in shown:
            read_log(run.trained.directory)
        return {}

    monkeypatch.setattr(report, "draw", read)


@pytest.fixture
def root(kept, tmp_path):
    return shutil.copytree(kept, tmp_path / "root")


def config_of(root):
    return toy_config(root)


def toy_of(root):
    return str(root / "toy.zarr")


@pytest.mark.parametrize("start", [train_here, pytest.param(launch.train, marks=pytest.mark.slow)])
def test_a_run_that_ended_before_its_manifest_said_so_is_finished_by_the_next_start(
    start, root, tmp_path, monkeypatch
):
    class Killed(BaseException):
        pass

    def killed(*_):
        raise Killed

    monkeypatch.setattr(train, "finish", killed)
    with pytest.raises(Killed):
        train_here(config_of(root), toy_of(root), tmp_path / "killed")
    monkeypatch.undo()
    before = (tmp_path / "killed" / runs.CHECKPOINT).read_bytes()
    assert runs.read_manifest(tmp_path / "killed").outcome is None
    result = start(config_of(root), toy_of(root), tmp_path / "killed")
    assert (tmp_path / "killed" / runs.CHECKPOINT).read_bytes() == before
    again = launch.train(config_of(root), toy_of(root), tmp_path / "killed")
    assert again.was_finished
    if start is launch.train:
        assert again == dataclasses.replace(result, was_finished=True)
    whole = launch.train(config_of(root), toy_of(root), root / "runs" / "toy")
    different = {"run_directory", "seconds", "cpu_seconds", "was_finished"}
    for key, value in dataclasses.asdict(again).items():
        assert key in different or getattr(whole, key) == value


def test_a_root_that_was_moved_is_used_where_it_is(root, tmp_path):
    summary = read_results(root / "runs" / "toy").evaluation.summary
    assert runs.read_manifest(root / "runs" / "toy").dataset.place == "../../toy.zarr"
    moved = root.rename(tmp_path / "elsewhere")
    run = moved / "runs" / "toy"
    assert evaluate(run) == summary
    shutil.rmtree(run / RESULTS)
    assert evaluate(run) == summary
    assert write_report(run).is_file()
    assert launch.train(config_of(moved), toy_of(moved), run).was_finished
    assert runs.read_config(run).storage.root == str(moved)


def test_a_dataset_outside_the_root_is_named_in_full(root, tmp_path):
    toy = write_toy(tmp_path, train=48, validation=24)
    run = train_here(config_of(root), toy, root / "runs" / "other")
    assert runs.read_manifest(run).dataset.place == toy


def test_a_run_behind_a_link_finds_its_dataset(root, tmp_path):
    (tmp_path / "scratch").mkdir()
    (root / "fast").symlink_to(tmp_path / "scratch")
    run = train_here(toy_config(root, epochs=1), toy_of(root), root / "fast" / "toy")
    summary = evaluate(run)
    shutil.rmtree(run / RESULTS)
    assert evaluate(tmp_path / "scratch" / "toy") == summary


BROKEN = [b"", b"\0\0\0", b"\xff\xfe{", b"[]", b"5", b"null", b'"text"', b"{}", b"[" * 100_000]
RECORDS = [runs.MANIFEST, runs.CONFIG, LOG, runs.CHECKPOINT]


@pytest.mark.parametrize("name", RECORDS)
def test_a_broken_record_is_told_with_its_file_and_the_advice_helps(name, root):
    run = root / "runs" / "toy"
    good = (run / name).read_bytes()
    cases = [*BROKEN, good[: len(good) // 2], good[::-1]]
    for content in cases:
        (run / name).write_bytes(content + b"\n" * (name == LOG))
        with pytest.raises(InputError, match=name):
            write_report(run)
    if name == runs.CONFIG:
        assert launch.train(config_of(root), toy_of(root), run).was_finished  # writes it anew
    else:
        (run / name).unlink()  # all others say: remove it and train again
        train_here(config_of(root), toy_of(root), run)
    evaluate(run)
    assert write_report(run).is_file()


def test_a_record_of_another_format_says_what_to_do(root):
    run = root / "runs" / "toy"
    (run / runs.MANIFEST).write_text('{"format_version": 1, "fingerprint": "abc"}')
    with pytest.raises(InputError, match="has format 1, this version reads 3; remove it and train"):
        evaluate(run)


@pytest.mark.slow  # of a dataset: test_damage.py
@pytest.mark.filterwarnings("ignore:Object at")  # by Zarr, of a damaged group
def test_every_flipped_bit_of_the_results_is_told_or_harmless(root):
    run = root / "runs" / "toy"
    good, draw = read_results(run), np.random.default_rng(3)
    paths = sorted(path for path in (run / RESULTS).rglob("*") if path.is_file())
    told = 0
    for _ in range(80):
        path = paths[draw.integers(len(paths))]
        data = path.read_bytes()
        flipped = bytearray(data)
        flipped[draw.integers(len(data))] ^= 1 << draw.integers(8)
        path.write_bytes(flipped)
        try:
            found = read_results(run)
            assert found.on.identical(good.on) and found.off.identical(good.off)
        except InputError as error:
            assert "specdenoise evaluate" in str(error)
            told += 1
        path.write_bytes(data)
    assert told > 40


@pytest.mark.filterwarnings("ignore:Object at")  # by Zarr, of a damaged group
@pytest.mark.parametrize(
    "damage", ["file", pytest.param("empty folder", marks=pytest.mark.slow), "no array"]
)
def test_broken_results_are_told_by_a_report_and_judged_again_by_an_evaluation(damage, root):
    run = root / "runs" / "toy"
    summary = read_results(run).evaluation.summary
    if damage == "no array":
        shutil.rmtree(run / RESULTS / "snr")
    else:
        shutil.rmtree(run / RESULTS)
        (run / RESULTS).mkdir() if damage == "empty folder" else (run / RESULTS).touch()
    with pytest.raises(InputError, match="run `specdenoise evaluate .*` again"):
        write_report(run)
    assert evaluate(run) == summary
    assert write_report(run).is_file()


def rewritten(run, change):
    state, _ = load_checkpoint(run / runs.CHECKPOINT, CPU)
    change(state)
    save_checkpoint(run / runs.CHECKPOINT, state)


def test_a_network_of_nans_is_not_judged(root):
    run = root / "runs" / "toy"
    rewritten(run, lambda state: state["model"]["first.weight"].fill_(float("nan")))
    for judge in (evaluate, write_report):
        with pytest.raises(InputError, match="first.weight hold values that are not finite"):
            judge(run)


def test_a_network_that_gives_nans_is_not_judged(root):
    run = root / "runs" / "toy"
    rewritten(run, lambda state: state["model"]["first.weight"].fill_(3e38))
    with pytest.raises(InputError, match="the method 'dae' gives .* are not finite"):
        evaluate(run)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda state: state["model"].pop("first.weight"), "does not fit the network"),
        (lambda state: state.pop("model"), "is no checkpoint of a run"),
        (lambda state: state.update(model=[1]), "is no checkpoint of a run"),
        (lambda state: state.update(model={"mean": 1}), "is no checkpoint of a run"),
        (lambda state: state["state"].pop("epoch") and state["state"].update(epoch="x"), "epoch"),
        (lambda state: state["model"].clear(), "holds no network"),
        (lambda state: state.update(fingerprint="abc"), "belongs to run abc"),
    ],
)
def test_a_checkpoint_of_something_else_is_told(change, told, root):
    run = root / "runs" / "toy"
    rewritten(run, change)
    with pytest.raises(InputError, match=told):
        evaluate(run)


def test_an_edited_config_is_told_where_it_shapes_the_network(root):
    run = root / "runs" / "toy"
    text = (run / runs.CONFIG).read_text()
    (run / runs.CONFIG).write_text(text.replace("epochs = 3", "epochs = 4"))
    with pytest.raises(InputError, match="config.toml describes run .* the config was edited"):
        evaluate(run)


def test_results_of_an_earlier_network_are_not_reported(root):
    run = root / "runs" / "toy"
    rewritten(run, lambda state: state["model"]["last.1.bias"].add_(0.1))
    with pytest.raises(InputError, match="was trained further since it was judged; run"):
        write_report(run)
    before = read_results(run).evaluation.summary
    assert evaluate(run) != before
    assert write_report(run).is_file()


def test_a_damaged_failure_does_not_hide_the_others(tmp_path, monkeypatch):
    report_failure(tmp_path, "InputError", "lower it")
    monkeypatch.setenv("RANK", "1")
    report_failure(tmp_path, "OSError", "gone")
    for number, content in enumerate(BROKEN, start=2):
        (tmp_path / "failures" / f"rank-{number}.json").write_bytes(content)
    assert [failure.message for failure in read_failures(tmp_path)] == ["lower it", "gone"]


def test_a_run_is_found_by_its_path_however_it_is_written(root, monkeypatch):
    monkeypatch.setenv("HOME", str(root / "runs"))
    assert evaluate("~/toy") == evaluate(str(root / "runs" / "." / "toy"))
    assert losses(root / "runs" / "toy")
