"""Packages from the registry that do a part of the work, where they are installed.

None does all of it: specsim has no stellar grid, no Doppler shift of a template's lines and no
S/N by median, but fibre losses, an own sky and camera images, on 4500 pixels (its test instrument
reaches further than the arm). spectres, specutils and PyAstronomy do one stage.
"""

import sys
import types
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np

Work = Callable[[], object]
PIXEL_AA, FINE_AA = 0.4, 0.2
LOW_AA, HIGH_AA = 4650.0, 8800.0  # it wants the V band inside, for its moon


def specsim(fibres: int) -> Work | None:
    """Return one call of specsim: its bundled test instrument with pixels as wide as the arm's."""
    if find_spec("specsim") is None:
        return None
    # A package outside the registry, for a way of finding fibre losses that is not used here.
    unused = types.ModuleType("desimodel")
    unused.fastfiberacceptance = types.ModuleType(  # type: ignore[attr-defined]
        "desimodel.fastfiberacceptance"
    )
    sys.modules.setdefault("desimodel", unused)
    sys.modules.setdefault("desimodel.fastfiberacceptance", unused.fastfiberacceptance)
    import specsim.config
    import specsim.simulator

    config = specsim.config.load_config("test")
    config.wavelength_grid.min = LOW_AA
    config.wavelength_grid.max = HIGH_AA
    config.wavelength_grid.step = FINE_AA
    config.instrument.cameras.r.constants.output_pixel_size = f"{PIXEL_AA} Angstrom"
    config.update()
    simulator = specsim.simulator.Simulator(config, num_fibers=fibres)
    return simulator.simulate  # type: ignore[no-any-return]


def spectres(wavelength: np.ndarray, flux: np.ndarray, pixels: np.ndarray) -> Work | None:
    """Return one flux-conserving rebinning of a template to the pixels; no convolution."""
    if find_spec("spectres") is None:
        return None
    import spectres as package

    return lambda: package.spectres(pixels, wavelength, flux)


def pyastronomy(wavelength: np.ndarray, flux: np.ndarray) -> Work | None:
    """Return one convolution of a template to constant resolution; no pixels."""
    if find_spec("PyAstronomy") is None:
        return None
    from PyAstronomy.pyasl import instrBroadGaussFast

    even = np.linspace(wavelength[0], wavelength[-1], len(wavelength))
    values = np.interp(even, wavelength, flux)
    return lambda: instrBroadGaussFast(even, values, 6000.0, edgeHandling="firstlast", maxsig=5.0)


def specutils(wavelength: np.ndarray, flux: np.ndarray, pixels: np.ndarray) -> Work | None:
    """Return one flux-conserving rebinning of a template to the pixels; no convolution."""
    if find_spec("specutils") is None:
        return None
    from astropy import units
    from specutils import Spectrum
    from specutils.manipulation import FluxConservingResampler

    template = Spectrum(spectral_axis=wavelength * units.nm, flux=flux * units.Jy)
    resampler, wanted = FluxConservingResampler(), pixels * units.nm
    return lambda: resampler(template, wanted)
