"""Whether a new network may take the place of the released one: not worse in any bin of S/N.

Both are judged on the same frozen spectra, noise and augmentation, those of the new run; the
released one again, where its dataset was another. Nothing is written.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from simlib.errors import InputError
from simlib.location import Place
from trainlib.config import Gate
from trainlib.evaluation.evaluate import judge
from trainlib.evaluation.metrics import summarise_bins
from trainlib.evaluation.results import read_results
from trainlib.evaluation.trained import load_trained
from trainlib.training.data import open_split, read_spectra

MEASURE = "mean_abs_relative_error"
_NETWORK = "dae"


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
    before, after = (one["methods"][_NETWORK][MEASURE] for one in (old, new))
    found = Compared(new["snr_low"], new["snr_high"], new["count"], before, after, False)
    is_worse = _is_judged(found, gate) and not after <= before * (1.0 + gate.margin)
    return replace(found, is_worse=is_worse)


def _is_judged(one: Compared, gate: Gate) -> bool:
    return one.count >= gate.spectra and one.old is not None and one.new is not None


def _told(one: Compared) -> str:
    high = "…" if one.snr_high is None else f"{one.snr_high:g}"
    return f"S/N {one.snr_low:g}-{high}: {one.new:.3%}, was {one.old:.3%}"


def pass_gate(new_run: Place, released_run: Place, gate: Gate) -> Verdict:
    """Return whether a judged run may take the place of the released one.

    Raises InputError where one of the two is not there or damaged. A network for other pixels
    cannot be compared: that passes, and says so.
    """
    new = read_results(new_run).evaluation
    try:
        old = judged_alike(released_run, new_run)
    except _OtherPixelsError as error:
        return Verdict(True, f"not compared: {error}")
    return verdict(old, new.summary, gate)


def judged_alike(released_run: Place, new_run: Place) -> Mapping[str, Any]:
    """Return the bins of the released network on the spectra that the new run was judged on."""
    mine, released = load_trained(new_run), load_trained(released_run)
    pixels = [len(one.model.mean) for one in (mine, released)]  # type: ignore[arg-type]
    if pixels[0] != pixels[1]:
        raise _OtherPixelsError(
            f"the released network is of {pixels[1]} pixels, this one of {pixels[0]}"
        )
    alike = {"augment": mine.config.augment, "evaluate": mine.config.evaluate}
    released = replace(released, config=released.config.model_copy(update=alike))
    section = mine.config.evaluate
    labels = open_split(mine.dataset, section.split)
    rows = min(labels.sizes["spectrum"], section.spectra or labels.sizes["spectrum"])
    spectra = read_spectra(labels, 0, rows, torch.device("cpu"))
    return summarise_bins(judge(released, {_NETWORK: released.model}, spectra, labels, is_on=True))


class _OtherPixelsError(InputError):
    """Two networks do not take the same spectra."""
