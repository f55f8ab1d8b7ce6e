"""People's own lists of stars: any format and spelling, everything wrong told at once."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from astropy.time import Time

from simlib.config import load_config
from simlib.errors import InputError
from simlib.etc.conditions_file import read_conditions
from simlib.simulation.target_list import KNOWN, TEMPLATE, read_targets, told, write_template
from simlib.stellar.grid import open_grid

ID = 5853498713190525696  # one that float64 would change
ROWS = {
    "Source_ID": [ID, ID + 1], "T_eff": [4200.0, 4300.0], "log g": [2.2, 1.5],
    "[Fe/H]": [-0.4, -0.7], "imag": [20.5, 21.0], "RA": [150.1, 150.2], "Dec": [2.1, -2.2],
    "RV": [-85.0, 30.0], "exptime": [900.0, 450.0], "note": ["first", "second"],
}  # fmt: skip


def as_text(between: str, end: str = "\n", mark: str = "") -> str:
    lines = [between.join(ROWS), "", "# a comment"]
    lines += [between.join(map(str, row)) for row in zip(*ROWS.values(), strict=True)]
    return mark + end.join(lines) + end


def as_table(**units: str) -> Table:
    table = Table(ROWS)
    for name, unit in units.items():
        table[name].unit = unit
    return table


WRITERS: dict[str, Callable[[Path], object]] = {
    "comma": lambda path: path.write_text(as_text(",")),
    "semicolon": lambda path: path.write_text(as_text(";", "\r\n", "\ufeff"), newline=""),
    "tab": lambda path: path.write_text(as_text("\t", "\r")),
    "ecsv": lambda path: as_table(RV="km/s").write(path, format="ascii.ecsv"),
    "fits": lambda path: as_table(RV="km/s", T_eff="K").write(path, format="fits"),
    "votable": lambda path: as_table(RV="km/s", RA="deg").write(path, format="votable"),
}


@pytest.mark.filterwarnings("ignore::astropy.io.votable.exceptions.VOWarning")  # of the writer's
@pytest.mark.parametrize("kind", WRITERS)
def test_the_same_list_is_read_from_every_format(kind: str, tmp_path: Path) -> None:
    WRITERS[kind](tmp_path / "list")
    found = read_targets(tmp_path / "list")
    targets = found.targets
    assert targets["object_id"].values.tolist() == ROWS["Source_ID"]
    for ours, theirs in {
        "teff": "T_eff", "logg": "log g", "feh": "[Fe/H]", "magnitude": "imag", "ra": "RA",
        "dec": "Dec", "exposure_time_s": "exptime",
    }.items():  # fmt: skip
        np.testing.assert_array_equal(targets[ours], ROWS[theirs])
        assert found.understood[ours] == theirs
    np.testing.assert_allclose(targets["redshift"], np.array(ROWS["RV"]) / 299792.458)
    assert targets["note"].values.tolist() == ROWS["note"]
    assert found.filled["alpha"] == "0, not in the list"


def write(folder: Path, *lines: str) -> Path:
    path = folder / "stars.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


HEADER = "teff,logg,feh,magnitude"
GOOD = "4200,2.2,-0.4,20.5"


@pytest.mark.parametrize(
    ("header", "row", "name", "value"),
    [
        ("TEFF (K),Log_g,M_H,Mag", GOOD, "teff", 4200.0),
        (f"{HEADER},rv [m/s]", f"{GOOD},-3000", "redshift", -3.0 / 299792.458),
        (f"{HEADER},E(B-V)", f"{GOOD},0.25", "ebv", 0.25),
        (f"{HEADER},seeing (arcmin)", f"{GOOD},0.02", "seeing", 1.2),
        (f"{HEADER},zenith_angle_deg", f"{GOOD},31", "zenith_angle", 31.0),
        (f"{HEADER},NEXP", f"{GOOD},7", "exposure_count", 7.0),
    ],
)
def test_names_and_units_are_understood(
    header: str, row: str, name: str, value: float, tmp_path: Path
) -> None:
    targets = read_targets(write(tmp_path, header, row)).targets
    assert float(targets[name][0]) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        (f"{HEADER},T_eff", f"{GOOD},4300", "column teff twice: teff, T_eff; say which"),
        (f"{HEADER},rv,redshift", f"{GOOD},1,0", "redshift and rv both give the redshift"),
        ("teff,logg,feh,gmag", GOOD, r"missing column magnitude; found .* --column magnitude=NAME"),
        ("teff,logg,feh,mag (nJy)", GOOD, r"column mag \(nJy\) is in 'nJy'; magnitude is in no"),
        (f"{HEADER},seeing (furlong)", f"{GOOD},1", "is in 'furlong'; seeing is in arcsec"),
        (f"{HEADER},rv", f"{GOOD},4000", r"row 1 \(line 2\): rv is 4000 km/s; it must lie in"),
        (f"{HEADER},ra", f"{GOOD},12:30:01", "ra is '12:30:01', not a number"),
    ],
)
def test_what_may_be_misread_is_refused(
    header: str, row: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        read_targets(write(tmp_path, header, row))


SPELLINGS = {  # a value in the unit that is meant where none is stated, and what columns are called
    "teff": (4200.0, "teff, T_eff, Teff [K], teff_k, Effective Temperature"),
    "logg": (2.2, "logg, log_g"),
    "feh": (-0.4, "feh, [Fe/H], M_H, [M/H], metallicity"),
    "magnitude": (20.5, "magnitude, mag, imag, i_mag, mag_i, i2_mag, i2"),
    "alpha": (0.1, "alpha, [alpha/Fe], [alpha/M], a_M, a_Fe, alpha_fe"),
    "redshift": (0.001, "redshift"),
    "rv": (12.0, "rv, RV (km/s), radial velocity, vrad, v_r, v_los, velocity, rv_km_s"),
    "object_id": (7, "object_id, obj_id, source_id, target_id, star_id, id, name"),
    "catalogue_id": (7, "catalogue_id, cat_id, catalog_id"),
    "ra": (150.0, "ra, ra_deg, RA_ICRS, RAJ2000"),
    "dec": (-2.0, "dec, dec_deg, DE_ICRS, DEJ2000"),
    "visit": (7, "visit"),
    "interpolated_axis": ("teff", "interpolated_axis"),
    "seeing": (0.8, "seeing, seeing_arcsec, seeing_fwhm, seeing_fwhm_800nm_arcsec"),
    "zenith_angle": (31.0, "zenith_angle, zenith_angle_deg, zenith_distance"),
    "field_angle": (0.3, "field_angle, field_angle_deg"),
    "moon_zenith_angle": (40.0, "moon_zenith_angle, moon_zenith_angle_deg, moon_zenith_distance"),
    "moon_target_angle": (
        70.0, "moon_target_angle, moon_target_angle_deg, moon_separation, moon_sep",
    ),
    "moon_phase": (0.2, "moon_phase"),
    "exposure_time_s": (
        450.0, "exposure_time_s, exposure_time, exptime, exptime_s, texp, t_exp_s",
    ),
    "exposure_count": (3.0, "exposure_count, nexp, exposures"),
    "ebv": (0.05, "ebv, E(B-V), ebv_mag, reddening"),
    "fiber_offset_arcsec": (0.2, "fiber_offset_arcsec, fiber_offset"),
    "r_eff_arcsec": (0.4, "r_eff_arcsec, r_eff"),
}  # fmt: skip


@pytest.mark.parametrize("name", SPELLINGS)
def test_every_spelling_of_every_quantity_is_understood(name: str, tmp_path: Path) -> None:
    value, spellings = SPELLINGS[name]
    others = dict(zip(HEADER.split(","), GOOD.split(","), strict=True))
    others.pop(name, None)
    for spelling in spellings.split(", "):
        path = write(
            tmp_path, ",".join([*others, spelling]), ",".join([*others.values(), f"{value}"])
        )
        found = read_targets(path)
        assert found.understood[name] == spelling
        told = found.targets["redshift" if name == "rv" else name].values.tolist()
        assert told == [{"rv": 12.0 / 299792.458, "interpolated_axis": 0}.get(name, value)]
    (known,) = (one for one in KNOWN if one.name == name)
    plain = {re.sub(r"\W|_|\[K\]|\(km/s\)", "", one).casefold() for one in spellings.split(", ")}
    assert set(known.spelled()) == plain


def test_every_quantity_has_its_spellings_tried() -> None:
    assert set(SPELLINGS) == {known.name for known in KNOWN}


def test_what_a_list_of_stars_alone_is_filled_with_is_told(tmp_path: Path) -> None:
    config = load_config("tiny", ["conditions.seeing=0.6,0.7", "conditions.moon_phase=0.2"])
    found = read_targets(write(tmp_path, HEADER, GOOD), config)
    assert found.understood == {name: name for name in HEADER.split(",")}
    drawn = ("zenith_angle", "field_angle", "moon_zenith_angle", "moon_target_angle")
    ranges = {name: "drawn from {:g} to {:g}".format(*getattr(config.conditions, name))
              for name in drawn}  # fmt: skip
    fixed = {name: f"{getattr(config.conditions, name):g}"
             for name in ("exposure_time_s", "exposure_count")}  # fmt: skip
    said = ranges | fixed | {"seeing": "drawn from 0.6 to 0.7", "moon_phase": "0.2"}
    none = dict.fromkeys(("alpha", "redshift", "ebv"), "0, not in the list")
    assert found.filled == none | {name: f"{how}, conditions.{name}" for name, how in said.items()}
    for name, how in fixed.items():
        assert found.targets[name].values.tolist() == [float(how)]
    assert [float(found.targets[name][0]) for name in none] == [0.0, 0.0, 0.0]


def test_a_column_may_be_named(tmp_path: Path) -> None:
    path = write(tmp_path, f"{HEADER},Teff_phot,v", f"{GOOD},4300,12")
    found = read_targets(path, columns=["T_eff=teff_PHOT", "rv=v"])
    assert float(found.targets["teff"][0]) == 4300.0
    assert float(found.targets["redshift"][0]) == 12 / 299792.458
    assert float(found.targets["list_teff"][0]) == 4200.0
    for wrong, message in (
        ("teff", "write NAME=COLUMN"), ("colour=v", "known names: teff, logg"),
        ("teff=nowhere", "there is no column 'nowhere'; found teff, logg"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            read_targets(path, columns=[wrong])


def test_all_problems_are_told_and_bad_rows_left_out_where_asked(tmp_path: Path) -> None:
    path = write(
        tmp_path, f"{HEADER},seeing,id", f"{GOOD},0.8,1", "hot,2.2,-0.4,20.5,0.8,2",
        "# between", "4200,2.2,,20.5,-1,3", "9000,2.2,-0.4,20.5,0.8,4", f"{GOOD},0.8,5",
    )  # fmt: skip
    toy = open_grid("toy")
    with pytest.raises(InputError) as error:
        read_targets(path, grid=toy)
    lines = str(error.value).splitlines()
    assert lines[0] == f"{path}: 4 problems"
    assert [line.strip().partition(" is")[0].partition(" =")[0] for line in lines[1:]] == [
        "row 2 (line 3): teff", "row 3 (line 5): feh", "row 3 (line 5): seeing",
        "row 4 (line 6): teff",
    ]  # fmt: skip
    found = read_targets(path, grid=toy, skip_bad=True)
    assert found.targets["object_id"].values.tolist() == [1, 5]
    assert found.targets["spectrum"].values.tolist() == [0, 4]
    assert [text.partition(":")[0] for text in found.skipped] == [
        "row 2 (line 3)", "row 3 (line 5)", "row 3 (line 5)", "row 4 (line 6)",
    ]  # fmt: skip
    assert sum(line.startswith("left out: row") for line in told(found)) == 4
    with pytest.raises(InputError, match=r"row 1 \(line 2\): teff is 'hot'"):
        read_targets(write(tmp_path, HEADER, "hot,2,0,20"), skip_bad=True)


def test_what_the_list_does_not_hold_comes_from_options_or_is_drawn(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER, GOOD, GOOD, GOOD)
    config = load_config("tiny", ["conditions.seeing=0.6,0.7", "conditions.moon_phase=0.2"])
    found = read_targets(path, config, given={"zenith_angle": 20.0, "field_angle": None})
    seeing = found.targets["seeing"].values
    assert ((seeing >= 0.6) & (seeing <= 0.7)).all() and len(set(seeing)) == 3
    assert set(found.targets["moon_phase"].values) == {0.2}
    assert set(found.targets["zenith_angle"].values) == {20.0}
    assert found.filled["seeing"] == "drawn from 0.6 to 0.7, conditions.seeing"
    alone = read_targets(write(tmp_path, HEADER, GOOD), config).targets
    assert float(alone["seeing"][0]) == seeing[0]
    other = read_targets(path, load_config("tiny", ["dataset.seed=9"])).targets
    assert not np.isin(other["seeing"], seeing).any()
    with pytest.raises(InputError, match=r"option.*: seeing is -1 arcsec"):
        read_targets(path, config, given={"seeing": -1.0})


@pytest.mark.parametrize(
    ("given", "overrides", "message"),
    [
        ({"seeing": 0.7}, [], "--seeing has no effect: the list gives it, in column Seeing"),
        ({}, ["conditions.seeing=0.7"], "--set conditions.seeing has no effect"),
        ({"exposure_time_s": 9.0}, [], "--exposure-time has no effect: .* in column exptime"),
        ({"moon_phase": 0.1}, ["conditions.moon_phase=0.2"], "say the same thing"),
    ],
)
def test_what_would_have_no_effect_is_refused(
    given: dict[str, float], overrides: list[str], message: str, tmp_path: Path
) -> None:
    path = write(tmp_path, f"{HEADER},Seeing,exptime", f"{GOOD},0.8,900")
    with pytest.raises(InputError, match=message):
        read_targets(path, load_config("tiny", overrides), given=given, overrides=overrides)


def test_names_of_stars_are_kept_as_they_are(tmp_path: Path) -> None:
    ids = {"id": [ID, None], "code": ["007", "8"], "other/flux": ["1.5", ""], "flux": ["x", "y"]}
    rows = [
        f"{GOOD},{','.join('' if v[n] is None else str(v[n]) for v in ids.values())}"
        for n in range(2)
    ]
    targets = read_targets(write(tmp_path, f"{HEADER},{','.join(ids)}", *rows)).targets
    assert targets["object_id"].values.tolist() == [str(ID), ""]
    assert targets["code"].values.tolist() == ["007", "8"]
    np.testing.assert_array_equal(targets["other_flux"].values, [1.5, np.nan])
    assert targets["list_flux"].values.tolist() == ["x", "y"]
    assert targets["other_flux"].attrs["column"] == "other/flux"


def test_where_a_star_stands_may_be_unknown(tmp_path: Path) -> None:
    texts = write(tmp_path, f"{HEADER},ra,dec", f"{GOOD},,nan")
    values = [[float(text)] for text in GOOD.split(",")]
    table = Table([*values, [np.nan], [np.nan]], names=(*HEADER.split(","), "ra", "dec"))
    table.write(tmp_path / "list.fits")
    for path in (texts, tmp_path / "list.fits"):
        targets = read_targets(path).targets
        assert np.isnan(targets["ra"].values).all() and np.isnan(targets["dec"].values).all()


def test_no_spelling_stands_for_two_things() -> None:
    keys = [key for known in KNOWN for key in known.spelled()]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"SIMPLE  =                    T" + b" " * 3000, "is no FITS table that can be read"),
        (
            b"SIMPLE  =                    T".ljust(80)
            + b"NAXIS   =            900000000".ljust(2800),
            "its header claims NAXIS = 900000000",
        ),
        (b'<?xml version="1.0"?><VOTABLE><RESOURCE>', "is no VOTable table that can be read"),
        (b"# %ECSV 1.0\n# ---\n# datatype: [\nteff\n1\n", "is no ECSV table that can be read"),
    ],
)
def test_a_damaged_table_is_told(data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(data)
    with pytest.raises(InputError, match=message):
        read_targets(tmp_path / "list")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"PK\x03\x04", "is a ZIP archive, as spreadsheets are: save it as CSV"),
        (b"\x1f\x8b\x08\x00", "is compressed by gzip: unpack it"),
        (b"PAR1", "is a Parquet table"),
    ],
)
def test_what_is_no_list_is_named(data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(data + bytes(50))
    with pytest.raises(InputError, match=message):
        read_targets(tmp_path / "list")


def test_a_column_of_times_is_kept_as_it_is_written(tmp_path: Path) -> None:
    table = Table(ROWS)
    table["when"] = Time(["2026-01-02T03:04:05", "2026-01-02T03:09:05"])
    table.write(tmp_path / "list.ecsv", format="ascii.ecsv")
    targets = read_targets(tmp_path / "list.ecsv").targets
    assert targets["when"].values.tolist() == ["2026-01-02T03:04:05.000", "2026-01-02T03:09:05.000"]


def test_names_that_differ_in_case_alone_are_kept_apart(tmp_path: Path) -> None:
    targets = read_targets(write(tmp_path, f"{HEADER},SNR,Note,note", f"{GOOD},1,2,3")).targets
    assert {"list_SNR", "Note", "list_note"} <= set(targets)


def test_an_ab_magnitude_may_say_so_and_another_system_may_not(tmp_path: Path) -> None:
    header = HEADER.replace("magnitude", "mag (AB)")
    assert read_targets(write(tmp_path, header, GOOD)).understood["magnitude"] == "mag (AB)"
    with pytest.raises(InputError, match=r"column mag \(Vega\) is in 'Vega'"):
        read_targets(write(tmp_path, header.replace("AB", "Vega"), GOOD))


def test_an_impossible_moon_is_told_with_the_row_of_the_list(tmp_path: Path) -> None:
    names = ("zenith_angle_deg", "moon_zenith_angle_deg", "moon_target_angle_deg")
    bad = GOOD.replace("4200", "hot")
    rows = [f"{bad},10,40,45", f"{GOOD},10,40,45", f"{GOOD},10,40,120"]
    path = write(tmp_path, f"{HEADER},{','.join(names)}", *rows)
    (warning,) = [one for one in told(read_targets(path, skip_bad=True)) if "no sky" in one]
    assert warning.startswith("warning: row 3: no sky has this moon (1 of 2)")


def test_blanks_between_columns_are_told_of(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER.replace(",", " "), GOOD.replace(",", " "))
    with pytest.raises(InputError, match="put commas, semicolons or tabs between the columns"):
        read_targets(path)


def test_the_way_out_is_one_that_the_verb_has(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("seeing,seeing_arcsec,zenith_angle\n0.8,0.9,30\n")
    with pytest.raises(InputError) as refused:
        read_conditions(tmp_path / "c.csv")
    text = str(refused.value)
    assert "--column" not in text and "add it, or rename" in text
    assert "column seeing twice: seeing_arcsec, seeing; remove one" in text


def test_the_template_is_read_as_it_is_written_and_replaces_nothing(tmp_path: Path) -> None:
    write_template(tmp_path / "mine.csv")
    found = read_targets(tmp_path / "mine.csv")
    assert found.targets.sizes["spectrum"] == 2 and set(found.filled) == set()
    known = {known.written or known.name for known in KNOWN}
    assert set(TEMPLATE.splitlines()[3].split(",")) <= known
    with pytest.raises(InputError, match="exists; name another file"):
        write_template(tmp_path / "mine.csv")
    with pytest.raises(InputError, match=r"is a CSV file; end .* in \.csv"):
        write_template(tmp_path / "mine.fits")


def test_conditions_too_are_read_from_other_formats(tmp_path: Path) -> None:
    names = ("seeing", "zenith_angle", "field_angle", "moon_zenith_angle", "moon_sep",
             "moon_phase", "exptime", "nexp")  # fmt: skip
    row = (0.8, 30.0, 0.3, 45.0, 60.0, 0.2, 900.0, 20.0)
    Table([[value] for value in row], names=names).write(tmp_path / "n.fits")
    found = read_conditions(tmp_path / "n.fits")
    assert [float(found[name][0]) for name in found] == list(row)
