"""A figure of every step of one simulated row."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simlib.dataset.replay import COUNTS

_CLOSE_UP_NM = 3.0  # width of the piece that is shown in detail


def draw_replay(steps: xr.Dataset) -> Figure:
    """Draw the steps that `replay` returns: template to pixels, counts, variance, the result."""
    figure = Figure(figsize=(11.0, 12.0), layout="constrained")
    panels = figure.subplots(4, 2)
    wavelength = steps["wavelength"].values
    middle = float(wavelength[np.argmin(steps["flux"].values)])
    close_up = (middle - 0.5 * _CLOSE_UP_NM, middle + 0.5 * _CLOSE_UP_NM)
    for column, limits in enumerate(((wavelength[0], wavelength[-1]), close_up)):
        _draw_steps(panels[:, column], steps, limits)
    figure.suptitle(
        f"{steps.attrs.get('split', '')} {steps.attrs.get('index', '')}: "
        f"Teff {float(steps['teff']):.0f} K, log g {float(steps['logg']):.2f}, "
        f"[Fe/H] {float(steps['feh']):.2f}, [α/M] {float(steps['alpha']):.2f}, "
        f"z {float(steps['redshift']):.5f}, E(B-V) {float(steps['ebv']):.3f}, "
        f"{float(steps['magnitude']):.2f} mag, S/N {float(steps['snr']):.1f}",
        fontsize=9,
    )
    return figure


def _draw_steps(panels: np.ndarray, steps: xr.Dataset, limits: tuple[float, float]) -> None:
    template, flux, counts, result = panels
    _line(template, steps, "template", "wavelength_rest")
    for name in ("shifted", "reddened"):
        _line(flux, steps, name, "wavelength_observed")
    flux.plot(steps["wavelength_observed"], steps["convolved"], lw=0.7, label="convolved")
    flux.plot(steps["wavelength"], steps["sampled"], ".", ms=2, label="sampled")
    for name in COUNTS:
        counts.semilogy(steps["wavelength"], np.maximum(steps[name], 1e-3), lw=0.7, label=name)
    sigma = np.sqrt(steps["variance"].values)
    result.plot(steps["wavelength"], steps["flux"], lw=0.7, label="flux")
    result.plot(steps["wavelength"], sigma, lw=0.7, label="square root of the variance")
    labels = ("erg s-1 cm-2 Å-1, surface", "1e-17 erg s-1 cm-2 Å-1", "electrons, one exposure",
              "normalised")  # fmt: skip
    shift = 1.0 + float(steps["redshift"])
    for axes, label in zip(panels, labels, strict=True):
        axes.set_ylabel(label)
        axes.set_xlim(*limits)
        axes.legend(fontsize=6, loc="upper right")
    template.set_xlim(limits[0] / shift, limits[1] / shift)
    template.set_xlabel("rest wavelength [nm, vacuum]")
    result.set_xlabel("observed wavelength [nm, vacuum]")


def _line(axes: Axes, steps: xr.Dataset, name: str, wavelength: str) -> None:
    axes.plot(steps[wavelength], steps[name], lw=0.4, label=name)
