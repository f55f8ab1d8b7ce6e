"""Random numbers belong to a row: any slice is a slice of the whole, and splits never agree."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from simlib.rng import PER_ROW, Purpose, Split, normals, uniforms
from tests.simlib.correlation import refuse_shared

WHOLE = uniforms(7, Split.train, Purpose.draws, np.arange(300))


@given(st.integers(0, 299), st.integers(1, 300))
def test_any_block_is_the_slice_of_the_whole(start: int, length: int) -> None:
    stop = min(start + length, 300)
    block = uniforms(7, Split.train, Purpose.draws, np.arange(start, stop))
    assert np.array_equal(block, WHOLE[start:stop])


@given(st.lists(st.integers(0, 299), max_size=40))
def test_rows_in_any_order_are_those_of_the_whole(rows: list[int]) -> None:
    some = uniforms(7, Split.train, Purpose.draws, np.array(rows, dtype=np.int64))
    assert np.array_equal(some, WHOLE[rows])


def test_seeds_splits_and_purposes_share_no_row() -> None:
    streams = [
        uniforms(seed, split, purpose, np.arange(300))
        for seed in (7, 8)
        for split in Split
        for purpose in Purpose
    ]
    values = np.concatenate(streams).ravel()
    assert len(np.unique(values)) == len(values)


def test_columns_are_uniform_and_independent() -> None:
    u = uniforms(1, Split.validation, Purpose.draws, np.arange(20_000))
    assert u.shape == (20_000, PER_ROW)
    assert np.all((u >= 0) & (u < 1))
    assert np.abs(u.mean(axis=0) - 0.5).max() < 5 * np.sqrt(1 / 12 / 20_000)
    correlation = np.corrcoef(u.T) - np.eye(PER_ROW)
    assert np.abs(correlation).max() < 5 / np.sqrt(20_000)


# Of every kind a stream has: far and neighbouring rows, splits, purposes, seeds.
KEYS = [
    (7, Split.train, Purpose.target_noise, 0), (8, Split.train, Purpose.target_noise, 0),
    (7, Split.validation, Purpose.target_noise, 0), (7, Split.test, Purpose.target_noise, 0),
    *((7, Split.train, purpose, 1) for purpose in Purpose),
    *((7, Split.train, Purpose.target_noise, row) for row in (2, 3, 4, 64, 2**20, 2**40)),
]  # fmt: skip
LENGTH = 4096


def test_no_row_s_noise_is_another_s_moved_along() -> None:
    streams = [normals(*key, LENGTH) for key in KEYS]
    refuse_shared(streams)
    values = np.concatenate(streams)
    assert len(np.unique(values)) == len(values)  # shared at any shift, by however few


def test_a_row_s_noise_is_standard_normal_and_begins_with_its_first_pixels() -> None:
    noise = np.concatenate([normals(*key, LENGTH) for key in KEYS])
    assert abs(noise.mean()) < 5.0 / np.sqrt(noise.size)
    assert abs(noise.var() - 1.0) < 5.0 * np.sqrt(2.0 / noise.size)
    assert abs((np.abs(noise) < 1.0).mean() - 0.682689) < 5.0 * np.sqrt(0.217 / noise.size)
    assert np.array_equal(normals(*KEYS[0], 9), normals(*KEYS[0], LENGTH)[:9])


def test_uniforms_of_rows_are_no_shifted_copies_either() -> None:
    streams = [
        uniforms(seed, split, purpose, np.arange(start, start + LENGTH // PER_ROW)).ravel() - 0.5
        for seed, split, purpose, start in KEYS
        if start % 256 == 0  # blocks of rows that do not overlap
    ]
    refuse_shared(streams)
