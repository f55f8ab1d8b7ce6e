"""The embedded grid: packed in the package, expanded once into the cache, mapped from there."""

import json
from importlib import resources
from importlib.resources.abc import Traversable
from io import BytesIO
from typing import Any

import numpy as np
import xarray as xr

from simlib.kept import kept_arrays
from simlib.parameters import AXES
from simlib.stellar import packed
from simlib.stellar.schema import assemble

FLUX = "flux_normalized"


def open_default() -> xr.Dataset:
    """Return the embedded grid, its flux mapped from the cache (read-only)."""
    index, arrays = read_index(), read_small_arrays()
    name = expanded_name(index["attrs"]["checksum"])
    kept = kept_arrays("grids", name, lambda: {FLUX: expanded(arrays)})
    return assemble(
        {name: arrays[name] for name in AXES},
        flux_normalized=kept[FLUX],
        attrs=index["attrs"],
        **{name: values for name, values in arrays.items() if name not in AXES},
    )


def expanded_name(checksum: str) -> str:
    """Return the name in the cache of the grid with this checksum."""
    return f"default-{checksum}"


def package_files() -> Traversable:
    """Return the folder of the packed grid inside the package."""
    return resources.files("simlib.stellar") / "data"


def read_index() -> dict[str, Any]:
    """Return the packed grid's index: format, attributes, digest of every file."""
    index: dict[str, Any] = json.loads((package_files() / "index.json").read_text("utf-8"))
    return index


def read_small_arrays() -> dict[str, np.ndarray]:
    """Return everything but the flux: axes, wavelengths, continuum, mask, node digests."""
    with np.load(BytesIO((package_files() / "axes.npz").read_bytes())) as arrays:
        return dict(arrays)


def expanded(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Return the float32 flux of all nodes, (teff, logg, feh, alpha, wavelength_model)."""
    flux = np.empty((*arrays["present"].shape, len(arrays["wavelength_model"])), dtype=np.float32)
    for number, teff in enumerate(arrays["teff"]):
        compact = (package_files() / f"flux_t{teff:.0f}.xz").read_bytes()
        flux[number] = packed.from_steps(packed.decompress(compact, flux.shape[1:]))
    return flux
