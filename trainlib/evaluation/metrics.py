"""Measures of goodness (paper, section 4.1), per spectrum and by signal-to-noise."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
import xarray as xr
from torch import Tensor

SNR_EDGES = (0.0, 5.0, 7.0, 10.0, 14.0, 20.0, 40.0, 80.0, float("inf"))
SNR_NARROW = (9.0, 11.0)  # around 10, where the paper's headline is
MEASURES = (
    "mean_abs_relative_error",
    "max_abs_relative_error",
    "mean_relative_error",
    "mean_abs_error",
    "max_abs_error",
)


@dataclass(frozen=True)
class Measures:
    """Per spectrum, (rows,) float64; a fraction of the flux where relative (0.005 = 0.5 %)."""

    mean_abs_relative_error: np.ndarray
    max_abs_relative_error: np.ndarray
    mean_relative_error: np.ndarray
    mean_abs_error: np.ndarray
    max_abs_error: np.ndarray


def divisor(target: Tensor, floor: float) -> Tensor:
    """Return the flux that errors are divided by: not below `floor` times its median."""
    return torch.maximum(target, floor * target.median(dim=1, keepdim=True).values)


def measure(denoised: Tensor, target: Tensor, floor: float) -> Measures:
    """Return the measures of equations 3 and 4; both (rows, pixels), float32."""
    error = (denoised - target).double()
    relative = error / divisor(target, floor).double()
    return Measures(
        mean_abs_relative_error=relative.abs().mean(dim=1).numpy(),
        max_abs_relative_error=relative.abs().amax(dim=1).numpy(),
        mean_relative_error=relative.mean(dim=1).numpy(),
        mean_abs_error=error.abs().mean(dim=1).numpy(),
        max_abs_error=error.abs().amax(dim=1).numpy(),
    )


def floored_pixels(target: Tensor, floor: float) -> int:
    """Return how many pixels lie below the floor of the relative error."""
    return int((divisor(target, floor) > target).sum())


def summarise(results: xr.Dataset, low: float, high: float) -> dict[str, object]:
    """Return one bin of the JSON object: spectra with low <= S/N < high.

    `floor` and `floor_thread` are means of the information limit over those of the spectra for
    which it is known, `limit_count`; `eta` is the network's mean |R| on the same ones over `floor`,
    `eta_error` its standard error. What no spectrum of the bin tells is None.
    """
    inside = (results["snr"].values >= low) & (results["snr"].values < high)
    methods = {
        str(method): _summary(results.sel({"method": method}).isel(spectrum=inside))
        for method in results["method"].values
    }
    return {
        "snr_low": low,
        "snr_high": None if np.isinf(high) else high,
        "count": int(inside.sum()),
        **_against_limit(results.isel(spectrum=inside)),
        "methods": methods,
    }


def _against_limit(inside: xr.Dataset) -> dict[str, float | int | None]:
    floor = (
        inside["floor"].values if "floor" in inside else np.full(inside.sizes["spectrum"], np.nan)
    )
    known = inside.isel(spectrum=np.isfinite(floor))
    count = known.sizes["spectrum"]
    if not count:
        nothing = dict.fromkeys(("floor", "floor_thread", "eta", "eta_error"))
        return {"limit_count": 0, **nothing}
    error = known["mean_abs_relative_error"].sel({"method": "dae"}).values
    floor = known["floor"].values
    eta = error.mean() / floor.mean()
    spread = np.std(error - eta * floor, ddof=1) if count > 1 else np.nan  # of a ratio of means
    scatter = float(spread / np.sqrt(count) / floor.mean())
    return {
        "limit_count": count,
        "floor": float(floor.mean()),
        "floor_thread": float(known["floor_thread"].mean()),
        "eta": float(eta),
        "eta_error": scatter if np.isfinite(scatter) else None,
    }


def _summary(inside: xr.Dataset) -> dict[str, float | int | None]:
    """Return the means of one method; `count` where it was judged on some of the spectra only."""
    known = np.isfinite(inside["mean_abs_relative_error"].values)
    told: dict[str, float | int | None] = {} if known.all() else {"count": int(known.sum())}
    inside = inside.isel(spectrum=known)
    if not inside.sizes["spectrum"]:
        names = ("mean_abs_relative_error", "bias", "max_abs_relative_error_median")
        return {name: None for name in names} | told
    return {
        "mean_abs_relative_error": float(inside["mean_abs_relative_error"].mean()),
        "bias": float(inside["mean_relative_error"].mean()),
        # the median: a mean of maxima is led by a few dark pixels of the coolest stars
        "max_abs_relative_error_median": float(inside["max_abs_relative_error"].median()),
    } | told


def summarise_bins(results: xr.Dataset) -> dict[str, object]:
    """Return `bins` and `snr_9_11` of the JSON object."""
    bins = [summarise(results, a, b) for a, b in pairwise(SNR_EDGES)]
    return {"bins": bins, "snr_9_11": summarise(results, *SNR_NARROW)}
