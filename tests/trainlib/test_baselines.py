import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d
from scipy.signal import savgol_filter

from trainlib.evaluation.baselines import (
    SavitzkyGolay,
    principal_components,
    project,
    savitzky_golay,
    smooth,
    wiener,
)
from trainlib.models.statistics import Statistics, training_statistics
from trainlib.training.augment import Batch


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


def with_noise(rows: int, snr: torch.Tensor) -> Batch:
    """Return waves of 0.5 +- 0.2 over 40 pixels, in noise of these S/N."""
    phase = torch.rand(rows, 1, generator=torch.Generator().manual_seed(1))
    target = 0.5 + 0.2 * torch.sin(torch.arange(200) / 6.4 + 6.28 * phase)
    sigma = (0.5 / snr)[:, None] * torch.ones_like(target)
    return Batch(target, noisy_of(target, sigma), sigma.square())


def test_the_noisier_a_spectrum_the_wider_the_window_of_local_polynomials():
    snr = torch.tensor([3.0, 12.0, 200.0]).repeat_interleave(40)
    found = savitzky_golay(with_noise(120, snr), 0.02)
    faint, middle, bright = (found.windows[n] for n in (0, 3, 7))
    assert faint > middle > bright
    assert found.windows[1] == faint and found.windows[6] == bright  # none there: the nearest


def test_each_spectrum_has_the_window_of_its_own_signal_to_noise():
    batch = with_noise(3, torch.tensor([3.0, 30.0, 200.0]))
    windows = (51, 35, 25, 17, 13, 9, 7, 5)
    made = SavitzkyGolay(windows)(batch.noisy, batch.variance)
    for row, window in enumerate((51, 9, 5)):
        expected = savgol_filter(batch.noisy[row].double().numpy(), window, 3)
        assert np.allclose(made[row], expected, atol=1e-5)


@pytest.mark.parametrize("pixels", [1, 3, 6])
def test_local_polynomials_of_hardly_any_pixels_still_give_spectra(pixels):
    flux = torch.rand(4, pixels) + 0.5
    filtered = savitzky_golay(Batch(flux, flux + 0.1, torch.ones_like(flux)), 0.02)
    assert torch.isfinite(filtered(flux, torch.ones_like(flux))).all()
