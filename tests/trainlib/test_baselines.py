import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d

from trainlib.evaluation.baselines import principal_components, project, smooth, wiener
from trainlib.models.statistics import Statistics, training_statistics


def gaussian_spectra(rows: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    shapes = torch.linalg.qr(torch.randn(60, 8, generator=torch.Generator().manual_seed(9))).Q
    spread = torch.tensor([0.8, 0.6, 0.4, 0.3, 0.2, 0.15, 0.1, 0.05])
    flux = 0.5 + (torch.randn(rows, 8, generator=draw) * spread) @ shapes.T
    sky = 1 + 5 * (torch.arange(60) % 7 == 0)
    sigma = (0.02 + 0.2 * torch.rand(rows, 1, generator=draw)) * sky
    return flux, sigma


def noisy_of(flux: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    return flux + sigma * torch.randn(flux.shape, generator=torch.Generator().manual_seed(5))


def test_smoothing_agrees_with_an_independent_filter_away_from_the_ends():
    flux, _ = gaussian_spectra(4, 0)
    ours = smooth(flux, 2.0)[:, 10:-10].numpy()
    assert np.allclose(ours, gaussian_filter1d(flux.numpy(), 2.0, axis=1)[:, 10:-10], atol=1e-5)


def test_smoothing_keeps_a_constant_up_to_the_ends():
    assert torch.allclose(smooth(torch.full((2, 50), 0.7), 3.0), torch.tensor(0.7), atol=1e-6)


def test_projection_keeps_what_the_components_span_and_removes_the_rest():
    flux, _ = gaussian_spectra(500, 1)
    components = principal_components(flux, 8)
    assert torch.allclose(project(flux, components), flux, atol=1e-4)
    noise = torch.randn(400, 60, generator=torch.Generator().manual_seed(3))
    left = project(flux[:400] + noise, components) - flux[:400]
    assert float(left.square().mean()) == pytest.approx(8 / 60, rel=0.05)


def test_the_wiener_filter_is_the_dense_most_probable_solution():
    flux, sigma = gaussian_spectra(500, 1)
    statistics = training_statistics(flux, sigma, 8, seed=0)
    flux, sigma = gaussian_spectra(20, 2)
    noisy = noisy_of(flux, sigma)
    basis = (statistics.vectors * statistics.noise_shape).double().numpy()
    inverse_prior = np.diag(1 / statistics.eigenvalues.double().numpy())
    mean = statistics.mean.double().numpy()
    found = wiener(noisy, sigma**2, statistics)
    for i in range(20):
        weight = 1 / sigma[i].double().numpy() ** 2
        normal = inverse_prior + (basis * weight) @ basis.T
        right = (basis * weight) @ (noisy[i].double().numpy() - mean)
        expected = mean + np.linalg.solve(normal, right) @ basis
        assert np.allclose(found[i], expected, atol=2e-4)


def test_the_wiener_filter_beats_input_and_projection_on_gaussian_spectra():
    flux, sigma = gaussian_spectra(500, 1)
    statistics, components = training_statistics(flux, sigma, 8, 0), principal_components(flux, 8)
    flux, sigma = gaussian_spectra(300, 2)
    noisy = noisy_of(flux, sigma)
    filtered = wiener(noisy, sigma**2, statistics)
    error = [
        float((d - flux).square().mean()) for d in (filtered, project(noisy, components), noisy)
    ]
    assert error[0] < 0.9 * error[1] < error[2]


def test_a_component_without_variance_does_no_harm():
    flux, sigma = gaussian_spectra(100, 1)
    good = training_statistics(flux, sigma, 8, seed=0)
    eigenvalues = torch.cat([good.eigenvalues[:7], torch.zeros(1)])
    flat = Statistics(good.mean, good.spread, good.noise_shape, good.vectors, eigenvalues)
    assert torch.isfinite(wiener(noisy_of(flux, sigma), sigma**2, flat)).all()
