"""Each mistake gets one message that names the place, the value and what is allowed."""

import dataclasses
import re
import tomllib

import numpy as np
import pytest

from simlib.config import Sky
from simlib.errors import InputError
from simlib.etc.conditions_file import CONDITIONS, read_conditions
from simlib.etc.signal_to_noise import read_spectrum
from simlib.etc.sky.model import load_sky
from simlib.etc.terms import run_etc
from simlib.etc.terms_file import check_output
from simlib.instrument import FOLDER, load_instrument
from tests.simlib.etc.made import conditions, write_conditions, write_sky_tables

GOOD = "0.8,30,0.3,45,60,0.2,900,20"
NAME = "pfs-redmr-2016-02-29"


def test_a_column_of_a_list_of_conditions_has_these_names_and_no_others():
    assert {known.name: (known.unit, " ".join(known.spelled())) for known in CONDITIONS} == {
        "seeing": ("arcsec", "seeingarcsec seeing seeingfwhm seeingfwhm800nmarcsec"),
        "zenith_angle": ("deg", "zenithangledeg zenithangle zenithdistance"),
        "field_angle": ("deg", "fieldangledeg fieldangle"),
        "moon_zenith_angle": ("deg", "moonzenithangledeg moonzenithangle moonzenithdistance"),
        "moon_target_angle": (
            "deg", "moontargetangledeg moontargetangle moonseparation moonsep",
        ),
        "moon_phase": ("", "moonphase"),
        "exposure_time_s": ("s", "exposuretimes exposuretime exptime exptimes texp texps"),
        "exposure_count": ("", "exposurecount nexp exposures"),
        "ebv": ("", "ebv ebvmag reddening"),
        "fiber_offset_arcsec": ("arcsec", "fiberoffsetarcsec fiberoffset"),
        "r_eff_arcsec": ("arcsec", "reffarcsec reff"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("0.8,95,0.3,45,60,0.2,900,20", r"zenith_angle_deg is 95 deg; it must lie in \[0, 85\]"),
        ("0.8,-5,0.3,45,60,0.2,900,20", r"zenith_angle_deg is -5 deg"),
        ("-0.8,30,0.3,45,60,0.2,900,20", r"seeing_arcsec is -0.8 arcsec; it must lie in \(0, 20\]"),
        ("0.8,30,0.3,45,60,1.2,900,20", r"moon_phase is 1.2; it must lie in \[0, 1\]"),
        ("0.8,30,0.3,45,200,0.2,900,20", r"moon_target_angle_deg is 200 deg"),
        ("0.8,30,1.3,45,60,0.2,900,20", r"field_angle_deg is 1.3 deg"),
        ("0.8,30,0.3,45,60,0.2,0,20", r"exposure_time_s is 0 s; it must lie in \(0,"),
        ("0.8,30,0.3,45,60,0.2,900,0", r"exposure_count is 0; it must lie in \[1,"),
        ("0.8,nan,0.3,45,60,0.2,900,20", r"zenith_angle_deg is not a number"),
        ("0.8,,0.3,45,60,0.2,900,20", r"zenith_angle_deg is not a number"),
        ("0.8,thirty,0.3,45,60,0.2,900,20", r"zenith_angle_deg is 'thirty', not a number"),
    ],
)
def test_a_wrong_value_is_told_with_its_row_and_its_bounds(tmp_path, row, message):
    path = write_conditions(tmp_path / "c.csv", "# a comment", GOOD, GOOD, row)
    with pytest.raises(InputError, match=rf"row 3 \(line 5\).*{message}"):
        read_conditions(path)


def test_a_missing_column_is_named_with_those_found(tmp_path):
    path = write_conditions(tmp_path / "c.csv", "1,2", header="seeing_arcsec,zenith_angle_deg")
    with pytest.raises(InputError, match=r"missing column field_angle_deg.*found seeing_arcsec"):
        read_conditions(path)


def test_a_short_row_is_told(tmp_path):
    path = write_conditions(tmp_path / "c.csv", "0.8,30,0.3")
    with pytest.raises(InputError, match=r"c.csv, line 2: 3 values, the header names 8"):
        read_conditions(path)


@pytest.mark.parametrize("text", ["", "seeing_arcsec\n"])
def test_a_file_without_rows_is_told(tmp_path, text):
    path = tmp_path / "c.csv"
    path.write_text(text)
    with pytest.raises(InputError, match="c.csv: no rows"):
        read_conditions(path)


def test_an_absent_file_is_told():
    with pytest.raises(InputError, match="cannot read conditions 'nowhere.csv'"):
        read_conditions("nowhere.csv")


def test_a_value_out_of_bounds_is_refused_from_python_too():
    with pytest.raises(InputError, match=r"row 1: seeing is -1 arcsec"):
        run_etc(conditions(seeing=[0.8, -1.0]), load_instrument(NAME), load_sky(Sky()))


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"convention": "best"}, "unknown convention 'best'; known: centred, modified, upstream"),
        ({"quadrature": "fine"}, "unknown quadrature 'fine'; known: converged, reference"),
        ({"lsf": "box"}, "unknown lsf 'box'; known: etc, table2"),
        ({"line_extinction": "no"}, "unknown line_extinction 'no'"),
    ],
)
def test_an_unknown_choice_is_told_with_the_known_ones(choice, message):
    with pytest.raises(InputError, match=message):
        run_etc(conditions(), load_instrument(NAME), load_sky(Sky()), **choice)


def test_an_unknown_instrument_is_told_with_the_known_ones():
    with pytest.raises(InputError, match=r"unknown instrument 'hubble'.*2016-02-29.*2024-07-14"):
        load_instrument("hubble")


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("sky_lines_one.csv", "wavelength_air_nm,intensity_1e-16_cgs\n800,1\n801,one\n",
         r"sky_lines_one.csv, row 2 \(line 3\): intensity_1e-16_cgs is 'one', not a number"),
        ("sky_lines_one.csv", "# x\nwavelength_air_nm,intensity_1e-16_cgs\n800,1,2\n",
         r"sky_lines_one.csv, line 3: 3 values, the header names 2"),
        ("sky_lines_one.csv", "wavelength_air_nm,strength\n800,1\n",
         r"sky_lines_one.csv, line 1: missing column intensity_1e-16_cgs; found wavelength_air"),
        ("sky_lines_one.csv", "# nothing\n", r"sky_lines_one.csv: no rows"),
        ("sky_lines_one.csv", "wavelength_air_nm,intensity_1e-16_cgs\n800,inf\n",
         r"row 1 \(line 2\): intensity_1e-16_cgs is inf; it must lie in"),
        ("telluric_one.csv", "wavelength_nm,transmission\n600,1\n1000,1\n900,1\n",
         r"telluric_one.csv: wavelength_nm does not increase at row 3 \(900 after 1000\)"),
        ("telluric_one.csv", "wavelength_nm,transmission\n800,1\n810,1\n",
         r"one table telluric_\*.csv must cover 700-895 nm"),
        ("telluric_two.csv", "wavelength_nm,transmission\n600,1\n1000,1\n", r"2 of telluric_one"),
        ("telluric_one.csv", "# airmass: high\nwavelength_nm,transmission\n600,1\n1000,1\n",
         r"states airmass 'high', not a number in"),
        ("extinction_site.csv", "wavelength_nm,k\n600,1\n", r"missing column k_mag_per_airmass"),
    ],
)  # fmt: skip
def test_a_malformed_sky_table_is_told_with_file_and_line(tmp_path, file, text, message):
    folder = write_sky_tables(tmp_path / "sky")
    (folder / file).write_text(text)
    with pytest.raises(InputError, match=message):
        load_sky(Sky(tables=str(folder)))


def test_an_absent_folder_or_table_is_told(tmp_path):
    with pytest.raises(InputError, match="no folder of sky tables at"):
        load_sky(Sky(tables=str(tmp_path / "nowhere")))
    folder = write_sky_tables(tmp_path / "sky")
    (folder / "sky_lines_one.csv").unlink()
    with pytest.raises(InputError, match=r"one table sky_lines_\*.csv is needed, found none"):
        load_sky(Sky(tables=str(folder)))


@pytest.mark.parametrize("knob", ["oh_scale", "o2_scale", "water_mm"])
def test_a_knob_of_the_embedded_sky_is_refused_beside_tables(tmp_path, knob):
    folder = write_sky_tables(tmp_path / "sky")
    with pytest.raises(InputError, match=rf"sky.{knob} = 3 has no effect on the tables"):
        load_sky(Sky(tables=str(folder), **{knob: 3.0}))


def test_an_instrument_file_with_a_wrong_figure_is_told(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('throughput = "mine.csv"\n[telescope]\nouter_diameter_m = "big"\n')
    (tmp_path / "mine.csv").write_text("wavelength_nm,throughput\n700,0.2\n900,0.2\n")
    with pytest.raises(
        InputError, match=r"outer_diameter_m = 'big'.*telescope.central_obscuration is missing"
    ):
        load_instrument(str(path))


@pytest.mark.parametrize("pixels", [0, 1])
def test_an_arm_of_no_pixel_or_one_is_refused(tmp_path, pixels):
    shipped = FOLDER / f"{NAME}.toml"
    text = shipped.read_text(encoding="utf-8")
    path = tmp_path / "mine.toml"
    path.write_text(re.sub(r"(?m)^pixel_count = \d+", f"pixel_count = {pixels}", text))
    (tmp_path / tomllib.loads(text)["throughput"]).write_text(
        "wavelength_nm,throughput\n700,0.2\n900,0.2\n"
    )
    with pytest.raises(InputError, match=rf"spectrograph\.pixel_count = {pixels}: .*equal to 2"):
        load_instrument(str(path))


@pytest.mark.parametrize("pixels", [2, 3, 5])
def test_an_arm_of_few_pixels_has_terms(pixels):
    arm = dataclasses.replace(
        load_instrument(NAME), wavelength_min_nm=760.0, wavelength_max_nm=760.0 + 0.04 * pixels,
        pixel_count=pixels, checksum=f"{pixels} pixels",
    )  # fmt: skip
    terms = run_etc(conditions(), arm, load_sky(Sky()))
    assert terms.sizes["wavelength"] == pixels
    assert all(np.isfinite(terms[name].values).all() for name in terms)


def test_an_arm_outside_the_known_sky_is_refused():
    blue = dataclasses.replace(load_instrument(NAME), wavelength_min_nm=690.0)
    with pytest.raises(InputError, match=r"needs the sky from 688.5 to 886.5 nm; .* 700-895 nm"):
        run_etc(conditions(), blue, load_sky(Sky()))


def test_a_spectrum_that_does_not_cover_the_arm_is_told(tmp_path):
    path = tmp_path / "star.csv"
    path.write_text("wavelength_nm,flux\n750,1\n800,1\n")
    with pytest.raises(InputError, match=r"covers 750-800 nm; 710.02-884.98 nm is needed"):
        read_spectrum(path, load_instrument(NAME))


def test_an_output_that_cannot_be_written_is_refused_beforehand(tmp_path):
    with pytest.raises(InputError, match=r"end it in .zarr, .nc"):
        check_output(tmp_path / "terms.txt")
    (tmp_path / "photos.zarr").mkdir()
    with pytest.raises(InputError, match="is no Zarr store"):
        check_output(tmp_path / "photos.zarr")
