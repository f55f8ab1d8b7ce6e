"""What the survey's files of one star and of many have in common: names, numbers, mask planes.

Everything here follows the survey's published data model; planes of a mask are known by name.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from astropy.io import fits

from simlib.config import SimulationConfig
from simlib.errors import InputError
from simlib.lists.values import Problem, refuse
from simlib.noise import SKY_TERMS, exposure_counts
from simlib.units import AB_ZERO_POINT, NANOJANSKY, nanojansky

CATALOGUE, TRACT, PATCH = 0, 0, "0,0"  # catalogue 0 is that of simulated objects
ARM, SPECTROGRAPH = "m", 1
SCIENCE = 1  # target type
MASK_PLANES = (
    "BAD", "SAT", "INTRP", "CR", "EDGE", "DETECTED", "DETECTED_NEGATIVE", "SUSPECT", "NO_DATA",
    "UNMASKEDNAN", "BAD_FLAT", "FIBERTRACE", "BAD_SKY", "BAD_FLUXCAL", "OVERLAP", "IPC", "REFLINE",
    "BAD_FIBERTRACE", "BAD_FIBERNORMS", "BAD_PFI_CORRECTION",
)  # fmt: skip
MASK_BITS = {name: bit for bit, name in enumerate(MASK_PLANES)}


@dataclass(frozen=True, eq=False)
class Star:
    """Who a row is, and its arrays in nJy on `wavelength` (nm, vacuum)."""

    object_id: int
    catalogue_id: int
    ra: float  # deg, NaN where it is not known
    dec: float
    fiber_flux: float
    visits: list[int]
    fiber: int
    exposure_time_s: float
    wavelength: np.ndarray
    flux: np.ndarray
    clean: np.ndarray
    variance: np.ndarray
    sky: np.ndarray
    mask: np.ndarray


def star_of(spectrum: xr.Dataset, terms: xr.Dataset, config: SimulationConfig) -> Star:
    """Return one row of `simulate_targets`, with the calculator's terms of it, for its file."""
    row = int(spectrum["spectrum"])
    wavelength = spectrum["wavelength"].values
    factor = nanojansky(float(spectrum["flux_scale"]), wavelength)
    count = int(spectrum.get("exposure_count", config.conditions.exposure_count))
    first = _whole(spectrum, "visit", 1)
    sky = sum(terms[name] for name in SKY_TERMS) / terms["conversion_e"]
    return Star(
        object_id=_whole(spectrum, "object_id", row + 1),
        catalogue_id=_whole(spectrum, "catalogue_id", CATALOGUE),
        ra=float(spectrum.get("ra", np.nan)),
        dec=float(spectrum.get("dec", np.nan)),
        fiber_flux=AB_ZERO_POINT / NANOJANSKY * 10.0 ** (-0.4 * float(spectrum["magnitude"])),
        visits=[first + number for number in range(count)],
        fiber=row + 1,
        exposure_time_s=float(spectrum.get("exposure_time_s", config.conditions.exposure_time_s)),
        wavelength=wavelength,
        flux=spectrum["flux_noisy"].values * factor,
        clean=spectrum["flux"].values * factor,
        variance=spectrum["variance"].values * factor**2,
        sky=np.asarray(sky) * nanojansky(1.0, wavelength),
        mask=spectrum["mask"].values,
    )


def _whole(spectrum: xr.Dataset, name: str, otherwise: int) -> int:
    is_whole = name in spectrum and spectrum[name].dtype.kind == "i"
    return int(spectrum[name]) if is_whole else otherwise


def in_the_list_alone(targets: xr.Dataset) -> list[str]:
    """Return which names of the stars are not whole numbers, which the survey's are."""
    return [n for n in _NAMES if n in targets and targets[n].dtype.kind != "i"]


def refuse_unlike_the_survey(targets: xr.Dataset, config: SimulationConfig) -> None:
    """Raise InputError for stars that the survey's files cannot hold, naming every row.

    They list exposures one by one, and hold each number of a star in a catalogue once.
    """
    rows = targets["spectrum"].values
    counts = exposure_counts(targets, config.conditions.exposure_count)
    problems = [
        (int(number), f"exposure_count = {counts[number]:g}, but exposures are listed one by one")
        for number in np.flatnonzero(counts != np.floor(counts))
    ]
    known = {n: targets[n].values for n in _NAMES if n in targets}
    whole = {name: values for name, values in known.items() if values.dtype.kind == "i"}
    for name, values in whole.items():
        problems += [
            (int(n), f"{name} = {values[n]} is negative") for n in np.flatnonzero(values < 0)
        ]
        most = _MOST - (counts - 1 if name == "visit" else 0)  # visits follow one another
        if name != "object_id":
            problems += [
                (int(n), f"{name} = {values[n]} is more than the {_MOST} of 32 bits")
                for n in np.flatnonzero(values > most)
            ]
    if "object_id" in whole:
        seen: dict[tuple[int, int], int] = {}
        catalogues = whole.get("catalogue_id", np.zeros(len(rows), dtype=int))
        for number, key in enumerate(zip(catalogues, whole["object_id"], strict=True)):
            if (first := seen.setdefault(key, number)) != number:
                text = f"object_id = {key[1]} is that of row {rows[first] + 1} too"
                problems.append((number, text))
    told = [Problem(n, f"row {rows[n] + 1}", f"{text}; {_WAY_OUT}") for n, text in problems]
    refuse("the survey's files", [], told)


_MOST = 2**31 - 1
_NAMES = ("object_id", "catalogue_id", "visit")
_WAY_OUT = "change it, name another column (--column), or write another format"


def mask_header() -> fits.Header:
    """Return the cards that say which bit is which plane."""
    return fits.Header([(f"HIERARCH MP_{name}", bit) for name, bit in MASK_BITS.items()])


def fail_unless_observed(spectra: xr.Dataset) -> None:
    """Raise InputError for spectra without noise: the survey's files hold what was observed."""
    if missing := [name for name in ("flux_noisy", "mask") if name not in spectra]:
        raise InputError(f"the spectra lack {', '.join(missing)}; make them by simulate_targets")
