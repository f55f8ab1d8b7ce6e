"""Frames of velocities and telluric states: what files say, what is stated, what is not known."""

from io import BytesIO

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord, get_body_barycentric_posvel
from astropy.io import fits
from astropy.time import Time

from simlib.errors import InputError
from simlib.spectra.frames import as_frame, as_telluric, at_barycentre, to_barycentre
from simlib.spectra.observed import Stated
from simlib.spectra.read import parse_observed
from simlib.units import SPEED_OF_LIGHT_M_S
from tests.simlib.spectra import made

STAR = made.star()
POLE_M = {"OBSGEO-X": 0.0, "OBSGEO-Y": 0.0, "OBSGEO-Z": 6356752.0}  # which the Earth does not turn
SUBARU_M = {"OBSGEO-X": -5461060.9, "OBSGEO-Y": -2491393.6, "OBSGEO-Z": 2149257.2}
WHEN = {"MJD-OBS": 60505.25, "EXPTIME": 0.0}
WHERE = {"RA": 30.0, "DEC": 12.0}
KNOWN = {
    "pfsObject": "barycentric", "pfsCalibrated": "barycentric", "pfsMerged": "barycentric",
    "pfsArm": "topocentric", "SDSS": "heliocentric", "DESI": "heliocentric",
    "LAMOST": "heliocentric", "LAMOST, table": "", "GALAH": "barycentric", "image": "",
    "table": "", "CSV": "", "ECSV": "", "NPZ": "",
}  # fmt: skip


def read(data, **stated):
    return parse_observed(data, "x", Stated(**stated)).spectra[0]


def orbital(mjd):
    """Return the Earth's velocity towards the target, km/s, about the barycentre."""
    _, velocity = get_body_barycentric_posvel("earth", Time(mjd, format="mjd"))
    target = SkyCoord(WHERE["RA"], WHERE["DEC"], unit=units.deg).cartesian
    return float(velocity.dot(target).to_value("km/s"))


@pytest.mark.parametrize("name", KNOWN)
def test_a_format_has_its_frame_and_no_other_is_made_up(name):
    found = read(made.FORMATS[name][1](STAR))
    assert found.frame == KNOWN[name]
    assert found.to_barycentre_km_s == (0.0 if found.frame == "barycentric" else pytest.approx(
        np.nan, nan_ok=True))  # fmt: skip
    stated = read(made.FORMATS[name][1](STAR), frame="rest", telluric="corrected")
    assert stated.frame == KNOWN[name] or (stated.frame == "rest" and not KNOWN[name])
    assert stated.telluric == ("uncorrected" if name in ("pfsArm", "pfsMerged") else "corrected")


def test_a_topocentric_redshift_is_brought_to_the_barycentre():
    velocity = to_barycentre("topocentric", POLE_M | WHEN | WHERE)
    assert velocity == pytest.approx(orbital(60505.25), abs=0.01) and abs(velocity) > 15.0
    turning = to_barycentre("topocentric", SUBARU_M | WHEN | WHERE)
    assert 0.001 < abs(turning - velocity) < 0.47
    # A star at rest to whose side the Earth goes looks bluer.
    seen = -velocity * 1e3 / SPEED_OF_LIGHT_M_S
    assert at_barycentre(seen, velocity) == pytest.approx(0.0, abs=2e-8)
    assert at_barycentre(0.002, 0.0) == pytest.approx(0.002)
    later = to_barycentre("topocentric", POLE_M | {"MJD-OBS": 60505.0, "EXPTIME": 43200.0} | WHERE)
    assert later == pytest.approx(velocity, abs=1e-6)  # the middle of the exposure counts
    written = {"DATE-OBS": "2024-07-14T06:00:00.0", "EXPTIME": 0.0}
    assert to_barycentre("topocentric", POLE_M | written | WHERE) == pytest.approx(velocity)


def test_what_is_heliocentric_is_some_metres_a_second_away():
    velocity = to_barycentre("heliocentric", WHEN | WHERE)
    assert 1e-4 < abs(velocity) < 0.02


@pytest.mark.parametrize("lost", [*POLE_M, *WHEN, *WHERE])
def test_without_time_target_or_place_nothing_is_made_up(lost):
    whole = POLE_M | WHEN | WHERE
    for cards in (
        {name: value for name, value in whole.items() if name != lost},
        whole | {lost: "north"}, whole | {lost: np.nan}, whole | {lost: 1e9},
    ):  # fmt: skip
        if cards.get(lost) != 1e9 or lost != "EXPTIME":
            assert np.isnan(to_barycentre("topocentric", cards))
    assert np.isnan(to_barycentre("rest", whole)) and np.isnan(to_barycentre("", whole))


def test_the_header_comes_before_what_is_stated():
    cards = POLE_M | WHEN | WHERE
    said = read(made.image(STAR, SPECSYS="TOPOCENT", TELLURIC=True, SPEC_RP=9e3, **cards))
    assert (said.frame, said.telluric, said.resolution) == ("topocentric", "corrected", 9000.0)
    assert said.to_barycentre_km_s == pytest.approx(orbital(60505.25), abs=0.01)
    other = read(made.image(STAR, SPECSYS="TOPOCENT", TELLURIC=False, SPEC_RES=9e3),
                 frame="rest", telluric="corrected", resolution=4e3)  # fmt: skip
    assert (other.frame, other.telluric, other.resolution) == ("topocentric", "uncorrected", 9e3)
    stated = read(made.image(STAR, SPECSYS="LSRK", SPEC_RES=0.04, **cards),
                  frame="observed", telluric="uncorrected", resolution=4e3)  # fmt: skip
    assert (stated.frame, stated.telluric, stated.resolution) == ("topocentric", "uncorrected", 4e3)
    assert np.isfinite(stated.to_barycentre_km_s)
    unknown = read(made.image(STAR, SPECSYS="LSRK"))
    assert (unknown.frame, unknown.telluric, unknown.resolution) == ("", "", None)


def test_a_table_says_it_in_words():
    text = b"# frame: Rest\n# telluric: corrected\n# resolution: 21000\n" + made.csv(STAR)
    found = read(text, frame="barycentric", resolution=5e3)
    assert (found.frame, found.telluric, found.resolution) == ("rest", "corrected", 21_000.0)


def test_an_arm_of_the_survey_tells_what_is_to_be_applied():
    notes = fits.BinTableHDU.from_columns(
        [fits.Column("barycentricCorrection", "E", array=[12.5, 1e9])], name="NOTES"
    )
    with fits.open(BytesIO(made.pfs_fibers([STAR, STAR], is_merged=False))) as hdus:
        held = BytesIO()
        fits.HDUList([*hdus, notes]).writeto(held)
    one, other = parse_observed(held.getvalue(), "x", Stated()).spectra
    assert one.to_barycentre_km_s == 12.5 and np.isnan(other.to_barycentre_km_s)


def test_words_that_mean_nothing_are_told():
    for stated, words in (
        ({"frame": "galactic"}, "--frame 'galactic' is unknown; known: topocentric, bary"),
        ({"telluric": "some"}, "--telluric 'some' is unknown; known: corrected, uncorrected"),
        ({"resolution": 3.0}, "--resolution 3.0 is none; wavelength over the width"),
        ({"resolution": np.nan}, "--resolution nan is none"),
    ):
        with pytest.raises(InputError, match=words):
            Stated(**stated)
    assert as_frame(" SOURCE ") == "rest" and as_frame(None) == "" == as_telluric(None)
    assert as_telluric(False) == "uncorrected"
    for frame, words in {
        "topocentric": "topocentric TOPOCENT observed", "barycentric": "barycentric BARYCENT",
        "heliocentric": "heliocentric HELIOCEN", "rest": "rest SOURCE", "": "LSRK helio",
    }.items():  # fmt: skip
        assert {as_frame(word) for word in words.split()} == {frame}
    for state, said in {
        "corrected": ("corrected", "TRUE", True), "uncorrected": ("Uncorrected", "false", False),
        "": ("maybe", "", None),
    }.items():  # fmt: skip
        assert {as_telluric(word) for word in said} == {state}
