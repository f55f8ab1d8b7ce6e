"""The network in the rest frame: it begins as the linear solution, and what its answer holds."""

import numpy as np
import pytest
import torch

from tests.trainlib.rest import toy_frame
from trainlib.config import RestFrameModel
from trainlib.models import blank_model, build_model, empty_statistics
from trainlib.models.rest_statistics import RestSample, rest_statistics
from trainlib.models.restframe import RestFrameNetwork, RestObjective
from trainlib.rest.axis import RestAxis, spline_coefficients, spline_samples
from trainlib.rest.network import usual_error

STATISTICS = toy_frame.statistics()
EIGENVALUES = torch.from_numpy(STATISTICS.eigenvalues)
CONFIG = RestFrameModel(rank=6, hidden=16, blocks=1, scan_rank=6)


def observed(rows: int, level: float) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """Return noisy flux, variance, and the true flux."""
    flux, variance, clean, _ = toy_frame.observed(rows, level)
    return torch.from_numpy(flux), torch.from_numpy(variance), clean


def network(is_random: bool = False, **section) -> RestFrameNetwork:
    torch.manual_seed(0)
    model = build_model(CONFIG.model_copy(update=section), STATISTICS).eval()
    if is_random:
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    assert isinstance(model, RestFrameNetwork)
    return model


def test_an_untrained_network_is_the_linear_solution_at_the_redshift_found():
    flux, variance, clean = observed(50, 0.03)
    model = network()
    found = model.denoise(flux, variance)
    given = flux.numpy(), variance.numpy()
    redshift = model.scan(*given).redshift
    solution, level = model.frame.solved(*given, redshift)
    assert np.array_equal(found.flux, model.frame.spectra(solution, redshift))
    assert np.array_equal(model(flux, variance).numpy(), found.flux)
    assert np.square(found.flux - clean).mean() < 0.05 * float(variance.mean())
    assert np.allclose(found.stars, STATISTICS.stars[0])
    mean = model.frame.axis.gather(STATISTICS.mean[None], redshift)
    size = np.square(found.error / mean).mean(axis=1) ** 0.5
    assert np.allclose(size, usual_error(level), rtol=0.1)  # of the arm of a star at rest


def test_what_is_learnt_is_in_units_of_what_the_solution_leaves_unknown():
    model = network(is_random=True)
    solution = 0.1 * torch.randn(3, 6).expand(2, 3, 6).flatten(0, 1)
    level = torch.tensor([1e-6, 1e-6, 1e-6, 0.05, 0.05, 0.05])
    made = model.correct(solution, level, torch.zeros(6)).coefficients
    off = (made - solution).abs()
    assert float(off[:3].max()) < 1e-5 and float(off[3:].min(dim=0).values.max()) > 1e-4


def test_rows_in_any_batch_and_order_are_the_same():
    flux, variance, _ = observed(600, 0.05)  # more than are denoised at once
    model = network(is_random=True)
    whole = model.denoise(flux, variance)
    order = np.random.default_rng(0).permutation(600)
    mixed = model.denoise(flux[order], variance[order])
    alone = model.denoise(flux[7:8], variance[7:8])
    for found, place in ((mixed, order), (alone, slice(7, 8))):
        assert np.allclose(found.flux, whole.flux[place], atol=1e-6, rtol=0)
        assert np.allclose(found.error, whole.error[place], atol=1e-6, rtol=0)
        assert np.allclose(found.redshift, whole.redshift[place], atol=1e-8, rtol=0)
        assert np.allclose(found.log_odds, whole.log_odds[place], atol=1e-2, rtol=1e-6)
        second = whole.second_redshift[place]
        assert np.allclose(found.second_redshift, second, atol=1e-12, equal_nan=True)
    nothing = model.denoise(flux[:0], variance[:0])
    assert nothing.flux.shape == (0, 400) and nothing.stars.shape == (0, 4)


def test_a_spectrum_alone_is_what_it_is_among_others_at_full_size():
    """Products of few rows are made in another order, which many pixels and high S/N show."""
    axis = RestAxis(observed=800.0, rest=798.0, pitch=0.02, pixels=4096, points=4300)
    draw = np.random.default_rng(3)
    x = np.arange(axis.points)
    lines = np.exp(-0.5 * ((x - draw.uniform(100, 4200, (60, 1))) / 2.5) ** 2)
    depth = 0.2 + 0.05 * draw.standard_normal((400, 60))
    curves = (0.5 * (1.0 - depth @ lines)).astype(np.float32)
    seen = axis.scatter(np.ones((1, axis.pixels), np.float32), np.zeros(1))
    stars = draw.normal(size=(400, 4)).astype(np.float32)
    sample = RestSample(curves, np.repeat(seen, 400, axis=0), stars)
    told = rest_statistics(axis, (-1e-3, 1e-3), sample, np.ones(4096, np.float32), 24, seed=0)
    torch.manual_seed(2)
    section = RestFrameModel(rank=24, hidden=16, blocks=1, scan_rank=16)
    model = build_model(section, told).eval()
    flux = axis.gather(spline_coefficients(curves[:40]), draw.uniform(-9e-4, 9e-4, 40))
    noisy = flux + 0.004 * draw.standard_normal(flux.shape)
    flux, variance = torch.from_numpy(noisy.astype(np.float32)), torch.full((40, 4096), 1.6e-5)
    variance[::4, 500:700] = torch.inf
    whole = model.denoise(flux, variance)
    for n in range(40):
        alone = model.denoise(flux[n : n + 1], variance[n : n + 1])
        assert np.allclose(alone.flux[0], whole.flux[n], atol=1e-6, rtol=0)
        assert np.allclose(alone.redshift[0], whole.redshift[n], atol=1e-9, rtol=0)
        assert np.allclose(alone.log_odds[0], whole.log_odds[n], atol=1e-3, rtol=1e-6)


@pytest.mark.parametrize("mask", [torch.inf, torch.nan, 0.0, -1.0])
def test_a_masked_pixel_is_as_if_it_had_not_been_observed(mask):
    flux, variance, clean = observed(200, 0.03)
    model = network(is_random=True)
    masked = variance.clone()
    masked[:, 100:120] = mask
    struck = flux.clone()
    struck[:, 105], struck[:, 110] = 1e6, torch.nan
    zeroed = flux.clone()
    zeroed[:, 100:120] = 0.0
    made = [model.denoise(x, masked) for x in (flux, struck, zeroed)]
    assert all(np.array_equal(made[0].flux, other.flux) for other in made[1:])
    assert np.array_equal(made[0].redshift, made[1].redshift)
    elsewhere = np.ones(400, dtype=bool)
    elsewhere[95:125] = False
    linear = network()
    whole, gap = (linear(flux, v).numpy() - clean for v in (variance, masked))
    sizes = [np.square(off[:, elsewhere]).mean() ** 0.5 for off in (whole, gap)]
    assert sizes[1] < 1.15 * sizes[0] * (400 / 380) ** 0.5


def test_the_error_grows_inside_a_gap_as_the_errors_do():
    flux, variance, clean = observed(400, 0.03)
    masked = variance.clone()
    masked[:300, 100:140] = torch.inf
    model = network()
    whole, gap = model.denoise(flux, variance), model.denoise(flux, masked)
    inside, outside = slice(105, 135), slice(200, 380)
    rms = [np.square((one.flux - clean)[:300, inside]).mean() ** 0.5 for one in (whole, gap)]
    grown = gap.error / whole.error
    told = np.square(grown[:300, inside]).mean() ** 0.5
    assert rms[1] / rms[0] > 1.3
    assert told == pytest.approx(rms[1] / rms[0], rel=0.25)
    assert np.abs(np.median(grown[:300, outside], axis=0) - 1.0).max() < 0.1
    assert np.allclose(gap.error[300:], whole.error[300:], rtol=1e-5)


@pytest.mark.parametrize("left", [0, 1, 30])
def test_where_hardly_a_pixel_is_left_the_error_is_finite_and_large(left):
    flux, variance, _ = observed(3, 0.01)
    masked = variance.clone()
    masked[0, left:] = torch.inf
    found = network().denoise(flux, masked)
    assert np.isfinite(found.error).all() and np.isfinite(found.flux).all()
    assert found.error[0, 200:].mean() > 2.0 * found.error[1, 200:].mean()


def test_a_state_alone_makes_the_network_again():
    flux, variance, _ = observed(5, 0.05)
    model = network(is_random=True)
    state = model.state_dict()
    again = blank_model(CONFIG, state).eval()
    again(flux, variance)  # what is kept of this one is forgotten
    again.load_state_dict(state)
    assert torch.equal(again(flux, variance), model(flux, variance))
    with pytest.raises(KeyError):
        blank_model(CONFIG, {"mean": state["mean"]})
    with pytest.raises(TypeError, match="statistics of the rest frame"):
        build_model(CONFIG, empty_statistics(400, 6))


def test_its_arithmetic_is_short_while_it_trains_and_whole_elsewhere():
    model = network(is_random=True)
    model.is_short = True
    inputs = (torch.randn(8, 6), torch.full((8,), 0.05), torch.zeros(8))
    whole, short = (model.train(on).correct(*inputs).stars.detach() for on in (False, True))
    assert whole.dtype == short.dtype == torch.float32
    off = float((whole - short).abs().max() / whole.abs().max())
    assert 1e-5 < off < 0.03


def test_the_objective_is_the_error_over_the_usual_and_learns_its_own_size():
    model = network()
    objective = RestObjective(model).eval()
    truth = torch.randn(300, 6) * EIGENVALUES.sqrt()
    level = torch.full((300,), 0.05)
    off = 1e-3 * torch.randn(300, 6)
    given = (truth + off, level, torch.zeros(300), truth, torch.zeros(300, 4))
    errors = objective(*given)
    mean = spline_samples(STATISTICS.mean[None])
    over_mean = (off.numpy() @ model.frame.values / mean)[:, model.frame.axis.arm(0.0)]
    relative = torch.from_numpy(over_mean).square().mean(dim=1).sqrt() / usual_error(level)
    told = 0.02 * 0.5 * relative.square()
    assert torch.allclose(errors, relative + told, rtol=2e-3, atol=1e-3)
    size = float(relative.square().mean().sqrt())
    with torch.no_grad():
        loss = []
        for factor in (0.5, 1.0, 2.0):
            model.last.bias[-1] = np.log(size * factor)
            loss.append(float(objective(*given).mean()))
    assert loss[1] < min(loss[0], loss[2])


def test_the_other_loss_is_the_mean_absolute_error_over_the_usual():
    model = network()
    truth = torch.randn(50, 6) * EIGENVALUES.sqrt()
    level, off = torch.full((50,), 0.05), 1e-3 * torch.randn(50, 6)
    given = (truth + off, level, torch.zeros(50), truth, torch.zeros(50, 4))
    rmse, mae = (RestObjective(model, loss).eval()(*given).detach() for loss in ("rmse", "mae"))
    over_mean = off.numpy() @ model.frame.values / spline_samples(STATISTICS.mean[None])
    over_mean = torch.from_numpy(over_mean[:, model.frame.axis.arm(0.0)])
    usual = usual_error(level)
    root, mean = over_mean.square().mean(dim=1).sqrt() / usual, over_mean.abs().mean(dim=1) / usual
    assert torch.allclose(rmse - mae, root - mean, rtol=1e-3, atol=1e-4)


@pytest.mark.slow  # a whole run: test_restframe_run.py
def test_a_network_is_as_good_as_its_solution_once_it_has_learnt():
    model = network(hidden=32).train()
    objective = RestObjective(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    generator = torch.Generator().manual_seed(3)
    losses = []
    for _ in range(70):
        size = EIGENVALUES.sqrt()
        truth = size * torch.randn(128, 6, generator=generator).sign()  # far from normal
        level = torch.full((128,), 0.3 * float(size[0]))
        gain = EIGENVALUES / (EIGENVALUES + level[0] ** 2)
        noise = level[:, None] * torch.randn(128, 6, generator=generator)
        solution = gain * (truth + noise)
        loss = objective(solution, level, torch.zeros(128), truth, torch.zeros(128, 4)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-10:]) < 0.85 * np.mean(losses[:5])
