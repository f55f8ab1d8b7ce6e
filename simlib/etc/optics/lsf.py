"""The line spread function of the spectrograph, pixel included.

It is described by a modulation transfer function of the frequency along the detector (cycles per
pixel), real and even. The same function holds along and across the dispersion. It depends on
wavelength alone: the fibre scrambles whatever the sky and telescope do.
"""

from functools import cache

import numpy as np
from scipy.special import j1

from simlib.errors import InputError
from simlib.etc.optics.silicon import absorption_length_um, refractive_index
from simlib.instrument import Instrument
from simlib.units import FWHM_PER_SIGMA

FREQUENCY_STEP = 0.005  # sets the aliasing period, 200 pixels: never coarser
FREQUENCY = FREQUENCY_STEP * (np.arange(200) + 0.5)  # nothing is left beyond 1 cycle per pixel
SILICON_LAYERS = 6
BACK_REFLECTION = 0.3
FIT_HALF_WINDOW_PIXELS = 5.0  # the fitted sigma's window; the second moment has no limit
FIT_STEP_PIXELS = 0.1
FIT_STEPS = 12  # each squares the error; 5 are enough
WAVELENGTH_RANGE_NM = (695.0, 900.0)  # of the smooth form over wavelength
SMOOTH_NODES = 16
LSF_KINDS = ("etc", "table2", "profile")


def optical_mtf(
    instrument: Instrument, wavelength_nm: np.ndarray, frequency: np.ndarray = FREQUENCY
) -> np.ndarray:
    """Return the transfer of fibre, camera, grating, silicon and pixel, (wavelength, frequency).

    frequency: cycles per pixel, > 0. Hirata et al. 2012 (arXiv:1204.5151).
    """
    wavelength = np.atleast_1d(np.asarray(wavelength_nm, dtype=np.float64))[:, None]
    u = np.asarray(frequency, dtype=np.float64)[None, :]
    disc = np.pi * instrument.image_diameter_um / instrument.pixel_um * u
    spot = instrument.camera_spot_rms_um / instrument.pixel_um
    fixed = 2.0 * j1(disc) / disc * np.sinc(u) * np.exp(-2.0 * np.pi**2 * spot**2 * u**2)
    width = wavelength / (instrument.pixel_nm * instrument.grating_lines)
    return np.asarray(fixed * np.exp(-width * u) * _defocus(instrument, wavelength, u))


def _defocus(instrument: Instrument, wavelength: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Blur of a fast beam absorbed over a range of depths: six layers, a three-ray disc."""
    absorption = absorption_length_um(wavelength, instrument.temperature_k)
    index = refractive_index(wavelength)
    layer = instrument.silicon_thickness_um / 3.0
    q = layer / absorption
    first = absorption * (1.0 - (1.0 + q) * np.exp(-q)) / -np.expm1(-q)
    total, norm = np.zeros(np.broadcast_shapes(wavelength.shape, u.shape)), np.zeros_like(q)
    for i in range(SILICON_LAYERS):
        depth = first + i * layer
        weight = np.exp(-i * q)
        weight = np.where(depth > instrument.silicon_thickness_um, BACK_REFLECTION, 1.0) * weight
        b = np.pi * u * depth / (index * instrument.camera_focal_ratio * instrument.pixel_um)
        total += weight * (np.cos(0.866025404 * b) / 6.0 + np.cos(0.5 * b) / 2.0 + 1.0 / 3.0)
        norm += weight
    return np.asarray(total / norm)


def mtf(instrument: Instrument, wavelength_nm: np.ndarray, lsf: str = "etc") -> np.ndarray:
    """Return the transfer along the dispersion, (wavelength, frequency of `FREQUENCY`).

    lsf: "etc" or "profile" the optical model; "table2" the Gaussian that the instrument's table 2
    prints, taken to include the pixel.
    """
    if check_kind(lsf) != "table2":
        return optical_mtf(instrument, wavelength_nm)
    sigma = instrument.table2["resolution_nm"] / FWHM_PER_SIGMA / instrument.pixel_nm
    gauss = np.exp(-2.0 * np.pi**2 * sigma**2 * FREQUENCY**2)
    return np.tile(gauss, (np.size(wavelength_nm), 1))


def check_kind(lsf: str) -> str:
    """Return the kind of line spread function, or raise InputError."""
    if lsf not in LSF_KINDS:
        raise InputError(f"unknown lsf {lsf!r}; known: {', '.join(LSF_KINDS)}")
    return lsf


def profile(transfer: np.ndarray, offset_pixels: np.ndarray) -> np.ndarray:
    """Return the fraction of a line's light in a pixel centred `offset_pixels` from it.

    transfer: (wavelength, frequency); offset_pixels: (offset,), |offset| < 100.
    Returns (wavelength, offset). Sums to 1, less the far wings, over steps of one pixel.
    """
    waves = np.cos(2.0 * np.pi * np.outer(FREQUENCY, offset_pixels))
    return np.asarray(2.0 * FREQUENCY_STEP * transfer @ waves)


def trace_fractions(
    instrument: Instrument, wavelength_nm: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the light of a trace inside its own width, without and with its two neighbours.

    Both have the shape of wavelength_nm. A target has no neighbour of its kind; the sky has.
    """
    pixels = np.arange(instrument.trace_width_pixels) - (instrument.trace_width_pixels - 1) / 2
    apart = instrument.trace_separation_um / instrument.pixel_um
    transfer = optical_mtf(instrument, wavelength_nm)
    own = profile(transfer, pixels).sum(axis=1)
    others = profile(transfer, pixels + apart).sum(axis=1)
    return own, own + others + profile(transfer, pixels - apart).sum(axis=1)


def fitted_sigma_pixels(transfer: np.ndarray) -> np.ndarray:
    """Return the sigma of the least-squares Gaussian within ±5 pixels, one per wavelength, pixels.

    Amplitude and width are free; the profile (already pixel-integrated) is sampled every 0.1.
    """
    steps = round(FIT_HALF_WINDOW_PIXELS / FIT_STEP_PIXELS)
    offset = FIT_STEP_PIXELS * np.arange(-steps, steps + 1)

    shapes = profile(transfer, offset)
    amplitude, sigma = shapes.max(axis=1), np.full(len(shapes), 1.3)
    for _ in range(FIT_STEPS):  # Gauss-Newton, all wavelengths together
        bell = np.exp(-0.5 * (offset / sigma[:, None]) ** 2)
        by_sigma = (amplitude / sigma**3)[:, None] * offset**2 * bell
        left = shapes - amplitude[:, None] * bell
        slopes = np.stack([bell, by_sigma], axis=-1)
        normal = np.einsum("woi,woj->wij", slopes, slopes)
        right = np.einsum("woi,wo->wi", slopes, left)
        step = np.linalg.solve(normal, right[..., None])[..., 0]
        amplitude, sigma = amplitude + step[:, 0], sigma + step[:, 1]
    return sigma


def lsf_sigma(instrument: Instrument, wavelength_nm: np.ndarray, lsf: str = "etc") -> np.ndarray:
    """Return the fitted Gaussian sigma, pixel included, nm, same shape; smooth in wavelength.

    wavelength_nm: within 695-900 nm. See `fitted_sigma_pixels` for the definition of sigma.
    """
    wavelength = np.asarray(wavelength_nm, dtype=np.float64)
    low, high = WAVELENGTH_RANGE_NM
    if np.any(wavelength < low) or np.any(wavelength > high):
        raise InputError(
            f"lsf_sigma is known from {low:g} to {high:g} nm, "
            f"not at {wavelength.min():.2f}-{wavelength.max():.2f} nm"
        )
    return np.asarray(_sigma_series(instrument, check_kind(lsf))(wavelength))


@cache
def _sigma_series(instrument: Instrument, lsf: str) -> np.polynomial.Chebyshev:
    """Least-squares polynomial of degree 7 over fits at 16 wavelengths: good to 3e-6."""
    nodes = smooth_nodes()
    sigma = fitted_sigma_pixels(mtf(instrument, nodes, lsf)) * instrument.pixel_nm
    return np.polynomial.Chebyshev.fit(nodes, sigma, deg=7, domain=list(WAVELENGTH_RANGE_NM))


def smooth_nodes() -> np.ndarray:
    """Return the Chebyshev wavelengths at which functions smooth in wavelength are computed."""
    low, high = WAVELENGTH_RANGE_NM
    angle = np.pi * (np.arange(SMOOTH_NODES) + 0.5) / SMOOTH_NODES
    return 0.5 * (low + high) - 0.5 * (high - low) * np.cos(angle)


def smooth_weights(wavelength_nm: np.ndarray) -> np.ndarray:
    """Return (wavelength, node) weights of the polynomial through `smooth_nodes`."""
    low, high = WAVELENGTH_RANGE_NM
    series = np.polynomial.chebyshev.chebvander
    scaled = (2.0 * np.asarray(wavelength_nm) - low - high) / (high - low)
    scaled_nodes = (2.0 * smooth_nodes() - low - high) / (high - low)
    at_nodes = series(scaled_nodes, SMOOTH_NODES - 1)
    return np.asarray(series(scaled, SMOOTH_NODES - 1) @ np.linalg.inv(at_nodes))
