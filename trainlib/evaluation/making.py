"""The parts of one evaluation, made kind by kind: how many rows of each, and what they cost."""

import logging
import time

from simlib.errors import InputError
from simlib.location import Location
from trainlib.evaluation.judging import (
    ERRORS,
    FIT,
    FLOOR,
    JUDGE,
    LEARN,
    SPENT,
    STRANGERS,
    TEMPLATE,
    TRY,
    Judging,
)
from trainlib.evaluation.parts import BLOCK, Arrays, Parts, Progress, Spread, in_turn, make_parts
from trainlib.evaluation.trained import Trained
from trainlib.evaluation.trust import known_trust, network_of
from trainlib.training.data import is_bare, open_split

log = logging.getLogger(__name__)


class Making:
    """Makes the parts of an evaluation, by a way to spread them.

    rows: of each kind. seconds_before: that parts took which were there already.
    cpu_seconds_beside: of processors, that this process did not spend itself.
    """

    def __init__(
        self, trained: Trained, place: Location, identity: str, spread: Spread,
        progress: Progress | None,
    ) -> None:  # fmt: skip
        section = trained.config.evaluate
        self.trained, self.labels = trained, open_split(place, section.split)
        self.rows = _rows_by_kind(trained, place, self.labels.sizes["spectrum"])
        self.parts = Parts(trained.directory, identity, BLOCK)
        self._judging = Judging(self.parts, place, section, trained.checkpoint, self.rows)
        self._judging.trained, self._judging.labels = trained, self.labels  # opened already
        self._spread, self._progress = spread, progress
        self._done, self._total = 0, len(self.parts.tasks(self.rows))
        self.seconds_before, self.cpu_seconds_beside = 0.0, 0.0

    def __call__(self, *kinds: str) -> dict[str, Arrays]:
        """Return the parts of some kinds, joined; of a kind without rows, nothing."""
        tasks = self.parts.tasks({kind: self.rows[kind] for kind in kinds if kind in self.rows})
        if LEARN not in kinds:
            log.info("%d parts: %s", len(tasks), ", ".join(dict.fromkeys(t.split for t in tasks)))
        begin = time.process_time()
        # what is learnt needs more memory than a worker may have
        spread = in_turn if kinds == (LEARN,) else self._spread
        made = make_parts(self.parts, self._judging, tasks, spread, self._ready, self._show)
        spent = sum(float(part.pop(SPENT)[1]) for part in made.values())
        self.cpu_seconds_beside += spent - (time.process_time() - begin)
        return made

    def without(self, kind: str) -> None:
        """Leave a kind out."""
        self._total -= len(self.parts.tasks({kind: self.rows.pop(kind, 0)}))

    def _ready(self, part: Arrays, rows: int) -> None:
        self.seconds_before += float(part[SPENT][0])
        self._show(rows)

    def _show(self, rows: int) -> None:
        self._done += 1
        if self._progress:
            self._progress(self._done, self._total, rows)


def _rows_by_kind(trained: Trained, place: Location, rows: int) -> dict[str, int]:
    """Return how many rows of each kind are judged, of so many that the split has."""
    section = trained.config.evaluate
    count = min(rows, section.spectra or rows)
    found = {LEARN: 1, JUDGE: count, FIT: min(count, section.fit_spectra)}
    if not is_bare(place):
        found[FLOOR] = min(count, section.limit_spectra)
    if trained.config.augment.target == "augmented":  # a template gives spectra as they are seen
        found[TEMPLATE] = min(count, section.template_spectra)
    try:
        network_of(trained)
    except InputError as error:
        log.warning("errors and verdicts are not judged: %s", error)
    else:
        found |= {ERRORS: count, STRANGERS: min(count, section.stranger_spectra)}
        found[TRY] = 0 if known_trust(trained) else section.trust_spectra
    return {kind: some for kind, some in found.items() if some}
