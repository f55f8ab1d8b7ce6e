"""Training noise of rows, epochs, splits and purposes: none is another's, moved along or not."""

import numpy as np

from simlib.rng import Purpose, Split
from tests.simlib.correlation import refuse_shared
from trainlib.training.normals import epoch_order, noise, words

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
