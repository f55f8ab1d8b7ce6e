"""Every way that the program ends has its code; what it tells on a terminal is as it was said."""

import errno
import logging
import os
import re
import sys
from collections.abc import Iterator

import pytest

from flows.cli import run_program
from flows.terminal import streams

NAMES = ("flows", "simlib", "trainlib", "asyncio")


@pytest.fixture
def loggers() -> Iterator[None]:
    """Leave the loggers as they were."""
    before = {name: (logging.getLogger(name).level, logging.getLogger(name).handlers[:])
              for name in NAMES}  # fmt: skip
    yield
    for name, (level, handlers) in before.items():
        logging.getLogger(name).setLevel(level)
        logging.getLogger(name).handlers[:] = handlers


@pytest.mark.usefixtures("loggers")
def test_on_a_terminal_a_log_is_shown_as_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    streams.log_to_terminal()
    logging.getLogger("simlib").info("[bold]12[/bold] of 34")
    told = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().err)
    assert "[bold]12[/bold] of 34" in told and "INFO" in told and "test_streams" not in told


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyboardInterrupt(), 130),
        (BrokenPipeError(), 141),
        (SystemExit(7), 7),
        (SystemExit(None), 0),
        (SystemExit("a text"), 1),
        (OSError(errno.EROFS, "only read"), 2),
        (RuntimeError("a bug"), 1),
    ],
    ids=repr,
)
def test_every_end_has_its_code(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(arguments: list[str]) -> None:
        raise error

    monkeypatch.setattr("flows.cli.app", fail)
    assert run_program([]) == code


def test_results_that_cannot_be_written_end_the_program(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Full:
        def flush(self) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    duplicated: list[int] = []
    monkeypatch.setattr("flows.cli.app", lambda arguments: None)
    monkeypatch.setattr(os, "dup2", lambda old, new: duplicated.append(new))
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", Full())
        assert run_program([]) == 2
    assert duplicated == [1]
    assert "no space left" in capsys.readouterr().err
