"""Progress of long stages: a bar on a terminal, a line an interval elsewhere."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

log = logging.getLogger(__name__)

_INTERVAL_SECONDS = 10.0


@contextmanager
def block_progress() -> Iterator[Callable[[int, int, int], None]]:
    """Yield a function of (blocks done, blocks in all, spectra of the last) that shows it."""
    console = Console(stderr=True)
    started = said = time.monotonic()
    spectra = 0
    with _bar(console) as bar:
        line = bar.add_task("simulating", total=None)

        def show(done: int, total: int, rows: int) -> None:
            nonlocal said, spectra
            spectra += rows
            bar.update(line, completed=done, total=total)
            now = time.monotonic()
            if not console.is_terminal and (done == total or now - said > _INTERVAL_SECONDS):
                said = now
                speed = spectra / (now - started)
                log.info("block %d/%d  %d spectra  %.0f spectra/s", done, total, spectra, speed)

        yield show


@contextmanager
def epoch_progress(seconds: float | None) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Yield a function of one object of `log.jsonl` that shows it."""
    console = Console(stderr=True)
    with _bar(console) as bar:
        line = bar.add_task("training", total=seconds)

        def show(record: dict[str, Any]) -> None:
            bar.update(line, completed=record["seconds"])
            log.info(
                "epoch %d  step %d  loss %.5f  validation %.5f  lr %.2g  %.0f samples/s  %.0f s",
                *(record[key] for key in ("epoch", "step", "loss", "validation_loss", "lr",
                                          "samples_per_s", "seconds")),
            )  # fmt: skip

        yield show


def _bar(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TimeRemainingColumn())  # fmt: skip
    return Progress(*columns, console=console, disable=not console.is_terminal, transient=True)
