"""The training's random numbers as NumPy makes them: its Philox, and Box and Muller's normals."""

import numpy as np
from numpy.random import Philox


def words(key: list[int], epoch: int, start: int, rows: int, count: int) -> np.ndarray:
    """Return (rows, count) int32 of rows that own `count` words each, from row `start` on."""
    stream = Philox(key=key, counter=[start * (count // 8), epoch, 0, 0])
    return stream.random_raw(rows * count // 2).view(np.int32).reshape(rows, count)


def normals(bits: np.ndarray) -> np.ndarray:
    """Return normals (rows, even) float32 of int32: radii from one half, angles from the other."""
    half = bits.shape[1] // 2
    radius = bits[:, :half].astype(np.float32) * np.float32(2.0**-32) + np.float32(0.5)
    np.maximum(radius, np.float32(2.0**-26), out=radius)
    np.log(radius, out=radius)
    radius *= np.float32(-2.0)
    np.sqrt(radius, out=radius)
    angle = bits[:, half:].astype(np.float32)
    angle *= np.float32(2.0 * np.pi * 2.0**-32)
    made = np.empty(bits.shape, np.float32)
    np.multiply(radius, np.cos(angle), out=made[:, :half])
    np.multiply(radius, np.sin(angle), out=made[:, half:])
    return made
