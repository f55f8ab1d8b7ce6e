"""Lines and bands that are seen in cool stars in the medium-resolution red arm."""

import numpy as np

from simlib.air_wavelengths import air_to_vacuum
from simlib.plots.picture import Mark
from simlib.stellar.quality.features import LINES

# nm in air, after the line lists of NIST and VALD; those by which grids are judged are not repeated
_MORE_AIR = {
    "K I 7665": 766.4899, "Rb I 7800": 780.0268, "Fe I 7511": 751.1020, "Fe I 7748": 774.8269,
    "Ni I 7122": 712.2197, "Al I 7836": 783.6134, "Fe I 8327": 832.7056, "Fe I 8388": 838.7772,
    "Fe I 8514": 851.4072, "Fe I 8611": 861.1803, "Fe I 8675": 867.4746, "Fe I 8824": 882.4221,
}  # fmt: skip
STELLAR = dict(
    sorted(
        (
            LINES | {name: float(air_to_vacuum(np.array(air))) for name, air in _MORE_AIR.items()}
        ).items(),
        key=lambda line: line[1],
    )
)


def line_marks(wavelength: np.ndarray, redshift: float = 0.0) -> tuple[Mark, ...]:
    """Return the lines within a range of wavelengths (nm, vacuum), where a star's are seen."""
    seen = {name: at * (1.0 + redshift) for name, at in STELLAR.items()}
    low, high = float(wavelength[0]), float(wavelength[-1])
    return tuple(Mark(at, name) for name, at in seen.items() if low <= at <= high)
