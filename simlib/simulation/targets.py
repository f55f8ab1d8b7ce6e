"""A person's own stars: a table of targets and conditions in, their spectra out."""

import numpy as np
import xarray as xr

from simlib.config import SimulationConfig
from simlib.fingerprint import checksum, fingerprint, plain
from simlib.instrument import Instrument, load_instrument
from simlib.rng import Purpose, Split, normals
from simlib.simulation.pfs_parts import MASK_BITS
from simlib.simulation.simulate import Path as SimulationPath
from simlib.simulation.simulate import simulate, terms_at
from simlib.stellar.grid import grid_fingerprint, open_grid
from simlib.version import version

_SHAPE = ("instrument", "sky", "conditions", "terms", "stellar", "noise", "normalize")


def simulate_targets(
    targets: xr.Dataset, config: SimulationConfig, path: SimulationPath = "compiled"
) -> xr.Dataset:
    """Return the spectra of a table of targets, as `simulate` does, and one noisy observation each.

    The calculator's terms are computed for each row's own conditions; a star may lie outside the
    ranges that the config draws from. A row does not depend on the others: its noise is that of
    `dataset.seed` and of its label. `mask` is 0 where a pixel is good.
    """
    grid, instrument = open_grid(config.grid), load_instrument(config.instrument.name)
    spectra = _observed(simulate(targets, grid, instrument, config, path), config.dataset.seed)
    return spectra.assign_attrs(_made_from(targets, config, grid, instrument))


def terms_of_targets(targets: xr.Dataset, config: SimulationConfig) -> xr.Dataset:
    """Return the calculator's terms that `simulate_targets` uses, row by row."""
    return terms_at(targets, load_instrument(config.instrument.name), config)


def _observed(spectra: xr.Dataset, seed: int) -> xr.Dataset:
    flux, variance = spectra["flux"].values, spectra["variance"].values
    noisy, pixels = np.empty_like(flux), flux.shape[1]
    for number, row in enumerate(spectra["spectrum"].values):
        noise = normals(seed, Split.test, Purpose.target_noise, int(row), pixels)
        noisy[number] = flux[number] + np.sqrt(variance[number].astype(np.float64)) * noise
    is_known = np.isfinite(variance) & (variance > 0.0) & np.isfinite(flux)
    mask = np.where(is_known, 0, 1 << MASK_BITS["NO_DATA"]).astype(np.int32)
    both = ("spectrum", "wavelength")
    told = {"units": "1", "long_name": "flux with one draw of its noise"}
    return spectra.assign(
        flux_noisy=(both, noisy, told),
        mask=(both, mask, {"long_name": "bits; 0 is good", **_flags()}),
    )


def _flags() -> dict[str, object]:
    return {
        "flag_masks": np.array([1 << bit for bit in MASK_BITS.values()], dtype=np.int32),
        "flag_meanings": " ".join(MASK_BITS),
    }


def _made_from(
    targets: xr.Dataset, config: SimulationConfig, grid: xr.Dataset, instrument: Instrument
) -> dict[str, str | int]:
    """Return what the spectra were made from, as attributes that any file can hold."""
    sections = {name: config.leaves(name) for name in _SHAPE}
    # of which rows, since their noise is that of their labels
    numbers = [targets["spectrum"].values]
    numbers += [v.values for v in targets.data_vars.values() if v.dtype.kind in "fiu"]
    conditions = plain(config.conditions)
    return {
        "seed": config.dataset.seed,
        "software": f"specdenoise {version()}",
        "stellar_grid": str(grid.attrs.get("name", config.stellar.grid)),
        "stellar_grid_fingerprint": grid_fingerprint(grid),
        "instrument": instrument.name,
        "instrument_checksum": instrument.checksum,
        "band": config.stellar.band,
        "conditions": ", ".join(f"{key} = {value}" for key, value in conditions.items()),
        "fingerprint": fingerprint(
            sections, config.dataset.seed, instrument.checksum, grid_fingerprint(grid),
            checksum(*numbers),
        ),
    }  # fmt: skip
