"""One spectrum on the pixels of a way."""

from simlib.spectra.observed import Observed
from simlib.spectra.pixels import OnPixels, Way, nothing_seen


def brought(one: Observed, way: Way) -> OnPixels:
    """Return one spectrum on the new pixels, (pixels,), and its numbers."""
    beside = None if one.beside is None else one.beside[None]
    found = way.bring(one.wavelength, one.flux[None], one.variance[None], one.mask[None], beside)
    if found.covered[0] == 0.0:
        raise nothing_seen(one, way)
    return OnPixels(*(column[0] for column in vars(found).values()))
