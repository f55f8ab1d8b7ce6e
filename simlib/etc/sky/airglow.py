"""Light of the night sky itself: its continuum, and its emission lines spread over pixels."""

import numpy as np
from scipy.sparse import csr_array

from simlib.etc.conventions import Convention
from simlib.etc.optics import lsf
from simlib.instrument import Instrument
from simlib.units import PHOTONS_PER_ERG_NM

# line intensities are in 1e-16 erg s-1 cm-2 arcsec-2; x wavelength (nm) = photon s-1 m-2 arcsec-2
PHOTONS_PER_INTENSITY = 1e-12 * PHOTONS_PER_ERG_NM


def continuum_radiance(wavelength_nm: np.ndarray, model: int = 5) -> np.ndarray:
    """Return the sky continuum above the atmosphere, photon s-1 m-2 arcsec-2 nm-1, same shape.

    Fit to a sky spectrum of J. Gunn, revised by the PFS project in 2015 (model 5); model 6 has a
    colour term below 800 nm, where it jumps. Holds beyond 600 nm.
    """
    w = np.asarray(wavelength_nm, dtype=np.float64)
    bump = 0.55 * np.exp(-0.005 * (w - 594.0) ** 2)
    magnitude = 24.316 - 5.199e-3 * w + 1.465e-6 * w**2 - bump - 6.14656e9 / w**4
    flux = 0.01089 * 10.0 ** (0.4 * (22.5 - magnitude)) * 1e6 / w**2 * 1e-11
    colour = np.where(w <= 800.0, 1.77400498 - 1.02278215e-3 * w, 1.0) if model == 6 else 1.0
    return np.asarray(flux * PHOTONS_PER_ERG_NM * w * colour)


def line_spread(
    instrument: Instrument, convention: Convention, wavelength_nm: np.ndarray, kind: str = "etc"
) -> tuple[np.ndarray, csr_array]:
    """Return which lines reach the detector (line,) and the share of each in each pixel.

    The matrix is (pixel, line kept); a column is the line spread function at the line, at the
    true distance of every pixel's centre, cut to the convention's window.
    """
    half, count = convention.line_window // 2, instrument.pixel_count
    place = (wavelength_nm - instrument.wavelength_min_nm) / instrument.pixel_nm
    middle = (np.rint(place) if convention.line_window_rounds else np.floor(place)).astype(int)
    reaches = (middle >= -half) & (middle < count + half)
    place, start = place[reaches], middle[reaches] - half
    if convention.line_window_is_moved:
        start = np.clip(start, 0, count - 2 * half)
    centre = 0.5 - convention.line_displacement
    shares = _profile_rows(
        lsf.mtf(instrument, wavelength_nm[reaches], kind), start + centre - place, 2 * half
    )
    pixel = start[:, None] + np.arange(2 * half)
    column = np.broadcast_to(np.arange(place.size)[:, None], pixel.shape)
    on = (pixel >= 0) & (pixel < count)
    matrix = csr_array((shares[on], (pixel[on], column[on])), shape=(count, place.size))
    return reaches, matrix


def _profile_rows(transfer: np.ndarray, first_offset: np.ndarray, count: int) -> np.ndarray:
    """Return the profile of each line at first_offset + 0 … count-1 pixels, (line, count).

    Angle addition turns the cosines of every line and pixel into two matrix products.
    """
    turn = 2.0 * np.pi * lsf.FREQUENCY
    middle = count // 2
    line = np.multiply.outer(first_offset + middle, turn)
    pixel = np.multiply.outer(turn, np.arange(count) - middle)
    even = (transfer * np.cos(line)) @ np.cos(pixel)
    odd = (transfer * np.sin(line)) @ np.sin(pixel)
    return np.asarray(2.0 * lsf.FREQUENCY_STEP * (even - odd))
