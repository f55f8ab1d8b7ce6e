"""Spectra that come as objects of other libraries: specutils' `Spectrum`, xarray's `Dataset`.

They are known by what they have, not by their class: none of these libraries is needed.
"""

from typing import Any

import numpy as np

from simlib.errors import InputError
from simlib.spectra.columns import WORDS, Columns, read_columns
from simlib.spectra.observed import Observed, Stated

_UNCERTAINTIES = {"std": 1, "var": 2, "ivar": -2}  # powers of the flux's unit


def observed_in(thing: Any, stated: Stated) -> tuple[list[Observed], bool]:
    """Return the spectra that an object holds, and whether it is of several.

    stated: what it does not say itself; specutils has no word for the medium of wavelengths. Raises
    InputError for what is no such object, and for what it does not say and nobody states.
    """
    if hasattr(thing, "spectral_axis") and hasattr(thing, "flux"):
        columns = _of_spectrum(thing)
    elif hasattr(thing, "data_vars") and "flux" in thing and "wavelength" in thing:
        columns = _of_dataset(thing)
    else:
        raise InputError(
            f"a {type(thing).__name__} holds no spectrum; give wavelength, flux and variance, an "
            "xarray Dataset with these, or a specutils Spectrum"
        )
    found = [one.completed({}, stated) for one in read_columns(columns, stated)]
    return found, np.ndim(columns.values["flux"]) > 1


def _of_spectrum(spectrum: Any) -> Columns:
    uncertainty = spectrum.uncertainty
    kind = getattr(uncertainty, "uncertainty_type", None)
    if kind not in _UNCERTAINTIES:
        raise InputError(
            f"the spectrum's uncertainty is {kind or 'missing'}; one of the types "
            f"{', '.join(_UNCERTAINTIES)} was expected"
        )
    unit = spectrum.flux.unit
    expected = unit ** _UNCERTAINTIES[kind]
    if uncertainty.unit not in (None, expected):
        raise InputError(
            f"the spectrum's uncertainty is in {uncertainty.unit}, its flux in {unit}; {expected} "
            "was expected"
        )
    values = {
        "wavelength": spectrum.spectral_axis.value,
        "flux": spectrum.flux.value,
        kind: uncertainty.array,
    }
    if spectrum.mask is not None:
        values["mask"] = np.asarray(spectrum.mask).astype(int)
    units = {"wavelength": str(spectrum.spectral_axis.unit), "flux": str(unit)}
    return Columns(type(spectrum).__name__, values, units, {})


def _of_dataset(dataset: Any) -> Columns:
    axis = dataset["wavelength"].dims[-1]
    held = {name: dataset[name] for name in dataset.variables if axis in dataset[name].dims}
    values = {str(name): one.transpose(..., axis).values for name, one in held.items()}
    if "mask" in values:
        values["mask"] = values["mask"].astype(int)
    units = {str(name): str(one.attrs["units"]) for name, one in held.items()
             if "units" in one.attrs}  # fmt: skip
    said = dataset.attrs | dataset["wavelength"].attrs
    told = {name: str(said[name]) for name in WORDS if name in said}
    return Columns("Dataset", values, units, told)
