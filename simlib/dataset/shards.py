"""Shards: the chunks of a block's rows in one file each, as Zarr v3's sharding codec has them.

Any program that knows Zarr reads what is written here, and here is read what Zarr wrote. All of a
spectrum lies in one chunk, so that a shard is a row of chunks with an index behind them: that much
is done here in the time of compressing, where Zarr's general way takes about twice as long
(`python -m tests.bench codecs`). Every chunk, and the index, ends with its crc32c.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import google_crc32c
import numpy as np
import zarr
from numcodecs import Blosc
from numcodecs.blosc import MAX_OVERHEAD
from zarr.codecs import BloscCodec, ShardingCodec
from zarr.core.metadata import ArrayV3Metadata

from simlib.dataset.plan import rows_of
from simlib.location import Location
from simlib.unbuffered import aligned

_NONE = 2**64 - 1  # offset and size, in the index, of a chunk that is not there
_CRC_BYTES = 4
_RESIDUE = 0x48674BC7  # of the crc32c of anything that ends with its own
_AT_ONCE = 16  # shards read together behind a URL, where each is a wait


def encoded_shard(values: np.ndarray, chunk: int, shard: int, codec: Blosc | None) -> memoryview:
    """Return the file of one shard, in memory as the disk takes it.

    values: (rows, pixels); of the last shard of an array they may be fewer than `shard`, and those
    of its last chunk are filled up with NaN.
    """
    index = np.full((shard // chunk, 2), _NONE, "<u8")
    starts = range(0, len(values), chunk)
    most = values[:1].nbytes * chunk + MAX_OVERHEAD + _CRC_BYTES  # of a chunk
    file, at = aligned(len(starts) * most + index.nbytes + _CRC_BYTES), 0

    def put(data: bytes) -> None:
        nonlocal at
        for part in (data, _crc(data)):
            file[at : at + len(part)] = np.frombuffer(part, np.uint8)
            at += len(part)

    for number, start in enumerate(starts):
        data = _encoded_chunk(_filled(values[start : start + chunk], chunk), codec)
        index[number] = at, len(data) + _CRC_BYTES
        put(data)
    put(index.tobytes())
    return file[:at].data.toreadonly()


def _filled(values: np.ndarray, rows: int) -> np.ndarray:
    if len(values) == rows:
        return np.ascontiguousarray(values)
    filled = np.full((rows, *values.shape[1:]), np.nan, values.dtype)
    filled[: len(values)] = values
    return filled


def _encoded_chunk(values: np.ndarray, codec: Blosc | None) -> bytes:
    if codec is None:
        return values.tobytes()
    packed: bytes = codec.encode(values)
    return packed


def _crc(data: bytes) -> bytes:
    checksum: int = google_crc32c.value(data)
    return checksum.to_bytes(_CRC_BYTES, "little")


@dataclass(frozen=True)
class ShardedArray:
    """An array (rows, pixels) of such shards, read by rows.

    folder: of the store. array: what Zarr knows of it. A chunk that is not there, not whole, or not
    what was written is an error: FileNotFoundError where a file is missing, else ValueError.
    """

    folder: Location
    array: zarr.Array[Any]

    @property
    def chunk(self) -> int:
        """Rows of a chunk."""
        return int(self.array.chunks[0])

    @property
    def shard(self) -> int:
        """Rows of a shard."""
        shards = self.array.shards
        assert shards is not None
        return int(shards[0])

    def __getitem__(self, key: Any) -> np.ndarray:
        """Return some rows, or the part `[rows, pixels]` of them, each a number, slice or list."""
        of_rows, of_pixels = key if isinstance(key, tuple) else (key, slice(None))
        numbers = rows_of(of_rows, self.array.shape[0])
        rows = np.empty((numbers.size, self.array.shape[1]), self.array.dtype)
        self.read_into(np.atleast_1d(numbers), rows)
        return (rows if numbers.ndim else rows[0])[..., of_pixels]

    def read_into(self, numbers: np.ndarray, found: np.ndarray) -> None:
        """Put the rows of these numbers, in their order, into `found`, of the array's type."""
        order = np.argsort(numbers, kind="stable")
        asked = _groups(numbers, order, self.shard)
        if self.folder.is_local or len(asked) < 2:
            for places in asked:
                self._read(numbers, places, found)
        else:
            with ThreadPoolExecutor(min(_AT_ONCE, len(asked))) as pool:
                list(pool.map(lambda places: self._read(numbers, places, found), asked))

    def _read(self, numbers: np.ndarray, places: np.ndarray, found: np.ndarray) -> None:
        """Put the rows of one shard where they are wanted.

        places: in `numbers` and `found`, by ascending row.
        """
        number = numbers[places[0]] // self.shard
        wanted = _groups(numbers, places, self.chunk)
        chunks = [int(numbers[some[0]] // self.chunk - number * (self.shard // self.chunk))
                  for some in wanted]  # fmt: skip
        for some, data in zip(wanted, self._chunks(int(number), chunks), strict=True):
            first = numbers[some[0]] // self.chunk * self.chunk
            if _is_run(numbers[some], first, self.chunk) and _is_run(some, some[0], self.chunk):
                self._decode(data, found[some[0] : some[0] + self.chunk])
            else:
                rows = np.empty((self.chunk, *found.shape[1:]), found.dtype)
                self._decode(data, rows)
                found[some] = rows[numbers[some] - first]

    def _chunks(self, number: int, wanted: Sequence[int]) -> list[bytes]:
        """Return chunks of a shard, each with its crc32c, by their places in it, ascending."""
        place = self.folder / f"{self.array.path}/c/{number}/0"
        count = self.shard // self.chunk
        behind = 16 * count + _CRC_BYTES
        is_whole = len(wanted) == count
        if (tail := place.read_bytes(None if is_whole else -behind)) is None:
            raise FileNotFoundError(f"{place} is not there")
        if len(tail) < behind:
            raise ValueError(f"{place} is {'cut' if tail else 'empty'}")
        index = np.frombuffer(_checked(tail[-behind:], f"the index of {place}"), "<u8", 2 * count)
        start, size = index.reshape(count, 2)[list(wanted)].T
        if _NONE in start:
            raise ValueError(f"{place} lacks chunk {wanted[list(start).index(_NONE)]}")
        parts = [
            (int(first), int(first + length)) for first, length in zip(start, size, strict=True)
        ]
        found = [tail[a:b] for a, b in parts] if is_whole else place.read_parts(parts)
        return [
            _checked(data, f"chunk {chunk} of {place}", int(length))
            for data, length, chunk in zip(found, size, wanted, strict=True)
        ]

    def _decode(self, data: bytes, out: np.ndarray) -> None:
        """Put the values of a chunk into `out`, contiguous and of a chunk's shape."""
        # Blosc's header holds the size of what was packed, and would be content with less than it
        is_packed = self._is_packed
        size = int.from_bytes(data[4:8], "little") if is_packed else len(data) - _CRC_BYTES
        if size != out.nbytes:
            raise ValueError(f"a chunk of {size} bytes, expected {out.nbytes}")
        if is_packed:
            _UNPACK.decode(data, out)
        else:
            out[...] = np.frombuffer(data, out.dtype, out.size).reshape(out.shape)

    @cached_property
    def _is_packed(self) -> bool:
        metadata = self.array.metadata
        assert isinstance(metadata, ArrayV3Metadata)
        (sharding,) = metadata.codecs
        assert isinstance(sharding, ShardingCodec)
        return any(isinstance(codec, BloscCodec) for codec in sharding.codecs)


_UNPACK = Blosc()  # what it undoes is told by the data


def _groups(numbers: np.ndarray, places: np.ndarray, size: int) -> list[np.ndarray]:
    """Return the places cut where their numbers, ascending, pass a multiple of the size."""
    if not len(places):
        return []
    return np.split(places, np.flatnonzero(np.diff(numbers[places] // size)) + 1)


def _is_run(numbers: np.ndarray, first: int, count: int) -> bool:
    """Return whether these are `count` numbers from `first` on."""
    return len(numbers) == count and bool(np.array_equal(numbers, np.arange(first, first + count)))


def _checked(data: bytes, what: str, size: int | None = None) -> bytes:
    """Return what ends with its crc32c; ValueError where that is of something else."""
    if size is not None and len(data) != size:
        raise ValueError(f"{what} is cut")
    if google_crc32c.value(data) != _RESIDUE:
        raise ValueError(f"{what} does not have the checksum that was written with it")
    return data
