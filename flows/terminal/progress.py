"""Progress of long work: a bar on a terminal, a line an interval elsewhere."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from flows.terminal.streams import terminal
from trainlib.training.log import Interval, in_words

log = logging.getLogger(__name__)

_INTERVAL_SECONDS = 10.0


@contextmanager
def item_progress(verb: str, items: str, unit: str) -> Iterator[Callable[[int, int, int], None]]:
    """Yield a function of (items done, items in all, units of the last) that shows it."""
    console = terminal()
    started = said = time.monotonic()
    units = 0
    with _bar(console) as bar:
        line = bar.add_task(verb, total=None, speed="")

        def show(done: int, total: int, more: int) -> None:
            nonlocal said, units
            units += more
            now = time.monotonic()
            speed = f"{units / max(now - started, 1e-9):.3g} {unit}/s"
            bar.update(line, completed=done, total=total, speed=speed)
            if not console.is_terminal and (done == total or now - said > _INTERVAL_SECONDS):
                said = now
                log.info("%s: %s %d/%d  %d %s  %s", verb, items, done, total, units, unit, speed)

        yield show


@contextmanager
def epoch_progress(seconds: float | None, epochs: int) -> Iterator[Callable[[Interval], None]]:
    """Yield a function of one object of `log.jsonl` that shows it.

    seconds: how long training may take; None: as long as its epochs, at most, do.
    """
    console = terminal()
    with _bar(console) as bar:
        line = bar.add_task("training", total=seconds or epochs, speed="")

        def show(record: Interval) -> None:
            speed = f"{record['samples_per_s']:.0f} samples/s"
            bar.update(
                line, completed=record["seconds"] if seconds else record["epoch"], speed=speed
            )
            log.info("%s", in_words(record))

        yield show


def _bar(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TimeRemainingColumn(), TextColumn("{task.fields[speed]}"))  # fmt: skip
    return Progress(*columns, console=console, disable=not console.is_terminal, transient=True)
