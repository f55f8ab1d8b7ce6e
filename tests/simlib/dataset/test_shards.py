"""Shards: the same bytes as Zarr's own, read the same, and what is wrong with them told."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numcodecs import Blosc
from zarr.codecs import BloscCodec, Crc32cCodec

from simlib.dataset.shards import ShardedArray, encoded_shard
from simlib.location import Location

CODECS = {
    "none": None,
    "lz4": Blosc("lz4", 5, Blosc.BITSHUFFLE),
    "zstd": Blosc("zstd", 5, Blosc.BITSHUFFLE),
    "bytes": Blosc("lz4", 1, Blosc.SHUFFLE),
}
SHAPES = [(1, 1, 1, 3), (5, 1, 4, 7), (8, 4, 8, 16), (20, 2, 8, 5), (21, 4, 8, 33), (24, 8, 8, 4),
          (17, 16, 16, 1)]  # rows, chunk, shard, pixels  # fmt: skip


def values(rows: int, pixels: int) -> np.ndarray:
    dice = np.random.default_rng(rows * 100 + pixels)
    return (1.0 + 0.01 * dice.standard_normal((rows, pixels))).astype(np.float32)


def by_zarr(folder: Path, codec: str, rows: int, chunk: int, shard: int, pixels: int) -> Any:
    """Write an array with Zarr alone, and open it."""
    packing = CODECS[codec]
    names = {Blosc.BITSHUFFLE: "bitshuffle", Blosc.SHUFFLE: "shuffle"}
    packings = [BloscCodec(cname=packing.cname, clevel=packing.clevel,
                           shuffle=names[packing.shuffle])] if packing else []  # fmt: skip
    array = zarr.create_array(
        folder / "a", shape=(rows, pixels), dtype="float32", shards=(shard, pixels),
        chunks=(chunk, pixels), compressors=[*packings, Crc32cCodec()],
        fill_value=np.nan, config={"write_empty_chunks": True},
    )  # fmt: skip
    array[:] = values(rows, pixels)
    return zarr.open_array(zarr.storage.LocalStore(folder), path="a", mode="r")


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("rows, chunk, shard, pixels", SHAPES)
def test_a_shard_has_the_bytes_that_zarr_writes(
    tmp_path: Path, codec: str, rows: int, chunk: int, shard: int, pixels: int
) -> None:
    by_zarr(tmp_path, codec, rows, chunk, shard, pixels)
    made = values(rows, pixels)
    for number, start in enumerate(range(0, rows, shard)):
        ours = encoded_shard(made[start : start + shard], chunk, shard, CODECS[codec])
        assert ours == (tmp_path / f"a/c/{number}/0").read_bytes()
        assert ours.readonly and np.frombuffer(ours, np.uint8).ctypes.data % 4096 == 0


KEYS: list[Any] = [
    0, -1, 13, slice(None), slice(3, 5), slice(4, 8), slice(0, 16), slice(7, 21), slice(5, 5),
    slice(None, None, -1), slice(2, 20, 3), np.array([20, 0, 0, 7, 8, 9, 3]), np.array([], int),
    [4, 5, 6, 7], np.array([-1, 1]), (slice(2, 9), slice(3, 30, 4)), (5, 7),
    (slice(8, 16), np.array([1, 0])), (slice(0, 0), 3), np.arange(21)[::-1].copy(),
    np.random.default_rng(1).permutation(21),
]  # fmt: skip


@pytest.mark.parametrize("codec", ["none", "lz4"])
@pytest.mark.parametrize("key", KEYS, ids=str)
def test_rows_are_read_as_numpy_takes_them(tmp_path: Path, codec: str, key: Any) -> None:
    array = by_zarr(tmp_path, codec, 21, 4, 8, 33)
    found = ShardedArray(Location.of(tmp_path), array)[key]
    assert found.dtype == np.float32
    assert np.array_equal(found, values(21, 33)[key])


def test_a_part_of_a_shard_is_read_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not asked for may be damaged; few bytes more than asked for are read."""
    array = by_zarr(tmp_path, "none", 16, 4, 16, 100)
    file = tmp_path / "a/c/0/0"
    data = bytearray(file.read_bytes())
    data[5] ^= 1
    file.write_bytes(data)
    taken = 0
    of_bytes, of_parts = Location.read_bytes, Location.read_parts

    def counted(place: Location, start: int | None = None) -> bytes | None:
        nonlocal taken
        taken += len((part := of_bytes(place, start)) or b"")
        return part

    def counted_parts(place: Location, parts: Sequence[tuple[int, int]]) -> list[bytes]:
        nonlocal taken
        taken += sum(map(len, found := of_parts(place, parts)))
        return found

    monkeypatch.setattr(Location, "read_bytes", counted)
    monkeypatch.setattr(Location, "read_parts", counted_parts)
    found = ShardedArray(Location.of(tmp_path), array)[8:12]
    assert np.array_equal(found, values(16, 100)[8:12])
    assert taken == 4 * 100 * 4 + 4 + 4 * 16 + 4  # a chunk, its crc, the index, its crc


def test_many_shards_behind_a_url_are_read_alike(tmp_path: Path) -> None:
    array = by_zarr(tmp_path, "lz4", 40, 4, 8, 33)
    order = np.random.default_rng(2).permutation(40)
    found = ShardedArray(Location(f"file://{tmp_path}"), array)[order]
    assert np.array_equal(found, values(40, 33)[order])


@pytest.mark.parametrize("codec", ["none", "lz4"])
def test_whatever_bit_is_flipped_it_is_told(tmp_path: Path, codec: str) -> None:
    array = by_zarr(tmp_path, codec, 16, 4, 8, 33)
    file = tmp_path / "a/c/1/0"
    good = file.read_bytes()
    for at in np.random.default_rng(3).integers(0, 8 * len(good), 300):
        data = bytearray(good)
        data[at // 8] ^= 1 << (at % 8)
        file.write_bytes(data)
        with pytest.raises(ValueError, match=r"checksum|cut|lacks"):
            _ = ShardedArray(Location.of(tmp_path), array)[8:16]
        assert np.array_equal(ShardedArray(Location.of(tmp_path), array)[:8], values(16, 33)[:8])


@pytest.mark.parametrize("key", [slice(8, 16), 9])
def test_a_cut_an_empty_and_a_lost_shard_are_told(tmp_path: Path, key: Any) -> None:
    array = by_zarr(tmp_path, "lz4", 16, 4, 8, 33)
    file = tmp_path / "a/c/1/0"
    good = file.read_bytes()
    for length in (1, 40, 68, 69, len(good) - 1):
        file.write_bytes(good[:length])
        with pytest.raises(ValueError, match=r"cut|checksum"):
            _ = ShardedArray(Location.of(tmp_path), array)[key]
    file.write_bytes(b"")
    with pytest.raises(ValueError, match="is empty"):
        _ = ShardedArray(Location.of(tmp_path), array)[key]
    file.unlink()
    with pytest.raises(FileNotFoundError):
        _ = ShardedArray(Location.of(tmp_path), array)[key]


def test_a_chunk_that_is_not_there_is_told(tmp_path: Path) -> None:
    array = by_zarr(tmp_path, "lz4", 16, 4, 8, 33)
    (tmp_path / "a/c/1/0").write_bytes(encoded_shard(values(4, 33), 4, 8, CODECS["lz4"]))
    with pytest.raises(ValueError, match="lacks chunk 1"):
        _ = ShardedArray(Location.of(tmp_path), array)[8:16]
    with pytest.raises(IndexError):
        _ = ShardedArray(Location.of(tmp_path), array)[16]


@pytest.mark.parametrize("codec", ["none", "lz4"])
def test_chunks_of_another_size_are_told(tmp_path: Path, codec: str) -> None:
    """Whole, with right checksums, but not of this array."""
    array = by_zarr(tmp_path, codec, 16, 4, 8, 33)
    (tmp_path / "a/c/1/0").write_bytes(encoded_shard(values(8, 32), 4, 8, CODECS[codec]))
    with pytest.raises(ValueError):
        _ = ShardedArray(Location.of(tmp_path), array)[8:16]
    (tmp_path / "a/c/1/0").write_bytes(encoded_shard(values(8, 34), 4, 8, CODECS[codec]))
    with pytest.raises(ValueError):
        _ = ShardedArray(Location.of(tmp_path), array)[8:16]
