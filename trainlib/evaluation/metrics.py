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
    "mean_error",
    "kl_divergence",
)
PERCENTILES = (10, 50, 90, 99)
NETWORK = "dae"
FITTED = ("fit", "polished")  # with the simulator itself, which is the limit: no baselines
_SUMMARISED = ("mean_abs_relative_error", "mean_relative_error", "max_abs_relative_error")
_LEAST = 1e-6  # of the flux, where its logarithm is taken
SPREADS = ("abs_relative_error", "abs_error")  # told by percentiles over pixels too


@dataclass(frozen=True)
class Measures:
    """Per spectrum, (rows,) float64; a fraction of the flux where relative (0.005 = 0.5 %).

    abs_relative_error, abs_error: (rows, percentiles) over pixels.
    """

    mean_abs_relative_error: np.ndarray
    max_abs_relative_error: np.ndarray
    mean_relative_error: np.ndarray
    mean_abs_error: np.ndarray
    max_abs_error: np.ndarray
    mean_error: np.ndarray
    kl_divergence: np.ndarray
    abs_relative_error: np.ndarray
    abs_error: np.ndarray


def divisor(target: Tensor, floor: float) -> Tensor:
    """Return the flux that errors are divided by: not below `floor` times its median."""
    return torch.maximum(target, floor * target.median(dim=1, keepdim=True).values)


def measure(denoised: Tensor, target: Tensor, floor: float) -> Measures:
    """Return the measures of equations 3 and 4; both (rows, pixels), float32."""
    error = (denoised - target).double()
    relative = error / divisor(target, floor).double()
    least = (floor * target.median(dim=1, keepdim=True).values).clamp(min=_LEAST)
    return Measures(
        mean_abs_relative_error=relative.abs().mean(dim=1).numpy(),
        max_abs_relative_error=relative.abs().amax(dim=1).numpy(),
        mean_relative_error=relative.mean(dim=1).numpy(),
        mean_abs_error=error.abs().mean(dim=1).numpy(),
        max_abs_error=error.abs().amax(dim=1).numpy(),
        mean_error=error.mean(dim=1).numpy(),
        kl_divergence=_divergence(*(torch.maximum(flux, least) for flux in (target, denoised))),
        abs_relative_error=_percentiles(relative),
        abs_error=_percentiles(error),
    )


def _divergence(target: Tensor, denoised: Tensor) -> np.ndarray:
    """Return (rows,) Kullback-Leibler divergence of spectra that are positive, each as shares."""
    shares, others = (
        flux.double() / flux.double().sum(dim=1, keepdim=True) for flux in (target, denoised)
    )
    return (shares * (shares / others).log()).sum(dim=1).numpy()


def _percentiles(error: Tensor) -> np.ndarray:
    with np.errstate(invalid="ignore"):  # of what is not finite: whoever asks is told elsewhere
        values: np.ndarray = np.percentile(error.abs().float().numpy(), PERCENTILES, axis=1)
    return values.T.astype(float)


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
    edges = {"snr_low": low, "snr_high": None if np.isinf(high) else high}
    return edges | summarise_spectra(results, inside)


def summarise_spectra(results: xr.Dataset, inside: np.ndarray) -> dict[str, object]:
    """Return what a bin of the JSON object says of its spectra, (spectrum,), beside its edges.

    A method that was judged on some of them only has a `count` of its own, and `network`, the mean
    |R| of the network on these.
    """
    measures = {name: results[name].values[:, inside] for name in _SUMMARISED}
    methods = [str(name) for name in results["method"].values]
    network = measures[_SUMMARISED[0]][methods.index(NETWORK)] if NETWORK in methods else None
    return {
        "count": int(inside.sum()),
        **_against_limit(results, inside),
        "methods": {
            method: _summary(*(values[number] for values in measures.values()), network=network)
            for number, method in enumerate(methods)
        },
    }


def _against_limit(results: xr.Dataset, inside: np.ndarray) -> dict[str, float | int | None]:
    known = inside & has_limit(results)
    if not (count := int(known.sum())):
        nothing = dict.fromkeys(("floor", "floor_thread", "eta", "eta_error"))
        return {"limit_count": 0, **nothing}
    floor = results["floor"].values[known]
    error = results["mean_abs_relative_error"].sel({"method": NETWORK}).values[known]
    eta, scatter = over_limit(error, floor)
    return {
        "limit_count": count,
        "floor": float(floor.mean()),
        "floor_thread": float(results["floor_thread"].values[known].mean()),
        "eta": eta,
        "eta_error": scatter if np.isfinite(scatter) else None,
    }


def has_limit(results: xr.Dataset) -> np.ndarray:
    """Return of which spectra the information limit is known, (spectrum,)."""
    if "floor" not in results:
        return np.zeros(results.sizes["spectrum"], bool)
    known: np.ndarray = np.isfinite(results["floor"].values)
    return known


def over_limit(error: np.ndarray, floor: np.ndarray) -> tuple[float, float]:
    """Return the mean error over the mean limit of the same spectra, and its standard error.

    The error is NaN for a single spectrum.
    """
    count = len(error)
    eta = error.mean() / floor.mean()
    spread = np.std(error - eta * floor, ddof=1) if count > 1 else np.nan  # of a ratio of means
    return float(eta), float(spread / np.sqrt(count) / floor.mean())


def _summary(
    error: np.ndarray, signed: np.ndarray, worst: np.ndarray, *, network: np.ndarray | None
) -> dict[str, float | int | None]:
    known = np.isfinite(error)
    told: dict[str, float | int | None] = {} if known.all() else {"count": int(known.sum())}
    if told and network is not None:
        told["network"] = float(network[known].mean()) if known.any() else None
    error, signed, worst = error[known], signed[known], worst[known]
    percentiles = [f"mean_abs_relative_error_p{percent}" for percent in PERCENTILES]
    names = ("mean_abs_relative_error", "bias", "max_abs_relative_error_median", *percentiles)
    if not error.size:
        return {name: None for name in names} | told
    # the median: a mean of maxima is led by a few dark pixels of the coolest stars
    values = (error.mean(), signed.mean(), np.median(worst), *np.percentile(error, PERCENTILES))
    return dict(zip(names, map(float, values), strict=True)) | told


def whole_methods(results: xr.Dataset) -> list[str]:
    """Return the methods that were judged on all spectra, whose means may be compared."""
    judged = np.isfinite(results["mean_abs_relative_error"].transpose("method", ...).values)
    return [str(name) for name in results["method"].values[judged.all(axis=1)]]


def summarise_bins(results: xr.Dataset) -> dict[str, object]:
    """Return `bins` and `snr_9_11` of the JSON object."""
    bins = [summarise(results, a, b) for a, b in pairwise(SNR_EDGES)]
    return {"bins": bins, "snr_9_11": summarise(results, *SNR_NARROW)}
