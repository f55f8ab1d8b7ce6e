import calendar
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import psutil
import pytest
import torch
import xarray as xr
from torch.optim.optimizer import register_optimizer_step_pre_hook

from simlib.errors import InputError, Preempted
from tests.simlib.dataset.toy_build import build
from tests.trainlib.forked_ranks import free_port
from tests.trainlib.toy_dataset import write_toy
from tests.trainlib.training_runs import (
    Clock,
    cosine,
    losses,
    prepare,
    told_alike,
    toy_config,
    train_here,
    watched,
)
from trainlib import runs
from trainlib.training import launch, train
from trainlib.training.checkpoint import load_checkpoint, save_checkpoint
from trainlib.training.failures import FAILURES
from trainlib.training.log import read_log
from trainlib.training.state import load_state

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return write_toy(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """Return a real dataset of the toy's size that stores nothing: what endless training needs."""
    sizes = ("dataset.n_train=192", "dataset.n_validation=48")
    return str(build(tmp_path_factory.mktemp("simulated"), *sizes, "dataset.mode=virtual"))


@pytest.fixture(params=["stored", pytest.param("endless", marks=pytest.mark.slow)])
def mode_and_data(request, toy):
    stored = request.param == "stored"
    return request.param, toy if stored else request.getfixturevalue("simulated")


@pytest.mark.slow  # forked ranks: test_train_loop.py; launched ones: test_end_to_end.py
def test_two_ranks_train_as_one_in_the_folder_of_runs_they_are_told(mode_and_data, tmp_path):
    # 192 rows make batches of 31, cut unevenly, and a last one of 6
    mode, data = mode_and_data
    descent = {"optimizer": "sgd", "lr": 0.3, "momentum": 0.5}  # AdamW would hide a factor
    config = toy_config(
        tmp_path, mode=mode, ranks=2, batch_size=31, runs=str(tmp_path / "there"), **descent
    )
    result = launch.train(config, data)
    directory = tmp_path / "there" / f"toy-{result.fingerprint}"
    assert result.run_directory == str(directory)
    alone = train_here(config, data, tmp_path / "alone")
    assert np.allclose(losses(directory), losses(alone), rtol=1e-5)
    assert result.samples == 3 * 192


KILLS_ITSELF = """
import os, signal, sys
if "RANK" in os.environ:
    kept = []
    def watch(event, about):
        if event == "os.rename" and os.fspath(about[1]).endswith("NAME"):
            kept.append(event)
            if len(kept) == 4:
                for process in (os.getppid(), os.getpid()):  # what would start it again first
                    os.kill(process, signal.SIGKILL)
    sys.addaudithook(watch)
""".replace("NAME", runs.CHECKPOINT)


@pytest.mark.slow  # in one process: breaks off anywhere, below
def test_a_run_killed_and_resumed_equals_an_uninterrupted_one(mode_and_data, tmp_path, monkeypatch):
    mode, data = mode_and_data
    config = toy_config(tmp_path, mode=mode, epochs=12, batch_size=12, ranks=1)
    directory = tmp_path / "killed"
    (tmp_path / "sitecustomize.py").write_text(KILLS_ITSELF)
    with monkeypatch.context() as killing:
        killing.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
        with pytest.raises(RuntimeError, match="train again to go on from the last checkpoint"):
            launch.train(config, data, str(directory))
    assert len(losses(directory)) in (3, 4)  # the fourth checkpoint is written, not in its place
    assert runs.read_manifest(directory).outcome is None
    launch.train(config, data, str(directory))
    assert "going on from epoch" in (directory / launch.LOG).read_text()
    whole = train_here(config, data, tmp_path / "whole")
    assert [entry["epoch"] for entry in read_log(directory)] == list(range(1, 13))
    # another process, so not to the last bit; breaks are compared to it below
    assert np.allclose(losses(directory), losses(whole), rtol=1e-3)


TELLS_ITS_THREADS = """
import atexit, os, sys
if "RANK" in os.environ:
    atexit.register(lambda: print("threads:", sys.modules["torch"].get_num_threads()))
"""


@pytest.mark.slow  # what is finished stays: test_run_records.py
def test_a_finished_run_is_not_trained_again_unless_asked_for_anew(toy, tmp_path, monkeypatch):
    config = toy_config(tmp_path, ranks=1)
    directory = train_here(config, toy, tmp_path / "run")
    curve, checkpoint = losses(directory), directory / runs.CHECKPOINT
    weights, before = load_checkpoint(checkpoint, CPU)[0]["model"], checkpoint.stat().st_mtime_ns
    result = launch.train(config, toy, str(directory))
    assert result.was_finished
    assert result.validation_loss == curve[-1][1]
    assert checkpoint.stat().st_mtime_ns == before

    saved, _ = load_checkpoint(checkpoint, CPU)
    saved["model"]["last.1.bias"] += 1.0
    save_checkpoint(checkpoint, saved)
    told = []
    (tmp_path / "sitecustomize.py").write_text(TELLS_ITS_THREADS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")  # what the config says counts
    result = launch.train(config, toy, str(directory), resume=False, progress=told.append)
    assert not result.was_finished
    assert [entry["step"] for entry in told] == [4, 8, 12]
    assert told == read_log(directory)  # none of the run before
    assert np.allclose(losses(directory), curve, rtol=1e-5)
    anew = load_checkpoint(checkpoint, CPU)[0]["model"]
    assert all(torch.allclose(anew[name], weights[name], atol=1e-5) for name in weights)
    assert (directory / launch.LOG).read_text().count("threads: 1\n") == 1


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"ranks": None, "threads": None}, "4 of 2"),  # of 9 cores
        ({"ranks": 3, "threads": None}, "3 of 3"),
        ({"ranks": 3, "threads": 2}, "3 of 2"),
        ({"ranks": 20, "threads": None}, "20 of 1"),
    ],
)
def test_the_cores_are_shared_out(keys, told, toy, tmp_path, monkeypatch):
    def command(_, ranks: int, *rest: object) -> list[str]:
        tell = f"import os; print({ranks}, 'of', os.environ['OMP_NUM_THREADS'])"
        if sys.platform == "linux":  # they meet on this host, whatever its name stands for
            tell += "; assert os.environ['GLOO_SOCKET_IFNAME'] == 'lo'"
        # what was freed is kept for the next step, as far as nobody says otherwise
        tell += "; assert os.environ['MALLOC_MMAP_THRESHOLD_'] == str(2**30)"
        tell += "; assert os.environ['MALLOC_TRIM_THRESHOLD_'] == '77'"
        return [sys.executable, "-c", tell]

    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "77")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(9)))
    monkeypatch.setattr(launch, "torchrun_command", command)
    with pytest.raises(RuntimeError, match="says of no end"):
        launch.train(toy_config(tmp_path, **keys), toy, str(tmp_path / "run"))
    assert (tmp_path / "run" / launch.LOG).read_text().strip() == told


def test_a_directory_of_another_run_is_refused(toy, tmp_path):
    train_here(toy_config(tmp_path), toy, tmp_path / "run")
    with pytest.raises(InputError, match="give another directory"):
        launch.train(toy_config(tmp_path, lr=0.7), toy, str(tmp_path / "run"))


def test_the_log_has_an_object_per_interval_with_every_key(toy, tmp_path):
    begin = time.time()
    directory = train_here(toy_config(tmp_path, epochs=4, interval=2), toy, tmp_path / "run")
    log = read_log(directory)
    assert [(entry["epoch"], entry["step"]) for entry in log] == [(2, 8), (4, 16)]
    keys = {"epoch", "step", "loss", "validation_loss", "lr", "samples_per_s", "seconds",
            "remaining_s", "memory_bytes"}  # fmt: skip
    assert all(keys <= set(entry) for entry in log)
    manifest = runs.read_manifest(directory)
    assert manifest.outcome.is_finished
    assert manifest.dataset.place == toy
    written = "%Y-%m-%dT%H:%M:%SZ"
    started, ended = (calendar.timegm(time.strptime(moment, written))
                      for moment in (manifest.started, manifest.outcome.ended))  # fmt: skip
    assert begin - 1 <= started <= ended <= time.time()
    assert {"torch", "numpy", "python"} <= set(manifest.provenance["versions"])


@pytest.fixture
def clock(monkeypatch):
    """Return what the loop takes for its clock: a step takes a second, all else nothing."""
    with Clock() as clock:
        monkeypatch.setattr(train, "time", clock)
        yield clock


def takes(monkeypatch, clock: Clock, **seconds: float) -> None:
    """Let functions of the loop take so long."""

    def slow(good, duration: float):
        def slowed(*given, **named):
            clock.passes(duration)
            return good(*given, **named)

        return slowed

    for name, duration in seconds.items():
        monkeypatch.setattr(train, name, slow(getattr(train, name), duration))


@pytest.mark.parametrize(("seconds", "epochs"), [(99.0, 100_000), (1e6, 6), (70.0, 20)])
def test_the_rate_anneals_to_the_end_of_what_is_spent_first(
    seconds, epochs, toy, tmp_path, clock, monkeypatch
):
    takes(monkeypatch, clock, read_validation=5.0, validate=3.0, save_state=2.0)
    shape = {"warmup": 0.2, "final": 0.1}
    config = toy_config(tmp_path, lr=1e-3, epochs=epochs, seconds=seconds, interval=2, **shape)
    begin = clock.now
    with watched() as seen:
        directory = train_here(config, toy, tmp_path / "run")

    rates, ends, now, reserve, progress = [], [], 5.0, 0.0, 0.0  # 5 s for the set-up
    while progress < 1.0 and len(rates) < 4 * epochs:
        progress = max(len(rates) / (4 * epochs), (now + reserve) / seconds)
        rates.append(1e-3 * cosine(progress, **shape))
        now += 1.0
        if progress >= 1.0 or len(rates) % 8 == 0:
            ends.append((len(rates), rates[-1], now + 3.0))
            now, reserve = now + 5.0, 6.0  # a fifth more than validation and checkpoint took
    assert seen.rates == pytest.approx(rates)
    log = read_log(directory)
    assert [(e["step"], e["lr"], e["seconds"]) for e in log] == [pytest.approx(e) for e in ends]
    speed = [entry["samples_per_s"] for entry in log]
    assert speed[0] == 2 * 192 / 8

    steps, whole = ends[-1][0], ends[-1][0] // 4
    outcome = runs.read_manifest(directory).outcome
    assert (
        outcome
        == load_state(
            directory / runs.CHECKPOINT, runs.read_manifest(directory).fingerprint, CPU
        ).state
    )
    assert outcome == runs.State(
        epoch=whole, step=steps, samples=192 * whole + 50 * (steps % 4),
        seconds=ends[-1][2], cpu_seconds=3 * ends[-1][2],
        loss=log[-1]["loss"], validation_loss=log[-1]["validation_loss"],
        best_loss=min(entry["validation_loss"] for entry in log),
        parameters=outcome.parameters, world_size=1, device="cpu",
        ended=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(begin + ends[-1][2])),
        is_finished=True,
    )  # fmt: skip
    assert log[-1]["samples"] == outcome.samples


def test_the_papers_recipe_an_eighth_as_wide_begins_as_its_figure_3_says(tmp_path):
    """The loss falls steeply at first, at the rate of 100, which then is halved again and again."""
    url = write_toy(tmp_path, train=48, validation=24, pixels=512)
    network = {"widths": [512, 392, 272, 152, 32]}
    config = toy_config(tmp_path, network, recipe="A", epochs=16, batch_size=12, patience=2)
    log = read_log(train_here(config, url, tmp_path / "run"))
    rates, losses = ([entry[key] for entry in log] for key in ("lr", "validation_loss"))
    assert rates[:4] == [100.0] * 4 and rates[-1] <= 50.0
    assert all(later in (rate, rate / 2) for rate, later in itertools.pairwise(rates))
    assert losses[0] - losses[3] > 0.75 * (losses[0] - min(losses)) > 0.15 * losses[0]
    # what it learns first is the mean spectrum
    flux, held_out = (
        xr.open_zarr(url, group=name, consolidated=False)["flux"].values
        for name in ("train", "validation")
    )
    about_mean = held_out - flux.mean(axis=0)
    assert losses[-1] == pytest.approx(np.sqrt((about_mean**2).mean(axis=1)).mean(), rel=0.1)
    # and validation goes with training, neither under- nor overfitted
    assert log[-1]["loss"] == pytest.approx(losses[-1], rel=0.15)


def test_a_rate_too_high_is_told_as_such(toy, tmp_path):
    config = toy_config(tmp_path, recipe="B", lr=1e30)
    with pytest.raises(InputError, match=r"the loss is not finite .* lower train\.lr"):
        train_here(config, toy, tmp_path / "run")


def test_a_last_step_that_goes_astray_is_told_and_not_kept(toy, tmp_path):
    config = toy_config(tmp_path, recipe="B", lr=1e30, epochs=1, batch_size=192, warmup=0.0)
    with pytest.raises(InputError, match=r"the loss is not finite .* lower train\.lr"):
        train_here(config, toy, tmp_path / "run")
    assert not (tmp_path / "run" / runs.CHECKPOINT).exists()


class Killed(BaseException):
    pass


@contextmanager
def killed_somewhere(dice: random.Random) -> Iterator[None]:
    """Break off in a step, between a line of the log and its checkpoint, or after both.

    In a step it is killed, or told to stop, twice.
    """
    place = dice.choice(("step", "told", "log", "checkpoint"))
    left = dice.randrange(1, 4) * (5 if place in ("step", "told") else 1)
    good, before = train.save_state, signal.getsignal(signal.SIGTERM)

    def counted(*_: object) -> None:
        nonlocal left
        left -= 1
        if left == 0 and place != "told":
            raise Killed
        if left == 0:
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)

    def save_state(*given: Any) -> None:
        if place == "log":
            counted()
        good(*given)
        if place == "checkpoint":
            counted()

    in_step = place in ("step", "told")
    hook = register_optimizer_step_pre_hook(counted) if in_step else None
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(train, "save_state", save_state)
            yield
    finally:
        signal.signal(signal.SIGTERM, before)
        if hook is not None:
            hook.remove()


@pytest.mark.parametrize(
    "keys",
    [
        {"schedule": "plateau", "patience": 2, "threshold": 0.9, "cooldown": 2, "epochs": 16},
        {"optimizer": "sgd", "lr": 0.1, "momentum": 0.9, "epochs": 14, "interval": 3},
        {"epochs": 1000, "seconds": 50.0, "interval": 2},
    ],
    ids=["plateau", "momentum", "seconds"],
)
def test_a_run_that_breaks_off_anywhere_again_and_again_ends_as_an_uninterrupted_one(
    keys, toy, tmp_path, clock
):
    config = toy_config(tmp_path, **keys)
    whole, broken = train_here(config, toy, tmp_path / "whole"), tmp_path / "broken"
    dice, breaks, stops = random.Random(3), 0, 0
    while not broken.exists() or runs.read_manifest(broken).outcome is None:
        breaks += 1
        assert breaks < 30
        try:
            with suppress(Killed), killed_somewhere(dice):
                train_here(config, toy, broken)
        except Preempted:
            stops += 1
    assert breaks > 3 and stops > 0
    assert told_alike(broken) == told_alike(whole)  # what was lost at a break is not counted
    if "patience" in keys:
        assert len({entry["lr"] for entry in read_log(whole)}) == 4
    for name in (runs.CHECKPOINT, runs.BEST):
        one, other = (load_checkpoint(run / name, CPU)[0] for run in (whole, broken))
        del one["state"]["ended"], other["state"]["ended"]
        assert same(one, other)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


@pytest.mark.parametrize("pixels", [96, 160])
def test_validation_spectra_of_other_pixels_are_told(pixels, tmp_path):
    toy, other = write_toy(tmp_path, 60, 20), write_toy(tmp_path / "other", 60, 20, pixels)
    shutil.rmtree(f"{toy}/validation")
    shutil.move(f"{other}/validation", f"{toy}/validation")
    told = (
        f"validation spectra of {toy} have {pixels} pixels, those it trains on 128; write the store"
    )
    with pytest.raises(InputError, match=told):
        train_here(toy_config(tmp_path), toy, tmp_path / "run")


def test_a_network_of_other_width_than_the_data_is_told(toy, tmp_path):
    config = toy_config(tmp_path, {"widths": [4096, 64]}, recipe="A")
    with pytest.raises(InputError, match="begins with 4096 but the dataset has 128 pixels"):
        train_here(config, toy, tmp_path / "run")


@pytest.mark.parametrize("rank", [129, 193])
def test_a_basis_larger_than_the_training_set_or_a_spectrum_is_told(rank, toy, tmp_path):
    config = toy_config(tmp_path, {"rank": rank, "hidden": 8, "blocks": 1})
    told = f"{rank} components but 192 training spectra of 128 pixels cannot fill it"
    with pytest.raises(InputError, match=told):
        train_here(config, toy, tmp_path / "run")


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


def test_other_ranks_than_the_config_asks_for_are_refused(toy, tmp_path, capsys):
    directory = prepare(toy_config(tmp_path, ranks=2), toy, tmp_path / "run")
    assert train.main([str(directory)]) == 2
    assert capsys.readouterr().err.strip() == (
        "error: 1 of 2 ranks were started: start 2 with torchrun or set train.ranks=1"
    )
    assert not (directory / runs.CHECKPOINT).exists()


def start_worker(directory, rank: int) -> subprocess.Popen[str]:
    rendezvous = {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    return subprocess.Popen(
        [sys.executable, "-m", "trainlib.training.train", str(directory)],
        env=os.environ | rendezvous | {"MASTER_PORT": str(free_port())},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow  # an ended launcher: test_watch.py
def test_a_cancelled_training_leaves_no_process(toy, tmp_path):
    config = toy_config(tmp_path, epochs=100_000, ranks=1, interval=50)
    directory, seen = tmp_path / "run", []

    def note(_):
        seen.append(int((directory / runs.LOCK).read_text().split()[0]))

    with pytest.raises(KeyboardInterrupt):
        launch.train(config, toy, str(directory), progress=note, is_cancelled=lambda: bool(seen))
    assert seen[0] != os.getpid()
    with suppress(psutil.NoSuchProcess):  # gone already
        psutil.Process(seen[0]).wait(10.0)
    assert not psutil.pid_exists(seen[0])


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


def test_graphs_are_of_gpus_and_what_cannot_be_compiled_is_told(
    toy: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"train\.compile = 'graphs' needs a GPU, this is a proc"):
        train_here(toy_config(tmp_path, compile="graphs"), toy, tmp_path / "graphs")

    def broken(*_: Any, **__: Any) -> Any:
        raise torch._dynamo.exc.TorchDynamoException("no C++ compiler\nand more")

    monkeypatch.setattr(torch, "compile", broken)
    directory = prepare(toy_config(tmp_path, compile="kernels"), toy, tmp_path / "kernels")
    with pytest.raises(torch._dynamo.exc.TorchDynamoException):
        train.main([str(directory)])
    told = "".join(one.read_text() for one in (directory / FAILURES).iterdir())
    assert "torch cannot compile here (no C++ compiler); set train.compile = 'none'" in told


@pytest.mark.slow  # compiles
def test_a_compiled_step_trains_as_one_that_is_not(toy: str, tmp_path: Any) -> None:
    found = [
        losses(train_here(toy_config(tmp_path, compile=how), toy, tmp_path / how))
        for how in ("none", "kernels")
    ]
    assert np.allclose(*found, rtol=1e-4)


@pytest.mark.parametrize(("device", "gpus", "ranks"), [
    ("cpu", 3, 4), ("auto", 3, 3), ("cuda", 3, 3), ("auto", 0, 4), ("cpu", 0, 4),
])  # fmt: skip
def test_there_is_a_rank_for_every_gpu_unless_processors_are_asked_for(
    device, gpus, ranks, monkeypatch
):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(9)))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert launch.default_ranks(device) == ranks
