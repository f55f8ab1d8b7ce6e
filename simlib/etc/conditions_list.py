"""A person's list of conditions, evaluated: the source that is looked at, medians, odd moons."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import xarray as xr

from simlib.bounds import refuse_out_of_bounds
from simlib.errors import InputError
from simlib.etc.signal_to_noise import MAGNITUDE, read_spectrum, signal_to_noise
from simlib.etc.terms_file import ROWS_AT_ONCE, Evaluate, write_terms
from simlib.fingerprint import checksum, fingerprint
from simlib.instrument import Instrument
from simlib.noise import stack_variance
from simlib.parameters import impossible_geometry
from simlib.units import ab_flux

Progress = Callable[[int, int, int], None]  # pieces done, pieces in all, rows of the last

_MOST_NAMED = 10


def source_flux(
    instrument: Instrument,
    magnitude: float | None,
    spectrum: str | Path | None,
    lsf: str = "etc",
) -> np.ndarray | None:
    """Return the flux (n,) of a flat AB source or of a CSV file; None where neither is given.

    In 1e-17 erg s-1 cm-2 AA-1. Raises InputError where both are given, or for a file that cannot
    be used.
    """
    if magnitude is not None and spectrum is not None:
        raise InputError("give --magnitude or --spectrum, not both")
    if magnitude is not None:
        refuse_out_of_bounds("magnitude", np.array([magnitude]), MAGNITUDE, lambda _: "--magnitude")
        return ab_flux(magnitude, instrument.wavelength)
    return None if spectrum is None else read_spectrum(spectrum, instrument, lsf)


def impossible_moons(conditions: xr.Dataset) -> str:
    """Return a sentence on the rows whose three directions no sky has; empty where all have.

    Rows are counted from 1, those that were left out of a list too.
    """
    is_impossible = impossible_geometry(conditions)
    labels = conditions.get("spectrum", np.arange(is_impossible.size))
    rows = np.asarray(labels)[is_impossible] + 1
    if not rows.size:
        return ""
    shown = ", ".join(map(str, rows[:_MOST_NAMED])) + (" …" if rows.size > _MOST_NAMED else "")
    return (
        f"row {shown}: no sky has this moon ({rows.size} of {is_impossible.size}): its "
        "distance from the target must lie between |z - z_moon| and z + z_moon, and all three sum "
        "to 360° at most; computed all the same"
    )


def evaluate_list(
    conditions: xr.Dataset,
    out: Path,
    evaluate: Evaluate,
    flux: np.ndarray | None = None,
    draw: Callable[[xr.Dataset], list[Path]] | None = None,
    on_progress: Progress = lambda done, total, rows: None,
) -> tuple[list[dict[str, float]], list[str]]:
    """Write the terms of a list of conditions; return the medians of each row, and the figures.

    evaluate: gives the terms of some rows. flux: of a source, whose S/N is added. draw: makes the
    figures of the first conditions.
    """

    given = checksum(*(conditions[name].values for name in sorted(map(str, conditions))))

    def with_source(some: xr.Dataset) -> xr.Dataset:
        terms = evaluate(some)
        terms = terms.assign_attrs(fingerprint=fingerprint(given, terms.attrs))
        return terms if flux is None else terms.assign(snr=signal_to_noise(terms, flux))

    medians: list[dict[str, float]] = []
    drawn: list[str] = []
    pieces = -(-conditions.sizes["condition"] // ROWS_AT_ONCE)
    for done, terms in enumerate(write_terms(out, conditions, with_source), start=1):
        if draw is not None and done == 1:
            drawn = [str(path) for path in draw(terms)]
        medians += summaries(terms)
        on_progress(done, pieces, terms.sizes["condition"])
    return medians, drawn


def summaries(terms: xr.Dataset) -> list[dict[str, float]]:
    """Return the medians over pixels of every condition's counts of one exposure."""
    medians = {
        "sky_continuum_e": terms["sky_continuum_e"].median("wavelength"),
        "sky_lines_e": terms["sky_lines_e"].median("wavelength"),
        "moon_e": terms["moon_e"].median("wavelength"),
        "stray_e": terms["stray_e"],
        "conversion_e": terms["conversion_e"].median("wavelength"),
        "variance_e2": stack_variance(terms, 0.0).median("wavelength"),
    }
    if "snr" in terms:
        medians["snr"] = terms["snr"].median("wavelength")
    return [
        {name: float(values[row]) for name, values in medians.items()}
        for row in range(terms.sizes["condition"])
    ]
