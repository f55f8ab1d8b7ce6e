"""The picture of spectra: as observed, noiseless, denoised, with their variance."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from simlib.errors import InputError
from simlib.plots.lines import line_marks
from simlib.plots.picture import DENOISED, INK, NOISY, Band, Curve, Panel, Picture

MOST_ROWS = 12
FIRST_ROWS = 4  # shown where nothing else is said
FLUXES = ("flux", "flux_noisy", "flux_denoised")
_BAND = "± one standard deviation"
_SEED = 1  # of the noise that is drawn where none is stored
_ROOM = 4.0  # standard deviations beyond the flux that are shown
_UNITS = {"1": "normalised flux", "relative": "flux, on a relative scale"}
FACTS = {  # of a spectrum: variable -> how it is told
    "snr": "S/N {:.1f}", "magnitude": "{:.2f} mag", "teff": "Teff {:.0f} K", "logg": "log g {:.2f}",
    "feh": "[M/H] {:.2f}", "alpha": "[α/M] {:.2f}", "redshift": "z {:.5f}",
    "seeing": "seeing {:.2f}″",
}  # fmt: skip


def rows_shown(count: int, rows: Sequence[int]) -> list[int]:
    """Return the rows to show of so many; by default the first few. Raises InputError."""
    wanted = list(dict.fromkeys(rows)) or list(range(min(count, FIRST_ROWS)))
    if (wrong := [row for row in wanted if not 0 <= row < count]) or not wanted:
        raise InputError(f"--row {wrong[0] if wrong else 0}: there are {count} rows, from 0 on")
    if len(wanted) > MOST_ROWS:
        raise InputError(f"{len(wanted)} rows asked for; at most {MOST_ROWS} fit into a picture")
    return wanted


def spectra_picture(
    spectra: xr.Dataset, title: str, rows: Sequence[int] = (), with_lines: bool = False
) -> Picture:
    """Return the picture of some rows, a panel each. spectra: dims `spectrum`, `wavelength`.

    Drawn are those of FLUXES that it holds: the noiseless, the observed and the denoised one, with
    `variance`, or with `error` of the denoised. Where there is a variance and no noisy flux, noise
    is drawn, and said so. Raises InputError for rows that there are not.
    """
    shown = rows_shown(spectra.sizes["spectrum"], rows)
    panels = [panel_of(spectra.isel(spectrum=row).load(), row, with_lines) for row in shown]
    return Picture(title, tuple(panels))


def panel_of(row: xr.Dataset, number: int, with_lines: bool) -> Panel:
    """Return the panel of one spectrum. row: dim `wavelength`; number: of it, among all."""
    wavelength, sigma = row["wavelength"].values, None
    if "variance" in row:
        sigma = np.sqrt(np.maximum(_values(row, "variance"), 0.0))
    held = {name: _values(row, name) for name in FLUXES if name in row}
    curves = [Curve("noiseless", held["flux"], INK)] if "flux" in held else []
    if "flux_noisy" in held:
        told = "with noise" if "flux" in held else "observed"
        colour = NOISY if len(held) > 1 else INK  # pale beside what is quieter
        curves.append(Curve(told, held["flux_noisy"], colour, 0.5, True))
    elif sigma is not None and "flux" in held:
        noise = np.random.default_rng([_SEED, number]).standard_normal(len(wavelength))
        told = "with noise, drawn for this picture"
        curves.append(Curve(told, held["flux"] + sigma * noise, NOISY, 0.5, True))
    if "flux_denoised" in held:
        curves.append(Curve("denoised", held["flux_denoised"], DENOISED))
    # the quietest there is: what the eye should follow
    quiet = held.get("flux_denoised", held.get("flux", held.get("flux_noisy", wavelength)))
    width = _values(row, "error") if "error" in row else sigma
    bands = () if width is None else (Band(_BAND, quiet - width, quiet + width),)
    unit = str(row[next(iter(held))].attrs.get("units", "1"))
    redshift = float(row["redshift"]) if "redshift" in row else np.nan
    facts = [*_who(row), *_facts(row)]
    if with_lines and not np.isfinite(redshift):
        facts.append("lines as at rest: its redshift is not known")
    return Panel(
        title=f"{number}:  {',  '.join(facts)}",
        unit=_UNITS.get(unit, f"flux [{unit}]"),
        wavelength=wavelength,
        curves=tuple(curves),
        bands=bands,
        marks=line_marks(wavelength, np.nan_to_num(redshift)) if with_lines else (),
        limits=_limits(quiet, sigma),
    )


def _values(row: xr.Dataset, name: str) -> np.ndarray:
    """Return a curve, one that is the same at every wavelength too."""
    values = np.asarray(row[name].values, dtype=np.float64)
    return np.array(np.broadcast_to(values, (row.sizes["wavelength"],)))


def _who(row: xr.Dataset) -> list[str]:
    return [str(row["object_id"].item())] if "object_id" in row else []


def _facts(row: xr.Dataset) -> list[str]:
    return [text.format(float(row[name])) for name, text in FACTS.items() if name in row]


def _limits(flux: np.ndarray, sigma: np.ndarray | None) -> tuple[float, float] | None:
    """Return what holds the flux and its usual noise; single pixels of bright sky may leave it."""
    known = flux[np.isfinite(flux)]
    if not known.size:
        return None
    some = np.zeros(1) if sigma is None else sigma[np.isfinite(sigma)]
    usual = float(np.median(some)) if some.size else 0.0
    room = max(_ROOM * usual, 0.05 * float(np.ptp(known)))
    return float(known.min()) - room, float(known.max()) + room
