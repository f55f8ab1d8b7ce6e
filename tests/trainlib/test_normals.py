"""Training noise of rows, epochs, splits and purposes: none is another's, moved along or not."""

import numpy as np
import pytest

from simlib.rng import Purpose, Split, stream_key
from tests.simlib.correlation import refuse_shared
from tests.trainlib import plain_numbers
from trainlib.training.normals import epoch_order, noise, normals_from, row_words, words

PIXELS = 2048
BESIDE = [(7, Split.train, Purpose.training_noise, epoch, row) for epoch in (0, 1, 2, 9)
          for row in (0, 1, 2, 500)]  # fmt: skip
OTHERS = [
    (8, Split.train, Purpose.training_noise, 0, 0),
    (7, Split.validation, Purpose.training_noise, 0, 0),
    (7, Split.validation, Purpose.evaluation_noise, 0, 0),
    (7, Split.test, Purpose.evaluation_noise, 0, 0),
    (7, Split.train, Purpose.augmentation, 0, 0),
]


def test_no_row_s_noise_of_any_epoch_is_another_s_moved_along() -> None:
    refuse_shared([noise(*key, 1, PIXELS)[0] for key in (*BESIDE, *OTHERS)])


def test_the_words_of_rows_epochs_splits_and_purposes_share_none() -> None:
    pairs = np.concatenate([
        words(*key, 1, PIXELS).view(np.uint64).ravel() for key in (*BESIDE, *OTHERS)
    ])  # fmt: skip
    assert len(np.unique(pairs)) == len(pairs)


def test_each_epoch_and_seed_has_an_order_of_its_own_that_no_turn_makes_another_s() -> None:
    orders = [epoch_order(seed, epoch, PIXELS) for seed in (7, 8) for epoch in range(4)]
    middle = 0.5 * (PIXELS - 1)
    refuse_shared([order - middle for order in orders])


@pytest.mark.parametrize("seed", [0, 7, 2**63 - 1])
@pytest.mark.parametrize(("epoch", "start", "rows", "count"), [(0, 0, 3, 4096), (9, 10**9, 2, 40)])
def test_words_are_those_of_numpy(seed, epoch, start, rows, count) -> None:
    key = stream_key(seed, Split.test, Purpose.masks)
    found = words(seed, Split.test, Purpose.masks, epoch, start, rows, count)
    assert np.array_equal(found, plain_numbers.words(key, epoch, start, rows, count))


@pytest.mark.parametrize("pixels", [1, 7, 1024, 4091])
def test_noise_is_made_of_numpy_s_words_as_numpy_makes_it(pixels) -> None:
    key = stream_key(3, Split.train, Purpose.training_noise)
    bits = plain_numbers.words(key, 4, 11, 5, row_words(pixels))
    found = noise(3, Split.train, Purpose.training_noise, 4, 11, 5, pixels)
    assert found.shape == (5, pixels) and found.dtype == np.float32
    assert np.allclose(found, plain_numbers.normals(bits)[:, :pixels], atol=2e-6, rtol=0)
    assert np.array_equal(found, normals_from(bits)[:, :pixels])
    alone = noise(3, Split.train, Purpose.training_noise, 4, 13, 1, pixels)
    assert np.array_equal(alone[0], found[2])


def test_normals_of_the_extreme_words_are_finite_and_right() -> None:
    ends = [-(2**31), -(2**31) + 1, -(2**24), -1, 0, 1, 2**24, 2**31 - 128, 2**31 - 1]
    of_radius, of_angle = (part.ravel() for part in np.meshgrid(ends, ends))
    bits = np.concatenate([of_radius, of_angle]).astype(np.int32)[None]
    expected = plain_numbers.normals(bits)
    assert np.allclose(normals_from(bits), expected, atol=4e-6, rtol=0)
    assert 5.9 < np.abs(expected).max() < 6.1
