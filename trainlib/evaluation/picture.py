"""Figure 3 of a run while it trains: `loss.png` beside its log, drawn anew while that is cheap.

Who follows the training draws it: the ranks wait for nothing.
"""

import io
import logging
import time

from simlib.artifact import write_bytes
from simlib.location import Location
from trainlib.training.log import Interval

log = logging.getLogger(__name__)

PICTURE = "loss.png"
_FIRST_S = 120.0  # a shorter training is not worth the second that the first drawing takes
_TIMES = 100.0  # drawing takes at most one part in so many of the time


class LivePicture:
    """The curve of a run so far, and when it is drawn next."""

    def __init__(self, run: Location) -> None:
        self._run = run
        self._told: list[Interval] = []
        self._drawn = 0  # intervals in the last drawing
        self._due = time.monotonic() + _FIRST_S

    def add(self, interval: Interval) -> None:
        """Take an interval, and draw where it is time."""
        self._told.append(interval)
        if time.monotonic() >= self._due:
            self._draw()

    def finish(self) -> None:
        """Draw once more where there is a picture that lacks something."""
        if 0 < self._drawn < len(self._told):
            self._draw()

    def _draw(self) -> None:
        begin = time.thread_time()
        try:
            write_bytes(self._run / PICTURE, drawn(self._run.name, self._told))
        except Exception as error:  # nothing depends on it
            log.warning("%s was not drawn: %s", self._run / PICTURE, error)
        self._drawn = len(self._told)
        self._due = time.monotonic() + _TIMES * (time.thread_time() - begin)


def drawn(name: str, told: list[Interval]) -> bytes:
    """Return figure 3 of a run as PNG."""
    from trainlib.evaluation.figures import loss_figure, style  # noqa: PLC0415 it takes a second

    picture = io.BytesIO()
    style(loss_figure({name: told})).savefig(picture, format="png", dpi=100)
    return picture.getvalue()
