"""The air above the telescope: its path length, smooth extinction, smoothed line absorption."""

import numpy as np

from simlib.etc.conventions import Convention
from simlib.etc.optics import lsf
from simlib.etc.sky.model import SkyModel
from simlib.instrument import Instrument


def airmass(zenith_angle_deg: np.ndarray) -> np.ndarray:
    """Return the path of a curved atmosphere in units of the vertical one, finite at the horizon.

    Any shape, degrees. Krisciunas & Schaefer 1991, eq. 3; used for sky brightness and the Moon.
    """
    return np.asarray(1.0 / np.sqrt(1.0 - 0.96 * np.sin(np.deg2rad(zenith_angle_deg)) ** 2))


def slant(zenith_angle_deg: np.ndarray) -> np.ndarray:
    """Return the path of a plane atmosphere, 1/cos; used for transmission."""
    return np.asarray(1.0 / np.cos(np.deg2rad(zenith_angle_deg)))


def airmass_of_slant(slant_path: np.ndarray) -> np.ndarray:
    """Return `airmass` of the zenith angle whose `slant` is given."""
    return np.asarray(1.0 / np.sqrt(1.0 - 0.96 * (1.0 - 1.0 / np.asarray(slant_path) ** 2)))


def smooth_transmission(magnitudes: np.ndarray, path: np.ndarray) -> np.ndarray:
    """Return 10^(-0.4 k path), (row, wavelength), for k (wavelength,) and path (row,)."""
    return np.asarray(np.exp(np.multiply.outer(path, -0.4 * np.log(10.0) * magnitudes)))


def smoothed_by_lsf(
    instrument: Instrument,
    convention: Convention,
    kind: str,
    place: float,
    curves: "FineCurves",
) -> np.ndarray:
    """Return curves over wavelength as the detector's pixels see them, (curve, pixel).

    Each is averaged with the line spread function as weight over a window of whole pixels.
    place: 0.5 for pixel centres, 0 for left edges. See `Convention` for the taps.
    """
    c = convention
    step = 1.0 / c.taps_per_pixel
    count = c.taps * c.taps_per_pixel
    weight_offset = (np.arange(count) + 0.5) * step - 0.5 * c.taps
    weights = _weights(instrument, kind, place, weight_offset)
    # one fine sample series serves all pixels: pixel i begins i x taps_per_pixel taps further on
    total = (instrument.pixel_count + c.taps - 1) * c.taps_per_pixel
    first = place + weight_offset[0] + c.tap_displacement
    fine = (np.arange(c.samples_per_tap) - 0.5 * (c.samples_per_tap - 1)) / c.samples_per_tap
    pixel = first + step * (np.arange(total)[:, None] + fine[None, :])
    series = curves(instrument.wavelength_min_nm + instrument.pixel_nm * pixel).mean(axis=-1)
    windows = np.lib.stride_tricks.sliding_window_view(series, count, axis=-1)
    windows = windows[:, :: c.taps_per_pixel]
    return np.stack([np.einsum("pt,pt->p", window, weights) for window in windows])


def _weights(
    instrument: Instrument, kind: str, place: float, offset_pixels: np.ndarray
) -> np.ndarray:
    wavelength = instrument.wavelength_min_nm + instrument.pixel_nm * (
        np.arange(instrument.pixel_count) + place
    )
    shapes = lsf.profile(lsf.mtf(instrument, lsf.smooth_nodes(), kind), offset_pixels)
    weights = lsf.smooth_weights(wavelength) @ shapes
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


class FineCurves:
    """Line transmission raised to each of some paths, times the Sun's spectrum where asked.

    path (curve,): NaN leaves the table as it is.
    """

    def __init__(self, sky: SkyModel, path: np.ndarray, sunlit: bool = False) -> None:
        self._sky, self._path, self._sunlit = sky, path, sunlit

    def __call__(self, wavelength_nm: np.ndarray) -> np.ndarray:
        """Return (curve, *wavelength.shape)."""
        curves = telluric_powers(self._sky, wavelength_nm, self._path)
        if self._sunlit:
            curves *= np.interp(wavelength_nm, self._sky.solar_wavelength_nm, self._sky.solar_flux)
        return curves


def telluric_powers(sky: SkyModel, wavelength_nm: np.ndarray, path: np.ndarray) -> np.ndarray:
    """Return line transmission for each path (curve,), monochromatic, (curve, *wavelength.shape).

    The table stands for `sky.telluric_airmass`; a table that does not state one is never scaled.
    """
    at_table = np.interp(wavelength_nm, sky.telluric_wavelength_nm, sky.telluric_transmission)
    if sky.telluric_airmass is None:
        return np.stack([at_table] * path.size)
    depth = -np.log(np.maximum(at_table, 1e-300)) / sky.telluric_airmass
    return np.stack([at_table if np.isnan(a) else np.exp(-depth * a) for a in path])
