"""What a file of observed spectra holds, whatever its format: the one shape that readers return.

Wavelengths are in nm and vacuum already; flux and variance are in the file's own unit, pixel by
pixel as the file has them, so that what is made of them can be put beside them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from simlib.errors import InputError, shown
from simlib.spectra.frames import FRAMES, TELLURIC, as_frame, as_telluric, to_barycentre
from simlib.spectra.masks import REJECTED, USUAL
from simlib.spectra.units import MEDIA, FluxUnit, as_flux_unit, as_medium, nanometres

MOST_FLUX = 1e30  # in any unit: squares of it are still numbers
_WAVELENGTHS_NM = (1.0, 1e6)
_RESOLUTIONS = (100.0, 1e6)  # what else is called so is a width
RESOLVING_POWER = ("SPEC_RP", "SPEC_RES")  # cards of the Virtual Observatory, and of ESO


@dataclass(frozen=True)
class Stated:
    """What a person says of files that do not say it themselves.

    flux_unit, wavelength_unit: as astropy writes units, or "relative". medium: "air" or "vacuum".
    reject: which planes of a mask reject a pixel, a name of `masks.REJECTED`. resolution, frame,
    telluric: see `Observed`. Whether a file asks for it or not, what nothing can be made of is
    refused.
    """

    flux_unit: str | None = None
    wavelength_unit: str | None = None
    medium: str | None = None
    reject: str = USUAL
    resolution: float | None = None
    frame: str | None = None
    telluric: str | None = None

    @property
    def is_of_units(self) -> bool:
        """Return whether it says what arrays in memory are known to be."""
        return any((self.flux_unit, self.wavelength_unit, self.medium))

    def __post_init__(self) -> None:
        """Raise InputError, naming the flag, for a word that means nothing."""
        if self.flux_unit is not None and as_flux_unit(self.flux_unit) is None:
            raise InputError(
                f"--flux-unit {shown(self.flux_unit)} is no flux density; give for example nJy, "
                "'erg/(s cm2 AA)' or relative"
            )
        if self.wavelength_unit is not None and nanometres(self.wavelength_unit) is None:
            raise InputError(
                f"--wavelength-unit {shown(self.wavelength_unit)} is no length; give for example "
                "nm or Angstrom"
            )
        if self.medium is not None and as_medium(self.medium) is None:
            raise InputError(f"--medium {shown(self.medium)} is unknown; known: {', '.join(MEDIA)}")
        if self.reject not in REJECTED:
            raise InputError(
                f"--reject {shown(self.reject)} is unknown; known: {', '.join(REJECTED)}"
            )
        if self.resolution is not None and as_resolution(self.resolution) is None:
            raise InputError(
                f"--resolution {shown(self.resolution)} is none; wavelength over the width (FWHM) "
                f"of a line was expected, {_RESOLUTIONS[0]:g} to {_RESOLUTIONS[1]:g}"
            )
        for name, value, meant, known in (
            ("frame", self.frame, as_frame(self.frame), FRAMES),
            ("telluric", self.telluric, as_telluric(self.telluric), TELLURIC),
        ):
            if value is not None and not meant:
                raise InputError(f"--{name} {shown(value)} is unknown; known: {', '.join(known)}")


def as_resolution(value: Any) -> float | None:
    """Return a resolution, wavelength over the FWHM of a line, None where a value is none."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if _RESOLUTIONS[0] <= found <= _RESOLUTIONS[1] else None


def usable_pixels(flux: np.ndarray, variance: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return where a pixel says something of the star; all of one shape."""
    with np.errstate(invalid="ignore"):
        is_flux = np.abs(flux) < MOST_FLUX
        is_variance = (variance > 0.0) & (variance < MOST_FLUX**2)
    return np.asarray(~mask & is_flux & is_variance)


@dataclass(frozen=True, eq=False)
class Observed:
    """One spectrum. Arrays are (pixels,) float64 but for `mask`, which is True where rejected.

    name: within its file. product: the kind of file. beside: (2, pixels) covariance with the pixel
    one and two further on, numbers of any type, None where pixels are independent. frame: a name of
    `frames.FRAMES`, empty where neither file nor person says it; to_barycentre_km_s: see `frames`,
    NaN where it is not known. telluric: a name of `frames.TELLURIC`, or empty. resolution: in the
    arm, None where it is not known. notes: what was assumed or done, for a person.
    """

    name: str
    product: str
    wavelength: np.ndarray
    flux: np.ndarray
    variance: np.ndarray
    mask: np.ndarray
    unit: FluxUnit
    beside: np.ndarray | None = None
    frame: str = ""
    to_barycentre_km_s: float = math.nan
    telluric: str = ""
    resolution: float | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise InputError where the arrays are not of one length."""
        sizes = {
            name: getattr(self, name).shape for name in ("wavelength", "flux", "variance", "mask")
        }
        if len(set(sizes.values())) > 1 or self.flux.ndim != 1 or not self.flux.size:
            told = ", ".join(f"{name} {shape}" for name, shape in sizes.items())
            raise InputError(
                f"spectrum {self.name}: arrays of different shapes ({told}); as many values of "
                "each as there are pixels were expected"
            )

    @property
    def is_usable(self) -> np.ndarray:
        """Return where a pixel says something of the star."""
        return usable_pixels(self.flux, self.variance, self.mask)

    def completed(self, cards: Mapping[str, Any], stated: Stated) -> "Observed":
        """Return it with what its file's cards say that its format does not, then what is stated.

        cards: of the star alone; of many in a file they do not say where one of them is.
        """
        frame = self.frame or as_frame(cards.get("SPECSYS")) or as_frame(stated.frame)
        said = (as_resolution(cards.get(name)) for name in RESOLVING_POWER)
        velocity = self.to_barycentre_km_s
        return replace(
            self,
            frame=frame,
            to_barycentre_km_s=to_barycentre(frame, cards) if math.isnan(velocity) else velocity,
            telluric=self.telluric
            or as_telluric(cards.get("TELLURIC"))
            or as_telluric(stated.telluric),
            resolution=self.resolution or next(filter(None, said), None) or stated.resolution,
        )

    def refuse_wavelengths(self) -> None:
        """Raise InputError unless the wavelengths are numbers that go one way."""
        low, high = _WAVELENGTHS_NM
        bad = ~((self.wavelength >= low) & (self.wavelength <= high))
        if bad.any():
            at = int(np.argmax(bad))
            raise InputError(
                f"spectrum {self.name}: the wavelength of pixel {at} is "
                f"{self.wavelength[at]:g} nm; one between {low:g} and {high:g} was expected; is "
                "its unit right (--wavelength-unit)?"
            )
        steps = np.diff(self.wavelength)
        if steps.size and not (np.all(steps > 0.0) or np.all(steps < 0.0)):
            wrong = steps <= 0.0 if np.median(steps) > 0.0 else steps >= 0.0
            at = int(np.argmax(wrong))
            raise InputError(
                f"spectrum {self.name}: wavelengths go back at pixel {at + 1} "
                f"({self.wavelength[at + 1]:.6g} nm after {self.wavelength[at]:.6g}); sort them"
            )
