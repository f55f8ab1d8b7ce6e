"""Random numbers belong to a row: any slice is a slice of the whole, and splits never agree."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from simlib.rng import PER_ROW, Purpose, Split, uniforms

WHOLE = uniforms(7, Split.train, Purpose.draws, 0, 300)


@given(st.integers(0, 299), st.integers(1, 300))
def test_any_block_is_the_slice_of_the_whole(start: int, length: int) -> None:
    stop = min(start + length, 300)
    block = uniforms(7, Split.train, Purpose.draws, start, stop)
    assert np.array_equal(block, WHOLE[start:stop])


def test_seeds_splits_and_purposes_share_no_row() -> None:
    streams = [
        uniforms(seed, split, purpose, 0, 300)
        for seed in (7, 8)
        for split in Split
        for purpose in Purpose
    ]
    values = np.concatenate(streams).ravel()
    assert len(np.unique(values)) == len(values)


def test_columns_are_uniform_and_independent() -> None:
    u = uniforms(1, Split.validation, Purpose.draws, 0, 20_000)
    assert u.shape == (20_000, PER_ROW)
    assert np.all((u >= 0) & (u < 1))
    assert np.abs(u.mean(axis=0) - 0.5).max() < 5 * np.sqrt(1 / 12 / 20_000)
    correlation = np.corrcoef(u.T) - np.eye(PER_ROW)
    assert np.abs(correlation).max() < 5 / np.sqrt(20_000)
