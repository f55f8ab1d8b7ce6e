"""A spectrum denoised is the network's own answer, whatever file, unit or medium it came in."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d

import trainlib
from simlib.errors import InputError
from simlib.location import Location
from simlib.spectra.observed import Observed, Stated
from simlib.spectra.read import parse_observed
from simlib.spectra.units import NANOJANSKY, RELATIVE
from simlib.units import FWHM_PER_SIGMA
from tests.simlib.spectra import made
from tests.trainlib.onsky.toy_bundle import (
    MEDIAN,
    SCALE,
    WAVELENGTH,
    toy_network,
    toy_stars,
    toy_trust,
)
from trainlib.onsky.flags import MASKED, OUTSIDE, SUSPECT, UNUSABLE
from trainlib.trust.model import Trust

LEVEL = 0.02
LINES = 0.7, 1.0, 1.04, 1.3, 2.0  # resolutions, over the network's


@pytest.fixture(scope="module")
def bundle(bundle_place):
    return trainlib.load_bundle(bundle_place)


@pytest.fixture(scope="module")
def stars():
    return toy_stars(6, LEVEL)


@pytest.fixture(scope="module")
def answers(bundle, stars):
    return [bundle.denoise(WAVELENGTH, one.flux, one.sigma**2) for one in stars[0]]


def close(found, expected, scale=SCALE):
    """Within 1e-5 of the normalised flux."""
    return np.max(np.abs(found - expected)) < 1e-5 * scale


def test_the_answer_is_the_networks_own(stars, answers):
    flux = np.stack([one.flux for one in stars[0]])
    scale = np.median(flux, axis=1, keepdims=True) / MEDIAN
    variance = np.stack([one.sigma for one in stars[0]]) ** 2 / scale**2
    known = toy_network().denoise(
        *(torch.from_numpy(part.astype(np.float32)) for part in (flux / scale, variance))
    )
    told = Trust.of(toy_trust()).told(np.array([one.snr for one in answers]), 400)
    for row, answer in enumerate(answers):
        assert close(answer.flux, known.flux[row] * scale[row])
        assert close(answer.error, known.error[row] * told.pixel[row] * scale[row])
        assert abs(answer.redshift - float(known.redshift[row])) < 1e-3 * answer.redshift_error
        error = float(known.redshift_error[row]) * told.redshift[row]
        assert answer.redshift_error == pytest.approx(error, rel=1e-3)
        assert answer.error_95 == pytest.approx(told.pixel_95[row]) and not answer.features
        assert answer.redshift_error_95 / error == pytest.approx(told.redshift_95[row], rel=1e-3)
        assert answer.logg_error == pytest.approx(told.stars[row, 1])
        assert answer.teff == pytest.approx(float(known.stars[row, 0]), abs=1e-4)
        assert not answer.flag.any() and answer.covered == 1.0 and answer.shared == 0.0
        assert answer.verdict == "good"
        assert answer.snr == pytest.approx(np.median(answer.flux / stars[0][row].sigma), rel=1e-6)


def test_it_is_nearer_to_the_star_than_the_data_are(stars, answers):
    _, redshift = stars
    clean, _ = toy_stars(6, 1e-4)
    for number, answer in enumerate(answers):
        error = np.abs(answer.flux - clean[number].flux).mean()
        assert error < 0.6 * np.abs(stars[0][number].flux - clean[number].flux).mean()
        assert abs(answer.redshift - redshift[number]) < 4.0 * answer.redshift_error + 1e-6


FILES = {name: make for name, (_, make) in made.FORMATS.items()
         if name not in ("image, air", "GALAH", "pfsObject, header")}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_files_of_every_format_unit_and_medium_give_the_same(name, bundle, stars):
    star = stars[0][0]
    expected = bundle.denoise(WAVELENGTH, star.flux, star.sigma**2, np.arange(400) == made.REJECTED)
    read = parse_observed(FILES[name](star), "x", Stated()).spectra[0]
    # what the file says of its lines is not of these
    (found,) = bundle.denoise_observed([replace(read, resolution=None)])
    order = slice(None, None, 1 if read.wavelength[0] < read.wavelength[-1] else -1)
    factor = read.unit.per_wavelength(read.wavelength)
    seen = slice(None, None if name != "pfsCoadd" else -7)
    # single precision of the file, and in the mean star's shape at the end that `pfsCoadd` lacks
    assert close((found.flux * factor)[order][seen], expected.flux[seen])
    assert close((found.error * factor)[order][seen], expected.error[seen])
    assert abs(found.redshift - expected.redshift) < 1e-3 * expected.redshift_error
    assert np.array_equal((found.flag[order] != 0), expected.flag != 0)


@pytest.mark.parametrize("name", ["image, air", "GALAH", "pfsObject, header"])
def test_pixels_of_another_place_give_the_same_star(name, bundle, stars):
    """Their wavelengths are even elsewhere: they are interpolated, and found where they are."""
    star = stars[0][4]
    read = parse_observed(made.FORMATS[name][1](star), "x", Stated()).spectra[0]
    (found,) = bundle.denoise_observed([replace(read, resolution=None)])
    shift = np.median(read.wavelength / WAVELENGTH) - 1.0  # what was meant as air lies redder
    plain = bundle.denoise(WAVELENGTH, star.flux, star.sigma**2)
    expected = (1.0 + plain.redshift) * (1.0 + shift) - 1.0
    assert abs(found.redshift - expected) < 1.5 * plain.redshift_error
    assert (found.shared > 0.0) == (name != "pfsObject, header")
    assert found.misfit == pytest.approx(plain.misfit, rel=0.1)  # in units of a pixel's own noise


def test_many_rows_are_as_each_alone(bundle, stars, answers):
    flux, sigma = (np.stack([getattr(one, name) for one in stars[0]]) for name in ("flux", "sigma"))
    together = bundle.denoise(WAVELENGTH, flux, sigma**2)
    for alone, one in zip(answers, together, strict=True):
        assert close(alone.flux, one.flux)
        assert abs(one.redshift - alone.redshift) < 1e-3 * one.redshift_error
    each_its_own = bundle.denoise(np.tile(WAVELENGTH, (6, 1)), flux, sigma**2)
    assert np.array_equal(each_its_own[3].flux, together[3].flux)


def test_of_many_rows_one_that_cannot_be_used_is_told_in_its_place(bundle, stars):
    flux = np.stack([one.flux for one in stars[0]])
    variance = np.stack([one.sigma for one in stars[0]]) ** 2
    variance[2], flux[4] = -1.0, -1.0
    found = bundle.denoise(WAVELENGTH, flux, variance)
    assert [isinstance(one, InputError) for one in found] == [
        False,
        False,
        True,
        False,
        True,
        False,
    ]
    assert "spectrum row-2: none of its 400 pixels" in str(found[2])
    assert "spectrum row-4: its median flux is -1" in str(found[4])
    with pytest.raises(InputError, match="none of its 400 pixels"):
        bundle.denoise(WAVELENGTH, flux[2], variance[2])
    with pytest.raises(InputError, match=r"variance has the shape \(399,\), flux \(400,\)"):
        bundle.denoise(WAVELENGTH, flux[0], variance[0][1:])
    with pytest.raises(InputError, match=r"variance has the shape \(2, 400\), flux \(6, 400\)"):
        bundle.denoise(WAVELENGTH, flux, variance[:2])


def test_what_is_masked_does_not_matter_and_is_flagged(bundle, stars, answers):
    star, mask = stars[0][0], np.zeros(400)
    mask[100:108] = 1
    flux, variance = star.flux.copy(), star.sigma**2
    base = bundle.denoise(WAVELENGTH, flux, variance, mask)
    flux[100:108] = 1e9
    found = bundle.denoise(WAVELENGTH, flux, variance, mask)
    assert np.array_equal(found.flux, base.flux)
    assert set(found.flag[100:108]) == {MASKED} and not found.flag[:100].any()
    flux[300], variance[301] = np.nan, 0.0
    found = bundle.denoise(WAVELENGTH, flux, variance, mask)
    assert found.flag[300] == found.flag[301] == UNUSABLE and np.isfinite(found.flux).all()
    assert found.covered == pytest.approx(390 / 400)
    for alike in (
        bundle.denoise(WAVELENGTH, flux, variance, mask.astype(bool)),
        bundle.denoise(WAVELENGTH, np.ma.array(flux, mask=mask), variance),
    ):
        assert np.array_equal(alike.flux, found.flux)
    with pytest.raises(InputError, match="its mask holds text; numbers were expected"):
        bundle.denoise(WAVELENGTH, flux, variance, np.full(400, "no"))


@pytest.mark.parametrize("order", [1, -1])
def test_what_is_left_out_of_a_spectrum_is_as_masked(bundle, stars, order):
    star, kept = stars[0][0], ~np.isin(np.arange(400), (50, *range(100, 140), 141, 300, 301))
    masked = bundle.denoise(
        WAVELENGTH[::order], star.flux[::order], star.sigma[::order] ** 2, ~kept[::order]
    )
    rows = slice(None, None, order)
    found = bundle.denoise(
        WAVELENGTH[kept][rows], star.flux[kept][rows], star.sigma[kept][rows] ** 2
    )
    assert np.array_equal(found.flux, masked.flux[kept[rows]])
    assert np.array_equal(found.error, masked.error[kept[rows]])
    assert found.covered == masked.covered and found.redshift == masked.redshift


def test_numbers_that_single_precision_cannot_hold_are_masked(bundle, stars):
    star, tiny = stars[0][0], 1e-20
    flux, variance = tiny * star.flux, (tiny * star.sigma) ** 2
    base = bundle.denoise(WAVELENGTH, flux, variance, np.isin(np.arange(400), (200, 201)))
    flux[200], variance[201] = 1e29, 1e-98
    found = bundle.denoise(WAVELENGTH, flux, variance)
    assert close(found.flux, base.flux, tiny * SCALE)
    assert found.covered == base.covered and found.redshift == base.redshift
    with pytest.raises(InputError, match="single precision holds none of its pixels"):
        bundle.denoise(WAVELENGTH, star.flux, np.full(400, 1e-58))


@pytest.mark.parametrize("size", [1e10, 1e19, 1e21, 1e25])
@pytest.mark.parametrize("finer", [False, True])
def test_a_pixel_beyond_all_bounds_costs_itself_and_is_suspect(bundle, stars, size, finer):
    star = stars[0][0]
    stated = Stated(resolution=2.0 * bundle.manifest.resolution) if finer else Stated()
    flux = star.flux.copy()
    flux[200] = size * np.median(flux)
    found = bundle.denoise(WAVELENGTH, flux, star.sigma**2, stated=stated)
    hidden = np.arange(400) == 200
    base = bundle.denoise(WAVELENGTH, star.flux, star.sigma**2, hidden, stated=stated)
    assert np.array_equal(np.isfinite(found.flux), np.isfinite(base.flux))
    assert found.flag[200] & SUSPECT
    if not finer:
        assert np.array_equal(found.flux, base.flux)


def test_a_cosmic_ray_is_suspect_and_many_are_in_the_verdict(bundle, stars):
    star = stars[0][0]
    flux = star.flux.copy()
    flux[200] += 30.0 * star.sigma[200]
    one = bundle.denoise(WAVELENGTH, flux, star.sigma**2)
    assert one.flag[200] == SUSPECT and one.suspects >= 1
    flux[20:380:30] += 30.0 * star.sigma[20:380:30]
    assert "suspect pixels" in bundle.denoise(WAVELENGTH, flux, star.sigma**2).verdict


def test_the_truth_is_within_the_errors_as_often_as_they_say(bundle):
    """On the sky's side too: of stars that the errors were not found on."""
    for level in (0.02, 0.05):
        noisy, clean = toy_stars(150, level, seed=60)[0], toy_stars(150, 1e-9, seed=60)[0]
        found = bundle.denoise(
            WAVELENGTH, np.stack([s.flux for s in noisy]), np.stack([s.sigma**2 for s in noisy])
        )
        truth, redshift = np.stack([s.flux for s in clean]), toy_stars(150, level, seed=60)[1]
        off = np.abs(np.stack([one.flux for one in found]) - truth)
        off /= np.stack([one.error for one in found])
        # the toy's pixels are off together, so that few stars tell little
        assert 0.56 < np.mean(off <= 1.0) < 0.80
        assert 0.88 < np.mean(off <= np.array([[one.error_95] for one in found])) < 0.99
        apart = np.abs([one.redshift for one in found] - redshift)
        assert 0.56 < np.mean(apart <= [one.redshift_error for one in found]) < 0.80
        assert np.mean(apart <= [one.redshift_error_95 for one in found]) > 0.89


def test_a_line_that_no_star_has_is_named(bundle, stars):
    star = stars[0][3]
    profile = np.exp(-0.5 * ((np.arange(400) - 250) / 1.6) ** 2)
    found = bundle.denoise(WAVELENGTH, star.flux * (1.0 - 0.6 * profile), star.sigma**2)
    assert "unseen features" in found.verdict
    assert any(
        abs(one.wavelength - WAVELENGTH[250]) < 0.1 and one.significance < 0.0
        for one in found.features
    )


def test_beyond_the_network_nothing_is_said(bundle, stars):
    star = stars[0][0]
    wide = np.concatenate([WAVELENGTH[:1] - 0.05 * np.arange(90, 0, -1), WAVELENGTH])
    flux, sigma = (np.concatenate([np.ones(90), values]) for values in (star.flux, star.sigma))
    found = bundle.denoise(wide, flux, sigma**2)
    assert np.isnan(found.flux[:89]).all() and np.isfinite(found.flux[90:]).all()
    assert set(found.flag[:89]) == {OUTSIDE}
    plain = bundle.denoise(WAVELENGTH, star.flux, star.sigma**2)
    assert close(found.flux[90:], plain.flux, 10 * SCALE)


def one_of(star, **changes):
    values = {
        "name": "a", "product": "b", "wavelength": WAVELENGTH, "flux": star.flux,
        "variance": star.sigma**2, "mask": np.zeros(400, bool), "unit": RELATIVE,
    }  # fmt: skip
    return Observed(**(values | changes))


def test_verdicts_say_what_speaks_against_an_answer(bundle, stars):
    star, draw = stars[0][2], np.random.default_rng(1)
    flat = 20.0 + 60 * star.sigma * draw.standard_normal(400)
    wrong = 20.0 + 3.0 * np.sin(np.arange(400) / 25.0) + star.sigma * draw.standard_normal(400)
    faint = one_of(star, flux=star.flux + star.sigma * 60 * draw.standard_normal(400),
                   variance=(60 * star.sigma) ** 2)  # fmt: skip
    half = one_of(star, mask=np.arange(400) > 150)
    moved = one_of(star, wavelength=WAVELENGTH * (1.0 + 11.5 * 0.05 / 810.0))
    sharpness = bundle.manifest.resolution
    told = {
        "poor fit": one_of(star, flux=wrong),
        "faint": faint,
        "little seen": half,
        "redshift at the edge": moved,
        "coarser than trained": one_of(star, resolution=0.5 * sharpness),
        "redshift unsure": one_of(star, flux=flat, variance=(60 * star.sigma) ** 2),
    }
    for kind, observed in told.items():
        (found,) = bundle.denoise_observed([observed])
        assert kind in found.verdict, (kind, found.verdict)


def test_few_clean_stars_are_flagged(bundle):
    flags = 0
    for level in (0.02, 0.08):
        stars, _ = toy_stars(100, level, seed=30)
        found = bundle.denoise(
            WAVELENGTH, np.stack([s.flux for s in stars]), np.stack([s.sigma**2 for s in stars])
        )
        flags += sum(one.verdict != "good" for one in found)
    assert flags <= 2


def test_what_is_seen_of_a_star_is_compared_with_the_same_part_of_a_typical_one(bundle):
    frame = toy_network().frame
    mean = frame.statistics.mean[None]
    typical = frame.axis.gather(mean, np.zeros(1))[0].astype(float)
    hidden = typical > np.median(typical)  # what is left is fainter than the whole
    assert np.median(typical[~hidden]) < 0.97 * np.median(typical)
    found = bundle.denoise(WAVELENGTH, SCALE * typical, np.full(400, 0.04), hidden)
    assert np.max(np.abs(found.flux / typical / SCALE - 1.0)) < 2e-3


def test_units_per_frequency_are_brought_to_those_per_wavelength_first(bundle, stars, answers):
    star = stars[0][2]
    observed = one_of(star, flux=star.flux * star.nano, variance=(star.sigma * star.nano) ** 2,
                      unit=NANOJANSKY)  # fmt: skip
    (found,) = bundle.denoise_observed([observed])
    assert close(found.flux / star.nano, answers[2].flux)


def test_a_bundle_that_was_used_goes_to_another_process(bundle, stars):
    one = stars[0][0]
    given = WAVELENGTH, one.flux, one.sigma**2
    first = bundle.denoise(*given)
    again = pickle.loads(pickle.dumps(bundle)).denoise(*given)
    assert np.array_equal(first.flux, again.flux) and first.redshift == again.redshift


def test_the_bundle_says_what_it_is(bundle, bundle_place):
    assert bundle.place == Location.of(bundle_place)
    assert bundle.manifest.kind == "bundle" and bundle.manifest.medium == "vacuum"
    assert np.array_equal(bundle.wavelength, WAVELENGTH)


def test_spectra_of_a_mixed_batch_are_as_each_alone_in_any_order_on_any_cores(
    bundle, stars, monkeypatch
):
    """Some share pixels and go together: falling, others' pixels or lines, holes, refused ones."""
    flux, sigma = (np.stack([getattr(one, name) for one in stars[0]]) for name in ("flux", "sigma"))
    base = [
        Observed(
            f"{row}", "", WAVELENGTH, flux[row], sigma[row] ** 2, np.zeros(400, bool), RELATIVE
        )
        for row in range(6)
    ]
    hole = np.abs(np.arange(400) - 90) < 60
    each = ("wavelength", "flux", "variance", "mask")
    mixed = [
        *base,
        replace(base[1], **{name: getattr(base[1], name)[::-1] for name in each}),
        replace(base[2], wavelength=WAVELENGTH + 0.01),
        replace(base[3], mask=hole),
        replace(base[4], **{name: getattr(base[4], name)[~hole] for name in each}),
        replace(base[5], beside=np.stack([0.2 * sigma[5] ** 2, 0.1 * sigma[5] ** 2])),
        replace(base[0], flux=-flux[0]),
        replace(base[0], unit=NANOJANSKY),
        *(replace(base[1], resolution=times * bundle.manifest.resolution) for times in LINES),
        replace(base[4], beside=np.stack([0.4 * sigma[4] ** 2, 0.0 * sigma[4] ** 2])),
    ] * 3
    alone = [next(iter(bundle.denoise_observed([one]))) for one in mixed[: len(mixed) // 3]] * 3
    convolved = [one.convolved_nm for one in alone[13 : 13 + len(LINES)]]
    assert convolved[:3] == [0.0] * 3 and 0.0 < convolved[3] < convolved[4]
    assert close(alone[6].flux[::-1], alone[1].flux)
    for cores in (1, 2):
        monkeypatch.setenv("OMP_NUM_THREADS", str(cores))
        for order in (1, -1):
            found = list(bundle.denoise_observed(mixed[::order]))[::order]
            for one, other in zip(found, alone, strict=True):
                if isinstance(other, InputError):
                    assert str(one) == str(other)
                    continue
                assert close(one.flux, other.flux, 0.1 * np.median(other.flux))
                assert close(one.error, other.error, np.median(other.flux))
                assert np.array_equal(one.flag, other.flag) and one.verdict == other.verdict
                assert abs(one.redshift - other.redshift) < 1e-3 * other.redshift_error
                for name in ("snr", "misfit", "shared", "covered", "convolved_nm"):
                    assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-5)


def test_noise_that_neighbours_take_from_each_other_makes_no_fit_look_poorer(bundle):
    """No pixels are better than alone: their misfit is judged as that of as many as there are."""
    (star,), _ = toy_stars(1, LEVEL)
    variance = (0.53 * star.sigma) ** 2
    beside = np.stack([-0.45 * variance, np.zeros(400)])
    (found,) = bundle.denoise_observed([
        Observed("a", "", WAVELENGTH, star.flux, variance, np.zeros(400, bool), RELATIVE, beside)
    ])  # fmt: skip
    looks = np.array([[found.misfit, 0.0, 0.0, 0.0]])
    odd = bundle.trust.odd(np.array([found.snr]), looks, np.array([found.covered]))[0, 0]
    assert odd < 1.0 < odd * np.sqrt(1.0 / (1.0 - 2.0 * 0.45))
    assert "poor fit" not in found.verdict.split(", ")


def test_finer_lines_are_brought_to_the_networks_and_said_so(bundle, stars):
    """As if they had been convolved beforehand."""
    fine = np.arange(WAVELENGTH[0] - 1.0, WAVELENGTH[-1] + 1.0, 0.25 * 0.05)
    star, resolution = toy_stars(1, 1e-6)[0][0], 1.4 * bundle.manifest.resolution
    curve = CubicSpline(WAVELENGTH, star.flux)
    inside = np.clip(fine, WAVELENGTH[0], WAVELENGTH[-1])
    level, sigma = curve(inside), 0.05 * star.flux.mean()
    missing = WAVELENGTH.mean() / FWHM_PER_SIGMA * np.sqrt(
        bundle.manifest.resolution**-2.0 - resolution**-2.0)  # fmt: skip
    wide = gaussian_filter1d(level, missing / (fine[1] - fine[0]), mode="nearest")
    before = bundle.denoise(WAVELENGTH, np.interp(WAVELENGTH, fine, wide), np.full(400, sigma**2))
    given = fine, level, np.full(fine.size, 4.0 * sigma**2)
    found = bundle.denoise(*given, stated=Stated(resolution=resolution))
    assert found.convolved_nm == pytest.approx(missing, rel=0.02) and before.convolved_nm == 0.0
    assert found.shared > 0.7 and "suspect" not in before.verdict
    assert found.redshift == pytest.approx(before.redshift, abs=0.1 * before.redshift_error)
    there = np.interp(WAVELENGTH, fine, found.flux)
    assert np.max(np.abs(there / before.flux - 1.0)) < 0.01 and not found.suspects
    level[1000] += 200.0 * sigma
    struck = bundle.denoise(*given, stated=Stated(resolution=resolution))
    assert 3 <= struck.suspects < 60 and struck.flag[1000] == SUSPECT
    assert np.isnan(found.flux[:70]).all() and set(found.flag[:70]) == {OUTSIDE}
