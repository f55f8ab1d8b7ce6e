"""The set-up of the compiled path, made once and kept in the cache: see `simlib.kept`."""

import xarray as xr

from simlib.config import Stellar
from simlib.fingerprint import checksum, fingerprint
from simlib.kept import kept_arrays
from simlib.photometry import band_digest
from simlib.physics import PHYSICS_VERSION
from simlib.simulation.compiled.templates import Templates, make_templates
from simlib.simulation.line_spread import LineSpread
from simlib.stellar.grid import grid_fingerprint

_VERSION = 7  # of how a set-up is made, where the physics stays the same


def templates_for(grid: xr.Dataset, line_spread: LineSpread, stellar: Stellar) -> Templates:
    """Return the templates of this set-up, from the cache or made now and put there."""
    name = setup_identity(grid, line_spread, stellar)
    made = kept_arrays("templates", name, lambda: vars(make_templates(grid, line_spread, stellar)))
    return Templates(**made)


def setup_identity(grid: xr.Dataset, line_spread: LineSpread, stellar: Stellar) -> str:
    """Return 16 hex digits over all that shapes the templates."""
    arrays = [line_spread.wavelength, line_spread.lsf_sigma]
    if (profile := line_spread.profile) is not None:
        arrays += [profile.wavelength, profile.offset, profile.share]
    return fingerprint(
        PHYSICS_VERSION, _VERSION, grid_fingerprint(grid), line_spread.template_resolution,
        checksum(*arrays), band_digest(stellar.band), stellar.r_v, stellar.redshift,
    )  # fmt: skip
