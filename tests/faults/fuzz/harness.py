"""Run inputs through the program's own boundary and judge what comes out.

An input is made from its kind's name and its number alone: `python -m tests.faults.fuzz KIND N`
makes the same one again, runs it and shows what happened.
"""

import logging
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

import pytest
import typer

import flows.cli
from flows.cli import run_program

SECONDS = 20.0  # of processor time, one input at most
TOO_LONG = f"more than {SECONDS:g} s"
MEMORY_BYTES = 4 << 30  # beyond what the process has: what wants more fails at once
VALID_EVERY = 4  # each so-manieth input is an undamaged one

Action = list[str] | Callable[[], object]  # a command line, or what a verb would do


@dataclass(frozen=True)
class Attempt:
    """An input in place, what to do with it, and what it is in a few words."""

    action: Action
    note: str


@dataclass(frozen=True)
class Kind:
    """One kind of input.

    prepare: makes what all inputs of the kind share, once, in a folder. attempt: makes one input
    in the folder from what was prepared; the last argument says whether it must be a valid one.
    """

    count: int
    prepare: Callable[[Path], Any]
    attempt: Callable[[Any, Random, Path, bool], Attempt]


def fuzz(name: str, kind: Kind, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Run all inputs of a kind; fail with the numbers of those that were not answered well."""
    prepared = kind.prepare(folder)
    wrong, accepted = [], 0
    with limits():
        for number in range(kind.count):
            attempt, code = run_one(name, kind, number, prepared, folder)
            said = capfd.readouterr().err
            accepted += code == 0
            if complaint := judged(code, said, number):
                wrong.append(
                    f"{complaint}: {attempt.note}: {said.strip()[-400:]}\n"
                    f"    python -m tests.faults.fuzz {name} {number}"
                )
    assert not wrong, f"{len(wrong)} of {kind.count}:\n" + "\n".join(wrong[:15])
    assert accepted >= kind.count / 5


def run_one(name: str, kind: Kind, number: int, prepared: Any, folder: Path) -> tuple[Attempt, int]:
    """Make an input and run it; return it and the exit code."""
    draw = Random(f"{name} {number}")
    attempt = kind.attempt(prepared, draw, folder, number % VALID_EVERY == 0)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        return attempt, exit_code(attempt.action)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)


def exit_code(action: Action) -> int:
    """Return the program's exit code; what is no command line runs in place of its verbs."""
    verbs = flows.cli.app
    arguments = action if isinstance(action, list) else []
    flows.cli.app = _command() if isinstance(action, list) else lambda _: action()
    try:
        return run_program(arguments)
    finally:
        flows.cli.app = verbs


@cache
def _command() -> Any:
    """Return the program's verbs, made once: typer makes them anew at each call."""
    return typer.main.get_command(flows.cli.app)


def judged(code: int, said: str, number: int) -> str | None:
    """Return what is wrong with an answer, None where nothing is."""
    if code not in (0, 2):
        return f"exit code {code}"
    if number % VALID_EVERY == 0 and code != 0:
        return "a valid input was refused"
    if "Traceback" in said:
        return "a traceback"
    if code == 2 and sum(line.startswith("error:") for line in said.splitlines()) != 1:
        return "not one message"
    return "a message nobody reads to its end" if len(said) > 4000 else None


@contextmanager
def limits() -> Iterator[None]:
    """Let what takes too long or too much memory fail, and the input be told."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = signal.signal(signal.SIGPROF, _too_long)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # as the program's `main` does
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY_BYTES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.signal(signal.SIGPROF, before)


def _too_long(_: int, __: FrameType | None) -> None:
    raise TimeoutError(TOO_LONG)
