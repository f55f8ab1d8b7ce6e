"""What does not depend on the observing conditions, computed once.

With these vectors over wavelength a condition is a handful of numbers: see `terms`.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.sparse import csr_array

from simlib.errors import InputError
from simlib.etc.conditions import NEEDED
from simlib.etc.conventions import Convention
from simlib.etc.optics import aperture, lsf
from simlib.etc.sky import airglow, moon
from simlib.etc.sky.atmosphere import (
    FineCurves,
    airmass_of_slant,
    slant,
    smoothed_by_lsf,
    telluric_powers,
)
from simlib.etc.sky.model import SPAN_NM, SkyModel
from simlib.instrument import Instrument
from simlib.units import FLUX_UNIT_PER_NM, PHOTONS_PER_ERG_NM

PATH_NODES = 14  # Chebyshev in ln path: line absorption at any path to 1e-6
LINE_AIRMASS = 1.1  # at which the strengths of emission lines hold
EXTINCTION_DIVISOR = 1.086  # mag per optical depth, as rounded in both calculators
LONGEST_PATH = float(slant(np.array(NEEDED["zenith_angle"].high)))


@dataclass(frozen=True, eq=False)
class Vectors:
    """Fixed vectors of one instrument, sky, convention and line spread function.

    Dimensions: pixel, node (of the path through the air), line, aperture node. Sky rates are in
    electrons s-1 m-2 arcsec-2 per pixel.
    """

    instrument: Instrument
    sky: SkyModel
    convention: Convention
    kind: str  # of line spread function
    wavelength: np.ndarray  # pixel, nm
    throughput: np.ndarray  # pixel
    trace_fraction: np.ndarray  # pixel
    trace_fraction_sky: np.ndarray  # pixel
    extinction: np.ndarray  # pixel, mag per airmass
    extinction_v: float
    path_nodes: np.ndarray  # node
    telluric: np.ndarray  # node (one where it does not follow the airmass) × pixel, smoothed
    moon_telluric: np.ndarray  # node (or one) × pixel
    continuum: np.ndarray  # pixel
    moon_rayleigh: np.ndarray  # pixel
    moon_mie: np.ndarray  # pixel
    line_wavelength: np.ndarray  # line, nm
    line_rate: np.ndarray  # line, at airmass 1.1
    line_extinction: np.ndarray  # line, mag per airmass
    line_spread: csr_array  # pixel × line, detected share
    lines: np.ndarray  # node × pixel, seen through the air, per airmass
    conversion_wavelength: np.ndarray  # pixel, nm, where the conversion holds
    conversion_extinction: np.ndarray  # pixel, mag per airmass
    conversion_telluric: np.ndarray  # node (or one) × pixel
    conversion: np.ndarray  # pixel, electrons s-1 m-2 per flux unit, without air and fibre
    galactic: np.ndarray  # pixel, A / E(B-V)
    aperture_weights: np.ndarray  # aperture node × pixel

    @property
    def places_differ(self) -> bool:
        """Whether the conversion holds elsewhere than at the pixels' centres."""
        return self.convention.conversion_place != 0.5

    def path_weights(self, path: np.ndarray) -> np.ndarray:
        """Return (row, node) weights that bring the node vectors to each path."""
        return chebyshev_weights(np.log(self.path_nodes), np.log(path))


@lru_cache(maxsize=8)
def prepare_vectors(
    instrument: Instrument, sky: SkyModel, convention: Convention, kind: str = "etc"
) -> Vectors:
    """Return the fixed vectors; the last few are kept in memory."""
    c, wavelength = convention, instrument.wavelength
    lsf.check_kind(kind)
    _refuse_unknown_wavelengths(instrument, c)
    throughput, own, with_neighbours = _detected(instrument, c, wavelength)
    follows = c.telluric_follows_airmass and sky.telluric_airmass is not None
    nodes = _path_nodes()
    paths = nodes if follows else np.array([np.nan])
    plain = FineCurves(sky, paths)
    telluric = smoothed_by_lsf(instrument, c, kind, 0.5, plain)
    reaches, spread = airglow.line_spread(instrument, c, sky.line_wavelength_nm, kind)
    line_wavelength = sky.line_wavelength_nm[reaches]
    line_throughput, _, line_trace = _detected(instrument, c, line_wavelength)
    spread = csr_array(spread * (line_throughput * line_trace)[None, :])
    line_rate = sky.line_rate[reaches]
    line_extinction = _extinction(sky, line_wavelength)
    seen = line_rate * line_dimming(c, sky, line_wavelength, line_extinction, nodes)
    detected = instrument.pixel_nm * throughput * with_neighbours
    rayleigh, mie = moon.colours(wavelength)
    there = wavelength + (c.conversion_place - 0.5) * instrument.pixel_nm
    same = c.conversion_place == 0.5
    there_throughput, there_own, _ = _detected(instrument, c, there)
    return Vectors(
        instrument=instrument,
        sky=sky,
        convention=c,
        kind=kind,
        wavelength=wavelength,
        throughput=throughput,
        trace_fraction=own,
        trace_fraction_sky=with_neighbours,
        extinction=_extinction(sky, wavelength),
        extinction_v=float(_extinction(sky, np.array(moon.V_NM))),
        path_nodes=nodes,
        telluric=telluric,
        moon_telluric=_moon_telluric(instrument, sky, c, kind, paths, telluric),
        continuum=detected * _continuum(sky, wavelength, c),
        moon_rayleigh=detected * moon.PHOTONS_PER_NANOLAMBERT * rayleigh,
        moon_mie=detected * moon.PHOTONS_PER_NANOLAMBERT * mie,
        line_wavelength=line_wavelength,
        line_rate=line_rate,
        line_extinction=line_extinction,
        line_spread=spread,
        lines=np.ascontiguousarray((spread @ seen.T).T),
        conversion_wavelength=there,
        conversion_extinction=_extinction(sky, there),
        conversion_telluric=telluric
        if same
        else smoothed_by_lsf(instrument, c, kind, c.conversion_place, plain),
        conversion=FLUX_UNIT_PER_NM
        * 1e4  # cm2 in a m2
        * PHOTONS_PER_ERG_NM
        * there
        * there_own
        * there_throughput
        * instrument.pixel_nm,
        galactic=np.interp(
            np.log(there), np.log(sky.galactic_wavelength_nm), sky.galactic_extinction
        ),
        aperture_weights=aperture.wavelength_weights(instrument, there),
    )


def _refuse_unknown_wavelengths(instrument: Instrument, convention: Convention) -> None:
    margin = 0.5 * convention.taps * instrument.pixel_nm
    low, high = instrument.wavelength_min_nm - margin, instrument.wavelength_max_nm + margin
    if low < SPAN_NM[0] or high > SPAN_NM[1]:
        raise InputError(
            f"instrument {instrument.name} needs the sky from {low:.1f} to {high:.1f} nm; the "
            f"calculator's figures cover {SPAN_NM[0]:g}-{SPAN_NM[1]:g} nm"
        )


def _detected(
    instrument: Instrument, convention: Convention, wavelength: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return throughput and the two trace fractions at these wavelengths."""
    throughput = convention.throughput_factor * np.interp(
        wavelength, instrument.throughput_wavelength_nm, instrument.throughput
    )
    weights = lsf.smooth_weights(wavelength)
    own, with_neighbours = lsf.trace_fractions(instrument, lsf.smooth_nodes())
    return throughput, weights @ own, weights @ with_neighbours


def _extinction(sky: SkyModel, wavelength: np.ndarray) -> np.ndarray:
    return np.asarray(np.interp(wavelength, sky.extinction_wavelength_nm, sky.extinction_mag))


def _continuum(sky: SkyModel, wavelength: np.ndarray, convention: Convention) -> np.ndarray:
    """Return the continuum above the atmosphere, photon s-1 m-2 arcsec-2 nm-1."""
    if sky.continuum_radiance is None or sky.continuum_wavelength_nm is None:
        radiance = airglow.continuum_radiance(wavelength, convention.continuum_model)
    else:  # tabulated as seen from the ground at the zenith
        seen = np.interp(wavelength, sky.continuum_wavelength_nm, sky.continuum_radiance)
        radiance = 1e-3 * seen * 10.0 ** (0.4 * _extinction(sky, wavelength))
    return sky.continuum_scale * radiance


def line_dimming(
    convention: Convention,
    sky: SkyModel,
    wavelength: np.ndarray,
    extinction: np.ndarray,
    path: np.ndarray,
) -> np.ndarray:
    """Return what the air leaves of each emission line, relative to airmass 1.1, (path, line).

    The layer that glows gets thicker with the airmass, and so does the air in front of it.
    """
    brightness = airmass_of_slant(path)[:, None]
    left = np.exp(-brightness * extinction / EXTINCTION_DIVISOR)
    if convention.telluric_follows_airmass:
        left = left * telluric_powers(sky, wavelength, path)
    return np.asarray(brightness / LINE_AIRMASS * left)


def _moon_telluric(
    instrument: Instrument,
    sky: SkyModel,
    convention: Convention,
    kind: str,
    paths: np.ndarray,
    telluric: np.ndarray,
) -> np.ndarray:
    if convention.fraunhofer_lines:
        return smoothed_by_lsf(
            instrument, convention, kind, 0.5, FineCurves(sky, paths, sunlit=True)
        )
    return telluric if convention.telluric_follows_airmass else np.ones_like(telluric)


def _path_nodes() -> np.ndarray:
    angle = np.pi * (np.arange(PATH_NODES) + 0.5) / PATH_NODES
    return np.asarray(np.exp(0.5 * np.log(LONGEST_PATH) * (1.0 - np.cos(angle))))


def chebyshev_weights(nodes: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return (x, node) weights of the polynomial through first-kind Chebyshev nodes."""
    count = nodes.size
    angle = np.pi * (np.arange(count) + 0.5) / count
    middle, half = 0.5 * (nodes[0] + nodes[-1]), 0.5 * (nodes[-1] - nodes[0]) / np.cos(angle[0])
    # T_k(x) against T_k(node): the discrete cosine sum is exact at these nodes
    order = np.arange(count)
    at_x = np.polynomial.chebyshev.chebvander((np.asarray(x) - middle) / half, count - 1)
    at_nodes = np.cos(np.multiply.outer(order, np.pi - angle)) * 2.0 / count
    at_nodes[0] *= 0.5
    # no matrix product, whose sums may depend on the rows beside
    return np.asarray(np.einsum("xk,kn->xn", at_x, at_nodes))
