"""A folder that is watched, as a table that changes on a terminal, or line by line elsewhere."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from flows.terminal.streams import say, terminal

if TYPE_CHECKING:
    from rich.table import Table

    from simlib.location import Location
    from trainlib.onsky.denoise import Bundle
    from trainlib.onsky.summary import FileDone
    from trainlib.onsky.watch import StarSeen, Status, Wanted

_ROWS_LEFT = 6  # of the screen, for what is not a star


def watch_folder(
    bundle: "Bundle", folder: str, out: "Location", wanted: "Wanted", *, overwrite: bool
) -> "list[FileDone]":
    """Watch a folder and show it until Ctrl-C or a signal ends that; return what was done."""
    from flows.terminal.interrupt import stop_when_interrupted
    from simlib.errors import InputError
    from simlib.location import Location
    from trainlib.onsky.watch import watch

    place = Location.of(folder)
    if not place.is_local:
        raise InputError(f"--watch {place}: a folder of this machine was expected")
    with watch_view(wanted.target_snr) as show:
        return watch(
            bundle, place.path, out, wanted, stop_when_interrupted(), overwrite=overwrite, tell=show
        )


@contextmanager
def watch_view(target_snr: float) -> "Iterator[Callable[[Status], None]]":
    """Yield what shows the state of a watch. target_snr: that is forecast."""
    console = terminal()
    if not console.is_terminal:
        yield _Lines(target_snr)
        return
    from rich.live import Live

    with Live(console=console, auto_refresh=False) as live:
        most = max(console.size.height - _ROWS_LEFT, 3)
        yield lambda status: live.update(_table(status, target_snr, most), refresh=True)


class _Lines:
    """Says what is new: a line a star and a line a file that cannot be used."""

    def __init__(self, target_snr: float) -> None:
        self._target = target_snr
        self._said: set[object] = set()

    def __call__(self, status: "Status") -> None:
        """Say what was not said yet."""
        for star in reversed(status.stars):
            if (star.name, star.exposures, star.snr) not in self._said:
                self._said.add((star.name, star.exposures, star.snr))
                say("  ".join(_cells(star, self._target)))
        for kind, names in (("waiting for", status.waiting), ("error:", status.refused)):
            for name in names:
                if (kind, name) not in self._said:
                    self._said.add((kind, name))
                    say(f"{kind} {name}")


def _cells(star: "StarSeen", target: float) -> tuple[str, ...]:
    return (
        star.name,
        f"{star.exposures} visit{'s' if star.exposures > 1 else ''}",
        f"S/N {star.snr:.1f}",
        star.verdict,
        f"next {star.next_snr:.1f}",
        forecast(star, target),
    )


def forecast(star: "StarSeen", target: float) -> str:
    """Return what the target S/N still needs."""
    if star.more is None:
        return f"S/N {target:g} not to be told"
    if star.more == 0:
        return f"S/N {target:g} reached"
    if math.isinf(star.more):
        return f"S/N {target:g} out of reach"
    more = f"S/N {target:g} after {star.more:.0f} more"
    if star.seconds is None or not math.isfinite(star.seconds):
        return more
    return f"{more} ({star.seconds / 60.0:.0f} min)"


def _table(status: "Status", target: float, most: int) -> "Table":
    from rich.markup import escape
    from rich.table import Table

    table = Table(expand=True, caption_justify="left")
    for name in ("star", "visits", "S/N", "verdict", "one more", f"to S/N {target:g}"):
        table.add_column(name, justify="left" if name in ("star", "verdict") else "right")
    for star in status.stars[:most]:
        table.add_row(
            escape(star.name), str(star.exposures), f"{star.snr:.1f}", escape(star.verdict),
            f"{star.next_snr:.1f}", forecast(star, target),
        )  # fmt: skip
    hidden = len(status.stars) - most
    told = [
        f"{status.files} files done" + (f", {hidden} more stars in the table" * (hidden > 0)),
        *(["waiting for " + ", ".join(status.waiting[:3])] if status.waiting else []),
        *status.refused[-2:],
    ]
    table.caption = escape("\n".join(told))
    return table
