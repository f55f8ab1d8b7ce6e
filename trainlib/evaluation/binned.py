"""Measures in bins of S/N and of the stellar parameters, with mean, maximum and percentiles.

As in the paper, only spectra interpolated in a parameter's direction count where that parameter is
the abscissa: the others sit on nodes of the grid.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import xarray as xr

from simlib.parameters import AXES
from trainlib.evaluation.metrics import (
    MEASURES,
    PERCENTILES,
    SNR_EDGES,
    has_limit,
    over_limit,
    summarise_spectra,
)

STATISTICS = ("mean", "max", *(f"p{percent}" for percent in PERCENTILES))
_WIDTHS = {"teff": 250.0, "logg": 0.5, "feh": 0.25, "alpha": 0.125}  # of a bin


@dataclass(frozen=True)
class Bin:
    """One bin of an abscissa, and which spectra are in it, (spectrum,)."""

    axis: str
    low: float
    high: float
    inside: np.ndarray


def bins_of(results: xr.Dataset, axis: str) -> list[Bin]:
    """Return the bins along `snr` or a stellar parameter that hold the spectra that count.

    A bin holds its lower edge, the last one of a parameter its upper edge too.
    """
    values, counts = results[axis].values.astype(float), counting(results, axis)
    if axis == "snr":
        return [
            Bin(axis, low, high, (values >= low) & (values < high))
            for low, high in pairwise(SNR_EDGES)
        ]
    if not counts.any():
        return []
    width = _WIDTHS[axis]
    first = np.floor(values[counts].min() / width)
    last = max(np.ceil(values[counts].max() / width), first + 1)
    edges = width * np.arange(first, last + 1)
    return [
        Bin(axis, float(low), float(high), counts & (values >= low)
            & ((values < high) | ((high == edges[-1]) & (values == high))))
        for low, high in pairwise(edges)
    ]  # fmt: skip


def counting(results: xr.Dataset, axis: str) -> np.ndarray:
    """Return which spectra count along an abscissa, (spectrum,)."""
    everything = np.ones(results.sizes["spectrum"], bool)
    if axis == "snr" or "interpolated_axis" not in results:
        return everything
    along = results["interpolated_axis"].values
    is_along: np.ndarray = (along == AXES.index(axis)) | (along < 0)
    return is_along


def binned(results: xr.Dataset) -> xr.Dataset:
    """Return every measure in every bin, `value` of dims (measure, method, bin, statistic).

    Coordinates of a bin: `axis`, `low`, `high`. `count` spectra; `floor` is the mean limit of the
    `limit_count` whose limit is known, `eta` a method's mean |R| on these over it, `eta_error` its
    standard error. NaN where a bin holds no spectrum that tells.
    """
    bins = [one for axis in ("snr", *AXES) for one in bins_of(results, axis)]
    methods = results["method"].values
    shape = (len(methods), len(bins))
    value = [
        np.stack([_statistics(results[name].values[:, one.inside]) for one in bins], axis=1)
        for name in MEASURES
    ]
    limit = results["floor"].values if "floor" in results else np.empty(0)
    error = results["mean_abs_relative_error"].values
    known = [one.inside & has_limit(results) for one in bins]
    floors, eta, eta_error = np.full(len(bins), np.nan), np.full(shape, np.nan), np.empty(shape)
    eta_error[:] = np.nan
    for number, some in enumerate(known):
        if some.any():
            floors[number] = limit[some].mean()
            for place, one in enumerate(error):
                judged = some & np.isfinite(one)
                if judged.any():
                    told = over_limit(one[judged], limit[judged])
                    eta[place, number], eta_error[place, number] = told
    return xr.Dataset(
        {
            "value": (("measure", "method", "bin", "statistic"), np.stack(value)),
            "count": ("bin", np.array([one.inside.sum() for one in bins])),
            "limit_count": ("bin", np.array([some.sum() for some in known], int)),
            "floor": ("bin", floors),
            "eta": (("method", "bin"), eta),
            "eta_error": (("method", "bin"), eta_error),
        },
        coords={
            "measure": np.array(MEASURES, dtype=object),
            "method": methods,
            "statistic": np.array(STATISTICS, dtype=object),
            "axis": ("bin", np.array([one.axis for one in bins], dtype=object)),
            "low": ("bin", np.array([one.low for one in bins])),
            "high": ("bin", np.array([one.high for one in bins])),
        },
    )


def _statistics(values: np.ndarray) -> np.ndarray:
    """Return (methods, statistics) of values (methods, spectra), those that a method has."""
    found = np.full((len(values), len(STATISTICS)), np.nan)
    for method, of_all in enumerate(values):
        if (known := of_all[np.isfinite(of_all)]).size:
            found[method] = (known.mean(), known.max(), *np.percentile(known, PERCENTILES))
    return found


def summarise_parameters(results: xr.Dataset) -> dict[str, list[dict[str, object]]]:
    """Return `parameters` of the JSON object: bins along each stellar parameter."""

    def told(axis: str) -> Iterator[dict[str, object]]:
        for one in bins_of(results, axis):
            spectra = summarise_spectra(results, one.inside)
            yield {"low": one.low, "high": one.high} | spectra

    return {axis: list(told(axis)) for axis in AXES}
