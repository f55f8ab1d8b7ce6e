"""The kernel that turns a template into pixels.

A pixel sees the spectrum through Gaussian(sigma_k) convolved with a box of the pixel's width, with
sigma_k^2 = lsf_sigma^2 - pixel^2 / 12 - sigma_template^2: `lsf_sigma` includes the pixel, and the
template's own broadening is taken out in quadrature. Sigma is that at the pixel which receives.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from simlib.errors import InputError
from simlib.units import FWHM_PER_SIGMA

_EDGE_PIXELS = 256  # over which the trend is taken that continues sigma beyond the arm


@dataclass(frozen=True)
class LineSpread:
    """Width of the instrument's lines over the arm, and the resolution of the templates.

    wavelength: pixel centres (p,), nm. lsf_sigma: (p,), nm, including the pixel box.
    """

    wavelength: np.ndarray
    lsf_sigma: np.ndarray
    template_resolution: float

    @property
    def pixel_nm(self) -> float:
        """Return the width of a pixel, nm."""
        return float((self.wavelength[-1] - self.wavelength[0]) / (len(self.wavelength) - 1))

    def sigma(self, wavelength_nm: np.ndarray) -> np.ndarray:
        """Return lsf_sigma at any wavelength: linear between pixels, its trend beyond the arm."""
        inside = np.interp(wavelength_nm, self.wavelength, self.lsf_sigma)
        for end, edge in ((0, slice(None, _EDGE_PIXELS)), (-1, slice(-_EDGE_PIXELS, None))):
            slope = np.polyfit(self.wavelength[edge], self.lsf_sigma[edge], 1)[0]
            beyond = wavelength_nm - self.wavelength[end]
            outside = beyond < 0 if end == 0 else beyond > 0
            inside = inside + np.where(outside, slope * beyond, 0.0)
        return np.asarray(inside)

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


def box_gaussian(offset: np.ndarray, sigma: np.ndarray, width: float) -> np.ndarray:
    """Return a Gaussian convolved with a box, area 1, at the offsets (nm); broadcasts."""
    right, left = (offset + 0.5 * width) / sigma, (offset - 0.5 * width) / sigma
    return np.asarray((ndtr(right) - ndtr(left)) / width)
