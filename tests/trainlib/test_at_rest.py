"""What knows of Doppler shifts and needs no network: the linear prior at rest, and templates."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.trainlib.rest import toy_frame
from trainlib.evaluation.at_rest import AtRest
from trainlib.evaluation.templates import Templates, library_of
from trainlib.rest.axis import spline_coefficients
from trainlib.rest.frame import RestFrame
from trainlib.rest.scan import Scan

AXIS = toy_frame.AXIS
STARS = 300


@pytest.fixture(scope="module")
def at_rest() -> AtRest:
    statistics = toy_frame.statistics()
    return AtRest(RestFrame(statistics, 12), Scan(statistics, 6))


@pytest.fixture(scope="module")
def library(at_rest: AtRest) -> Templates:
    return library_of(at_rest, 7.0 * spline_coefficients(toy_frame.curves(STARS, 50)))


def observed(
    rows: int, level: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, np.ndarray]:
    noisy, variance, truth, redshift = toy_frame.observed(rows, level)
    return *map(torch.from_numpy, (noisy, variance, truth)), redshift


def error(made: torch.Tensor, truth: torch.Tensor) -> float:
    return float((made - truth).abs().mean())


def test_the_linear_solution_is_the_dense_one_at_the_shift_found(at_rest: AtRest) -> None:
    noisy, variance, truth, known = observed(60, 0.05)
    made, told = at_rest(noisy, variance), at_rest.frame.statistics
    redshift = at_rest.scan(noisy.numpy(), variance.numpy()).redshift
    assert np.median(np.abs(redshift - known)) < 0.2 * AXIS.pixel_redshift
    dense = torch.empty_like(truth)
    for row, z in enumerate(redshift):
        here = np.full(len(told.vectors), z)
        basis = torch.from_numpy(AXIS.gather(told.vectors, here)).double()
        mean = torch.from_numpy(AXIS.gather(told.mean[None], here[:1]))[0].double()
        weighted = basis / variance[row].double()
        prior = torch.from_numpy(1.0 / told.eigenvalues.astype(float))
        gram = torch.diag(prior) + weighted @ basis.T
        found = torch.linalg.solve(gram, weighted @ (noisy[row].double() - mean))
        dense[row] = (mean + found @ basis).float()
    assert error(made, dense) < 0.02 * error(dense, truth)


def seen(library: Templates, stars: np.ndarray, redshift: np.ndarray) -> torch.Tensor:
    """Return templates as they are seen, times a curve, with an offset."""
    along = np.linspace(-1.0, 1.0, AXIS.pixels)
    flux = AXIS.gather(library.coefficients[stars].numpy(), redshift)
    return torch.from_numpy(0.4 * flux * (1.0 + 0.1 * along - 0.2 * along**2) + 0.02).float()


def test_a_template_is_found_whatever_multiplies_it_and_is_added(library: Templates) -> None:
    stars = np.arange(40)
    truth = seen(library, stars, np.linspace(*toy_frame.RANGE, 40))
    sigma = 0.004
    noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(3))
    variance = torch.full_like(truth, sigma**2)
    made = library(truth + sigma * noise, variance)
    assert error(made, truth) < 0.25 * sigma  # five unknowns of 400 pixels


def test_the_best_of_all_templates_wins(library: Templates) -> None:
    """Each is fitted by least squares to stars that are none of them, one after the other."""
    noisy, variance, _, _ = observed(12, 0.02)
    made = library(noisy, variance)
    redshift = library.at_rest.scan(noisy.numpy(), variance.numpy()).redshift
    along = np.linspace(-1.0, 1.0, AXIS.pixels)
    step = 1e-2 * AXIS.pixel_redshift
    for row, z in enumerate(redshift):
        sigma = np.sqrt(variance[row].double().numpy())
        values, before, after = (
            AXIS.gather(library.coefficients.numpy(), np.full(len(library), at)).astype(float)
            for at in (z, z - step, z + step)
        )
        misfits, fitted = [], []
        for template, slope in zip(values, (after - before) / 0.02, strict=True):
            powers = (template * along**n for n in range(3))
            columns = np.stack([*powers, np.ones(400), slope], 1)
            solution = np.linalg.lstsq(
                columns / sigma[:, None], noisy[row].double().numpy() / sigma, rcond=None
            )[0]
            fitted.append(columns @ solution)
            misfits.append((((noisy[row].numpy() - fitted[-1]) / sigma) ** 2).sum())
        misfit = (((noisy[row] - made[row]).numpy() / sigma) ** 2).sum()
        assert misfit < min(misfits) + 0.3


def test_a_masked_pixel_says_nothing_to_either(library: Templates) -> None:
    noisy, variance, _, _ = observed(20, 0.02)
    variance[:, 100:130] = torch.inf
    for method in (library, library.at_rest):
        other = noisy.clone()
        other[:, 100:130] = 0.0
        hit = other.clone()
        hit[:, 110] = 5.0
        assert torch.allclose(method(other, variance), method(hit, variance), atol=1e-6)


def test_one_template_and_no_spectra_are_as_good_as_many(library: Templates) -> None:
    single = replace(library, coefficients=library.coefficients[:1], values=library.values[:1],
                     squares=library.squares[:1])  # fmt: skip
    noisy, variance, _, _ = observed(5, 0.05)
    assert torch.isfinite(single(noisy, variance)).all()
    assert library(noisy[:0], variance[:0]).shape == (0, AXIS.pixels)
