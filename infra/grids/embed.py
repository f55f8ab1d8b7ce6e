"""Make the package data of the embedded grid from a folder of computed spectra.

The folder is what `infra.grids.pack` writes: 1/40000 steps, one file a temperature, air
wavelengths beside vacuum ones. The package holds the same nodes in coarser steps.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from infra.grids.pack import decompress_source, digests
from infra.grids.provenance import ATTRS
from simlib.air_wavelengths import air_to_vacuum
from simlib.parameters import AXES
from simlib.stellar import packed
from simlib.stellar.schema import grid_checksum, node_digests


def embed(source: Path, target: Path) -> dict[str, Any]:
    """Write axes.npz, flux_t*.xz and index.json into `target`; return the index."""
    check_source(source)
    arrays = np.load(source / "axes.npz")
    axes = {name: arrays[name] for name in AXES}
    present = arrays["present"]
    wavelength_model = arrays["wavelength_vacuum_angstrom"] / 10
    wavelength_continuum = air_to_vacuum(arrays["continuum_wavelength_air_angstrom"] / 10)
    continuum = arrays["continuum"].astype(np.float32)
    target.mkdir(parents=True, exist_ok=True)
    nodes = np.zeros(present.shape, dtype=np.uint64)
    for i, teff in enumerate(axes["teff"]):
        fine = read_source_flux(source, teff, (*present.shape[1:], len(wavelength_model)))
        steps = packed.to_steps(fine)
        nodes[i] = node_digests(packed.from_steps(steps), continuum[i], present[i])
        (target / f"flux_t{teff:.0f}.xz").write_bytes(packed.compress(steps))
    coords = {
        **axes,
        "wavelength_model": wavelength_model,
        "wavelength_continuum": wavelength_continuum,
    }
    checksum = grid_checksum(coords, present, nodes)
    np.savez_compressed(
        target / "axes.npz",
        **axes,
        present=present,
        node_checksum=nodes,
        wavelength_model=wavelength_model,
        wavelength_continuum=wavelength_continuum,
        continuum=continuum,
    )
    index = {
        "format_version": packed.FORMAT_VERSION,
        "steps_per_unit": packed.STEPS,
        "attrs": {**ATTRS, "checksum": checksum},
        "sha256": digests(target),
    }
    (target / "index.json").write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    return index


def check_source(source: Path) -> None:
    """Refuse a folder whose files are not those of its index."""
    recorded = json.loads((source / "index.json").read_text(encoding="utf-8"))["sha256"]
    found = digests(source)
    wrong = [name for name in recorded if found.get(name) != recorded[name]]
    if wrong:
        raise ValueError(f"{source}: {', '.join(wrong)} are not the files of index.json")


def read_source_flux(source: Path, teff: float, shape: tuple[int, ...]) -> np.ndarray:
    """Return the normalised flux of one temperature, float64, in the source's fine steps."""
    step = json.loads((source / "index.json").read_text(encoding="utf-8"))["step"]
    return decompress_source((source / f"flux_t{teff:.0f}.xz").read_bytes(), shape) * float(step)
