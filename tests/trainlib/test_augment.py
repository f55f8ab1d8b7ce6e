import numpy as np
import pytest
import torch
from scipy import stats

from simlib.rng import Purpose, Split
from trainlib.config import Augment, TrainingConfig
from trainlib.training.augment import Augmenter
from trainlib.training.calibration import calibration_error, calibration_modes
from trainlib.training.normals import epoch_order, noise, row_words, words

PIXELS = 512


def section(**keys) -> Augment:
    return TrainingConfig.model_validate({"augment": keys}).augment


def augmenter(pixels: int = PIXELS, is_on: bool = True, **keys) -> Augmenter:
    return Augmenter(section(**keys), pixels, 7, Split.train, Purpose.training_noise, is_on)


def errors(rows: int = 400, law: str = "uniform", width: float = 0.12) -> np.ndarray:
    draw = np.random.default_rng(0)
    modes = calibration_modes(PIXELS, width, True)
    normals = draw.standard_normal((rows, len(modes))).astype(np.float32)
    return calibration_error(normals, draw.random(rows).astype(np.float32), modes, 0.02, law)


def test_the_calibration_error_never_exceeds_2_per_cent():
    assert np.abs(errors()).max() <= 0.02 * (1 + 1e-5)


def test_the_largest_calibration_error_follows_the_chosen_law():
    largest = np.abs(errors(law="uniform")).max(axis=1)
    assert stats.kstest(largest / 0.02, "uniform").pvalue > 1e-3
    assert np.allclose(np.abs(errors(law="fixed")).max(axis=1), 0.02, rtol=1e-5)


@pytest.mark.parametrize("width", [0.12, 0.3])
def test_the_calibration_error_has_no_power_above_the_cut_off(width):
    curves = errors(width=width).astype(float)
    # a Gaussian of this width passes 1e-5 at this many periods over the range
    cut = np.sqrt(2 * np.log(1e5)) * 2.3548 / (2 * np.pi * width)
    smooth = np.polynomial.legendre.legvander(np.linspace(-1, 1, PIXELS), int(np.pi * cut) + 8)
    left = curves.T - smooth @ np.linalg.lstsq(smooth, curves.T, rcond=None)[0]
    assert np.abs(left).max() < 1e-3 * np.abs(curves).max()


def test_the_ends_of_the_calibration_error_are_not_special():
    modes = calibration_modes(PIXELS, 0.12, True).astype(float)
    slope = np.sqrt((np.diff(modes, axis=1) ** 2).sum(axis=0))  # of unnormalised curves, exact
    assert slope[0] == pytest.approx(slope[PIXELS // 2], rel=0.02)
    assert slope[-1] == pytest.approx(slope[PIXELS // 2], rel=0.02)
    ends = errors()[:, [0, -1]]
    assert np.corrcoef(ends.T)[0, 1] < 0.5  # no wrap-around


def test_the_mean_of_the_calibration_error_is_removed_or_it_starts_at_zero():
    assert np.abs(calibration_modes(PIXELS, 0.12, True).mean(axis=1)).max() < 1e-3
    assert np.abs(calibration_modes(PIXELS, 0.12, False)[:, 0]).max() < 1e-4


def test_noise_is_normal_with_unit_variance():
    drawn = noise(1, Split.train, Purpose.training_noise, 0, 0, 200, 1000).ravel()
    assert drawn.mean() == pytest.approx(0, abs=0.01)
    assert drawn.std() == pytest.approx(1, abs=0.005)
    assert stats.kstest(drawn, "norm").pvalue > 1e-3
    assert (np.abs(drawn) > 4).mean() == pytest.approx(2 * stats.norm.sf(4), abs=6e-5)


def test_noise_has_the_variance_of_the_spectrum_and_scales_with_it():
    flux, sigma = torch.full((500, PIXELS), 0.5), torch.linspace(0.01, 0.2, PIXELS).repeat(500, 1)
    batch = augmenter(scale_sigma=0.1)(flux, sigma, 0, 0)
    deviation = (batch.noisy - batch.target) / batch.variance.sqrt()
    assert float(deviation.std()) == pytest.approx(1, abs=0.005)
    scale = (batch.variance.sqrt() / sigma)[:, 0]
    assert float(scale.std()) == pytest.approx(0.1, rel=0.15)
    assert torch.allclose((batch.variance.sqrt() / sigma).std(dim=1), torch.tensor(0.0), atol=1e-5)


def test_the_target_is_scale_times_calibrated_flux_plus_offset():
    ones = torch.ones(300, PIXELS)
    only_offset = augmenter(calibration="none", scale_sigma=0.0, offset_sigma=0.05)
    offset = only_offset.target(ones, 0, 0)[0] - 1
    assert torch.equal(offset, offset[:, :1].expand_as(offset))
    assert float(offset[:, 0].std()) == pytest.approx(0.05, rel=0.15)
    only_scale = augmenter(calibration="none", scale_sigma=0.05, offset_sigma=0.0)
    target, scale = only_scale.target(2 * ones, 0, 0)
    assert torch.allclose(target, 2 * scale.expand_as(target))
    only_walk = augmenter(scale_sigma=0.0, offset_sigma=0.0)
    error = only_walk.target(ones, 0, 0)[0] - 1
    assert 0.015 < float(error.abs().max()) <= 0.02 * 1.001


@pytest.mark.parametrize("target", ["augmented", "original"])
@pytest.mark.parametrize(
    "keys",
    [
        {"calibration": "none"},
        {"calibration_max": 0.3},
        {"calibration_max": 0.3, "calibration_law": "fixed", "calibration_mean_removed": False},
        {"scale_sigma": 0.0, "offset_sigma": 0.0},
    ],
    ids=["no walk", "walk", "walk from zero", "walk alone"],
)
def test_what_is_given_is_the_augmented_flux_and_noise_that_only_the_scale_touches(keys, target):
    rows, here = 6, (3, 20)  # epoch, place
    keys = {"scale_sigma": 0.1, "offset_sigma": 0.05, **keys}
    flux, sigma = torch.rand(rows, PIXELS), 0.01 + 0.1 * torch.rand(rows, PIXELS)
    ones = torch.ones(rows, PIXELS)
    normals = noise(7, Split.train, Purpose.training_noise, *here, rows, PIXELS)
    # a (1 + c) and b, told by spectra of ones and of zeros; a by their noise
    dark, bright = (augmenter(**keys)(level * ones, ones, *here) for level in (0, 1))
    scale, offset = dark.variance.sqrt(), dark.target
    factor = bright.target - offset
    for constant in (scale, offset):
        assert torch.allclose(constant, constant[:, :1])
    error = factor / scale - 1
    assert float(error.abs().max()) < 0.3 + 1e-5
    assert (float(error.abs().max()) > 0.01) == (keys.get("calibration") != "none")

    batch = augmenter(target=target, **keys)(flux, sigma, *here)
    augmented = factor * flux + offset
    assert torch.allclose(batch.target, augmented if target == "augmented" else flux, atol=1e-6)
    assert torch.allclose(batch.variance, (scale * sigma) ** 2, rtol=1e-5)
    noisy = augmented + scale * sigma * torch.from_numpy(normals)
    assert torch.allclose(batch.noisy, noisy, atol=1e-5)


def test_noise_is_fresh_in_every_epoch_and_row_and_the_same_when_asked_again():
    flux, sigma = torch.full((8, PIXELS), 0.5), torch.full((8, PIXELS), 0.1)
    make = augmenter()
    first, next_epoch = make(flux, sigma, 0, 0), make(flux, sigma, 1, 0)
    assert torch.equal(first.noisy, augmenter()(flux, sigma, 0, 0).noisy)
    rows = torch.cat([first.noisy - first.target, next_epoch.noisy - next_epoch.target])
    correlation = torch.corrcoef(rows)
    assert float((correlation - torch.eye(16)).abs().max()) < 0.25
    assert not torch.equal(first.target, next_epoch.target)


def test_a_row_is_the_same_however_the_batch_is_cut():
    flux, sigma = torch.full((10, PIXELS), 0.5), torch.full((10, PIXELS), 0.1)
    make = augmenter()
    whole = make(flux, sigma, 3, 20)
    parts = [make(flux[a:b], sigma[a:b], 3, 20 + a) for a, b in ((0, 3), (3, 4), (4, 10))]
    assert torch.allclose(whole.noisy, torch.cat([p.noisy for p in parts]), atol=1e-6)
    assert torch.allclose(whole.target, torch.cat([p.target for p in parts]), atol=1e-6)


@pytest.mark.parametrize("is_on", [True, False])
@pytest.mark.parametrize(
    "keys", [{}, {"calibration": "none"}, {"target": "original", "no_data": 0.2, "cr": 5}], ids=str
)
def test_a_device_makes_what_the_processor_makes(keys, is_on, monkeypatch):
    flux, sigma = torch.rand(70, PIXELS), 0.1 * torch.rand(70, PIXELS)
    make = augmenter(is_on=is_on, **keys)
    here = make(flux, sigma, 3, 20)
    monkeypatch.setattr(Augmenter, "_on_processor", Augmenter._on_device)
    there = make(flux, sigma, 3, 20)
    for one, other in zip(vars(here).values(), vars(there).values(), strict=True):
        assert torch.allclose(one, other, atol=1e-6, rtol=1e-6)


def test_a_rank_without_a_row_of_a_batch_goes_along(monkeypatch):
    none, make = torch.empty(0, PIXELS), augmenter(no_data=0.1, cr=2, bad_sky=0.1)
    for _ in range(2):  # on the processor, and as on a device
        assert {part.shape for part in vars(make(none, none, 0, 3)).values()} == {(0, PIXELS)}
        monkeypatch.setattr(Augmenter, "_on_processor", Augmenter._on_device)


def test_training_and_validation_noise_never_agree():
    some = [
        noise(7, split, purpose, 0, 0, 4, 64)
        for split in Split
        for purpose in (Purpose.training_noise, Purpose.evaluation_noise)
    ]
    flat = np.array(some).reshape(len(some) * 4, 64)
    assert np.abs(np.corrcoef(flat) - np.eye(len(flat))).max() < 0.6


def test_augmentation_off_leaves_noise_alone():
    flux, sigma = torch.rand(6, PIXELS), torch.full((6, PIXELS), 0.1)
    batch = augmenter(is_on=False)(flux, sigma, 0, 0)
    assert torch.equal(batch.target, flux)
    assert float((batch.noisy - flux).std()) == pytest.approx(0.1, rel=0.05)


def test_an_epochs_order_is_a_permutation_of_its_own():
    first, second = epoch_order(1, 0, 1000), epoch_order(1, 1, 1000)
    assert sorted(first) == list(range(1000))
    assert (first == second).mean() < 0.01
    assert np.array_equal(first, epoch_order(1, 0, 1000))


@pytest.mark.parametrize(("count", "owned"), [(1, 8), (8, 8), (9, 16), (13, 16), (4096, 4096)])
def test_a_row_owns_as_few_whole_steps_as_hold_its_numbers(count, owned):
    assert row_words(count) == owned
    bits = words(1, Split.train, Purpose.augmentation, 2, 3, 2, owned)
    assert len(np.unique(bits)) == bits.size == 2 * owned
    if count % 8:
        with pytest.raises(ValueError, match=f"{count} words per row are not a multiple of 8"):
            words(1, Split.train, Purpose.augmentation, 2, 3, 2, count)


def test_words_of_a_row_do_not_depend_on_where_the_call_begins():
    count = row_words(13)
    whole = words(1, Split.train, Purpose.augmentation, 2, 0, 9, count)
    assert np.array_equal(whole[5:], words(1, Split.train, Purpose.augmentation, 2, 5, 4, count))
