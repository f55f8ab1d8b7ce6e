from itertools import pairwise

import numpy as np
import pytest
import torch

from trainlib.config import Train, TrainingConfig
from trainlib.training.examples import Objective
from trainlib.training.loss import rmse
from trainlib.training.optimizer import build_optimizer
from trainlib.training.schedule import learning_rate, plateau_scheduler


def section(**keys) -> Train:
    return TrainingConfig.model_validate({"train": keys}).train


def test_the_loss_is_the_rmse_of_each_spectrum():
    denoised, flux = np.random.default_rng(0).random((2, 5, 30))
    expected = [np.sqrt(np.mean((d - f) ** 2)) for d, f in zip(denoised, flux, strict=True)]
    squared = torch.from_numpy(((denoised - flux) ** 2).mean(axis=1))
    assert np.allclose(rmse(squared).numpy(), expected, rtol=1e-9)


def test_the_other_loss_is_the_mean_absolute_error_of_each_spectrum():
    denoised, flux = map(torch.from_numpy, np.random.default_rng(0).random((2, 5, 30)))
    objective = Objective(lambda noisy, variance: noisy, "mae")
    expected = [np.mean(np.abs(d - f)) for d, f in zip(denoised.numpy(), flux.numpy(), strict=True)]
    assert np.allclose(objective(denoised, flux, flux).numpy(), expected, rtol=1e-9)


def test_the_loss_of_a_perfect_spectrum_has_a_finite_slope():
    squared = torch.zeros(1, requires_grad=True)
    rmse(squared).sum().backward()
    assert torch.isfinite(squared.grad).all()


def test_the_plateau_multiplies_the_rate_after_so_many_epochs_without_improvement():
    config = section(recipe="A", patience=3, cooldown=2, factor=0.5, threshold=0.01)
    optimizer = build_optimizer(config, torch.nn.Linear(2, 1))
    scheduler = plateau_scheduler(config, optimizer)
    rates = []
    for loss in [1.0, 0.5, *[0.496] * 11]:  # 0.496 is less than 1 % better
        scheduler.step(loss)
        rates.append(optimizer.param_groups[0]["lr"])
    # the fourth epoch in vain halves, two epochs do not count, and so on
    assert rates == [100.0] * 5 + [50.0] * 6 + [25.0] * 2


def test_only_the_plateau_needs_a_scheduler():
    for schedule in ("constant", "cosine"):
        config = section(recipe="B", schedule=schedule)
        assert plateau_scheduler(config, build_optimizer(config, torch.nn.Linear(2, 1))) is None


def test_the_cosine_warms_up_and_falls_to_its_final_share():
    config = section(recipe="B", lr=2.0, warmup=0.1, final=0.01)
    assert learning_rate(config, 0.05) == pytest.approx(1.0)
    assert learning_rate(config, 0.1) == pytest.approx(2.0)
    assert learning_rate(config, 0.55) == pytest.approx(2.0 * 0.505)
    assert learning_rate(config, 1.0) == pytest.approx(0.02)
    assert learning_rate(config, 1.3) == pytest.approx(0.02)
    rates = [learning_rate(config, p) for p in np.linspace(0.1, 1, 50)]
    assert all(a > b for a, b in pairwise(rates))


def test_a_constant_rate_stays():
    config = section(recipe="B", schedule="constant", lr=0.3)
    assert {learning_rate(config, p) for p in (0.0, 0.5, 1.0)} == {0.3}


def test_plain_gradient_descent_steps_by_rate_times_gradient():
    model = torch.nn.Linear(3, 1, bias=False)
    before = model.weight.detach().clone()
    optimizer = build_optimizer(section(recipe="A", lr=100.0), model)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    assert torch.allclose(model.weight, before - 100.0)


def test_adamw_takes_its_betas_and_decay():
    model = torch.nn.Linear(3, 1)
    group = build_optimizer(section(recipe="B", weight_decay=0.1, betas=[0.8, 0.9]), model)
    assert group.param_groups[0]["betas"] == (0.8, 0.9)
    assert group.param_groups[0]["weight_decay"] == 0.1
