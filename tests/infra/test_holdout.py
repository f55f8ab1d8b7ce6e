"""Held-out stars: who they are, how they are kept, how they are judged."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from infra.grids import holdout, synthesis
from infra.grids.__main__ import app
from infra.grids.recipe import Node, exact
from simlib.stellar import interpolate_grid, open_grid

STAR = Node(4321.0987654321, 2.123456789, -0.987654321, 0.123456789)


def compared(flux: np.ndarray | float = 0.0, continuum: float = 1.0, star: Node = STAR):
    """Compare the grid's own spectrum, changed, with the grid."""
    grid = open_grid()
    place = {"teff": star.teff, "logg": star.logg, "feh": star.feh, "alpha": star.alpha}
    known = interpolate_grid(grid, **place)
    spectrum = known["flux_normalized"].values + flux
    return holdout.compare_star(grid, star, spectrum, known["continuum"].values / continuum)


def test_a_star_does_not_depend_on_how_many_are_drawn() -> None:
    few, many = holdout.draw_stars(3, seed=7), holdout.draw_stars(40, seed=7)
    assert many[:3] == few
    assert holdout.draw_stars(3, seed=8)[0] != few[0]


def test_stars_fill_the_grid_and_a_narrower_range() -> None:
    parameters = np.array([list(vars(star).values()) for star in holdout.draw_stars(1000, seed=1)])
    low, high = np.array(list(holdout.ENDS.values())).T
    shares = (parameters - low) / (high - low)
    assert ((shares >= 0) & (shares < 1)).all()
    np.testing.assert_allclose(shares.mean(axis=0), 0.5, atol=5 / np.sqrt(12 * 1000))
    assert abs(np.corrcoef(shares.T) - np.eye(4)).max() < 5 / np.sqrt(1000)
    corner = holdout.draw_stars(50, seed=1, ranges={"teff": (3500, 3600), "feh": (0.5, 0.75)})
    assert {holdout.pool_of(star) for star in corner} == {"corner"}


def test_every_star_has_a_file_of_its_own_that_tells_it_exactly() -> None:
    stars = holdout.draw_stars(1000, seed=1)
    names = [synthesis.node_file(Path(), star, holdout.FOLDER).stem for star in stars]
    assert len(set(names)) == len(stars)
    told = [Node(*map(float, name.split("_")[1:])) for name in names]
    assert told == stars


@given(st.floats(-1e4, 1e4), st.sampled_from([".0f", "+.2f", ".3f"]))
def test_an_exact_number_is_short_where_it_may_be(value: float, form: str) -> None:
    assert float(exact(value, form)) == value
    rounded = float(format(value, form))
    assert exact(rounded, form) == format(value, form)


def test_the_program_is_told_all_digits() -> None:
    for control in (synthesis.opacity_control(STAR, 2.0), synthesis.transfer_control(STAR)):
        assert f"'METALLICITY:' '{STAR.feh!r}'" in control
        assert f"'ALPHA/Fe   :' '{STAR.alpha!r}'" in control


@pytest.mark.parametrize(
    ("teff", "feh", "pool"),
    [(4000, 0.7, "warm"), (3999, 0.7, "cool"), (3600, 0.7, "cool"), (3599, 0.5, "cool"),
     (3599, 0.6, "corner")],
)  # fmt: skip
def test_warm_cool_and_corner_are_told_apart(teff: float, feh: float, pool: str) -> None:
    assert holdout.pool_of(replace(STAR, teff=teff, feh=feh)) == pool


def test_a_spectrum_of_the_grid_has_no_error() -> None:
    found = compared()
    assert (found.rms, found.largest, found.continuum) == (0.0, 0.0, 0.0)


def test_an_offset_is_the_error() -> None:
    found = compared(flux=0.01, continuum=1.02)
    assert found.rms == pytest.approx(0.01)
    assert found.largest == pytest.approx(0.01)
    assert found.continuum == pytest.approx(0.02)


def test_what_lies_outside_the_arm_or_is_finer_than_the_resolution_does_not_count() -> None:
    wavelength = open_grid()["wavelength_model"].values
    assert compared(flux=np.where((wavelength < 705) | (wavelength > 890), 0.5, 0.0)).rms < 1e-12
    ripple = 0.01 * (-1.0) ** np.arange(len(wavelength))
    assert compared(flux=ripple).rms < 1e-6


def test_pools_weigh_every_star_alike() -> None:
    errors = [holdout.StarError(STAR, "warm", rms, rms, 0.0) for rms in (0.001, 0.001, 0.005)]
    errors.append(holdout.StarError(STAR, "cool", 0.004, 0.004, 0.0))
    pools = holdout.pool_errors(errors)
    assert set(pools) == {"warm", "cool"}
    assert pools["warm"].rms == pytest.approx(0.003)
    assert (pools["warm"].stars, pools["warm"].median, pools["warm"].worst) == (3, 0.001, 0.005)
    assert not pools["warm"].is_within_bar
    assert pools["cool"].is_within_bar


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_held_out_star_is_computed_once_and_interpolated_well(tmp_path: Path) -> None:
    if shutil.which("gfortran") is None or shutil.which("make") is None:
        pytest.skip("needs gfortran and make (Debian: apt install gfortran make)")
    run = CliRunner().invoke
    for step in ("sources", "lists"):
        assert run(app, [step, "--work", str(tmp_path)]).exit_code == 0
    command = ["holdout", "--work", str(tmp_path), "--count", "1", "-j", "1", "--json",
               "--teff", "4700", "5000", "--feh", "-2", "-1"]  # fmt: skip
    result = run(app, command)
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    assert report["pools"]["warm"]["stars"] == 1
    assert 0 < report["pools"]["warm"]["rms"] < 0.002
    (kept,) = (tmp_path / "holdout").glob("*.npz")
    with np.load(kept) as computed:
        assert computed["p"].tolist() == list(report["stars"][0]["star"].values())
    made = kept.stat().st_mtime_ns
    assert json.loads(run(app, command).stdout) == report
    assert kept.stat().st_mtime_ns == made
