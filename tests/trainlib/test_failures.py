"""What ends a rank is told by the launcher: whose fault, which rank, where to look."""

import errno
import shutil
import sys
from collections import namedtuple

import pytest

from simlib.errors import InputError, Preempted, Stopped
from simlib.location import Location
from tests.trainlib.toy_dataset import write_toy
from tests.trainlib.training_runs import prepare, toy_config
from trainlib import runs
from trainlib.training import launch, train
from trainlib.training.failures import read_failures, report_failure

# stands for torchrun: reports failures of ranks, in order, and ends
RANKS = """
import os, sys
from pathlib import Path
from trainlib.training.failures import report_failure
for failure in sys.argv[2:]:
    os.environ["RANK"], kind, message = failure.split(":")
    report_failure(Path(sys.argv[1]), kind, message)
sys.exit(7)
"""

# a rank that holds the run and ends where torchrun does, and a torchrun that is killed then
HOLDS = """
import sys, threading
from pathlib import Path
from trainlib import runs
from trainlib.training.watch import follow_parent
with runs.lock_run(Path(sys.argv[1])):
    follow_parent(None)
    print("held", flush=True)
    threading.Event().wait(60)
"""
IS_KILLED = """
import os, signal, subprocess, sys
rank = subprocess.Popen(
    [sys.executable, "-c", *sys.argv[1:]], stdout=subprocess.PIPE, start_new_session=True,
    env=os.environ | {"TORCHELASTIC_RUN_ID": "one"},
)
assert rank.stdout.readline() == b"held\\n"
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return write_toy(tmp_path_factory.mktemp("toy"), train=8, validation=4)


@pytest.mark.parametrize(
    ("failures", "kind", "told"),
    [
        (["0:OSError:gone", "1:InputError:lower it"], InputError, "^lower it$"),
        (["2:ValueError:first", "0:OSError:later"], RuntimeError,
         r"training failed on rank 2: ValueError: first; .*/run/train\.log$"),
        (["0:Preempted:kept"], Preempted, "^kept$"),
        ([], RuntimeError, r"ended with code 7 .*/run/train\.log"),
    ],
)  # fmt: skip
def test_the_first_failure_is_told_and_a_mistake_before_all(
    failures, kind, told, toy, tmp_path, monkeypatch
):
    directory = tmp_path / "run"
    report_failure(directory, "InputError", "of an earlier start")
    command = [sys.executable, "-c", RANKS, str(directory), *failures]
    monkeypatch.setattr(launch, "torchrun_command", lambda *_: command)
    with pytest.raises(kind, match=told):
        launch.train(toy_config(tmp_path), toy, str(directory))


def test_who_interrupts_a_training_is_told_that_it_kept_where_it_is(toy, tmp_path):
    directory = tmp_path / "run"
    waiting = RANKS.replace("sys.exit(7)", "import signal; signal.pause()")
    with pytest.raises(Stopped):
        launch.train(
            toy_config(tmp_path), toy, str(directory),
            is_cancelled=lambda: bool(read_failures(directory)),
            command=[sys.executable, "-c", waiting, str(directory), "0:Preempted:kept"],
        )  # fmt: skip


def test_a_run_whose_torchrun_was_killed_is_free_when_that_is_told(toy, tmp_path):
    directory = tmp_path / "run"
    command = [sys.executable, "-c", IS_KILLED, HOLDS, str(directory)]
    with pytest.raises(launch.RanksLost, match="code -9 .*\n(  .*\n)*train again"):
        launch.train(toy_config(tmp_path), toy, str(directory), command=command)
    with runs.lock_run(directory):
        pass


def test_every_line_of_the_ranks_is_passed_on_and_nothing_is_left(toy, tmp_path, monkeypatch):
    directory, lines = tmp_path / "run", []
    directory.mkdir()
    (directory / launch.LOG).write_text("of an earlier start\n")
    text = "import sys; print('one'); print('two', file=sys.stderr); print('torn', end='')"
    with pytest.raises(launch.RanksLost, match="ended with code 3 .*ends so:\n(  .*\n)*") as told:
        launch.train(
            toy_config(tmp_path), toy, str(directory), on_line=lines.append,
            command=[sys.executable, "-c", f"{text}; sys.exit(3)"],
        )  # fmt: skip
    assert sorted(lines) == ["one", "two"]
    quoted = {line.strip() for line in str(told.value).splitlines() if line.startswith("  ")}
    assert quoted == {"of an earlier start", "two", "one", "torn"}
    assert "torn" in (directory / launch.LOG).read_text()
    assert not [path for path in directory.iterdir() if path.name.startswith(".torch")]


def test_torchrun_keeps_its_scratch_in_the_run(tmp_path):
    assert f"--log-dir={tmp_path}/.torchrun" in launch.torchrun_command(
        tmp_path, 2, Location.of(tmp_path), 0
    )


def test_a_silent_end_on_a_full_disk_is_told_as_such(toy, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 4096))
    take = runs.lock_run

    def lock_run(directory, timeout_s=0.0):
        if timeout_s:  # after the ranks: there is no room for who holds it
            raise OSError(errno.ENOSPC, "full")
        return take(directory)

    monkeypatch.setattr(runs, "lock_run", lock_run)
    command = [sys.executable, "-c", RANKS, str(tmp_path)]
    monkeypatch.setattr(launch, "torchrun_command", lambda *_: command)
    with pytest.raises(InputError, match=f"no space left on the disk of {tmp_path}/run"):
        launch.train(toy_config(tmp_path), toy, str(tmp_path / "run"))


@pytest.mark.parametrize(
    ("error", "code", "kind"),
    [
        (InputError("lower it"), 2, "InputError"),
        (ValueError("odd"), None, "ValueError"),
        (OSError(errno.ENOSPC, "full"), None, "InputError"),
        (OSError(errno.EIO, "torn"), None, "OSError"),
    ],
)
def test_a_rank_reports_what_ended_it(error, code, kind, toy, tmp_path, monkeypatch, capsys):
    def fail(*_):
        raise error

    directory = prepare(toy_config(tmp_path), toy, tmp_path / "run")
    monkeypatch.setattr(train, "train_rank", fail)
    monkeypatch.setenv("RANK", "0")
    if code is None:
        with pytest.raises(type(error)):
            train.main([str(directory)])
    else:
        assert train.main([str(directory)]) == code
        assert capsys.readouterr().err == f"error: {error}\n"
    (failure,) = read_failures(directory)
    assert (failure.rank, failure.kind, failure.message) == (0, kind, str(error))
    assert failure.is_mistake == (kind == "InputError")
    with runs.lock_run(directory):  # it is held no longer
        pass
