"""Where the rules of `sanity` are known not to hold, and why: found on the embedded grid."""

from collections.abc import Callable
from dataclasses import dataclass

import xarray as xr


@dataclass(frozen=True)
class Known:
    """Where a rule is known not to hold, and why."""

    reason: str
    covers: Callable[[xr.DataArray], xr.DataArray]  # from the coordinates of what is judged


TIO_COVERS_CALCIUM = Known(
    "TiO sets the depths below 4000 K at [M/H] ≥ 0.5",
    lambda at: (at.teff < 4000) & (at.feh >= 0.5),
)
SODIUM_BLENDED = Known(
    "CN under Na I 8195 of metal-rich giants at [alpha/M] < 0; blends of 8183 at 5000 K: ≥ 1.3",
    lambda at: ((at.feh >= 0.5) & (at.alpha < 0)) | ((at.teff >= 5000) & (at.alpha > 0.25)),
)
CN_UNDER_CALCIUM = Known(
    "CN weakens under the lines of metal-rich supergiants, 4000-4250 K",
    lambda at: (at.logg < 1) & (at.feh >= 0.5) & (at.teff < 4500),
)
CN_OR_TIO_UNDER_WEAK_LINES = Known(
    "CN weakens under the lines at [M/H] ≥ -1; TiO below 4250 K",
    lambda at: (at.feh >= -1) | (at.teff < 4250),
)
ALPHA_TOUCHES_IRON = Known(
    "CN weakens, electrons of Mg and Si raise H- at [M/H] ≥ -0.5; TiO below 4250 K",
    lambda at: (at.feh >= -0.5) | (at.teff < 4250),
)
NO_CN_IN_HOT_SUPERGIANTS = Known(
    "no CN to weaken in supergiants of 5000 K below [M/H] 0",
    lambda at: (at.teff >= 5000) & (at.logg < 1) & (at.feh < 0),
)
BANDS_OF_METAL_RICH = Known("CN of giants and TiO of dwarfs at [M/H] ≥ 0", lambda at: at.feh >= 0)
BANDS_NEAR_SOLAR = Known(
    "TiO of alpha-rich dwarfs, CN of giants, up to 4500 K at [M/H] ≥ -0.5",
    lambda at: (at.feh >= -0.5) & (at.teff <= 4500),
)
TIO_IN_DWARFS = Known("TiO is strongest at log g 3-4", lambda at: (at.logg >= 3) & (at.logg < 5))
OXYGEN_IN_CO = Known(
    "oxygen bound in CO where [alpha/M] < 0; supergiants", lambda at: (at.alpha < 0) | (at.logg < 1)
)
TIO_OF_M_STARS = Known(
    "TiO of M stars at [alpha/M] ≥ 0", lambda at: (at.teff < 4000) & (at.alpha >= 0)
)
BLANKETING = Known(
    "lines elsewhere lift the continuum at [M/H] ≥ 0.5, and of M dwarfs at [alpha/M] > 0",
    lambda at: (at.feh >= 0.5) | ((at.teff < 4000) & (at.logg >= 4) & (at.alpha > 0)),
)
