from itertools import pairwise

import numpy as np
import pytest
import torch

from trainlib import models
from trainlib.config import HourglassModel, ProjectionModel, TrainingConfig
from trainlib.models import basis_rank, build_model, empty_statistics, training_statistics
from trainlib.models.hourglass import Hourglass
from trainlib.models.noise_level import noise_level
from trainlib.models.statistics import principal_basis


def made_spectra(rows: int = 300, pixels: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    factors = torch.randn(rows, 6, generator=generator) * torch.tensor(
        [0.3, 0.2, 0.1, 0.05, 0.02, 0.01]
    )
    shapes = torch.linalg.qr(torch.randn(pixels, 6, generator=generator)).Q
    sigma = torch.full((rows, pixels), 0.05) * (1 + torch.arange(pixels) / pixels)
    return 0.5 + factors @ shapes.T, sigma


def model_of(statistics, **section) -> torch.nn.Module:
    tables = {"kind": "projection", "rank": 6, "hidden": 16, "blocks": 2} | section
    return build_model(ProjectionModel(**tables), statistics)


def test_every_promised_name_is_there():
    assert all(hasattr(models, name) for name in models.__all__)


def test_the_papers_network_has_the_printed_layers_and_45_3_million_parameters():
    torch.manual_seed(0)
    model = build_model(
        TrainingConfig.model_validate({"train": {"recipe": "A"}}).model, empty_statistics(4096, 0)
    )
    layers = [m for m in model.modules() if isinstance(m, torch.nn.Linear)]
    widths = [4096, 3136, 2176, 1216, 256, 1216, 2176, 3136, 4096]
    assert [layer.in_features for layer in layers] == widths[:-1]
    assert [layer.out_features for layer in layers] == widths[1:]
    count = sum(p.numel() for p in model.parameters())
    assert count == sum(a * b + b for a, b in pairwise(widths))
    assert round(count / 1e6, 1) == 45.3
    for layer in layers:  # Xavier uniform as printed, the biases too
        bound = np.sqrt(6 / (layer.in_features + layer.out_features))
        for drawn in (layer.weight.detach(), layer.bias.detach()):
            assert float(drawn.abs().max()) <= bound * (1 + 1e-6)
            assert float(drawn.abs().max()) > 0.95 * bound
            assert float(drawn.std()) == pytest.approx(bound / np.sqrt(3), rel=0.2)


def test_the_papers_network_returns_fluxes_between_0_and_1():
    model = Hourglass((40, 24, 8), empty_statistics(40, 0))
    flux = 3 * torch.randn(5, 40)
    denoised = model(flux, torch.ones(5, 40)).detach()
    assert denoised.shape == (5, 40)
    assert float(denoised.min()) >= 0.0
    assert float(denoised.max()) <= 1.0


def test_the_basis_is_that_of_a_full_decomposition():
    flux, _ = made_spectra()
    centred = flux - flux.mean(dim=0)
    vectors, variances = principal_basis(centred, 6, seed=0)
    _, values, exact = torch.linalg.svd(centred.double(), full_matrices=False)
    overlap = (vectors.double() @ exact[:6].T).abs()
    assert torch.allclose(overlap, torch.eye(6, dtype=torch.float64), atol=1e-3)
    assert torch.allclose(variances.double(), values[:6] ** 2 / len(flux), rtol=1e-4)


def test_the_statistics_are_the_means_and_spreads_over_spectra():
    flux, sigma = made_spectra()
    sigma = sigma * torch.linspace(0.5, 3.0, len(sigma))[:, None]  # bright and faint ones
    flux[:, 7] = 0.25  # a pixel that never varies
    found = training_statistics(flux, sigma, 6, seed=0)
    mean, spread = flux.numpy().mean(axis=0), flux.numpy().std(axis=0)
    least = 1e-3 * spread.mean()
    assert np.allclose(found.mean, mean, atol=1e-6)
    assert np.allclose(found.spread, np.maximum(spread, least), rtol=1e-4)
    shape = sigma.numpy() / np.median(sigma.numpy(), axis=1, keepdims=True)
    assert np.allclose(found.noise_shape, shape.mean(axis=0), rtol=0.03)  # torch's lower median
    whitened = (flux - found.mean) / found.noise_shape
    vectors, variances = principal_basis(whitened, 6, seed=0)
    assert torch.allclose(found.vectors, vectors, atol=1e-5)
    assert torch.allclose(found.eigenvalues, variances, rtol=1e-5)
    largest = vectors.gather(1, vectors.abs().argmax(dim=1, keepdim=True))
    assert bool((largest > 0).all())
    assert torch.allclose(vectors @ vectors.T, torch.eye(6), atol=1e-5)


def test_the_noise_level_is_the_median_over_the_noise_shape():
    shape = torch.linspace(1.0, 3.0, 40)
    variance = (torch.tensor([[0.1], [0.2]]) * shape).square()
    assert torch.allclose(noise_level(variance, shape), torch.tensor([[0.1], [0.2]]))


def test_an_untrained_projection_is_the_wiener_filter():
    flux, sigma = made_spectra()
    statistics = training_statistics(flux, sigma, 6, seed=0)
    model = model_of(statistics)
    noisy = flux + sigma * torch.randn(flux.shape, generator=torch.Generator().manual_seed(1))
    level = (sigma / statistics.noise_shape).median(dim=1, keepdim=True).values
    whitened = (noisy - statistics.mean) / statistics.noise_shape
    gain = statistics.eigenvalues / (statistics.eigenvalues + level**2)
    filtered = (gain * (whitened @ statistics.vectors.T)) @ statistics.vectors
    expected = statistics.mean + statistics.noise_shape * filtered
    assert torch.allclose(model(noisy, sigma**2), expected, atol=1e-5)


@pytest.mark.parametrize("skip", ["wiener", "none"])
def test_the_error_in_coefficients_is_the_error_in_pixels(skip):
    flux, sigma = made_spectra()
    flux, sigma = flux.double(), sigma.double()
    model = model_of(training_statistics(flux, sigma, 4, seed=0), rank=4, skip=skip).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    noisy = flux + sigma * torch.randn_like(flux)
    short = model.squared_error(noisy, sigma**2, flux)
    plain = (model(noisy, sigma**2) - flux).square().mean(dim=1)
    assert torch.allclose(short, plain, rtol=1e-9)


def test_a_network_told_the_noise_level_answers_to_it():
    flux, sigma = made_spectra()
    statistics = training_statistics(flux, sigma, 6, seed=0)
    for is_told in (True, False):
        torch.manual_seed(0)
        model = model_of(statistics, noise_level=is_told, skip="none")
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        once = model(flux, sigma**2)
        assert not torch.allclose(once, model(flux, 9 * sigma**2))  # the scaling of the input
        inputs = model.first.in_features
        assert inputs == 6 + (3 if is_told else 0)


@pytest.mark.parametrize(
    "section",
    [
        {"input": "standardized", "output": "linear", "skip": "wiener", "noise_level": True},
        {"input": "standardized", "output": "linear", "skip": "none", "noise_level": True},
        {"input": "flux", "output": "linear", "skip": "none", "noise_level": False},
        {"input": "flux", "output": "sigmoid", "skip": "none", "noise_level": True},
    ],
)
def test_every_hourglass_learns(section):
    flux, sigma = made_spectra()
    config = HourglassModel(widths=(40, 24, 6), activation="relu", **section)
    torch.manual_seed(0)
    model = build_model(config, training_statistics(flux, sigma, basis_rank(config), seed=0))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(60):
        noisy = flux + sigma * torch.randn(flux.shape)
        loss = model.squared_error(noisy, sigma**2, flux).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    # beside a Wiener filter, which is the best there is for these Gaussian spectra, none is lost
    assert losses[-1] < (1.02 if section["skip"] == "wiener" else 0.9) * losses[0]


def test_a_model_is_restored_from_its_state_alone():
    flux, sigma = made_spectra()
    model = model_of(training_statistics(flux, sigma, 6, seed=0))
    again = model_of(empty_statistics(40, 6))
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(flux, sigma**2), model(flux, sigma**2))
