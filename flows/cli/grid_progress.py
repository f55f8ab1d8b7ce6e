"""Progress of importing and downloading: a bar on a terminal, a line an interval elsewhere."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 10.0


@contextmanager
def item_progress(verb: str, unit: str) -> Iterator[Callable[[int, int, int], None]]:
    """Yield a function of (items done, items in all, units of the last) that shows it."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TimeRemainingColumn(), TextColumn("{task.fields[speed]}"))  # fmt: skip
    started = said = time.monotonic()
    units = 0
    with Progress(
        *columns, console=console, disable=not console.is_terminal, transient=True
    ) as bar:
        line = bar.add_task(verb, total=None, speed="")

        def show(done: int, total: int, more: int) -> None:
            nonlocal said, units
            units += more
            now = time.monotonic()
            speed = units / max(now - started, 1e-9)
            bar.update(line, completed=done, total=total, speed=f"{speed:.3g} {unit}/s")
            if not console.is_terminal and (done == total or now - said > INTERVAL_SECONDS):
                said = now
                log.info("%s %d/%d  %d %s  %.3g %s/s", verb, done, total, units, unit, speed, unit)

        yield show
