"""Streams that end early or were never there, and a key press: told by the exit code alone."""

import io
import logging
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from flows.cli import NOT_READ
from flows.terminal import progress, streams
from flows.terminal.interrupt import INTERRUPTED

LIST = [sys.executable, "-m", "flows", "grid", "list"]
WAITS = """
import subprocess, sys
from flows.terminal.interrupt import end_soon_when_interrupted
end_soon_when_interrupted()
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"],
                         stdout=subprocess.DEVNULL, start_new_session=True)
said = child.pid
while True:
    try:
        print(said, flush=True)
        child.wait()
    except KeyboardInterrupt:
        said = "asked"
"""


def test_whoever_has_read_enough_ends_the_program_quietly() -> None:
    reads, writes = os.pipe()
    os.close(reads)
    done = subprocess.run(LIST, stdout=writes, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(writes)
    assert (done.returncode, done.stderr) == (NOT_READ, b"")


@pytest.mark.parametrize("number", [*(pytest.param(n, marks=pytest.mark.slow) for n in (0, 1)), 2])
def test_a_stream_that_is_closed_takes_no_file_and_no_result_with_it(number: int) -> None:
    shell = ["sh", "-c", f'exec "$@" {number}{"<&-" if number == 0 else ">&-"}', "sh", *LIST]
    done = subprocess.run(shell, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (b"default" in done.stdout) == (number != 1)


def test_what_is_said_into_a_closed_stream_is_lost_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    streams.say("nobody hears this")


def test_a_stream_that_knows_few_letters_gets_plain_ones(tmp_path: Path) -> None:
    """No letter stops the program: neither in a result, nor in a table, nor in a message."""
    ascii_only = dict(os.environ, PYTHONIOENCODING="ascii", PYTHONUTF8="0", LC_ALL="C")
    script = tmp_path / "prints.py"
    script.write_text(
        "from flows.terminal import streams; streams.keep_streams_open()\n"
        "from flows.terminal.tables import print_table\n"
        "print('S/N ≥ 5 ± 1 …'); print_table('', ['Å²'], [['η — ö €']])\n"
        "print('caf\\udcc3\\udca9'); streams.say('5 × 3″ └── ')\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, script], env=ascii_only | {"PYTHONPATH": ":".join(sys.path)},
        capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == b"5 x 3'' `-- \n"
    lines = done.stdout.splitlines()
    assert lines[0] == b"S/N >= 5 +- 1 ..." and lines[-1] == b"caf\xc3\xa9"
    assert b"A2" in done.stdout and b"eta - o ?" in done.stdout


def test_all_that_is_told_on_a_terminal_goes_through_one_console(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else a line of a log would be written into a bar."""
    written = io.StringIO()
    monkeypatch.setattr(written, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", written)
    monkeypatch.setenv("TERM", "xterm")
    logger = logging.getLogger("flows")
    before = list(logger.handlers), logger.level
    try:
        streams.log_to_terminal()
        assert logger.handlers[-1].console is streams.terminal()  # type: ignore[attr-defined]
        with progress.item_progress("cutting", "logs", "chips") as show:
            show(1, 9, 1)
            logger.info("a log")
            streams.say("a message [of] 9")
    finally:
        for name in ("flows", "simlib", "trainlib"):
            logging.getLogger(name).handlers[:] = before[0]
        logger.setLevel(before[1])
    screen = pyte_less(written.getvalue())
    assert [line for line in screen if line.strip()] == ["a log", "a message [of] 9"]


def pyte_less(text: str) -> list[str]:
    """Return what is left on a screen: only erased lines, carriage returns and moves up count."""
    lines, row = [""], 0
    for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", text):
        if part == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif part == "\x1b[1A":
            row -= 1
        elif part == "\x1b[2K":
            lines[row] = ""
        elif part[0] not in "\r\x1b":
            lines[row] += part
    return [
        re.sub(r"^\[?\d\d/\d\d/\d\d \d\d:\d\d:\d\d\]? INFO *", "", line).rstrip() for line in lines
    ]


def test_each_package_logs_a_line_with_its_time_and_libraries_stay_quiet(
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = ("flows", "simlib", "trainlib", "asyncio", "distributed")
    before = {name: (logging.getLogger(name).level, list(logging.getLogger(name).handlers))
              for name in names}  # fmt: skip
    try:
        streams.log_to_terminal()
        for name in names:
            logging.getLogger(f"{name}.part").info("from %s", name)
        logging.getLogger("asyncio").error("a second error of one damaged store")
    finally:
        for name, (level, handlers) in before.items():
            logging.getLogger(name).setLevel(level)
            logging.getLogger(name).handlers[:] = handlers
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("  ")[1] for line in lines] == ["from flows", "from simlib", "from trainlib"]
    assert all(len(line.split("  ")[0]) == len("12:34:56") for line in lines)


def test_a_second_key_press_ends_the_program_and_all_that_it_started(tmp_path: Path) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a child inherits being ignored
    with subprocess.Popen(
        [sys.executable, "-c", WAITS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as program:
        child = psutil.Process(int(program.stdout.readline()))
        program.send_signal(signal.SIGINT)
        assert program.stdout.readline() == "asked\n"  # the first only asks
        assert child.is_running()
        program.send_signal(signal.SIGINT)
        _, told = program.communicate(timeout=60)
    assert program.returncode == INTERRUPTED
    assert told == "interrupted; what is finished is kept, run it again to go on\n"
    _, alive = psutil.wait_procs([child], timeout=20)
    assert not alive
