"""Our calculator beside numbers of the official one, term by term, for the same conditions.

Two of our settings are shown: the one that a person gets who says nothing, and the one nearest to
the official calculator. What is left in the second is the sky's tables; see `--sky-tables`.
"""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from simlib.bounds import refuse_out_of_bounds
from simlib.config import NEWEST_INSTRUMENT, Sky
from simlib.errors import InputError
from simlib.etc.conditions_file import read_conditions
from simlib.etc.conventions import convention_named
from simlib.etc.signal_to_noise import MAGNITUDE as BOUND
from simlib.etc.sky.model import load_sky
from simlib.etc.terms import run_etc
from simlib.instrument import load_instrument
from simlib.noise import stack_variance
from simlib.text_files import read_file
from simlib.units import AB_ZERO_POINT, ab_flux

NUMBERS, CONDITIONS = "etc_upstream_py.npz", "conditions.csv"
SETTINGS = {  # convention and quadrature
    "default": ("centred", "converged"),
    "nearest": ("upstream", "reference"),
}
MAGNITUDE = 22.0  # of the flat source whose S/N is compared
_TERMS = {
    "sky_continuum_e": "sky_continuum",
    "sky_lines_e": "sky_lines",
    "moon_e": "moon",
    "stray_e": "stray",
    "dark_e": "dark",
    "read_variance_e2": "read",
    "sky_subtraction_variance_e2": "sky_sub_sys",
}


@dataclass(frozen=True)
class Comparison:
    """Ours over theirs: term -> setting -> median over conditions of the mean over pixels.

    None where theirs is nothing, as the Moon of moonless conditions.
    """

    conditions: int
    magnitude: float
    ratios: dict[str, dict[str, float | None]]

    def rows(self) -> list[tuple[str, ...]]:
        """Return the lines of a table, in the order of `SETTINGS`."""
        return [
            (term, *(_text(by_setting[name]) for name in SETTINGS))
            for term, by_setting in self.ratios.items()
        ]


def compare_with_official(folder: str | Path, sky: Sky, magnitude: float = MAGNITUDE) -> Comparison:
    """Return how our terms and S/N compare with the numbers in a folder.

    folder: `conditions.csv`, a list of conditions, and `etc_upstream_py.npz`, arrays in its order
    (README: "Against the official calculator"). Stacks of several exposures are left out, which
    the official tool sums otherwise. Raises InputError for what is not there or does not fit.
    """
    refuse_out_of_bounds("magnitude", np.array([magnitude]), BOUND, lambda _: "--magnitude")
    conditions = read_conditions(Path(folder) / CONDITIONS)
    theirs = _read(Path(folder) / NUMBERS, conditions.sizes["condition"])
    single = np.flatnonzero(conditions["exposure_count"].values == 1.0)
    if not single.size:
        raise InputError(f"{folder}/{CONDITIONS}: no condition has one exposure, which is compared")
    some = conditions.isel(condition=single)
    expected = {name: values[single] for name, values in theirs.items()}
    flux = AB_ZERO_POINT * 10.0 ** (-0.4 * magnitude)
    source = expected["conversion_left_edge"] * flux
    margin = convention_named("upstream").variance_margin
    expected["source"] = source
    expected["variance"] = expected["total_adjusted"] + margin * source
    expected["snr"] = source / np.sqrt(expected["variance"])
    ratios: dict[str, dict[str, float | None]] = {}
    instrument, model = load_instrument(NEWEST_INSTRUMENT), load_sky(sky)
    for name, (convention, quadrature) in SETTINGS.items():
        terms = run_etc(some, instrument, model, convention=convention, quadrature=quadrature)
        for term, found in _ours(terms, magnitude).items():
            ratios.setdefault(term, {})[name] = _ratio(found, expected[_TERMS.get(term, term)])
    return Comparison(int(single.size), magnitude, ratios)


def _read(path: Path, rows: int) -> dict[str, np.ndarray]:
    needed = {*_TERMS.values(), "total_adjusted", "conversion_left_edge"}
    try:
        with np.load(BytesIO(read_file(path, "the official calculator's numbers"))) as file:
            arrays = {name: np.asarray(file[name], dtype=float) for name in needed & set(file)}
    except InputError:
        raise
    except Exception as error:  # a damaged archive leads its readers to anything
        raise InputError(f"{path} is no archive of numbers (.npz): {error}") from None
    odd = [name for name, values in arrays.items() if np.shape(values)[:1] != (rows,)]
    if missing := sorted({*needed - set(arrays), *odd}):
        raise InputError(f"{path}: {', '.join(missing)} are not there for {rows} conditions each")
    shapes = {arrays[name].shape for name in ("total_adjusted", "conversion_left_edge")}
    if len(shapes) > 1:
        raise InputError(f"{path}: total_adjusted and conversion_left_edge differ in their pixels")
    if bad := [name for name, values in arrays.items() if not np.isfinite(values).all()]:
        raise InputError(f"{path}: {', '.join(sorted(bad))} hold what is no finite number")
    return arrays


def _ours(terms: xr.Dataset, magnitude: float) -> dict[str, np.ndarray]:
    source = terms["conversion_e"] * ab_flux(magnitude, terms["wavelength"].values)
    variance = stack_variance(terms, source)
    both = {"source": source, "variance": variance, "snr": source / np.sqrt(variance)}
    count = terms.sizes["condition"]
    found: dict[str, Any] = {name: terms[name] for name in _TERMS} | both
    return {
        name: np.broadcast_to(values.values, (count, *values.shape[1:]))
        for name, values in found.items()
    }


def _text(ratio: float | None) -> str:
    return "—" if ratio is None else f"{ratio:.4f}"


def _ratio(found: np.ndarray, expected: np.ndarray) -> float | None:
    """Compare means over pixels: lines of emission are where they are, and nothing between."""
    ours, theirs = (values.reshape(len(values), -1).mean(axis=1) for values in (found, expected))
    is_there = theirs > 0.0
    return float(np.median(ours[is_there] / theirs[is_there])) if is_there.any() else None
