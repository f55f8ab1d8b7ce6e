"""The last checkpoints and the best are kept: a damaged one costs an interval, not the run."""

import logging
import os
import shutil

import numpy as np
import psutil
import pytest
import torch

from simlib.errors import InputError
from simlib.location import Location
from tests.trainlib.test_train import same
from tests.trainlib.toy_dataset import write_toy
from tests.trainlib.training_runs import prepare, toy_config, train_here, watched
from trainlib import runs
from trainlib.evaluation.trained import load_trained
from trainlib.training import launch, train
from trainlib.training.checkpoint import load_checkpoint
from trainlib.training.distributed import Ranks
from trainlib.training.failures import report_failure
from trainlib.training.log import read_log

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return write_toy(tmp_path_factory.mktemp("toy"))


def epochs_kept(run):
    return {
        path.name: load_checkpoint(path, CPU)[0]["state"]["epoch"]
        for path in (run / "checkpoints").iterdir()
    }


@pytest.mark.parametrize(
    ("keep", "kept"),
    [
        (1, {"last.pt": 4}),
        (2, {"last.pt": 4, "last-1.pt": 3}),
        (9, {"last.pt": 4, "last-1.pt": 3, "last-2.pt": 2, "last-3.pt": 1}),
    ],
)
def test_the_last_so_many_and_the_best_are_kept(keep, kept, toy, tmp_path):
    run = train_here(toy_config(tmp_path, epochs=4, keep=keep), toy, tmp_path / "run")
    losses = [entry["validation_loss"] for entry in read_log(run)]
    best = 1 + losses.index(min(losses))
    assert epochs_kept(run) == kept | {"best.pt": best}


def test_the_best_is_not_the_last_where_it_was_better(toy, tmp_path):
    config = toy_config(tmp_path, epochs=6, lr=0.3, schedule="constant")
    run = train_here(config, toy, tmp_path / "run")
    losses = [entry["validation_loss"] for entry in read_log(run)]
    best = 1 + losses.index(min(losses))
    assert best < 6  # else this run shows nothing
    assert epochs_kept(run)["best.pt"] == best
    judged = load_trained(run, config.evaluate.model_copy(update={"checkpoint": "best"}))
    assert judged.state.epoch == best and load_trained(run).state.epoch == 6
    assert judged.state.best_loss == judged.state.validation_loss == min(losses)


def test_fewer_are_kept_where_fewer_are_asked_for(toy, tmp_path):
    run = train_here(toy_config(tmp_path, epochs=4, keep=4), toy, tmp_path / "run")
    (run / runs.CHECKPOINT).unlink()
    train_here(toy_config(tmp_path, epochs=4, keep=2), toy, run)
    assert set(epochs_kept(run)) == {"last.pt", "last-1.pt", "best.pt"}


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "gone"])
def test_a_damaged_last_one_costs_an_interval(damage, toy, tmp_path, caplog):
    config = toy_config(tmp_path, epochs=4, keep=3)
    whole = train_here(config, toy, tmp_path / "whole")
    run = shutil.copytree(whole, tmp_path / "run")  # no two names of one file: as if copied
    last, data = run / runs.CHECKPOINT, bytearray((run / runs.CHECKPOINT).read_bytes())
    data[len(data) // 2] ^= 4
    last.write_bytes({"cut": data[:-7], "flipped": data, "empty": b"", "gone": b""}[damage])
    if damage == "gone":
        last.unlink()
    (run / runs.BEST).unlink()
    with caplog.at_level(logging.INFO):
        train_here(config, toy, run)
    told = [record.message for record in caplog.records if record.levelname == "WARNING"]
    if damage == "gone":
        assert not told
    else:
        (line,) = told
        assert str(last) in line and "going on from" in line and "last-1.pt, step 12" in line
    assert "going on from epoch 3, step 12" in caplog.messages
    assert read_log(run) != [] and [e["step"] for e in read_log(run)] == [4, 8, 12, 16]
    ours, theirs = (
        load_checkpoint(place / runs.CHECKPOINT, CPU)[0]["model"] for place in (run, whole)
    )
    assert same(ours, theirs)
    assert epochs_kept(run)["best.pt"] == epochs_kept(whole)["best.pt"]


def test_nothing_is_removed_before_every_rank_has_read_it(toy, tmp_path):
    """A rank that comes later would find a checkpoint that has gone."""
    config = toy_config(tmp_path, epochs=4)
    run = train_here(config, toy, tmp_path / "run")
    damaged, seen = b"damaged", []
    last = run / runs.CHECKPOINT
    last.write_bytes(damaged)

    class Waiting(Ranks):
        def wait(self) -> None:
            seen.append(last.exists() and last.read_bytes() == damaged)

    train.train_rank(run, config, Waiting(0, 1, CPU))
    assert seen[0] and last.read_bytes() != damaged


def test_where_all_are_damaged_the_advice_helps(toy, tmp_path):
    config = toy_config(tmp_path, epochs=3, keep=2)
    run = train_here(config, toy, tmp_path / "run")
    for place in (run / "checkpoints").glob("last*"):
        place.write_bytes(b"nothing")
    for name in ("last.pt", "last-1.pt"):
        with pytest.raises(InputError, match=rf"{name} is not a checkpoint .* remove it and train"):
            train_here(config, toy, run)
        (run / "checkpoints" / name).unlink()
    train_here(config, toy, run)
    assert epochs_kept(run)["last.pt"] == 3


def test_anew_means_from_the_start(toy, tmp_path):
    config = toy_config(tmp_path, epochs=3, keep=3)
    run = train_here(config, toy, tmp_path / "run")
    launch.prepare_run(run, config, Location.of(toy), runs.read_manifest(run).dataset.fingerprint,
                       resume=False)  # fmt: skip
    assert not list((run / "checkpoints").iterdir()) and not read_log(run)


def test_what_the_network_was_given_where_the_loss_went_astray_is_kept(toy, tmp_path):
    config = toy_config(tmp_path, recipe="B", lr=1e30, warmup=0.0, epochs=1)
    with watched() as seen, pytest.raises(InputError) as told:
        train_here(config, toy, tmp_path / "run")
    bad = 1 + next(n for n, batch in enumerate(seen.trained) if n)  # the first update ruins it
    kept = tmp_path / "run" / "not-finite-0.npz"
    assert f"not finite at step {bad}, batch {bad} of epoch 1 (kept in {kept})" in str(told.value)
    with np.load(kept) as arrays:
        assert arrays["step"] == bad
        batch = seen.trained[bad - 1]
        assert np.array_equal(arrays["flux_noisy"], batch.noisy)
        assert np.array_equal(arrays["variance"], batch.variance)
        assert np.array_equal(arrays["target"], batch.target)


@pytest.mark.parametrize(
    ("attempt", "failures", "code"),
    [
        (1, [], None),  # killed: nobody told
        (1, [(0, "RuntimeError")], None),  # the other one was killed
        (1, [(0, "RuntimeError"), (1, "RuntimeError")], 1),
        (1, [(1, "InputError")], 2),
        (0, [(1, "InputError")], None),  # of an earlier start
        (2, [(0, "RuntimeError"), (1, "RuntimeError")], None),  # of the first attempt
    ],
)
def test_ranks_that_would_end_the_same_are_not_started_again(
    attempt, failures, code, toy, tmp_path, monkeypatch
):
    config = toy_config(tmp_path)
    run = prepare(config, toy, tmp_path / "run")
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank, kind in failures:
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "0")
        report_failure(run, kind, "of the attempt before")

    class Begun(BaseException):
        pass

    def begin(*_: object) -> None:
        raise Begun

    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", str(attempt))
    monkeypatch.setattr(train, "joined_ranks", begin)
    if code is None:
        with pytest.raises(Begun):
            train.main([str(run)])
    else:
        assert train.main([str(run)]) == code


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_rank_that_is_killed_costs_an_interval(victim, toy, tmp_path):
    """Both are started again from the last checkpoint, and the run ends as an undisturbed one."""
    config = toy_config(tmp_path, epochs=40, ranks=2, keep=2)
    killed = []

    def kill_one(told: dict) -> None:
        if killed or told["epoch"] < 5:
            return
        for process in psutil.process_iter(["cmdline", "environ"]):
            about = process.info
            is_rank = (
                str(tmp_path / "run") in (about["cmdline"] or ()) and "--place" in about["cmdline"]
            )
            if is_rank and (about["environ"] or {}).get("RANK") == str(victim):
                process.kill()
                killed.append(process.pid)

    result = launch.train(config, toy, tmp_path / "run", progress=kill_one)
    assert len(killed) == 1
    assert (result.epochs, result.steps) == (40, 160)
    whole = launch.train(config, toy, tmp_path / "whole")
    ours, theirs = (
        [(entry["loss"], entry["validation_loss"]) for entry in read_log(tmp_path / name)]
        for name in ("run", "whole")
    )
    assert np.allclose(ours, theirs, rtol=1e-6)
    assert result.validation_loss == pytest.approx(whole.validation_loss, rel=1e-6)
    assert not [p for p in psutil.pids() if p in killed and os.path.exists(f"/proc/{p}/exe")]
