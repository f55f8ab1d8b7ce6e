"""Ctrl-C ends a long build within seconds, leaves no process behind, and loses nothing."""

import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from multiprocessing import resource_tracker
from pathlib import Path

import psutil
import pytest

from flows import cluster
from flows.terminal import interrupt
from simlib.errors import Stopped

BIG = ["--set", "dataset.n_train=20000", "--set", "dataset.block=256", "--set", "dataset.chunk=64"]


def finished(folder: Path) -> list[Path]:
    return sorted(folder.glob("data/datasets/tiny/*/parts/train-*.json"))


@pytest.mark.slow
@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_ends_all_processes_soon(asked: signal.Signals, tmp_path: Path) -> None:
    heard = signal.default_int_handler if asked == signal.SIGINT else signal.SIG_DFL
    signal.signal(asked, heard)  # a child inherits being ignored
    process = subprocess.Popen(
        [sys.executable, "-m", "flows", "build", "tiny", *BIG], cwd=tmp_path,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 150
    while not finished(tmp_path):
        assert process.poll() is None and time.monotonic() < deadline
        with_timeout(process)
    children = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, asked)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert told.splitlines()[-1] == "interrupted; what is finished is kept, run it again to go on"
    assert "Traceback" not in told
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive
    for record in finished(tmp_path):
        assert record.read_text().endswith("}\n")
    assert not list(tmp_path.glob("data/datasets/tiny/*/manifest.json"))


def with_timeout(process: subprocess.Popen[str]) -> None:
    """Wait a moment, or less when the program ends."""
    try:
        process.wait(0.2)
    except subprocess.TimeoutExpired:
        return


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_program_that_does_not_stop_is_ended_by_the_clock(
    asked: signal.Signals,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended: list[int] = []
    clocks: list[threading.Timer] = []

    class Clock(threading.Timer):
        def start(self) -> None:
            clocks.append(self)

    monkeypatch.setattr(threading, "Timer", Clock)
    monkeypatch.setattr(os, "_exit", ended.append)
    before = {one: signal.getsignal(one) for one in interrupt._ASKS}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # else ignored where the tests outlive theirs
        interrupt.end_soon_when_interrupted()
        with pytest.raises(KeyboardInterrupt) as told:
            signal.raise_signal(asked)
        signal.raise_signal(signal.SIGTERM)  # who passed one on comes later
        assert ended == []
        assert not logging.getLogger("flows").isEnabledFor(logging.CRITICAL)
    finally:
        logging.disable(logging.NOTSET)
        for one, handler in before.items():
            signal.signal(one, handler)
    (clock,) = clocks
    most = 10.0 if asked == signal.SIGINT else 29.0  # a batch system ends it after 30
    assert 1.0 <= clock.interval <= most and clock.daemon and ended == []
    assert interrupt.code_of(told.value) == 130
    kept = interrupt.code_of(Stopped(*told.value.args))
    assert kept == (75 if asked == signal.SIGTERM else 130)
    clock.function(*clock.args, **clock.kwargs)
    assert ended == [interrupt.INTERRUPTED] == [130]


BUSY = """
from flows.terminal.interrupt import end_soon_when_interrupted
end_soon_when_interrupted()
print("busy", flush=True)
sum(range(10**8))  # hears nothing of signals until it ends
"""


def test_two_that_ask_at_once_are_heard_without_a_complaint() -> None:
    with subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as program:  # fmt: skip
        assert program.stdout is not None and program.stdout.readline() == "busy\n"
        program.send_signal(signal.SIGTERM)
        program.send_signal(signal.SIGHUP)
        _, told = program.communicate(timeout=60)
    assert "interrupted; what is finished is kept" in told
    assert "race condition" not in told


def test_who_was_started_to_outlive_a_terminal_does() -> None:
    before = {one: signal.getsignal(one) for one in interrupt._ASKS}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
        interrupt.end_soon_when_interrupted()
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def test_no_process_that_a_cluster_starts_sees_the_key_press() -> None:
    """Neither one that is started at once nor one that a thread of the cluster starts later."""

    def blocked() -> bool:
        status = subprocess.run(
            ["cat", "/proc/self/status"], capture_output=True, text=True, timeout=60, check=True
        ).stdout
        (mask,) = re.findall(r"^SigBlk:\s*([0-9a-f]+)$", status, re.MULTILINE)
        return bool(int(mask, 16) & 1 << (signal.SIGINT - 1))

    later, found = threading.Event(), []

    def start_later() -> None:
        later.wait(60)
        resource_tracker.ensure_running()  # as multiprocessing does before it starts a process
        found.append(blocked())

    with cluster._no_key_press_for_workers():
        thread = threading.Thread(target=start_later)
        thread.start()
        assert blocked()
    later.set()
    thread.join(60)
    assert found == [True]
    assert not blocked()  # this process itself hears it


def test_what_ended_processes_left_is_cleared_without_a_word() -> None:
    """Else the last line of an interrupted build is a warning of Python's own."""
    code = (
        "from multiprocessing import get_context, resource_tracker\n"
        "from flows.cluster import _no_key_press_for_workers\n"
        "with _no_key_press_for_workers():\n"
        "    lock = get_context('spawn').Lock()\n"
        "import os; os._exit(0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True,
        env={name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"},
    )  # fmt: skip
    assert done.stderr == ""
