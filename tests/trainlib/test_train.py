import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from simlib.errors import InputError
from tests.simlib.dataset.toy_build import build
from tests.trainlib.toy_dataset import write_toy
from tests.trainlib.training_runs import losses, toy_config, train_here
from trainlib import runs
from trainlib.training import launch
from trainlib.training.batches import Stored
from trainlib.training.checkpoint import load_checkpoint
from trainlib.training.log import read_log

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return write_toy(tmp_path_factory.mktemp("toy"))


def same_weights(one, other) -> bool:
    first, second = (load_checkpoint(d / runs.CHECKPOINT, CPU)[0] for d in (one, other))
    return all(torch.equal(first["model"][k], second["model"][k]) for k in first["model"]) and all(
        torch.equal(value, second["optimizer"]["state"][i][k])
        for i, entry in first["optimizer"]["state"].items()
        for k, value in entry.items()
    )


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """Return a real dataset of the toy's size that stores nothing: what endless training needs."""
    sizes = ("dataset.n_train=192", "dataset.n_validation=48")
    return str(build(tmp_path_factory.mktemp("simulated"), *sizes, "dataset.mode=virtual"))


@pytest.fixture(params=["stored", pytest.param("endless", marks=pytest.mark.slow)])
def mode_and_data(request, toy, simulated):
    return request.param, toy if request.param == "stored" else simulated


def test_two_ranks_train_as_one(mode_and_data, tmp_path):
    # 192 rows make batches of 31, cut unevenly, and a last one of 6
    mode, data = mode_and_data
    config = toy_config(tmp_path, mode=mode, ranks=2, batch_size=31)
    result = launch.train(config, data)
    alone = train_here(config, data, tmp_path / "alone")
    assert np.allclose(
        losses(tmp_path / "runs" / f"toy-{result.fingerprint}"), losses(alone), rtol=1e-5
    )
    assert result.samples == 3 * 192


def test_a_run_killed_mid_epoch_and_resumed_equals_an_uninterrupted_one(mode_and_data, tmp_path):
    mode, data = mode_and_data
    epochs = 20 if mode == "stored" else 12
    config = toy_config(tmp_path, mode=mode, epochs=epochs, batch_size=12, ranks=1)
    directory = tmp_path / "killed"

    def kill(interval: dict) -> None:
        if interval["epoch"] >= 3:  # the checkpoint of an epoch before is whole
            os.kill(int((directory / runs.LOCK).read_text().split()[0]), signal.SIGKILL)

    with pytest.raises(RuntimeError, match="train again to go on from the last checkpoint"):
        launch.train(config, data, str(directory), progress=kill)
    assert 0 < len(losses(directory)) < epochs
    assert runs.read_manifest(directory).outcome is None
    launch.train(config, data, str(directory))
    assert "going on from epoch" in (directory / launch.LOG).read_text()
    whole = tmp_path / "whole"
    launch.train(config, data, str(whole))  # as the other: NumPy's threads change last bits too
    assert losses(directory) == losses(whole)
    assert same_weights(directory, whole)


def test_a_finished_run_is_not_trained_again(toy, tmp_path):
    config = toy_config(tmp_path)
    directory = train_here(config, toy, tmp_path / "run")
    before = (directory / runs.CHECKPOINT).stat().st_mtime_ns
    result = launch.train(config, toy, str(directory))
    assert result.was_finished
    assert result.validation_loss == losses(directory)[-1][1]
    assert (directory / runs.CHECKPOINT).stat().st_mtime_ns == before


def test_a_directory_of_another_run_is_refused(toy, tmp_path):
    train_here(toy_config(tmp_path), toy, tmp_path / "run")
    with pytest.raises(InputError, match="give another directory"):
        launch.train(toy_config(tmp_path, lr=0.7), toy, str(tmp_path / "run"))


def test_the_log_has_an_object_per_interval_with_every_key(toy, tmp_path):
    directory = train_here(toy_config(tmp_path, epochs=4, interval=2), toy, tmp_path / "run")
    log = read_log(directory)
    assert [(entry["epoch"], entry["step"]) for entry in log] == [(2, 8), (4, 16)]
    keys = {"epoch", "step", "loss", "validation_loss", "lr", "samples_per_s", "seconds"}
    assert all(keys <= set(entry) for entry in log)
    manifest = runs.read_manifest(directory)
    assert manifest.outcome.is_finished
    assert manifest.dataset.place == toy
    assert {"torch", "numpy", "python"} <= set(manifest.provenance["versions"])


def test_a_time_budget_anneals_the_rate_to_its_end(toy, tmp_path):
    config = toy_config(tmp_path, epochs=100_000, interval=1, seconds=3.0, lr=1e-3)
    log = read_log(train_here(config, toy, tmp_path / "run"))
    assert log[-1]["lr"] == pytest.approx(1e-5)
    assert log[-1]["seconds"] < 4.5
    assert log[-1]["epoch"] < 100_000


def test_the_papers_recipe_scaled_down_learns(tmp_path):
    url = write_toy(tmp_path)
    widths = [128, 98, 68, 38, 8]
    config = toy_config(tmp_path, {"widths": widths}, recipe="A", epochs=30, batch_size=16, lr=3.0)
    log = read_log(train_here(config, url, tmp_path / "run"))
    assert log[-1]["validation_loss"] < 0.8 * log[0]["validation_loss"]


def test_a_rate_too_high_is_told_as_such(toy, tmp_path):
    config = toy_config(tmp_path, recipe="B", lr=1e30)
    with pytest.raises(InputError, match=r"the loss is not finite .* lower train\.lr"):
        train_here(config, toy, tmp_path / "run")


def test_a_last_step_that_goes_astray_is_told_and_not_kept(toy, tmp_path):
    config = toy_config(tmp_path, recipe="B", lr=1e30, epochs=1, batch_size=192, warmup=0.0)
    with pytest.raises(InputError, match=r"the loss is not finite .* lower train\.lr"):
        train_here(config, toy, tmp_path / "run")
    assert not (tmp_path / "run" / runs.CHECKPOINT).exists()


def test_a_rate_lowered_at_plateaus_goes_on_where_a_run_broke_off(toy, tmp_path, monkeypatch):
    plateau = {"schedule": "plateau", "patience": 1, "threshold": 0.9, "cooldown": 1}
    config = toy_config(tmp_path, epochs=12, lr=0.01, **plateau)
    whole = train_here(config, toy, tmp_path / "whole")
    good = Stored.epoch

    def break_off(self, number):
        if number == 6:
            raise ConnectionError("the machine went down")
        return good(self, number)

    monkeypatch.setattr(Stored, "epoch", break_off)
    with pytest.raises(ConnectionError):
        train_here(config, toy, tmp_path / "broken")
    monkeypatch.undo()
    train_here(config, toy, tmp_path / "broken")
    rates = [[entry["lr"] for entry in read_log(tmp_path / d)] for d in ("whole", "broken")]
    assert rates[0] == rates[1]
    assert len(set(rates[0])) == 4
    assert losses(tmp_path / "broken") == losses(whole)


def test_a_network_of_other_width_than_the_data_is_told(toy, tmp_path):
    config = toy_config(tmp_path, {"widths": [4096, 64]}, recipe="A")
    with pytest.raises(InputError, match="begins with 4096 but the dataset has 128 pixels"):
        train_here(config, toy, tmp_path / "run")


@pytest.mark.slow
def test_a_basis_larger_than_the_training_set_is_told_through_the_launcher(toy, tmp_path):
    config = toy_config(tmp_path, {"rank": 500, "hidden": 8, "blocks": 1}, ranks=1)
    with pytest.raises(InputError, match="500 components but 192 training spectra"):
        launch.train(config, toy)


@pytest.mark.slow
def test_a_missing_rank_ends_with_one_message_and_code_2(toy, tmp_path):
    directory = train_here(toy_config(tmp_path), toy, tmp_path / "run")
    text = (directory / "config.toml").read_text()
    (directory / "config.toml").write_text(text.replace("= 60.0", "= 1.5"))
    started = [start_worker(directory, rank) for rank in (0, 1)]
    told = (
        "error: 1 of 2 ranks joined within 1.5 s: start the other or set train.ranks=1",
        "error: rank 1 of 2 found nobody at 127.0.0.1:",
    )
    for process, message in zip(started, told, strict=True):
        output, errors = process.communicate(timeout=60)
        assert process.returncode == 2
        assert errors.startswith(message)
        assert len(errors.strip().splitlines()) == 1
        assert output == ""


@pytest.mark.slow
def test_fewer_ranks_than_the_config_asks_for_are_refused(toy, tmp_path):
    directory = train_here(toy_config(tmp_path, ranks=2), toy, tmp_path / "run")
    ended = subprocess.run(
        [sys.executable, "-m", "trainlib.training.train", str(directory)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr.strip() == (
        "error: 1 of 2 ranks were started: start 2 with torchrun or set train.ranks=1"
    )


def start_worker(directory, rank: int) -> subprocess.Popen[str]:
    rendezvous = {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    return subprocess.Popen(
        [sys.executable, "-m", "trainlib.training.train", str(directory)],
        env=os.environ | rendezvous | {"MASTER_PORT": str(free_port())},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_cancelled_training_leaves_no_process(toy, tmp_path):
    config = toy_config(tmp_path, epochs=100_000, ranks=2, interval=50)
    directory, seen = tmp_path / "run", []
    with pytest.raises(KeyboardInterrupt):
        launch.train(
            config, toy, str(directory), progress=seen.append, is_cancelled=lambda: bool(seen)
        )
    worker = int((directory / runs.LOCK).read_text().split()[0])
    assert is_gone(worker, within_s=10.0)


def is_gone(process: int, within_s: float) -> bool:
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_two_processes_do_not_train_in_one_directory(toy, tmp_path):
    code = "import sys, time; from pathlib import Path; from trainlib import runs\n"
    code += "with runs.lock_run(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    directory = tmp_path / "run"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(InputError, match=f"is held by process {holder.pid} on .*stop it"):
            launch.train(toy_config(tmp_path), toy, str(directory), resume=False)
        assert not (directory / runs.MANIFEST).exists()  # it touched nothing of the other's
        holder.kill()
    with runs.lock_run(directory):
        assert (directory / runs.LOCK).read_text().split()[0] == str(os.getpid())
