"""Coverage of errors, false alarms and detections by S/N, with intervals, from what was judged."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr
from scipy.stats import binomtest, mannwhitneyu

from trainlib.evaluation.metrics import SNR_EDGES

DETECTED_EDGES = (0.0, 5.0, 10.0, 20.0, float("inf"))
_DRAWS = 500
_LEVEL = (2.5, 97.5)


def summarise_trust(trust: xr.Dataset, snr: np.ndarray) -> dict[str, Any]:
    """Return `trust` of the JSON object; snr: (spectrum,), the true one, of the judged spectra.

    `bins` and `all` hold `count`, `pixels` and `redshift` as told and calibrated, each with the
    share `within_68` and `within_95` of the truth and 95 % intervals of spectra drawn anew,
    `stars` by axis, and `false_alarms`. `strangers` hold by kind the share `detected` in bins of
    S/N, with the false alarms there, and the area under the curve of one against the other.
    """
    edges = [*pairwise(SNR_EDGES), (SNR_EDGES[0], SNR_EDGES[-1])]
    told = [_told(trust, _edges(low, high), (snr >= low) & (snr < high)) for low, high in edges]
    found = {"calibration": {"spectra": trust.attrs["rows"], "bins": trust.attrs["bins"]},
             "bins": told[:-1], "all": told[-1]}  # fmt: skip
    if "strange" not in trust:
        return found
    kinds = map(str, trust["kind"].values)
    return found | {"strangers": {kind: list(_detected(trust, snr, kind)) for kind in kinds}}


def _edges(low: float, high: float) -> dict[str, Any]:
    return {"snr_low": low, "snr_high": None if np.isinf(high) else high}


def _told(trust: xr.Dataset, edges: dict[str, Any], inside: np.ndarray) -> dict[str, Any]:
    some = trust.isel(spectrum=np.flatnonzero(inside))
    stars = some["star_within"].values  # (level, axis, spectrum)
    axes = map(str, trust["axis"].values)
    return edges | {
        "count": int(inside.sum()),
        "pixels": _drawn(some["within"].values),
        "redshift": _counted(some["redshift_within"].values),
        "stars": {
            axis: {
                f"within_{level}": _share(one[number] > 0)["share"]
                for level, one in zip((68, 95), stars, strict=True)
            }
            for number, axis in enumerate(axes)
        },
        "false_alarms": _share(some["suspicion"].values >= 1.0),
        "odd": {
            str(name): _share(some["odd"].sel({"measure": name}).values >= 1.0)["share"]
            for name in trust["measure"].values
        },
    }


def _drawn(within: np.ndarray) -> dict[str, Any]:
    """Return mean shares (stage, level, spectrum), with the spread of spectra drawn anew."""
    count = within.shape[2]
    values = within.reshape(4, count).astype(float)
    if not count:
        return _by_stage(np.full(4, np.nan), np.full((4, 2), np.nan))
    dice = np.random.default_rng(0)
    means = [values[:, dice.integers(0, count, count)].mean(axis=1) for _ in range(_DRAWS)]
    return _by_stage(values.mean(axis=1), np.percentile(means, _LEVEL, axis=0).T)


def _counted(within: np.ndarray) -> dict[str, Any]:
    """Return the same of what is so or is not, whose spread is that of a count."""
    told = [_share(one > 0) for one in within.reshape(4, within.shape[2])]
    unknown = [np.nan, np.nan]
    return _by_stage(
        np.array([np.nan if one["share"] is None else one["share"] for one in told]),
        np.array([one["share_95"] or unknown for one in told]),
    )


def _by_stage(means: np.ndarray, ends: np.ndarray) -> dict[str, Any]:
    """Return shares of two stages and two levels by name; what is not known is None."""
    return {
        stage: _by_level(means[some], ends[some])
        for stage, some in (("told", slice(0, 2)), ("calibrated", slice(2, 4)))
    }


def _by_level(means: np.ndarray, ends: np.ndarray) -> dict[str, Any]:
    known = np.isfinite(means).all()
    return {
        name: value if known else None
        for level, mean, pair in zip((68, 95), means.tolist(), ends.tolist(), strict=True)
        for name, value in ((f"within_{level}", mean), (f"within_{level}_95", pair))
    }


def _share(is_so: np.ndarray) -> dict[str, Any]:
    """Return a share with its 95 % interval."""
    if not is_so.size:
        return {"share": None, "share_95": None}
    interval = binomtest(int(is_so.sum()), is_so.size).proportion_ci(0.95, "wilson")
    return {"share": float(is_so.mean()),
            "share_95": [float(interval.low), float(interval.high)]}  # fmt: skip


def _detected(trust: xr.Dataset, snr: np.ndarray, kind: str) -> Iterator[dict[str, Any]]:
    strange, found, returned = (
        trust[name].sel({"kind": kind}).values for name in ("strange", "found", "returned")
    )
    clean = trust["suspicion"].values
    there = snr[: len(strange)]
    for low, high in (*pairwise(DETECTED_EDGES), (DETECTED_EDGES[0], DETECTED_EDGES[-1])):
        some, others = (there >= low) & (there < high), (snr >= low) & (snr < high)
        told = _edges(low, high) | {
            "count": int(some.sum()),
            "detected": _share(strange[some] >= 1.0),
            "false_alarms": _share(clean[others] >= 1.0),
            "auc": _area(strange[some], clean[others]),
        }
        if np.isfinite(returned).any():
            known = some & np.isfinite(returned)
            told["found"] = _share(found[known] > 0)
            told["returned"] = float(np.median(returned[known])) if known.any() else None
        yield told


def _area(strange: np.ndarray, clean: np.ndarray) -> float | None:
    """Return the share of pairs of a stranger and a star in which the stranger is more suspect."""
    if not strange.size or not clean.size:
        return None
    return float(mannwhitneyu(strange, clean).statistic / strange.size / clean.size)
