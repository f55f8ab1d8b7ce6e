"""Partial stacks: how many exposures a row has, and what its noise is then."""

import numpy as np
import pytest
import torch

from simlib.dataset.endless import open_endless
from simlib.dataset.open import open_dataset
from simlib.errors import InputError
from simlib.location import Location
from simlib.rng import Purpose, Split, stream_key
from tests.simlib.dataset.toy_build import build
from tests.trainlib import plain_numbers
from tests.trainlib.training_runs import toy_config
from trainlib.config import TrainingConfig
from trainlib.training.batches import Endless, open_source, stacks_of
from trainlib.training.distributed import Ranks
from trainlib.training.stacks import Stacks, lasting_share

CPU = torch.device("cpu")
ALONE = Ranks(0, 1, CPU)
ROWS, SEED, WHOLE, LEAST = 70, 1, 20, 2.0
STACKS = Stacks(SEED, WHOLE, LEAST, np.zeros(1, np.float32))


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    root = tmp_path_factory.mktemp("virtual")
    return str(build(root, f"dataset.n_train={ROWS}", "dataset.mode=virtual"))


@pytest.fixture(scope="module")
def split(stored):
    return open_endless(stored)


def config_of(root, mode="stored", partial_snr=LEAST):
    tables = toy_config(root, mode=mode, batch_size=16, seed=SEED).model_dump(exclude_none=True)
    return TrainingConfig.model_validate(
        tables | {"augment": {**tables["augment"], "partial_snr": partial_snr}}
    )


def batches(source, epochs):
    try:
        return [list(source.epoch(number)) for number in epochs]
    finally:
        source.close()


def sigma_of(epoch):
    return torch.cat([batch.sigma for batch in epoch]).numpy()


def test_the_exposures_follow_from_numpy_s_words_of_seed_epoch_and_place():
    snr = np.random.default_rng(0).uniform(1.0, 60.0, 300)
    found = STACKS.exposures(5, 40, snr)
    key = stream_key(SEED, Split.train, Purpose.stacks)
    drawn = plain_numbers.words(key, 5, 40, 300, 8).view(np.uint32)[:, 0]
    for count, word, ratio in zip(found, drawn.tolist(), snr, strict=True):
        least = min(np.ceil(max(WHOLE * (LEAST / ratio) ** 2, 1e-9)), WHOLE)
        drawn_count = np.floor(least * ((WHOLE + 1) / least) ** ((word - 2**31) / 2**31))
        assert count == (drawn_count if word >= 2**31 else WHOLE)
    parts = [STACKS.exposures(5, 40 + a, snr[a:b]) for a, b in ((0, 13), (13, 300))]
    assert np.array_equal(found, np.concatenate(parts))
    assert not np.array_equal(found, STACKS.exposures(6, 40, snr))


def test_half_are_partial_of_any_number_that_leaves_the_least_signal():
    snr = np.full(20_000, 40.0)
    found = STACKS.exposures(0, 0, snr)
    assert set(found) == set(range(1, 21))
    for count in (1, 5, 19):
        share = 0.5 * np.log((count + 1) / count) / np.log(WHOLE + 1)
        assert (found == count).mean() == pytest.approx(share, abs=0.01)
    assert (found == WHOLE).mean() == pytest.approx(0.5, abs=0.02)
    for level in (1.0, 2.0, 3.0, 9.0):
        left = level * np.sqrt(STACKS.exposures(0, 0, np.full(5000, level)) / WHOLE)
        assert left.min() >= min(level, LEAST) - 1e-9
        assert left.max() == level


def test_stacks_that_are_made_have_exactly_the_variance_of_their_exposures(split):
    (epoch, later), (whole, _) = (
        batches(Endless(split, 16, ALONE, stacks=stacks), [1, 2]) for stacks in (STACKS, None)
    )
    parameters = split.recipe.drawn_rows("train", np.arange(ROWS, 2 * ROWS))
    made = split.recipe.observed(parameters)
    counts = STACKS.exposures(1, 0, made["snr"].values)
    exact = split.recipe.observed(parameters.assign(exposure_count=("spectrum", counts)))
    assert 20 < (counts < WHOLE).sum() < 50
    assert np.allclose(sigma_of(epoch), np.sqrt(exact["variance"].values), rtol=1e-6)
    is_whole = counts == WHOLE
    assert np.array_equal(sigma_of(epoch)[is_whole], sigma_of(whole)[is_whole])
    assert all(torch.equal(one.flux, other.flux) for one, other in zip(epoch, whole, strict=True))
    assert len(later) == len(epoch)


def test_terms_that_are_computed_give_the_same_stacks_as_the_grid_s(split):
    recipe = split.recipe
    direct = recipe.config.model_copy(
        update={"terms": recipe.config.terms.model_copy(update={"source": "direct"})}
    )
    spectra = recipe.observed(recipe.drawn_rows("train", np.arange(3)))
    counts = np.array([1.0, 7.0, 20.0])
    exact = type(recipe)(direct, recipe.terms).variance(spectra, counts)
    assert exact.shape == spectra["variance"].shape
    assert np.allclose(recipe.variance(spectra, counts), exact, rtol=0.03)


def test_a_stored_row_s_stack_is_the_same_wherever_it_is_held(stored, split, tmp_path):
    config, place = config_of(tmp_path), Location.of(stored)
    (kept,) = batches(open_source(config, place, ALONE), [3])
    stacks = stacks_of(config, place)
    made = [
        batches(Endless(split, 16, Ranks(n, 3, CPU), again=SEED, stacks=stacks), [3])[0]
        for n in range(3)
    ]
    for whole, *parts in zip(kept, *made, strict=True):
        assert torch.equal(whole.sigma, torch.cat([part.sigma for part in parts]))
    plain = batches(open_source(config_of(tmp_path, partial_snr=0.0), place, ALONE), [3])[0]
    ratio = np.square(sigma_of(kept) / sigma_of(plain))
    times = 1.0 + (ratio - 1.0) / (1.0 - stacks.lasting)
    assert np.allclose(times, times[:, :1], rtol=1e-3)
    counts = WHOLE / times[:, 0]
    assert np.allclose(counts, np.round(counts), rtol=1e-4) and 20 < (counts < 19.5).sum() < 50


def test_what_is_taken_for_a_stored_row_s_stack_is_near_what_the_simulator_gives(split):
    recipe = split.recipe
    lasting = lasting_share(recipe)
    assert lasting.shape == (4096,) and 0.0 <= lasting.min() < 0.2 and 0.8 < lasting.max() <= 1.0
    made = recipe.observed(recipe.drawn("train", 0, 256))  # of these it is the mean
    grown = (recipe.variance(made, np.ones(256)) / made["variance"].values).mean(axis=0)
    assert lasting + (1.0 - lasting) * WHOLE == pytest.approx(grown, rel=1e-3)
    stacks = Stacks(SEED, WHOLE, LEAST, lasting)
    spectra = recipe.observed(recipe.drawn_rows("validation", np.arange(200)))
    sigma = np.sqrt(spectra["variance"].values)
    for count, mean, most in ((1, 0.04, 0.25), (5, 0.025, 0.15), (10, 0.015, 0.08), (20, 0, 0)):
        counts = np.full(200, float(count))
        exact = np.sqrt(recipe.variance(spectra, counts))
        off = np.abs(sigma * stacks.growth(counts, CPU).numpy() / exact - 1.0)
        assert off.mean() <= mean + 1e-6
        assert np.quantile(off, 0.99) <= most + 1e-6


def test_a_store_of_spectra_alone_takes_all_noise_for_that_of_photons(tmp_path):
    stacks = stacks_of(config_of(tmp_path), Location.of(tmp_path / "another.zarr"))
    assert np.array_equal(stacks.growth(np.array([5.0, 20.0]), CPU), [[2.0], [1.0]])


@pytest.mark.parametrize("mode", ["stored", "endless"])
def test_the_statistics_are_of_whole_stacks(mode, stored, tmp_path):
    some = open_source(config_of(tmp_path, mode), Location.of(stored), ALONE).first(50)
    assert np.allclose(some.sigma**2, open_dataset(stored)["variance"].values[:50])


def test_a_dataset_of_single_exposures_has_no_partial_stacks(tmp_path):
    tables = config_of(tmp_path).model_dump(exclude_none=True)
    tables["conditions"]["exposure_count"] = 1
    config = TrainingConfig.model_validate(tables)
    with pytest.raises(InputError, match=r"fewer exposures, but those of .* have one; set"):
        stacks_of(config, Location.of(tmp_path / "spectra-of-another.zarr"))
