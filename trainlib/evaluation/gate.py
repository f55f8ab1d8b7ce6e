"""Whether a new network may take the place of the released one: not worse in any bin of S/N.

Both are judged on the same frozen spectra, noise and augmentation (`alike`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from simlib.artifact import Record, read_record, write_record
from simlib.location import Location, Place
from trainlib.config import Gate

MEASURE, NETWORK = "mean_abs_relative_error", "dae"
JUDGEMENT = "gate.json"


@dataclass(frozen=True)
class Compared:
    """One bin of S/N. old, new: mean |R|, a fraction; None where the bin holds no spectra."""

    snr_low: float
    snr_high: float | None
    count: int
    old: float | None
    new: float | None
    is_worse: bool


@dataclass(frozen=True)
class Verdict:
    """Whether the new network passes, and why, in words; by bin, where there is one to compare."""

    passes: bool
    reason: str
    bins: tuple[Compared, ...] = ()


def verdict(old: Mapping[str, Any], new: Mapping[str, Any], gate: Gate) -> Verdict:
    """Return whether the network of one evaluation may follow that of another.

    old, new: the JSON object of an evaluation, of the same spectra. A bin of fewer than
    `gate.spectra` is shown, not judged; where no bin can be judged, nothing passes.
    """
    bins = [
        _compared(one, other, gate) for one, other in zip(old["bins"], new["bins"], strict=True)
    ]
    judged = [one for one in bins if _is_judged(one, gate)]
    worse = [one for one in judged if one.is_worse]
    if not judged:
        reason = f"no bin of S/N holds {gate.spectra} spectra or more, so nothing is known"
    elif worse:
        reason = "worse than the released one: " + "; ".join(map(_told, worse))
    else:
        reason = f"in none of {len(judged)} bins of S/N worse by more than {gate.margin:.1%}"
    return Verdict(bool(judged) and not worse, reason, tuple(bins))


def _compared(old: Mapping[str, Any], new: Mapping[str, Any], gate: Gate) -> Compared:
    before, after = (one["methods"][NETWORK][MEASURE] for one in (old, new))
    found = Compared(new["snr_low"], new["snr_high"], new["count"], before, after, False)
    is_worse = _is_judged(found, gate) and not after <= before * (1.0 + gate.margin)
    return replace(found, is_worse=is_worse)


def _is_judged(one: Compared, gate: Gate) -> bool:
    return one.count >= gate.spectra and one.old is not None and one.new is not None


def _told(one: Compared) -> str:
    high = "…" if one.snr_high is None else f"{one.snr_high:g}"
    return f"S/N {one.snr_low:g}-{high}: {one.new:.3%}, was {one.old:.3%}"


class Judgement(Record):
    """What the gate said of a run, `gate.json` in it; of which evaluation, against which run."""

    remedy: ClassVar[str] = "remove it: the run is judged again"
    evaluation: str
    released: str
    gate: dict[str, float]
    passes: bool
    reason: str


def write_judgement(run: Place, evaluation: str, released: str, gate: Gate, found: Verdict) -> None:
    """Keep what was found of a run, so that it is not asked again. Both by their fingerprints."""
    judgement = Judgement(
        evaluation=evaluation,
        released=released,
        gate=gate.model_dump(),
        passes=found.passes,
        reason=found.reason,
    )
    write_record(Location.of(run) / JUDGEMENT, judgement)


def known_judgement(run: Place, evaluation: str, released: str, gate: Gate) -> Judgement | None:
    """Return what was found of a run in the same comparison, None where it was not made yet.

    Raises InputError for a damaged record.
    """
    found = read_record(Location.of(run) / JUDGEMENT, Judgement)
    asked = (evaluation, released, gate.model_dump())
    is_same = found is not None and (found.evaluation, found.released, found.gate) == asked
    return found if is_same else None
