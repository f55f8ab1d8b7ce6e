"""Random numbers of the training, which belong to (epoch, row) and to no process.

Every row of an epoch owns a fixed stretch of one Philox stream, so a batch may be cut over any
number of ranks, and a run resumed at any epoch, without a change of a single number.
"""

import numpy as np
from numpy.random import Generator, Philox

from simlib.rng import Purpose, Split, stream_key
from trainlib.training.kernels import fill_words, noise_rows, normal_rows

_WORDS_PER_STEP = 8  # 32-bit words that one Philox step gives


def row_words(count: int) -> int:
    """Return the 32-bit words a row must own to hold `count` numbers: a whole of Philox steps."""
    return -(-count // _WORDS_PER_STEP) * _WORDS_PER_STEP


def words(
    seed: int, split: Split, purpose: Purpose, epoch: int, start: int, rows: int, count: int
) -> np.ndarray:
    """Return (rows, count) random int32 of rows start … start + rows - 1 of an epoch.

    Those of NumPy's Philox. count: a multiple of 8, see `row_words`.
    """
    if count % _WORDS_PER_STEP:
        raise ValueError(f"{count} words per row are not a multiple of {_WORDS_PER_STEP}")
    made = np.empty(rows * count // 2, np.uint64)
    first = start * (count // _WORDS_PER_STEP)
    fill_words(*stream_key(seed, split, purpose), first, epoch, made)
    return made.view(np.int32).reshape(rows, count)


def uniforms_from(bits: np.ndarray) -> np.ndarray:
    """Map int32 to float32 in [0, 1]."""
    return bits.astype(np.float32) * np.float32(2.0**-32) + np.float32(0.5)


def normals_from(bits: np.ndarray) -> np.ndarray:
    """Map int32 of shape (rows, even) to float32 normals of unit variance (Box & Muller 1958).

    Uniform numbers no smaller than 2^-26 bound them to 6.
    """
    normals = np.empty(bits.shape, np.float32)
    normal_rows(np.ascontiguousarray(bits), normals)
    return normals


def noise(
    seed: int, split: Split, purpose: Purpose, epoch: int, start: int, rows: int, pixels: int
) -> np.ndarray:
    """Return (rows, pixels) float32 standard normals of a stretch of an epoch's rows."""
    made = np.empty((rows, pixels), np.float32)
    steps = row_words(pixels) // _WORDS_PER_STEP
    noise_rows(*stream_key(seed, split, purpose), start * steps, epoch, steps, made)
    return made


def epoch_order(seed: int, epoch: int, rows: int) -> np.ndarray:
    """Return the order in which an epoch visits the training rows."""
    stream = Philox(
        key=stream_key(seed, Split.train, Purpose.augmentation), counter=[0, epoch, 1, 0]
    )
    return Generator(stream).permutation(rows)
