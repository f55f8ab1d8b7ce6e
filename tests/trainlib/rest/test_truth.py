"""What a training spectrum is at rest: seen at its redshift it is the spectrum, margins and all."""

import numpy as np
import pytest

from simlib.dataset.publish import published_dataset
from simlib.dataset.rows import recipe_of
from simlib.errors import InputError
from simlib.location import Location
from tests.simlib.dataset.toy_build import build
from tests.trainlib.toy_dataset import write_toy
from trainlib.training.truth import LABELS, truth_of

ROWS = 24


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return build(tmp_path_factory.mktemp("virtual"), "dataset.mode=virtual")


@pytest.fixture(scope="module")
def truth(place):
    return truth_of(place)


@pytest.fixture(scope="module")
def stars(place):
    recipe, _ = recipe_of(*published_dataset(place))
    return recipe, recipe.drawn("train", 0, ROWS)


def labels_of(spectra):
    return {name: spectra[name].values for name in LABELS}


def test_the_truth_at_its_own_or_a_near_redshift_is_the_target(truth, stars):
    recipe, drawn = stars
    flux = recipe.observed(drawn)["flux"].values
    offset = np.linspace(-0.02, 0.02, ROWS, dtype=np.float32)[:, None]
    smooth = 1.0 + 0.02 * np.sin(np.linspace(0.0, 5.0, flux.shape[1], dtype=np.float32))
    target = flux * smooth + offset
    labels = labels_of(drawn)
    for pixels in (0.0, 0.4, -0.9):
        frame = labels["redshift"] + pixels * truth.axis.pixel_redshift
        made = truth.coefficients(labels, target, offset, frame)
        off = np.abs(truth.axis.gather(made, frame) / target - 1.0)
        assert off.mean() < 2e-5 and off.max() < (1e-3 if pixels == 0.0 else 0.01)


def test_the_margins_are_what_another_redshift_brings_into_the_arm(truth, stars):
    recipe, drawn = stars
    low, high = (drawn.assign(redshift=("spectrum", np.full(ROWS, z))) for z in (-0.003, 0.003))
    seen = recipe.observed(high)["flux"].values
    none = np.zeros((ROWS, 1), np.float32)
    made = truth.coefficients(
        labels_of(low), recipe.observed(low)["flux"].values, none, np.full(ROWS, -0.003)
    )
    there = truth.axis.gather(made, np.full(ROWS, 0.003))
    ratio = there / seen
    ratio /= np.median(ratio, axis=1, keepdims=True)
    assert np.abs(ratio - 1.0).mean() < 1e-3  # dust is smooth and belongs to the observed frame
    assert np.abs(ratio[:, :120] - 1.0).max() < 0.01


def test_a_store_of_spectra_alone_has_no_truth(tmp_path):
    url = write_toy(tmp_path, train=20, validation=8)
    with pytest.raises(InputError, match="store of spectra alone.*train.recipe = 'B'"):
        truth_of(Location.of(url))
