"""What is to be done, and why, in words."""

import json
from collections.abc import Sequence
from typing import Any

from flows.terminal.tables import print_table
from simlib.dataset.changes import Due


def print_dues(stages: Sequence[Due]) -> None:
    """Print a line a stage, and below it what changed of its inputs: section, name, old, new."""
    rows = [
        [due.stage, _last(due.place), "to do" if due.is_due else "-", due.reason,
         _time(due.seconds)]
        for due in stages
    ]  # fmt: skip
    print_table("", ("stage", "result", "", "which", "last time, in proportion"), rows)
    for due in stages:
        if not due.changes:
            continue
        changed = [[one.section, one.name, _text(one.old), _text(one.new)] for one in due.changes]
        print_table(f"{due.stage}: what changed", ("section", "input", "was", "is"), changed)
    if not any(due.is_due for due in stages):
        print("nothing is to be done")


def _text(value: Any) -> str:
    return "-" if value is None else value if isinstance(value, str) else json.dumps(value)


def _last(place: str) -> str:
    return place.rpartition("/")[2]


def _time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min"
