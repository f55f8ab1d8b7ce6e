"""Ctrl-C ends a long build within seconds, leaves no process behind, and loses nothing."""

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from flows.terminal import interrupt

BIG = ["--set", "dataset.n_train=20000", "--set", "dataset.block=256", "--set", "dataset.chunk=64"]


def finished(folder: Path) -> list[Path]:
    return sorted(folder.glob("data/datasets/tiny/*/parts/train-*.json"))


@pytest.mark.slow
def test_ctrl_c_ends_all_processes_soon(tmp_path: Path) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a child inherits being ignored
    process = subprocess.Popen(
        [sys.executable, "-m", "flows", "build", "tiny", *BIG], cwd=tmp_path,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 150
    while not finished(tmp_path):
        assert process.poll() is None and time.monotonic() < deadline
        with_timeout(process)
    children = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted; what is finished is kept" in told
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


def test_the_first_key_press_asks_and_the_second_or_the_clock_ends(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended: list[int] = []
    clocks: list[tuple[float, object]] = []

    class Clock:
        daemon = False

        def __init__(self, seconds: float, function: object) -> None:
            clocks.append((seconds, function))

        def start(self) -> None:
            clocks.append((0.0, self.daemon))

    monkeypatch.setattr(interrupt.threading, "Timer", Clock)
    monkeypatch.setattr(os, "_exit", ended.append)
    before = signal.getsignal(signal.SIGINT)
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        interrupt.end_soon_when_interrupted()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert not logging.getLogger("flows").isEnabledFor(logging.CRITICAL)
        told = capsys.readouterr()
        assert told.out == "" and "run it again to go on" in told.err
        assert ended == [] and child.poll() is None
        (seconds, function), (_, is_daemon) = clocks
        assert 1.0 <= seconds <= 10.0 and is_daemon
        signal.raise_signal(signal.SIGINT)
        assert ended == [130] and child.wait(20) == -signal.SIGKILL
        function()  # type: ignore[operator]
        assert ended == [130, 130]
    finally:
        logging.disable(logging.NOTSET)
        signal.signal(signal.SIGINT, before)
        child.kill()
        child.communicate()
