"""When ranks are told to stop (SIGTERM: a batch system's preemption, a cancelled flow), and agree.

They ask one another every so many steps, about twice a second, so that no step waits for it. How
much of a budget of time is spent travels with it: in between it goes on at the pace of the steps
before, which all ranks know alike.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from trainlib.training.distributed import Ranks

_EVERY_S = 0.5
_MOST_STEPS = 64  # between two questions: steps may become slower


@contextmanager
def told_to_stop() -> Iterator[Callable[[], bool]]:
    """Yield what tells whether this process was told to stop; that alone does not end it.

    Neither does a second time, which is usual: who starts ranks passes on what reached them too.
    """
    is_told = False

    def note(*_: object) -> None:
        nonlocal is_told
        is_told = True

    before = signal.signal(signal.SIGTERM, note)
    try:
        yield lambda: is_told
    finally:
        signal.signal(signal.SIGTERM, note if is_told else before)


@dataclass
class Agreement:
    """What the ranks know together before a step. seconds: of the budget, by the first's clock."""

    ranks: Ranks
    seconds: float = 0.0
    is_stopping: bool = False
    _steps: int = 0  # since they asked
    _every: int = 1
    _step_s: float = 0.0
    _asked_at: float | None = None  # by this rank's own clock

    def before_step(self, seconds: float, is_told: bool) -> None:
        """Ask the other ranks, or reckon. seconds, is_told: of this one."""
        self._steps += 1
        if self._steps < self._every:
            self.seconds += self._step_s
            return
        pace = 0.0 if self._asked_at is None else (seconds - self._asked_at) / self._steps
        own = (seconds, pace) if self.ranks.is_first else (0.0, 0.0)
        self.seconds, self._step_s, told = self.ranks.sum(*own, float(is_told))
        self.is_stopping = told > 0.0
        is_paced = self.ranks.world > 1 and self._step_s > 0.0
        self._every = min(max(int(_EVERY_S / self._step_s), 1), _MOST_STEPS) if is_paced else 1
        self._asked_at, self._steps = seconds, 0

    def after_pause(self) -> None:
        """Ask before the next step: a validation is none."""
        self._steps, self._every, self._asked_at = 0, 1, None
