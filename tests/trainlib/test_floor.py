"""The information limit: against the same bound written in pixels, and what must move it."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from simlib.dataset.plan import Block
from simlib.dataset.rows import Recipe
from simlib.etc.grid.store import ensure_terms_grid
from simlib.fit.generator import STARS
from simlib.fit.problem import stars_of
from simlib.location import Location
from trainlib.config import PlainAugment, TrainingConfig, WalkAugment, load_config
from trainlib.evaluation.floor import fit_problem, information_floor
from trainlib.training import calibration
from trainlib.training.calibration import calibration_error, calibration_modes, calibration_of

ROWS = 12
STEPS = (12.5, 0.025, 0.0125, 0.0125, 3e-6, 0.005)  # half widths of differences


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    root = tmp_path_factory.mktemp("floor")
    config: TrainingConfig = load_config("tiny", [f"storage.root='{root}'"])
    return Recipe(config, Location.of(str(ensure_terms_grid(config))))


@pytest.fixture(scope="module")
def spectra(recipe: Recipe) -> xr.Dataset:
    return recipe.rows(Block("validation", 0, ROWS)).load()


def derivatives(recipe: Recipe, spectra: xr.Dataset) -> np.ndarray:
    problem = fit_problem(recipe, PlainAugment())
    return problem.generator.look(stars_of(spectra), is_sloped=True)[1]


def in_pixels(directions: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """What is left of a normal prior over pixels once some were seen: S - S (S + N)^-1 S."""
    seen = np.flatnonzero(np.isfinite(variance))
    of_seen = directions.T @ directions[:, seen]
    gain = np.linalg.solve(of_seen[seen] + np.diag(variance[seen]), of_seen.T)
    left = np.einsum("kp,kp->p", directions, directions) - np.einsum("ps,sp->p", of_seen, gain)
    return np.asarray(np.sqrt(left))


def test_it_is_the_bound_of_a_normal_prior_over_pixels(recipe: Recipe, spectra: xr.Dataset) -> None:
    row, augment = 3, PlainAugment(scale_sigma=0.02, offset_sigma=0.03)
    some = spectra.isel(spectrum=[row])
    is_seen = np.arange(some.sizes["wavelength"]) % 9 == 4  # few: the other way solves for pixels
    some = some.assign(variance=some["variance"].where(is_seen, np.inf))
    on, off = information_floor(some, recipe, augment, 0.02)
    flux, variance = (some[n].values[0].astype(float) for n in ("flux", "variance"))
    star = derivatives(recipe, some)[0] * fit_problem(recipe, augment).sigma[:, np.newaxis]
    whole = np.concatenate([star, 0.02 * flux[np.newaxis], np.full((1, len(flux)), 0.03)])
    axis = int(some["interpolated_axis"].values[0])
    thread = whole[[axis, 4, 5, 6, 7]]
    divisor = np.maximum(flux, 0.02 * np.median(flux))
    cases = {on.whole[0]: whole, on.thread[0]: thread, off.whole[0]: star,
             off.thread[0]: star[[axis, 4, 5]]}  # fmt: skip
    assert len(cases) == 4
    for found, directions in cases.items():
        left = in_pixels(directions, variance)
        expected = np.sqrt(2 / np.pi) * np.mean(left / divisor)
        assert found == pytest.approx(expected, rel=2e-3)


def test_of_the_spectrum_without_calibration_errors_they_hide_some(
    recipe: Recipe, spectra: xr.Dataset
) -> None:
    """What is wanted, F, of what was seen, a F + b: S_FF - S_Fy (S_yy + N)^-1 S_yF."""
    augment = PlainAugment(scale_sigma=0.02, offset_sigma=0.03, target="original")
    some = spectra.isel(spectrum=[3])
    seen = np.arange(some.sizes["wavelength"])[4::9]
    is_seen = np.isin(np.arange(some.sizes["wavelength"]), seen)
    some = some.assign(variance=some["variance"].where(is_seen, np.inf))
    on, off = information_floor(some, recipe, augment, 0.02)
    flux, variance = (some[n].values[0].astype(float) for n in ("flux", "variance"))
    star = derivatives(recipe, some)[0] * fit_problem(recipe, augment).sigma[:, np.newaxis]
    whole = np.concatenate([star, 0.02 * flux[np.newaxis], np.full((1, len(flux)), 0.03)])
    noisy = whole[:, seen].T @ whole[:, seen] + np.diag(variance[seen])
    both = star.T @ star[:, seen]
    left = (star**2).sum(axis=0) - np.einsum("ps,sp->p", both, np.linalg.solve(noisy, both.T))
    divisor = np.maximum(flux, 0.02 * np.median(flux))
    expected = np.sqrt(2 / np.pi) * np.mean(np.sqrt(left) / divisor)
    assert on.whole[0] == pytest.approx(expected, rel=2e-3)
    other = augment.model_copy(update={"target": "augmented"})
    assert off.whole[0] == information_floor(some, recipe, other, 0.02)[1].whole[0]
    assert on.whole[0] > off.whole[0]


def test_knowing_more_leaves_less(recipe: Recipe, spectra: xr.Dataset) -> None:
    augment = recipe.config.augment  # type: ignore[attr-defined]
    on, off = information_floor(spectra, recipe, augment, 0.02)
    assert len(on.whole) == ROWS
    assert (on.thread < on.whole).all() and (off.whole < on.whole).all()
    assert (off.thread < on.thread).all() and (off.thread > 0).all()
    free = spectra.assign(interpolated_axis=("spectrum", np.full(ROWS, -1, np.int8)))
    anywhere, _ = information_floor(free, recipe, augment, 0.02)
    assert np.array_equal(anywhere.thread, anywhere.whole)
    assert np.allclose(anywhere.whole, on.whole, rtol=1e-6)


def test_it_goes_with_the_noise_and_masked_pixels_tell_nothing(
    recipe: Recipe, spectra: xr.Dataset
) -> None:
    augment = recipe.config.augment  # type: ignore[attr-defined]
    quiet = spectra.assign(variance=spectra["variance"] * 1e-6)
    quieter = spectra.assign(variance=spectra["variance"] * 1e-8)
    first, second = (information_floor(s, recipe, augment, 0.02)[0].whole for s in (quiet, quieter))
    # Far above the priors the bound goes with the noise, also where unknowns are hardly told apart.
    assert np.median(first / second) == pytest.approx(10.0, rel=0.05)
    whole = information_floor(spectra, recipe, augment, 0.02)[0].whole
    masked = spectra["variance"].values.copy()
    masked[:, 1000:1600] = np.inf
    with_gap = information_floor(
        spectra.assign(variance=(spectra["variance"].dims, masked)), recipe, augment, 0.02
    )[0].whole
    assert (with_gap > whole).all() and (with_gap < 1.5 * whole).all()


def test_the_calibration_s_error_has_the_covariance_of_what_is_drawn() -> None:
    """Drawn anew, by the augmentation's own function."""
    augment, pixels = WalkAugment(calibration_max=0.05, calibration_width=0.3), 64
    directions = calibration_of(augment, pixels).directions(np.ones(pixels))
    assert np.allclose(directions[-2], augment.scale_sigma, rtol=1e-6)
    assert np.allclose(directions[-1], augment.offset_sigma, rtol=1e-6)
    modes = calibration_modes(pixels, 0.3, mean_removed=True)
    dice = np.random.default_rng(5)
    curves = calibration_error(
        dice.standard_normal((40_000, len(modes))).astype(np.float32),
        dice.random(40_000).astype(np.float32), modes, 0.05, "uniform",
    ).astype(float)  # fmt: skip
    drawn = curves.T @ curves / len(curves)
    model = directions[:-2].T @ directions[:-2]
    assert np.abs(model - drawn).max() < 0.05 * drawn.max()  # both are means of many
    fixed = calibration_of(augment.model_copy(update={"calibration_law": "fixed"}), pixels).modes
    assert np.allclose(fixed[:-1].T @ fixed[:-1], 3.0 * model, rtol=1e-4, atol=1e-9)


def test_derivatives_are_those_of_the_simulator(recipe: Recipe, spectra: xr.Dataset) -> None:
    """Differences of it; on the grid's edge one side is all there is, to the first order.

    But for a change of scale: which pixel is the median, and so the scale, changes in steps.
    """
    flux = spectra["flux"].values.astype(float)
    found = derivatives(recipe, spectra)
    sigma = fit_problem(recipe, PlainAugment()).sigma
    stars = spectra.drop_vars(["flux", "variance"]).assign(
        interpolated_axis=("spectrum", np.full(ROWS, -1, np.int8))
    )
    for number, (name, step) in enumerate(zip(STARS, STEPS, strict=True)):
        nodes = recipe.grid[name].values if name in recipe.grid.coords else np.array([-1.0, 1.0])
        lowest = 0.0 if name == "ebv" else nodes[0]
        at = stars[name].values.astype(float)
        below, above = np.clip([at - step, at + step], lowest, nodes[-1])
        flux_below, flux_above = (
            recipe.observed(stars.assign({name: ("spectrum", x)}))["flux"].values.astype(float)
            for x in (below, above)
        )
        slope = (flux_above - flux_below) / (above - below)[:, np.newaxis]
        other = slope - found[:, number]
        other -= flux * ((other * flux).sum(axis=1) / (flux**2).sum(axis=1))[:, np.newaxis]
        off = np.abs(other).mean(axis=1)
        is_inside = (at - step >= lowest) & (at + step <= nodes[-1])
        rounding = 3e-7 / (above - below)  # of the flux
        # A ten thousandth of the flux for all that a parameter may be is nothing either.
        little = 1e-4 / sigma[number]
        allowed = np.where(is_inside, 0.02, 0.2) * np.abs(slope).mean(axis=1) + rounding + little
        assert (off < allowed).all(), (name, off / np.abs(slope).mean(axis=1))


@pytest.mark.slow
def test_it_is_the_limit_that_an_independent_program_found(tmp_path: Path) -> None:
    """Of the survey's validation spectra; its figures are means of four times as many rows."""
    config = load_config("survey", [f"storage.root='{tmp_path}'"])
    recipe = Recipe(config, Location.of(str(ensure_terms_grid(config))))
    rows = recipe.rows(Block("validation", 2048, 3072))
    on, _ = information_floor(rows, recipe, config.augment, 0.02)
    snr = rows["snr"].values
    known = {(0, 5): 0.886, (5, 7): 0.576, (7, 10): 0.428, (10, 14): 0.327, (14, 20): 0.246,
             (20, 40): 0.161, (40, 80): 0.097, (9, 11): 0.375}  # fmt: skip
    for (low, high), expected in known.items():
        inside = (snr >= low) & (snr < high)
        assert 100 * on.whole[inside].mean() == pytest.approx(expected, rel=0.05), (low, high)
    ends = [100 * on.thread[(snr >= a) & (snr < b)].mean() for a, b in ((0, 5), (40, 80))]
    assert ends == pytest.approx([0.738, 0.089], rel=0.05)


def test_modes_of_the_calibration_are_kept_for_other_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPECDENOISE_CACHE", str(tmp_path))
    made, modes_of = [], calibration._walk_modes

    def counted(augment: WalkAugment, pixels: int) -> np.ndarray:
        made.append(augment)
        return modes_of(augment, pixels)

    monkeypatch.setattr(calibration, "_walk_modes", counted)
    augment = WalkAugment(calibration_width=0.5)
    found = []
    for some in (augment, augment, augment.model_copy(update={"calibration_max": 0.04})):
        calibration_of.cache_clear()  # as a new process has none
        found.append(calibration_of(some, 64).modes)
    calibration_of.cache_clear()
    assert len(made) == 2 and (found[0] == found[1]).all()
    assert np.allclose(found[2][:-1], 2.0 * found[0][:-1])
