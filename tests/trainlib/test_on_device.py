"""What is made on a device is what the processor makes: integers the same, floats to 1e-6.

The functions are tried where the tests run, and once more on a GPU where there is one.
"""

from typing import Any

import numpy as np
import pytest
import torch

from simlib.rng import Purpose, Split, stream_key
from tests.trainlib import plain_numbers
from trainlib.config import TrainingConfig
from trainlib.training import on_device
from trainlib.training.augment import Augmenter, Batch

PIXELS = 517
WITHOUT = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is visible")
DEVICES = ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, WITHOUT])]
BIG = 2**62 + 12345  # a seed with bits in both halves


def augmenter(seed: int = BIG, **keys: Any) -> Augmenter:
    section = TrainingConfig.model_validate({"augment": keys}).augment
    return Augmenter(section, PIXELS, seed, Split.train, Purpose.training_noise)


def made_there(monkeypatch: pytest.MonkeyPatch, device: str, *call: Any) -> Batch:
    """Return a batch as a device makes it: on a processor, by the same functions of tensors."""
    own, flux, sigma, *place = call
    if device == "cpu":  # as if it were none
        with monkeypatch.context() as patch:
            patch.setattr(on_device, "is_on_one", lambda _: True)
            return own(flux, sigma, *place)
    made = own(flux.to(device), sigma.to(device), *place)
    assert made.noisy.device.type == device
    return Batch(*(part.cpu() for part in vars(made).values()))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("seed", "first", "epoch"), [(0, 0, 0), (BIG, 10**9, 9), (7, 2**40, 2**33)]
)
def test_words_are_those_of_numpy(device: str, seed: int, first: int, epoch: int) -> None:
    key = stream_key(seed, Split.test, Purpose.masks)
    place = on_device.at(torch.device(device), first, epoch)
    found = on_device.compiled(on_device.words, device)(tuple(key), place, 3, 40)
    assert found.dtype == torch.int32
    assert np.array_equal(found.cpu(), plain_numbers.words(key, epoch, first, 3, 40))


@pytest.mark.parametrize("device", DEVICES)
def test_normals_of_the_extreme_words_are_right(device: str) -> None:
    ends = [-(2**31), -(2**31) + 1, -(2**24), -1, 0, 1, 2**24, 2**31 - 128, 2**31 - 1]
    bits = np.concatenate([part.ravel() for part in np.meshgrid(ends, ends)]).astype(np.int32)
    found = on_device.normals_from(torch.from_numpy(bits[None]).to(device)).cpu()
    assert np.allclose(found, plain_numbers.normals(bits[None]), atol=2e-6, rtol=0)


KINDS = [
    {},
    {"calibration": "none"},
    {"calibration_max": 0.3, "calibration_law": "fixed", "calibration_mean_removed": False},
    {"scale_sigma": 0.0, "offset_sigma": 0.3, "target": "original"},
    {"no_data": 0.2, "cr": 9, "bad_sky": 0.05},
    {"no_data": 0.3},
    {"cr": 1},
    {"bad_sky": 0.5},
]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("keys", KINDS, ids=lambda keys: " ".join(keys) or "as it is")
def test_a_batch_is_that_of_the_processor(
    keys: dict[str, Any], device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = augmenter(**keys)
    dice = torch.Generator().manual_seed(3)
    flux = torch.rand(40, PIXELS, generator=dice)
    sigma = 0.01 + 0.1 * torch.rand(40, PIXELS, generator=dice)
    expected = own(flux, sigma, 5, 1000)
    found = made_there(monkeypatch, device, own, flux, sigma, 5, 1000)
    hidden = ~expected.variance.isfinite()
    assert hidden.any() == any(key in keys for key in ("no_data", "cr", "bad_sky"))
    assert torch.equal(hidden, ~found.variance.isfinite())
    assert torch.equal(found.noisy[hidden], torch.zeros(int(hidden.sum())))
    for name in ("target", "noisy"):
        difference = getattr(found, name) - getattr(expected, name)
        assert float(difference.abs().max()) < 1e-6 * float(getattr(expected, name).abs().max())
    relative = (found.variance[~hidden] / expected.variance[~hidden] - 1.0).abs()
    assert float(relative.max()) < 1e-6


@pytest.mark.parametrize("device", DEVICES)
def test_a_part_of_a_batch_is_the_same_and_other_epochs_are_not(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, flux, sigma = augmenter(no_data=0.2), torch.ones(9, PIXELS), torch.ones(9, PIXELS)
    whole = made_there(monkeypatch, device, own, flux, sigma, 2, 50)
    part = made_there(monkeypatch, device, own, flux[:4], sigma[:4], 2, 53)
    other = made_there(monkeypatch, device, own, flux, sigma, 3, 50)
    assert torch.allclose(part.noisy, whole.noisy[3:7], atol=1e-6)
    assert torch.equal(part.variance.isinf(), whole.variance[3:7].isinf())
    assert (
        float(torch.corrcoef(torch.stack([whole.noisy.ravel(), other.noisy.ravel()]))[0, 1]) < 0.1
    )


def test_an_evaluation_is_without_augmentation_on_a_device_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = Augmenter(augmenter().config, PIXELS, 1, Split.test, Purpose.evaluation_noise, False)
    flux, sigma = torch.rand(3, PIXELS), torch.full((3, PIXELS), 0.1)
    expected, found = own(flux, sigma, 0, 2), made_there(monkeypatch, "cpu", own, flux, sigma, 0, 2)
    assert torch.equal(found.target, flux)
    assert torch.allclose(found.noisy, expected.noisy, atol=1e-6)


def test_what_cannot_be_compiled_runs_as_it_is(monkeypatch, caplog) -> None:
    def broken(function):
        def fails(*arguments):
            raise torch._dynamo.exc.BackendCompilerFailed(None, RuntimeError("no compiler"), None)

        return fails

    monkeypatch.setattr(torch, "compile", broken)
    quick = on_device.compiled(lambda value: value + 1, "cuda-like")
    assert quick(1) == 2 and quick(2) == 3
    assert caplog.text.count("cannot compile") == 1
