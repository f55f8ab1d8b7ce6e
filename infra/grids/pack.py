"""Put the computed nodes into the source folder: one file a temperature, axes, index."""

import hashlib
import json
import lzma
from pathlib import Path

import numpy as np

from infra.grids.recipe import ALPHA, FEH, LOGG, QUANTUM, TEFF, Node, continuum_air, output_air
from infra.grids.synthesis import node_file
from simlib.air_wavelengths import air_to_vacuum


def pack(work: Path, out: Path) -> dict[str, object]:
    """Quantise, difference and compress the nodes that are there; return the index."""
    out.mkdir(parents=True, exist_ok=True)
    axes = [np.sort(np.array(values, dtype=float)) for values in (TEFF, LOGG, FEH, ALPHA)]
    shape = tuple(len(axis) for axis in axes)
    present = np.zeros(shape, dtype=bool)
    continuum = np.full((*shape, len(continuum_air())), np.nan, dtype="f4")
    sizes = {}
    for i, teff in enumerate(axes[0]):
        steps = np.zeros((*shape[1:], len(output_air())), dtype=np.uint16)
        for at in np.ndindex(*shape[1:]):
            logg, feh, alpha = (float(axis[j]) for axis, j in zip(axes[1:], at, strict=True))
            path = node_file(work, Node(float(teff), logg, feh, alpha))
            if path.exists():
                node = np.load(path)
                steps[at], continuum[i][at] = to_source_steps(node["n"]), node["c"]
                present[i][at] = True
        data = compress_source(steps)
        (out / f"flux_t{teff:.0f}.xz").write_bytes(data)
        sizes[f"flux_t{teff:.0f}.xz"] = len(data)
    air = np.exp(output_air())
    np.savez_compressed(
        out / "axes.npz",
        teff=axes[0],
        logg=axes[1],
        feh=axes[2],
        alpha=axes[3],
        present=present,
        wavelength_air_angstrom=air,
        wavelength_vacuum_angstrom=10 * air_to_vacuum(air / 10),
        continuum=continuum,
        continuum_wavelength_air_angstrom=continuum_air(),
    )
    index = {
        "shape": shape,
        "present": int(present.sum()),
        "step": QUANTUM,
        "sizes": sizes,
        "sha256": digests(out),
    }
    (out / "index.json").write_text(json.dumps(index, indent=1), encoding="utf-8")
    return index


def to_source_steps(normalised: np.ndarray) -> np.ndarray:
    """Round normalised flux to the fine steps of the source folder."""
    return np.round(normalised.astype(float) / QUANTUM).astype(np.int64).astype(np.uint16)


def compress_source(steps: np.ndarray) -> bytes:
    """Return steps (…, wavelength) differenced along wavelength, high bytes first, in xz."""
    delta = np.diff(steps, axis=-1, prepend=np.uint16(0)).astype(np.uint16)
    halves = np.stack([(delta >> 8).astype(np.uint8), (delta & 255).astype(np.uint8)])
    return lzma.compress(halves.tobytes(), preset=6)


def decompress_source(data: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """Return the steps that `compress_source` was given."""
    halves = np.frombuffer(lzma.decompress(data), dtype=np.uint8).reshape(2, *shape)
    delta = (halves[0].astype(np.uint16) << 8) | halves[1]
    return np.cumsum(delta, axis=-1, dtype=np.uint16)


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every data file of a folder."""
    files = sorted(p for p in folder.iterdir() if p.suffix in (".xz", ".npz"))
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
