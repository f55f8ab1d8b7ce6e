"""Random numbers of the training, which belong to (epoch, row) and to no process.

Every row of an epoch owns a fixed stretch of one Philox stream, so a batch may be cut over any
number of ranks, and a run resumed at any epoch, without a change of a single number.
"""

import numpy as np
from numpy.random import Generator, Philox

from simlib.rng import Purpose, Split, stream_key

_WORDS_PER_STEP = 8  # 32-bit words that one Philox step gives
_CHUNK = 16384  # normals made at once: they stay in the processor's cache
_SMALLEST = 2.0**-26  # of the uniform below, which bounds normals to 6


def row_words(count: int) -> int:
    """Return the 32-bit words a row must own to hold `count` numbers: a whole of Philox steps."""
    return -(-count // _WORDS_PER_STEP) * _WORDS_PER_STEP


def words(
    seed: int, split: Split, purpose: Purpose, epoch: int, start: int, rows: int, count: int
) -> np.ndarray:
    """Return (rows, count) random int32 of rows start … start + rows - 1 of an epoch.

    count: a multiple of 8, see `row_words`.
    """
    if count % _WORDS_PER_STEP:
        raise ValueError(f"{count} words per row are not a multiple of {_WORDS_PER_STEP}")
    counter = [start * (count // _WORDS_PER_STEP), epoch, 0, 0]
    stream = Philox(key=stream_key(seed, split, purpose), counter=counter)
    return stream.random_raw(rows * count // 2).view(np.int32).reshape(rows, count)


def uniforms_from(bits: np.ndarray) -> np.ndarray:
    """Map int32 to float32 in [0, 1]."""
    return bits.astype(np.float32) * np.float32(2.0**-32) + np.float32(0.5)


def normals_from(bits: np.ndarray) -> np.ndarray:
    """Map int32 of shape (rows, even) to float32 normals of unit variance (Box & Muller 1958)."""
    half = bits.shape[1] // 2
    radius = np.maximum(uniforms_from(bits[:, :half]), np.float32(_SMALLEST))
    np.log(radius, out=radius)
    radius *= np.float32(-2.0)
    np.sqrt(radius, out=radius)
    angle = bits[:, half:].astype(np.float32)
    angle *= np.float32(2.0 * np.pi * 2.0**-32)
    normals = np.empty(bits.shape, np.float32)
    np.multiply(radius, np.cos(angle), out=normals[:, :half])
    np.multiply(radius, np.sin(angle), out=normals[:, half:])
    return normals


def noise(
    seed: int, split: Split, purpose: Purpose, epoch: int, start: int, rows: int, pixels: int
) -> np.ndarray:
    """Return (rows, pixels) float32 standard normals of a stretch of an epoch's rows."""
    count = row_words(pixels)
    made = np.empty((rows, pixels), np.float32)
    step = max(1, _CHUNK // count)
    for first in range(0, rows, step):
        some = min(step, rows - first)
        bits = words(seed, split, purpose, epoch, start + first, some, count)
        made[first : first + some] = normals_from(bits)[:, :pixels]
    return made


def epoch_order(seed: int, epoch: int, rows: int) -> np.ndarray:
    """Return the order in which an epoch visits the training rows."""
    stream = Philox(
        key=stream_key(seed, Split.train, Purpose.augmentation), counter=[0, epoch, 1, 0]
    )
    return Generator(stream).permutation(rows)
