"""The kernel that turns a template into pixels.

A pixel sees the spectrum through Gaussian(sigma_k) convolved with a box of the pixel's width, with
sigma_k^2 = lsf_sigma^2 - pixel^2 / 12 - sigma_template^2: `lsf_sigma` includes the pixel, and the
template's own broadening is taken out in quadrature. Sigma is that at the pixel which receives.

Instead of the Gaussian, the calculator's tabulated line profile may be used, wings and all. It
holds the pixel already; the template's broadening is divided out of its Fourier transform.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray as xr
from scipy.interpolate import RectBivariateSpline
from scipy.special import ndtr

from simlib.errors import InputError
from simlib.etc.optics.lsf import FREQUENCY, profile
from simlib.units import FWHM_PER_SIGMA

_FALL_PIXELS = 4.0  # over which a tabulated profile falls to nothing at the ends of its table
_FADE = (0.7, 1.0)  # cycles a pixel, over which its transfer falls to nothing
_EDGE_PIXELS = 256  # over which the trend is taken that continues sigma beyond the arm


@dataclass(frozen=True, eq=False)
class Profile:
    """Lines as tabulated: share (k, n) of a line at wavelength (k,), in a pixel at offset (n,).

    Wavelengths are in nm, offsets even, symmetric, in pixels.
    """

    wavelength: np.ndarray
    offset: np.ndarray
    share: np.ndarray


@dataclass(frozen=True, eq=False)
class LineSpread:
    """Width of the instrument's lines over the arm, and the resolution of the templates.

    wavelength: pixel centres (p,), nm. lsf_sigma: (p,), nm, including the pixel box.
    profile: takes the place of the Gaussian where there is one.
    """

    wavelength: np.ndarray
    lsf_sigma: np.ndarray
    template_resolution: float
    profile: Profile | None = None

    @property
    def pixel_nm(self) -> float:
        """Return the width of a pixel, nm."""
        return float((self.wavelength[-1] - self.wavelength[0]) / (len(self.wavelength) - 1))

    def sigma(self, wavelength_nm: np.ndarray) -> np.ndarray:
        """Return lsf_sigma at any wavelength: linear between pixels, its trend beyond the arm."""
        inside = np.interp(wavelength_nm, self.wavelength, self.lsf_sigma)
        for end, slope in zip((0, -1), self._end_slopes, strict=True):
            beyond = wavelength_nm - self.wavelength[end]
            outside = beyond < 0 if end == 0 else beyond > 0
            inside = inside + np.where(outside, slope * beyond, 0.0)
        return np.asarray(inside)

    @cached_property
    def _end_slopes(self) -> tuple[float, ...]:
        slopes = []
        for end, edge in ((0, slice(None, _EDGE_PIXELS)), (-1, slice(-_EDGE_PIXELS, None))):
            beside = self.wavelength[edge] - self.wavelength[end]
            bend = min(2, len(beside) - 1)
            slopes.append(float(np.polyfit(beside, self.lsf_sigma[edge], bend)[-2]))
        return tuple(slopes)

    def second_moment(self, wavelength_nm: np.ndarray) -> np.ndarray:
        """Return the variance of the whole kernel, pixel included, nm^2."""
        template = wavelength_nm / (FWHM_PER_SIGMA * self.template_resolution)
        return np.asarray(self.sigma(wavelength_nm) ** 2 - template**2)

    def kernel_sigma(self, wavelength_nm: np.ndarray) -> np.ndarray:
        """Return sigma_k, the Gaussian part of the kernel, nm.

        Raises InputError where the templates are not sharp enough for the instrument.
        """
        variance = self.second_moment(wavelength_nm) - self.pixel_nm**2 / 12.0
        if np.any(variance <= 0.0):
            raise InputError(
                f"the stellar grid's resolution R = {self.template_resolution:g} is too low for "
                f"this instrument (line width {self.lsf_sigma.min():.4f} nm rms); "
                "choose a grid of higher resolution"
            )
        return np.asarray(np.sqrt(variance))

    def reach(self, wavelength_nm: np.ndarray, sigmas: float) -> np.ndarray:
        """Return how far the kernel is summed, nm: this many sigmas, or the profile's table."""
        if self.profile is not None:
            return np.full(np.shape(wavelength_nm), self.profile.offset[-1] * self.pixel_nm)
        return np.asarray(sigmas * self.kernel_sigma(wavelength_nm) + 0.5 * self.pixel_nm)

    def kernel(self, offset: np.ndarray, wavelength_nm: np.ndarray) -> np.ndarray:
        """Return the kernel, area 1 per nm, at offsets (nm) from pixels at wavelength_nm."""
        if self.profile is None:
            return box_gaussian(offset, self.kernel_sigma(wavelength_nm), self.pixel_nm)
        pixels, places = np.broadcast_arrays(offset / self.pixel_nm, wavelength_nm)
        return np.asarray(self._sharpened.ev(places, pixels) / self.pixel_nm)

    @cached_property
    def _sharpened(self) -> RectBivariateSpline:
        """The profile without the template's broadening, area 1 within its table, per pixel.

        It is known at the arm; its trend goes on for one step of the table, and is held beyond.
        """
        if (table := self.profile) is None:
            raise AssertionError("a Gaussian line spread has no profile")
        step = table.offset[1] - table.offset[0]
        wavelength = np.pad(table.wavelength, 1, mode="reflect", reflect_type="odd")
        share = np.pad(table.share, ((1, 1), (0, 0)), mode="reflect", reflect_type="odd")
        waves = np.cos(2.0 * np.pi * np.outer(table.offset, FREQUENCY))
        transfer = np.einsum("ko,of->kf", share, waves) * step
        sigma = wavelength / (FWHM_PER_SIGMA * self.template_resolution) / self.pixel_nm
        # The lines leave 1e-5 of waves this short, which the next step would lift to 1e-4.
        fade = np.clip((FREQUENCY - _FADE[0]) / (_FADE[1] - _FADE[0]), 0.0, 1.0)
        transfer = transfer * np.cos(0.5 * np.pi * fade) ** 2
        transfer = transfer * np.exp(2.0 * (np.pi * sigma[:, np.newaxis] * FREQUENCY) ** 2)
        # A wing that ends in a step would weigh a template's sample there or not, by chance.
        fall = np.clip((table.offset[-1] - np.abs(table.offset)) / _FALL_PIXELS, 0.0, 1.0)
        shape = profile(transfer, table.offset) * np.sin(0.5 * np.pi * fall) ** 2
        shape /= (shape.sum(axis=1) * step)[:, np.newaxis]
        return RectBivariateSpline(wavelength, table.offset, shape)


def line_spread_of(terms: xr.Dataset, template_resolution: float) -> LineSpread:
    """Return the line spread of the calculator's terms: the profile where they ask for it."""
    tabulated = None
    if terms.attrs.get("lsf") == "profile":
        names = ("wavelength_lsf", "offset", "lsf_profile")
        tabulated = Profile(*(terms[name].values for name in names))
    return LineSpread(
        terms["wavelength"].values, terms["lsf_sigma"].values, template_resolution, tabulated
    )


def box_gaussian(offset: np.ndarray, sigma: np.ndarray, width: float) -> np.ndarray:
    """Return a Gaussian convolved with a box, area 1, at the offsets (nm); broadcasts."""
    right, left = (offset + 0.5 * width) / sigma, (offset - 0.5 * width) / sigma
    return np.asarray((ndtr(right) - ndtr(left)) / width)
