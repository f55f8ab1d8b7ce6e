"""Masks drawn while a network trains: what they are, and that what they hide is not seen."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from simlib.rng import Purpose, Split, stream_key
from simlib.spectra.masks import REJECTED, USUAL
from tests.trainlib import plain_numbers
from tests.trainlib.rest.toy_frame import observed, statistics
from trainlib.config import Augment, TrainingConfig
from trainlib.models import build_model, training_statistics
from trainlib.rest.frame import RestFrame
from trainlib.training.augment import Augmenter
from trainlib.training.masks import CR_PIXELS, GAP_PIXELS

PIXELS, ROWS, SEED = 2048, 400, 7
MOST = {"no_data": 0.1, "cr": 4, "bad_sky": 0.02}


def section(**keys) -> Augment:
    return TrainingConfig.model_validate({"augment": keys}).augment


def augmenter(purpose=Purpose.training_noise, is_on=True, **keys) -> Augmenter:
    return Augmenter(section(**keys), PIXELS, SEED, Split.train, purpose, is_on)


def clean(rows=ROWS):
    sky = 1.0 + 4.0 * (torch.arange(PIXELS) % 50 < 2) * torch.linspace(0.5, 1.0, PIXELS)
    return torch.full((rows, PIXELS), 0.5), (0.05 * sky).repeat(rows, 1)


def hidden_by(epoch=0, start=0, **keys) -> np.ndarray:
    batch = augmenter(**keys)(*clean(), epoch, start)
    return batch.variance.isinf().numpy()


def picked(words, number):
    """Return floor(w n / 2^32) of random words, in Python's own whole numbers."""
    return [int(word) % 2**32 * number >> 32 for word in words]


def expected(epoch, start, rows, sigma, no_data, cr, bad_sky) -> np.ndarray:
    """Return the masks as the module says them, from NumPy's Philox, one pixel after the other."""
    gaps, sky = int(np.ceil(no_data * PIXELS / 32.5)), int(np.ceil(bad_sky * PIXELS))
    count = -(-(8 + 2 * (gaps + cr)) // 8) * 8
    key = stream_key(SEED, Split.train, Purpose.masks)
    found = np.zeros((rows, PIXELS), bool)
    for row, drawn in enumerate(plain_numbers.words(key, epoch, start, rows, count)):
        some = [1 + (w - 2**31) * most // 2**31 if (w := int(word) % 2**32) >= 2**31 and most else 0
                for word, most in zip(drawn[:3], (gaps, cr, sky), strict=True)]  # fmt: skip
        for first, runs, (least, most) in (
            (8, some[0], GAP_PIXELS),
            (8 + 2 * gaps, some[1], CR_PIXELS),
        ):
            places = drawn[first : first + 2 * runs].reshape(runs, 2)
            begins = picked(places[:, 0], PIXELS)
            lengths = picked(places[:, 1], most - least + 1)
            for begin, length in zip(begins, lengths, strict=True):
                found[row, begin : begin + least + length] = True
        if some[2]:
            found[row] |= sigma[row] >= np.sort(sigma[row])[-some[2]]
    return found


@pytest.mark.parametrize("keys", [*({name: most} for name, most in MOST.items()), MOST], ids=str)
def test_masks_follow_from_numpy_s_words_of_seed_epoch_and_place(keys):
    none = dict.fromkeys(MOST, 0)
    told = expected(3, 20, ROWS, clean()[1].numpy(), **none | keys)
    assert np.array_equal(hidden_by(3, 20, **keys), told)


def test_a_batch_cut_over_ranks_has_the_same_masks():
    flux, sigma = clean()
    make = augmenter(**MOST)
    whole = make(flux, sigma, 3, 20)
    parts = [make(flux[a:b], sigma[a:b], 3, 20 + a) for a, b in pairwise((0, 7, 8, 300, ROWS))]
    assert torch.equal(whole.variance.isinf(), torch.cat([p.variance.isinf() for p in parts]))
    again, later = make(flux, sigma, 3, 20), make(flux, sigma, 4, 20)
    assert torch.equal(whole.variance, again.variance)
    assert (whole.variance.isinf() != later.variance.isinf()).any(dim=1).float().mean() > 0.9


def test_half_of_the_spectra_have_no_gap_and_the_others_up_to_the_share():
    share = hidden_by(no_data=0.1).mean(axis=1)
    assert (share == 0).mean() == pytest.approx(0.5, abs=0.08)
    assert share.mean() == pytest.approx(0.25 * 0.1, rel=0.2)
    assert share.max() < 0.19
    found = hidden_by(no_data=0.001)  # a single gap
    lengths = found.sum(axis=1)[found.any(axis=1)]
    assert lengths.max() == GAP_PIXELS[1] and set(lengths) >= set(range(5, 20))
    starts = found.argmax(axis=1)[found.any(axis=1)]
    assert np.ptp(starts) > 0.95 * PIXELS


def test_cosmic_rays_are_few_pixels_each():
    count = hidden_by(cr=4).sum(axis=1)
    assert (count == 0).mean() == pytest.approx(0.5, abs=0.08)
    assert set(count) == set(range(count.max() + 1)) and 9 <= count.max() <= 12


def test_sky_pixels_are_those_of_the_largest_noise_of_the_row():
    _, sigma = clean()
    found = hidden_by(bad_sky=0.02)
    assert (found.sum(axis=1) > 0).mean() == pytest.approx(0.5, abs=0.08)
    assert found.sum(axis=1).max() == np.ceil(0.02 * PIXELS)
    for row in np.flatnonzero(found.any(axis=1))[:50]:
        assert float(sigma[row][found[row]].min()) > float(sigma[row][~found[row]].max())


def test_planes_are_some_that_the_survey_s_files_name():
    assert {name.upper() for name in MOST} <= REJECTED[USUAL]


def test_a_masked_pixel_is_0_and_the_others_are_as_without_masks():
    flux, sigma = clean(50)
    masked, whole = augmenter(**MOST)(flux, sigma, 0, 0), augmenter()(flux, sigma, 0, 0)
    is_hidden = masked.variance.isinf()
    assert is_hidden.any() and not whole.variance.isinf().any()
    assert bool((masked.noisy[is_hidden] == 0.0).all())
    assert torch.equal(masked.noisy[~is_hidden], whole.noisy[~is_hidden])
    assert torch.equal(masked.variance[~is_hidden], whole.variance[~is_hidden])
    assert torch.equal(masked.target, whole.target)


def test_an_evaluation_masks_nothing():
    for judging in (
        augmenter(Purpose.evaluation_noise, **MOST),
        augmenter(Purpose.evaluation_noise, is_on=False, **MOST),
        augmenter(is_on=False, **MOST),
    ):
        assert not judging(*clean(50), 0, 0).variance.isinf().any()


@pytest.mark.parametrize(
    "model",
    [
        {"kind": "projection", "rank": 6, "hidden": 16, "blocks": 1},
        {"kind": "hourglass", "widths": [PIXELS, 6], "skip": "none"},
        {"kind": "hourglass", "widths": [PIXELS, 6], "input": "standardized", "output": "linear"},
    ],
    ids=["B", "A", "A, standardised"],
)
def test_networks_of_the_observed_frame_take_a_masked_pixel_for_the_mean(model):
    draw = torch.Generator().manual_seed(0)
    flux = 0.5 + 0.1 * torch.randn(60, PIXELS, generator=draw)
    sigma = torch.full_like(flux, 0.05)
    config = TrainingConfig.model_validate({"model": model}).model
    told = training_statistics(flux, sigma, 6, seed=0)
    torch.manual_seed(0)
    network = build_model(config, told)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    hidden = torch.rand(flux.shape, generator=draw) < 0.1
    hidden[0] = True  # nothing at all is seen
    variance = sigma.square().masked_fill(hidden, torch.inf)
    made = [network(flux.masked_fill(hidden, value), variance) for value in (0.0, 1e6, torch.nan)]
    assert torch.equal(made[0], made[1]) and torch.equal(made[0], made[2])
    assert bool(made[0].isfinite().all())
    mean = network(flux.where(~hidden, told.mean)[1:], sigma.square()[1:])
    assert torch.allclose(made[0][1:], mean, atol=1e-6)
    assert not torch.allclose(made[0], network(flux, sigma.square()), atol=1e-4)
    error = network.squared_error(flux.masked_fill(hidden, torch.nan), variance, flux)
    assert bool(error.isfinite().all())


def test_the_solution_at_rest_knows_nothing_of_what_is_hidden():
    flux, variance, _, redshift = observed(20, 0.03)
    variance[:, 100:120] = np.inf
    frame = RestFrame(statistics(), steps=2)
    made = []
    for value in (0.0, 1e3):
        flux[:, 100:120] = value
        made.append(frame.solved(flux, variance, redshift))
    assert all(np.array_equal(one, other) for one, other in zip(*made, strict=True))
