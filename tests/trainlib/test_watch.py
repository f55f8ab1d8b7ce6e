"""A rank ends with the processes that started it, and not before."""

import os
import signal
import subprocess
import sys

import psutil
import pytest

from simlib.location import Location
from tests.trainlib.toy_dataset import write_toy
from trainlib import runs
from trainlib.training import launch, train, watch

FOLLOW = """
import sys
from trainlib.training.watch import follow_parent
follow_parent(int(sys.argv[1]) if sys.argv[1:] else None)
print("here", flush=True)
sys.stdin.read()
"""
# a torchrun that starts a rank and waits
START = """
import os, subprocess, sys
environment = os.environ | {"TORCHELASTIC_RUN_ID": "x"}
subprocess.run([sys.executable, *sys.argv[1:]], env=environment)
"""
# a rank that has looked often enough whether it is still wanted
LOOK = """
import sys, threading, time
from trainlib.training import watch
looks, sleep = threading.Semaphore(0), time.sleep
def look(seconds):
    assert 0 < seconds <= 5
    looks.release()
    sleep(0.001)
watch.time.sleep = look
watch.follow_parent(int(sys.argv[1]) if sys.argv[1:] else None)
for _ in range(30):
    assert looks.acquire(timeout=20)
print("still here", flush=True)
"""


def started(*command: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=os.environ | environment,
    )  # fmt: skip


def test_a_rank_ends_when_its_launcher_is_killed():
    with started("-c", "input()") as launcher, started("-c", FOLLOW, str(launcher.pid)) as rank:
        assert rank.stdout.readline() == "here\n"
        launcher.kill()
        assert rank.wait(60) == 1


@pytest.mark.parametrize("watched", [[], [str(os.getpid())]])
def test_a_rank_ends_when_its_torchrun_is_killed(watched):
    with started("-c", START, "-c", FOLLOW, *watched) as torchrun:
        assert torchrun.stdout.readline() == "here\n"
        torchrun.kill()
        assert torchrun.stdout.read() == ""  # the rank held the other end of it


@pytest.mark.parametrize("environment", [{}, {"TORCHELASTIC_RUN_ID": "x"}])
@pytest.mark.parametrize("watched", [[], [str(os.getpid())]])
def test_a_rank_goes_on_while_they_live(watched, environment):
    with started("-c", LOOK, *watched, **environment) as rank:
        assert rank.communicate(timeout=60)[0] == "still here\n"
        assert rank.returncode == 0


class Told(BaseException):
    pass


def test_the_ranks_are_told_to_watch_their_launcher(monkeypatch, tmp_path):
    def tell(watched: int) -> None:
        raise Told(watched)

    monkeypatch.setattr(runs, "read_run", lambda _: (None, None))
    monkeypatch.setattr(train, "follow_parent", tell)
    command = launch.torchrun_command(tmp_path, ranks=3, run=Location.of(tmp_path), restarts=0)
    with pytest.raises(Told, match=f"^{os.getpid()}$"):
        train.main(command[command.index(train.__name__) + 1 :])


LAUNCH = """
import sys
from pathlib import Path
from tests.trainlib.training_runs import toy_config
from trainlib.training import launch
told = lambda _: print("trained", flush=True)
config = toy_config(Path(sys.argv[2]), epochs=100_000, ranks=2, interval=50)
launch.train(config, sys.argv[1], sys.argv[3], progress=told)
"""


@pytest.mark.slow
def test_no_process_outlives_a_killed_launcher(tmp_path):
    toy = write_toy(tmp_path)
    directory = tmp_path / "run"
    with started("-c", LAUNCH, toy, str(tmp_path), str(directory)) as launcher:
        assert launcher.stdout.readline() == "trained\n"
        ranks = [
            process for process in psutil.process_iter(["cmdline"])  # None of one that just ended
            if str(directory) in (process.info["cmdline"] or ()) and process.pid != launcher.pid
        ]  # fmt: skip
        assert len(ranks) == 3  # with torchrun
        launcher.kill()
        assert not psutil.wait_procs(ranks, timeout=60)[1]


@pytest.mark.parametrize("is_torchruns", [True, False])
def test_torchrun_is_told_to_end_and_nobody_else(is_torchruns, monkeypatch):
    told = []
    monkeypatch.setattr(os, "kill", lambda *given: told.append(given))
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    if is_torchruns:
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    watch.end_torchrun()
    assert told == ([(os.getppid(), signal.SIGTERM)] if is_torchruns else [])
