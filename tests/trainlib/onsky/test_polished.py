"""Answers exchanged for the fit of a star: only where it is likelier, with errors that are true."""

import json

import numpy as np
import pytest
from astropy.io import fits

import trainlib
from simlib.errors import InputError
from simlib.fit.problem import Seen, look
from simlib.fit.solve import fit_spectra
from simlib.location import Location
from simlib.stellar import open_grid
from tests.simlib.fit.toy_stars import config, drawn, problem, seen
from tests.simlib.spectra import made
from tests.trainlib.onsky.toy_bundle import SCALE, WAVELENGTH, toy_stars
from trainlib.config import PlainAugment, WalkAugment
from trainlib.onsky.batch import denoise
from trainlib.onsky.simulator import Refined, Simulator, described_simulator, simulator_of

ROWS, REDSHIFT = 12, 4
STAR = np.array([4100.0, 2.0, -0.8, 0.1, 1.2e-4, 0.05])
SIGMA = np.array([50.0, 0.2, 0.1, 0.05, 1e-6, 0.01])


@pytest.fixture(scope="module")
def fitted():
    stars = drawn(ROWS, seed=3)
    noisy, variance, clean = seen(stars, snr=30.0, seed=4)
    variance = variance.copy()
    variance[:, 500:700] = np.inf  # a gap
    return fit_spectra(problem(), noisy, variance, stars, errors=True), clean


def test_errors_of_spectra_are_those_of_their_unknowns(fitted):
    fit, _ = fitted
    blank = Seen(np.zeros_like(fit.spectra[:1]), np.ones_like(fit.spectra[:1]))
    for row in (0, 5):
        slopes = []
        for unknown in range(problem().unknowns):
            step = np.zeros((1, problem().unknowns))
            step[0, unknown] = size = 0.002 if unknown == REDSHIFT else 0.02
            ends = [look(problem(), blank, fit.unknowns[row : row + 1] + way * step, False)[0]
                    for way in (-1, 1)]  # fmt: skip
            slopes.append((ends[1].spectra[0].astype(float) - ends[0].spectra[0]) / (2.0 * size))
        slopes = np.array(slopes)
        expected = np.sqrt(np.einsum("ip,ij,jp->p", slopes, fit.spread[row], slopes))
        assert np.median(np.abs(fit.errors[row] / expected - 1.0)) < 0.1


def test_errors_of_spectra_hold_the_truth_in_gaps_too(fitted):
    fit, clean = fitted
    for some in (slice(None), slice(500, 700)):
        pull = np.abs(fit.spectra - clean)[:, some] / fit.errors[:, some]
        assert 0.5 < np.mean(pull < 1.0) < 0.85


@pytest.mark.parametrize(
    "augment", [PlainAugment(), pytest.param(WalkAugment(), marks=pytest.mark.slow)]
)
def test_a_simulator_survives_its_description(augment):
    said = json.loads(json.dumps(described_simulator(config(), augment, open_grid("toy"))))
    pixels = problem().generator.templates.wavelength
    made_again = simulator_of(said, pixels).problem
    assert np.allclose(made_again.sigma, problem().sigma)
    assert np.allclose(made_again.generator.templates.wavelength, pixels)
    stars = drawn(2, seed=1)
    mine, theirs = (one.generator.look(stars, False)[0] for one in (made_again, problem()))
    assert np.max(np.abs(mine - theirs)) < 1e-4
    for changed, word in (
        (None, "says nothing of its simulator"),
        ({}, "is of another version"),
        (said | {"augment": {"calibration": "odd"}}, "is of another version"),
        (said | {"stellar_grid": "0" * 16}, "toy is not the one that the network learnt from"),
        (said | {"sections": said["sections"] | {
            "stellar": said["sections"]["stellar"] | {"grid": "/none/of.zarr"}}},
         "/none/of.zarr is not installed"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=word):
            simulator_of(changed, pixels)
    with pytest.raises(InputError, match="has other pixels here"):
        simulator_of(said, pixels + 0.01)


def test_what_a_network_made_is_refined_where_a_fit_is_likelier():
    stars = drawn(ROWS, seed=6)
    noisy, variance, clean = seen(stars, snr=50.0)
    wave = 1.0 + 0.02 * np.sin(np.arange(clean.shape[1]) / 3.0)
    named = (stars + np.array([100.0, 0.4, 0.15, 0.05, 1e-5, 0.0]))[:, :5]
    noisy[0, 1000:1040] += 0.2  # no star is so, and the network saw it
    denoised = (clean * wave).astype(np.float32)
    denoised[0, 1000:1040] += 0.2
    found = Simulator(problem()).refined(noisy, variance, denoised, named)
    assert not found.is_accepted[0] and found.is_accepted[1:].mean() > 0.8
    kept = found.is_accepted
    assert np.isnan(found.error[~kept]).all() and np.isfinite(found.error[kept]).all()
    assert np.array_equal(found.flux[0], denoised[0])
    off = np.abs(found.stars - stars)[kept] / np.sqrt(
        np.diagonal(found.covariance, axis1=1, axis2=2))[kept]  # fmt: skip
    assert np.median(off[:, :5]) < 1.5
    larger = Simulator(problem()).refined(1.3 * noisy, 1.69 * variance, 1.3 * denoised, named)
    assert np.array_equal(larger.is_accepted, kept)
    moved = np.abs(larger.flux - 1.3 * found.flux)[kept]  # a fit ends where little is to gain
    assert np.all(moved < 0.05 * 1.3 * found.error[kept])
    assert np.allclose(larger.error[kept], 1.3 * found.error[kept], rtol=1e-2)


class Fixed:
    """Stands for a simulator: the same star for every row, accepted for some."""

    def __init__(self, accepted):
        self.accepted = accepted

    def refined(self, flux, variance, denoised, named):
        rows = len(flux)
        assert named.shape == (rows, 5) and variance.shape == denoised.shape == flux.shape
        return Refined(
            np.array(self.accepted[:rows]), np.full_like(flux, 0.5), np.full_like(flux, 0.01),
            np.tile(STAR, (rows, 1)), np.tile(np.diag(SIGMA**2), (rows, 1, 1)),
        )  # fmt: skip


def test_a_refined_answer_is_in_the_spectrums_own_unit_and_told_as_such(bundle_place, tmp_path):
    bundle = trainlib.load_bundle(bundle_place)
    assert "says nothing of its simulator" in bundle.unpolished
    stars, _ = toy_stars(2, 0.02)
    flux, sigma = (np.stack([getattr(one, name) for one in stars]) for name in ("flux", "sigma"))
    before = bundle.denoise(WAVELENGTH, flux, sigma**2)
    bundle._simulator = Fixed([True, False])
    after = bundle.denoise(WAVELENGTH, flux, sigma**2)
    assert np.array_equal(after[1].flux, before[1].flux) and after[1].source == "network"
    one = after[0]
    scale = np.median(flux[0]) / bundle.manifest.median
    assert np.allclose(one.flux, 0.5 * scale) and np.allclose(one.error, 0.01 * scale)
    assert 0.5 * SCALE < scale < 2.0 * SCALE
    assert (one.source, one.verdict) == ("polish", before[0].verdict)
    assert (one.teff, one.teff_error, one.redshift, one.redshift_error, one.ebv) == (
        4100.0, 50.0, 1.2e-4, pytest.approx(1e-6), 0.05
    )  # fmt: skip
    assert np.allclose(np.reshape(one.covariance, (6, 6)), np.diag(SIGMA**2))
    assert one.flag.any() and one.suspects == np.count_nonzero(one.flag)  # a flat star is none
    (tmp_path / "a.fits").write_bytes(made.pfs_bundle(stars))
    (done,) = denoise(bundle, [Location.of(tmp_path / "a.fits")], Location.of(tmp_path / "out"))
    with fits.open(done.written.path) as hdus:
        table = hdus["DENOISER"].data
        assert list(table["source"]) == ["polish", "network"]
        assert table["covariance"].shape == (2, 36) and np.isnan(table["covariance"][1]).all()
        assert table["teff_error"][0] == 50.0


def test_without_polish_nothing_is_prepared(bundle_place, monkeypatch):
    from trainlib.onsky import simulator

    monkeypatch.setattr(simulator, "simulator_of", lambda *_: pytest.fail("it was prepared"))
    assert trainlib.load_bundle(bundle_place, polish=False).unpolished == "it was not asked for"
