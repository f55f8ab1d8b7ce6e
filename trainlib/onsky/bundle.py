"""A bundle: a trained network with all that is needed to denoise observed spectra, in one folder.

`manifest.json` says what it is, `network.safetensors` holds the arrays, `trust.json` how far its
word is to be trusted, `README.md` is for people.
Nothing in it can run: the arrays are plain, and every byte is compared with its digest on opening.
Only what cannot be derived is held; arrays of other names beside the network's are left alone.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from safetensors.numpy import load

from simlib.artifact import Record, parse_record, read_record, reading
from simlib.errors import InputError
from simlib.location import Location, Place
from simlib.units import FWHM_PER_SIGMA
from trainlib.onsky.network import network_of
from trainlib.rest.axis import RestAxis
from trainlib.rest.denoiser import RestDenoiser
from trainlib.trust.model import TRUST, Trust, TrustRecord

SHIPPED = Path(__file__).parent / "shipped"  # trained on the preset `survey`
MANIFEST, ARRAYS, CARD = "manifest.json", "network.safetensors", "README.md"
WAVELENGTH, LSF = "wavelength", "lsf_sigma"  # among the arrays, the network's beside them
_OFF = 0.1  # pixels that a wavelength lies from where the network has it, at most
_REMEDY = "export the run again with `specdenoise export RUN BUNDLE`"


class BundleManifest(Record):
    """What `manifest.json` says of a bundle.

    fingerprint: of the network, its pixels, its scale and its trust. model: the section that made
    the network. files: the SHA-256 of each. window_nm, median: how flux is normalised. ranges: that
    the training stars were drawn from. resolution: of the training spectra in the arm. lineage:
    what it was made from. results: of its evaluation, None where there was none. simulator: that
    made the training spectra, see `simulator`.
    """

    remedy: ClassVar[str] = _REMEDY
    kind: Literal["bundle"] = "bundle"
    fingerprint: str
    model: dict[str, Any]
    files: dict[str, str]
    wavelength_unit: Literal["nm"] = "nm"
    medium: Literal["vacuum"] = "vacuum"
    flux: Literal["per wavelength"] = "per wavelength"
    window_nm: tuple[float, float]
    median: float
    resolution: float
    ranges: dict[str, tuple[float, float]]
    lineage: dict[str, Any]
    licence: str
    provenance: dict[str, Any]
    results: dict[str, Any] | None = None
    simulator: dict[str, Any] | None = None


@dataclass(frozen=True, eq=False)
class Opened:
    """A bundle in memory. wavelength: (pixels,) nm, vacuum, even.

    lsf_sigma: (pixels,) nm, of the training spectra's lines, the pixel included.
    """

    place: Location
    manifest: BundleManifest
    wavelength: np.ndarray
    lsf_sigma: np.ndarray
    network: RestDenoiser
    trust: Trust


def open_bundle(place: Place) -> Opened:
    """Return a bundle. Raises InputError where there is none, or where a byte differs."""
    folder = Location.of(place)
    manifest = read_record(folder / MANIFEST, BundleManifest)
    if manifest is None:
        raise InputError(f"{folder} is no bundle: it holds no {MANIFEST}; {_REMEDY}")
    path = folder / ARRAYS
    held = folder.read_files((ARRAYS, TRUST, CARD))
    for name in (ARRAYS, TRUST, CARD):
        if name not in held:
            raise InputError(f"{folder / name} is gone; {_REMEDY}")
        if hashlib.sha256(held[name]).hexdigest() != manifest.files.get(name):
            raise InputError(
                f"{folder / name} is damaged: its bytes are not those of {MANIFEST}; {_REMEDY}"
            )
    with reading(path, _REMEDY):
        arrays = load(held[ARRAYS])
        wavelength = arrays.pop(WAVELENGTH)
        try:
            network = network_of(manifest.model, arrays)
        except InputError as error:
            raise InputError(f"{path}: {error}; {_REMEDY}") from None
        _refuse_other(wavelength, network.frame.axis)
        lsf_sigma = _lsf_sigma(arrays, wavelength, manifest.resolution)
    trust = Trust.of(parse_record(folder / TRUST, held[TRUST], TrustRecord))
    return Opened(folder, manifest, wavelength, lsf_sigma, network, trust)


def _refuse_other(wavelength: np.ndarray, axis: RestAxis) -> None:
    """Raise ValueError unless wavelengths are those of the pixels that the network is of."""
    expected = axis.observed + axis.pitch * np.arange(axis.pixels)
    is_one = wavelength.shape == expected.shape
    if not (is_one and np.all(np.abs(wavelength - expected) < _OFF * axis.pitch)):
        raise ValueError(f"its {WAVELENGTH} is not that of the network's {axis.pixels} pixels")


def _lsf_sigma(
    arrays: dict[str, np.ndarray], wavelength: np.ndarray, resolution: float
) -> np.ndarray:
    """Take the widths of lines from arrays; of a bundle that has none, those of one resolution."""
    found: np.ndarray = arrays.pop(LSF, wavelength / (FWHM_PER_SIGMA * resolution))
    most = 0.1 * float(np.ptp(wavelength))
    if found.shape != wavelength.shape or not np.all((found > 0.0) & (found < most)):
        raise ValueError(f"its {LSF} are no widths of the lines of {wavelength.size} pixels")
    return found
