"""A stored split from its first chunk to its last in a new order, a few chunks in memory.

A chunk is the least that can be read, and what is read at once lies together in the store. So the
chunks are visited in an order by lot, `held` of them at a time, and their rows handed out mixed:
as good as any order to a training, at the speed of unpacking.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from simlib.dataset.publish import published_dataset, require_split
from simlib.dataset.stored import open_pixels
from simlib.errors import InputError
from simlib.location import Place

HELD = 32  # chunks: of 128 rows of 4096 pixels, two variables, 134 MB
_AT_ONCE = 8  # chunks read: of 4, a core waits for the disk a little longer


def shuffled(
    place: Place, split: str, batch: int, seed: int, held: int = HELD
) -> Iterator[dict[str, np.ndarray]]:
    """Yield each row of a stored split once: `flux` and `variance`, (batch, pixels), float32.

    The last batch is shorter. `rows` holds the numbers of a batch's rows. Seed and `held` make the
    order. Raises InputError where there is no such split, it is not stored, or it is damaged.
    """
    folder, manifest = published_dataset(place)
    rows = require_split(folder, manifest, split)
    if manifest.mode != "stored":
        raise InputError(
            f"{folder} holds no spectra, only how to compute them (dataset.mode = "
            f"{manifest.mode!r}); build it with dataset.mode = 'stored'"
        )
    arrays = open_pixels(folder, manifest, split)
    chunk, pixels = manifest.plan.chunk, next(iter(arrays.values())).shape[1]
    dice = np.random.default_rng(seed)
    starts = dice.permutation(np.arange(0, rows, chunk))
    buffers = {
        name: np.empty((held * chunk + batch, pixels), array.dtype)
        for name, array in arrays.items()
    }
    numbers = np.empty(held * chunk + batch, np.int64)
    kept = 0  # rows at the front that no batch has taken yet
    for first in range(0, len(starts), held):
        filled = kept
        parts = []
        for start in starts[first : first + held]:
            some = np.arange(start, min(start + chunk, rows))
            here = slice(filled, filled + len(some))
            parts += [(array, some, buffers[name][here]) for name, array in arrays.items()]
            numbers[here] = some
            filled += len(some)
        with ThreadPoolExecutor(_AT_ONCE) as pool:  # one is unpacked while others are fetched
            list(pool.map(lambda part: part[0].read_into(*part[1:]), parts))
        order = dice.permutation(filled)
        is_last = first + held >= len(starts)
        whole = filled if is_last else filled - filled % batch
        for begin in range(0, whole, batch):
            taken = order[begin : min(begin + batch, whole)]
            spectra = {name: buffer[taken] for name, buffer in buffers.items()}
            yield spectra | {"rows": numbers[taken]}
        left = np.sort(order[whole:])
        kept = len(left)
        for buffer in (*buffers.values(), numbers):
            buffer[:kept] = buffer[left]
