"""A training that is told to stop keeps where it is, inside an epoch, and goes on from there."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from flows.terminal import interrupt
from flows.terminal.boundary import explain
from simlib.errors import PREEMPTED, Preempted
from tests.trainlib.toy_dataset import write_toy
from tests.trainlib.training_runs import losses, prepare, toy_config, train_here
from trainlib import runs
from trainlib.training import launch, train
from trainlib.training.checkpoint import load_checkpoint
from trainlib.training.distributed import Ranks
from trainlib.training.failures import read_failures
from trainlib.training.state import Saved, load_newest, take_up
from trainlib.training.stopping import Agreement

CPU = torch.device("cpu")
# a rank that is told to stop in a step, and told again by who passes that on
TOLD = """
import os, signal, sys
from torch.optim.optimizer import register_optimizer_step_post_hook
from trainlib.training import train
left = int(sys.argv[1])
def tell(*_):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
register_optimizer_step_post_hook(tell)
code = train.main(sys.argv[2:])
os.kill(os.getpid(), signal.SIGTERM)
sys.exit(code)
"""


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return write_toy(tmp_path_factory.mktemp("toy"))


def newest(run: Path) -> Saved:
    saved = load_newest(run, runs.read_manifest(run).fingerprint, CPU)
    assert saved is not None
    return saved


def test_ranks_that_do_not_hear_are_ended_all_the_same(monkeypatch):
    monkeypatch.setattr(launch, "_GRACE_S", 0.2)
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True)"
    process = subprocess.Popen(
        [sys.executable, "-c", f"{deaf}; signal.pause()"], stdout=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == b"1\n"
    launch._end(process)
    assert process.wait(10.0) == -signal.SIGKILL
    process.stdout.close()


def test_all_who_wait_for_an_end_fit_into_the_half_minute_that_batch_systems_give():
    """A rank saves, its launcher kills it where it does not, and the program waits for that."""
    assert launch._GRACE_S + 2.0 <= interrupt._LONGER_SECONDS <= 27.0


@pytest.mark.slow  # by breaking off inside an epoch: test_train.py
def test_a_rank_that_is_told_to_stop_keeps_its_very_step(toy, tmp_path):
    config = toy_config(tmp_path, batch_size=12, ranks=1)  # 16 steps an epoch
    run = prepare(config, toy, tmp_path / "run")
    done = subprocess.run(
        [sys.executable, "-c", TOLD, "36", str(run)],
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == PREEMPTED == 75
    told = "told to stop: 4 of 16 batches of epoch 3 are kept; train again to go on from there"
    assert done.stderr.splitlines()[-1] == told
    (failure,) = read_failures(run)
    assert failure.is_preemption and failure.message == told
    state = newest(run).state
    assert (state.epoch, state.step, state.samples, state.begun_samples) == (2, 36, 432, 48)
    assert state.begun_loss > 0 and state.begun_seconds > 0 and not state.is_finished
    assert len(losses(run)) == 2 and runs.read_manifest(run).outcome is None
    # what nobody judged is not the best
    best = run / runs.BEST
    assert load_checkpoint(best, CPU)[0]["state"]["step"] in (16, 32)
    best.unlink()
    take_up(run, newest(run))
    assert not best.exists()

    assert train.main([str(run)]) == 0  # as started by hand
    whole = train_here(config, toy, tmp_path / "whole")
    assert np.allclose(losses(run), losses(whole), rtol=1e-4)  # it began in another process
    assert newest(run).state.samples == newest(whole).state.samples == 3 * 192
    assert not read_failures(run)


def test_whoever_runs_the_program_is_told_by_its_code():
    assert explain(Preempted("kept"), ["train", "tiny"]) == ("kept", PREEMPTED)


@dataclass(frozen=True)
class Heard(Ranks):
    """A rank beside one whose numbers are these."""

    others: tuple[float, float, float] = (0.0, 0.0, 0.0)
    asked: list[tuple[float, ...]] = field(default_factory=list)

    def sum(self, *values: float) -> list[float]:
        self.asked.append(values)
        return [own + other for own, other in zip(values, self.others, strict=False)]


def test_the_first_rank_is_asked_for_the_time_about_twice_a_second():
    known, seen = Agreement(ranks := Heard(0, 2, CPU)), []
    for step in range(100):
        known.before_step(5.0 + 0.02 * step, False)
        seen.append(known.seconds)
    assert np.allclose(seen, 5.0 + 0.02 * np.arange(100))  # reckoned in between
    assert len(ranks.asked) == 2 + 3  # a first pace is known after a step; then every 25 steps
    known.after_pause()
    known.before_step(60.0, False)
    known.before_step(61.0, False)
    known.before_step(62.0, False)
    assert [seconds for seconds, _, _ in ranks.asked[-3:]] == [60.0, 61.0, 62.0]


def test_another_rank_goes_by_the_clock_of_the_first_and_stops_with_it():
    known = Agreement(ranks := Heard(1, 2, CPU, others=(7.0, 1.0, 1.0)))
    known.before_step(100.0, False)
    assert known.seconds == 7.0 and known.is_stopping
    assert ranks.asked == [(0.0, 0.0, 0.0)]
    told = Agreement(Heard(1, 2, CPU))
    told.before_step(100.0, True)
    assert told.is_stopping


def test_steps_that_take_no_time_are_not_reckoned_with_for_ever():
    known = Agreement(ranks := Heard(0, 2, CPU))
    for step in range(300):
        known.before_step(1e-6 * step, False)
    assert len(ranks.asked) >= 5


def ranks_of(run: Path) -> dict[str, psutil.Process]:
    """Return the ranks that train in a directory, by number."""
    found = {}
    for process in psutil.process_iter(["cmdline", "environ"]):
        command, environment = process.info["cmdline"] or (), process.info["environ"] or {}
        if str(run) in command and "--place" in command and "RANK" in environment:
            found[environment["RANK"]] = process
    return found


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["0", "1"])
def test_where_one_rank_is_told_to_stop_all_do_and_go_on_as_undisturbed(victim, toy, tmp_path):
    config = toy_config(tmp_path, epochs=30, batch_size=12, ranks=2)
    told = []

    def tell_one(interval: dict) -> None:
        if interval["epoch"] >= 3 and not told:
            told.append(ranks_of(tmp_path / "run")[victim])
            told[0].terminate()

    with pytest.raises(Preempted, match="of 16 batches of epoch"):
        launch.train(config, toy, tmp_path / "run", progress=tell_one)
    state = newest(tmp_path / "run").state
    assert state.step > 48 and state.world_size == 2
    result = launch.train(config, toy, tmp_path / "run")
    assert (result.epochs, result.steps) == (30, 480)
    whole = launch.train(config, toy, tmp_path / "whole")
    assert np.allclose(losses(tmp_path / "run"), losses(tmp_path / "whole"), rtol=1e-6)
    assert result.validation_loss == pytest.approx(whole.validation_loss, rel=1e-6)


LAUNCH = """
import sys
from pathlib import Path
from flows.terminal.interrupt import code_of, end_soon_when_interrupted
from tests.trainlib.training_runs import toy_config
from trainlib.training import launch, train
end_soon_when_interrupted()
config = toy_config(Path(sys.argv[2]), epochs=100_000, ranks=2, batch_size=12, interval=20)
try:
    launch.train(config, sys.argv[1], sys.argv[3], progress=lambda _: print("trained", flush=True))
except KeyboardInterrupt as asked:
    sys.exit(code_of(asked))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)], ids=["TERM", "INT"]
)
def test_a_program_that_is_told_to_stop_tells_its_ranks(number, code, toy, tmp_path):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a child inherits being ignored
    run = tmp_path / "run"
    with subprocess.Popen(
        [sys.executable, "-c", LAUNCH, toy, str(tmp_path), str(run)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ,
    ) as program:  # fmt: skip
        assert program.stdout.readline() == "trained\n"
        ranks = list(ranks_of(run).values())
        assert len(ranks) == 2
        program.send_signal(number)
        program.send_signal(signal.SIGTERM)  # from one who comes later
        _, told = program.communicate(timeout=60)
    assert program.returncode == code
    assert "what is finished is kept" in told and "Traceback" not in told
    assert not psutil.wait_procs(ranks, timeout=30)[1]
    state = newest(run).state
    assert state.step % 320 and state.begun_samples == 12 * (state.step % 320)
