"""The compact form of a grid's flux inside the package: integers, differenced, compressed.

The normalised flux of one temperature is rounded to integer steps, differenced along log g and
along wavelength, split into high and low bytes and compressed with LZMA. Integers wrap at 16 bits
on purpose: sums undo differences exactly.
"""

import lzma

import numpy as np

FORMAT_VERSION = 1  # of the packed files
STEPS = 8000  # per unit of normalised flux: error at most 1/16000 of the continuum


def to_steps(flux_normalized: np.ndarray) -> np.ndarray:
    """Round normalised flux, 0 … 8, to integer steps (uint16)."""
    return np.round(np.asarray(flux_normalized, dtype=np.float64) * STEPS).astype(np.uint16)


def from_steps(steps: np.ndarray) -> np.ndarray:
    """Return the float32 flux nearest to each integer step."""
    return steps.astype(np.float32) / np.float32(STEPS)


def compress(steps: np.ndarray) -> bytes:
    """Return the packed form of (logg, …, wavelength) steps; neighbours in log g are alike."""
    along_logg = np.diff(steps, axis=0, prepend=np.zeros_like(steps[:1]))
    delta = np.diff(along_logg, axis=-1, prepend=np.zeros_like(steps[..., :1]))
    halves = np.stack([(delta >> 8).astype(np.uint8), (delta & 255).astype(np.uint8)])
    return lzma.compress(halves.tobytes(), preset=9)


def decompress(packed: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """Return the uint16 steps of that shape, (logg, …, wavelength)."""
    halves = np.frombuffer(lzma.decompress(packed), dtype=np.uint8).reshape(2, *shape)
    delta = (halves[0].astype(np.uint16) << 8) | halves[1]
    np.cumsum(delta, axis=-1, dtype=np.uint16, out=delta)
    return np.cumsum(delta, axis=0, dtype=np.uint16, out=delta)
