"""Observed spectra of every format, known by their content; what is refused, in which words."""

import gzip
import os
import pickle
from dataclasses import replace
from io import BytesIO, StringIO
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from simlib.air_wavelengths import air_to_vacuum
from simlib.errors import InputError
from simlib.location import Location
from simlib.spectra.fits_file import opened, texts
from simlib.spectra.masks import rejected
from simlib.spectra.observed import Stated
from simlib.spectra.read import parse_observed, read_observed
from simlib.spectra.variance import POWERS
from tests.simlib.spectra import made
from tests.simlib.spectra.made import FORMATS, LINE, REJECTED, SAYS_NOTHING

STAR = made.star()
EVEN_IN_AIR = ("GALAH", "image, air")
NOTHING = Stated()


def parsed(data, stated=NOTHING):
    return parse_observed(data, "x", stated).spectra


@pytest.mark.parametrize("name", FORMATS)
def test_a_spectrum_of_each_format_is_what_was_written(name):
    product, make = FORMATS[name]
    found = parsed(make(STAR))[0]
    assert found.product == product
    order = slice(None, None, 1 if found.wavelength[0] < found.wavelength[-1] else -1)
    truth = air_to_vacuum(STAR.wavelength) if name in EVEN_IN_AIR else STAR.wavelength
    assert np.allclose(found.wavelength[order], truth, rtol=2e-9)
    factor = found.unit.per_wavelength(found.wavelength)[order]
    good = np.arange(STAR.flux.size) != REJECTED
    assert np.allclose((found.flux[order] * factor)[good], STAR.flux[good], rtol=1e-6)
    sigma = np.sqrt(found.variance[order]) * factor
    assert np.allclose(sigma[good], STAR.sigma[good], rtol=1e-5)
    assert np.flatnonzero(~found.is_usable[order]).tolist() == [REJECTED] and good[LINE]


def test_numbers_that_a_file_scales_are_what_it_means():
    """By a step and a zero point (BSCALE, BZERO)."""
    plain, held = parsed(made.pfs_bundle([STAR, STAR]))[1], BytesIO()
    with fits.open(BytesIO(made.pfs_bundle([STAR, STAR]))) as hdus:
        hdus["FLUX"].scale("int32", bscale=1e-6 * float(plain.flux.max()), bzero=7.0)
        hdus.writeto(held)
    found = parsed(held.getvalue())[1].flux
    assert np.allclose(found, plain.flux, rtol=0.0, atol=1e-5 * plain.flux.max())


def test_a_name_that_is_a_number_is_text_and_a_long_one_is_cut():
    numbered = 2**40
    for make, place in ((made.image, 0), (made.galah, 0), (made.lamost, 0)):
        for said, name in ((numbered, str(numbered)), ("s" * 50, "s" * 40)):
            cards = {"OBJECT": said, "OBSID": said}
            (found,) = parsed(header_of(make(STAR), place, **cards))
            assert found.name == name, make


def test_all_spectra_of_a_file_are_read():
    other = made.star(seed=2)
    for data in (made.pfs_bundle([STAR, other]), made.pfs_bundle([STAR, made.cut(other)]),
                 made.pfs_fibers([STAR, other], is_merged=True)):  # fmt: skip
        first, second = parsed(data)
        assert first.name != second.name
        factor = second.unit.per_wavelength(second.wavelength)
        assert np.allclose(second.flux * factor, other.flux[: second.flux.size], rtol=1e-6)
    assert [one.name for one in parsed(made.pfs_bundle([STAR, other]))] == [
        f"00003-{number:016x}" for number in (77, 78)
    ]


def test_the_name_of_a_file_says_nothing_and_a_packed_one_is_read(tmp_path):
    path = tmp_path / "pfsArm-000001-r1.csv"
    path.write_bytes(gzip.compress(made.sdss(STAR)))
    contents = read_observed(Location.of(path), NOTHING)
    assert contents.spectra[0].product == "SDSS"
    assert contents.fits == made.sdss(STAR)


def test_padding_behind_the_last_part_is_no_damage():
    contents = parse_observed(made.sdss(STAR) + bytes(2 * 2880), "x", NOTHING)
    assert contents.fits == made.sdss(STAR)


def test_exposures_stand_beside_the_stack_of_sdss():
    with (
        fits.open(BytesIO(made.sdss(STAR))) as stack,
        fits.open(BytesIO(made.sdss(STAR, "R1-00022151"))) as red,
        fits.open(BytesIO(made.sdss(STAR, "B1-00022151"))) as blue,
    ):
        held = BytesIO()
        fits.HDUList([*stack, blue[1], red[1]]).writeto(held)
    found = parsed(held.getvalue())
    assert [one.name for one in found] == ["COADD", "R1-00022151"]
    # sigma of 1.1 pixels of 0.05 nm at 806 nm
    assert found[0].resolution == pytest.approx(806.0 / (2.3548 * 1.1 * 0.05), rel=0.02)


def test_the_bits_of_a_mask_are_known_by_their_names_alone():
    data = made.pfs_object(STAR)
    for reject, is_rejected in (("usual", True), ("ga", True), ("coadd", False)):
        found = parsed(data, Stated(reject=reject))[0]
        assert found.mask.sum() == is_rejected and found.mask[REJECTED] == is_rejected


@pytest.mark.parametrize("kind", ["i2", "i4", "i8", "u2", "u4"])
def test_the_highest_bit_of_a_mask_is_a_plane_as_others(kind):
    """Also where it makes a number negative; and it is no plane that the mask is too narrow for."""
    last = 8 * np.dtype(kind).itemsize - 1
    mask = np.array([0, 1, 1 << last], dtype=np.uint64).astype(f"u{kind[1]}").view(kind)
    assert rejected(mask, {"BAD": last}, "usual").tolist() == [False, False, True]
    assert rejected(mask, {"OTHER": last, "BAD": 0}, "usual").tolist() == [False, True, False]
    beyond = rejected(mask, {"BAD": last + 1, "SAT": 0}, "usual")
    assert beyond.tolist() == [False, True, False]


def test_the_planes_of_a_mask_may_differ_between_stars_of_a_file():
    """As those of different visits do; a mask whose bits one of them does not name is told."""
    with fits.open(BytesIO(made.pfs_bundle([STAR, STAR]))) as hdus:
        told = [f"MP_BAD: {bit}\n" for bit in (5, 6)]
        column = fits.Column("metadata", "PA()", array=np.array(told, dtype=object))
        number = fits.Column("targetId", "I", array=np.arange(2))
        hdus["METADATA"] = fits.BinTableHDU.from_columns([number, column], name="METADATA")
        hdus["MASK"].data[:] = 1 << 5
        held = BytesIO()
        hdus.writeto(held)
    one, other = parsed(held.getvalue())
    assert one.mask.all() and not other.mask.any()


def test_texts_of_any_length_are_read_once_each_and_none_from_beyond_the_table():
    told = ["a: 1", "", "b: 2\nc: ee", "a: 1", "x" * 300]
    column = fits.Column("metadata", "PA()", array=np.array(told, dtype=object))
    fixed = fits.Column("name", "5A", array=np.array(["one", "two", "", "five5", "x"]))
    held = BytesIO()
    table = fits.BinTableHDU.from_columns([fixed, column], name="METADATA")
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(held)
    written = held.getvalue().replace(b"c: ee", "c: é".encode())
    with opened(written) as hdus:
        assert texts(hdus[1], "name") == ["one", "two", "", "five5", "x"]
        assert texts(hdus[1], "metadata") == [one.replace("ee", "é") for one in told]
        first = int(hdus[1].fileinfo()["datLoc"]) + 5  # behind the text of five letters
    for place, value in ((first, 2**30), (first, -1), (first + 4, 2**30), (first + 4, -40)):
        data = bytearray(written)
        data[place : place + 4] = value.to_bytes(4, "big", signed=True)
        with opened(bytes(data)) as hdus, pytest.raises(InputError, match="beyond its end"):
            texts(hdus[1], "metadata")


def test_the_covariance_of_neighbours_is_read():
    with fits.open(BytesIO(made.pfs_object(STAR))) as hdus:
        hdus["COVAR"].data[1] = 7.0
        held = BytesIO()
        hdus.writeto(held)
    beside = parsed(held.getvalue())[0].beside
    assert beside.shape == (2, STAR.flux.size)
    assert set(beside[0]) == {7.0} and set(beside[1]) == {0.0}


CSV = b"wavelength,flux,error\n800,1,0.1\n800.1,1,0.1\n"


@pytest.mark.parametrize(
    ("data", "stated", "flag"),
    [
        (CSV, Stated(None, "nm", "vacuum"), "--flux-unit"),
        (CSV, Stated("relative", None, "vacuum"), "--wavelength-unit"),
        (CSV, Stated("relative", "nm", None), "--medium"),
        (
            b"# medium: water\n" + CSV,
            Stated("relative", "nm"),
            "those of 'water'; say with --medium",
        ),
        (made.image(STAR, CUNIT1="pixel"), NOTHING, "'pixel', which is no length; say with --wave"),
        (made.image(STAR, BUNIT="adu"), NOTHING, "its flux is in 'adu'; say with --flux-unit"),
        (made.image(STAR, kind="LINEAR"), NOTHING, "--medium"),
    ],
)
def test_what_neither_file_nor_person_says_is_refused_with_the_flag(data, stated, flag):
    with pytest.raises(InputError, match=flag):
        parsed(data, stated)


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        ({"medium": "water"}, "--medium 'water' is unknown; known: vacuum, air"),
        ({"flux_unit": "Kelvin"}, "--flux-unit 'Kelvin' is no flux density"),
        ({"flux_unit": ""}, "--flux-unit '' is no flux density"),
        ({"wavelength_unit": "kg"}, "--wavelength-unit 'kg' is no length"),
        ({"reject": "all"}, "--reject 'all' is unknown; known: usual, ga, coadd"),
    ],
)
def test_what_means_nothing_is_refused_whether_it_is_asked_for_or_not(stated, words):
    with pytest.raises(InputError, match=words):
        Stated(**stated)


def test_a_word_of_the_file_that_means_nothing_leaves_it_to_the_person():
    odd = made.image(STAR, kind="LINEAR", CUNIT1="pixel", BUNIT="adu")
    found = parsed(odd, Stated("nJy", "Angstrom", "VACUUM"))[0]
    assert np.allclose(found.wavelength, STAR.wavelength) and found.unit.name == "nJy"
    in_air = parsed(odd, Stated("nJy", "Angstrom", "Air"))[0]
    assert np.allclose(in_air.wavelength, air_to_vacuum(STAR.wavelength))
    for said, is_air in (("AIR", True), (" Vacuum", False), ("helium", False)):
        told = f"# medium: {said}\n# wavelength_unit: nm\n".encode() + CSV
        first = parsed(told, Stated("relative", "m", "vacuum"))[0].wavelength[0]
        assert (first > 800.1) == is_air
    table = Table({"wavelength": [800.0], "flux": [1.0], "error": [1.0]},
                  units={"flux": "adu"}, meta={"flux_unit": "nJy"})  # fmt: skip
    text = StringIO()
    table.write(text, format="ascii.ecsv")
    assert parsed(text.getvalue().encode(), Stated(None, "nm", "air"))[0].unit.name == "nJy"


def image_with(name, values, unit, **cards):
    """Return an image of the star whose errors are these."""
    with fits.open(BytesIO(made.image(STAR, **cards))) as hdus:
        held = BytesIO()
        errors = fits.ImageHDU(values, fits.Header([("BUNIT", unit)] if unit else []), name=name)
        fits.HDUList([hdus[0], errors, hdus["DQ"]]).writeto(held)
    return held.getvalue()


SIGMA, NANO = STAR.sigma, STAR.nano


@pytest.mark.parametrize(
    ("name", "values", "unit"),
    [
        ("ERROR", SIGMA, ""),
        ("ERROR", SIGMA, "1e-17 erg/(s cm2 Angstrom)"),
        ("ERROR", 1e-3 * SIGMA, "1e-14 erg/(s cm2 Angstrom)"),
        ("ERROR", 1e-3 * SIGMA * NANO, "uJy"),
        ("STAT", 1e6 * SIGMA**2, "(10**(-20)*erg/s/cm**2/Angstrom)**2"),
        ("VARIANCE", (1e-3 * SIGMA * NANO) ** 2, "(uJy)^2"),
        ("IVAR", SIGMA**-2, "10**+34 (s2 cm4 Angstrom2) / erg2"),
        ("IVAR", (SIGMA * NANO) ** -2, "nJy-2"),
    ],
)
def test_errors_are_brought_to_the_unit_of_the_flux(name, values, unit):
    (found,) = parsed(image_with(name, values, unit))
    assert np.allclose(np.sqrt(found.variance), SIGMA, rtol=1e-6) and not found.notes


def test_errors_of_a_table_are_brought_to_the_unit_of_the_flux():
    table = Table(
        {"wavelength": STAR.wavelength, "flux": STAR.flux * NANO, "error": SIGMA},
        units={"wavelength": "nm", "flux": "nJy", "error": "1e-17 erg / (s cm2 Angstrom)"},
        meta={"medium": "vacuum"},
    )
    text = StringIO()
    table.write(text, format="ascii.ecsv")
    assert np.allclose(np.sqrt(parsed(text.getvalue().encode())[0].variance), SIGMA * NANO)
    for name, value in (("error_uJy", 2.0), ("variance_uJy", 4.0), ("ivar_uJy", 0.25)):
        data = f"# medium: air\nwavelength_nm,flux_nJy,{name}\n800,1,{value}\n".encode()
        assert parsed(data)[0].variance[0] == pytest.approx(4e6)


def test_errors_of_another_kind_than_the_flux_are_refused():
    for name, unit, words in (
        ("ERROR", "adu", "its error is in 'adu', its flux in '1e-17 .*; the unit of its flux was"),
        ("ERROR", "%", "its error is in '%'"),
        ("VARIANCE", "nJy", "its variance is in 'nJy', .* its flux to the power 2 was expected"),
    ):
        with pytest.raises(InputError, match=words):
            parsed(image_with(name, SIGMA, unit))
    (found,) = parsed(image_with("ERROR", SIGMA, "some counts"))
    assert found.notes == ("the unit of its error, 'some counts', is not known: that of its flux",)
    (found,) = parsed(image_with("VARIANCE", SIGMA, "adu2", BUNIT="adu"), SAYS_NOTHING)
    assert np.allclose(found.variance, SIGMA) and not found.notes


def test_a_mask_may_be_of_truth_values():
    bad, held, text = np.arange(STAR.flux.size) == REJECTED, BytesIO(), StringIO()
    columns = {"wavelength": STAR.wavelength, "flux": STAR.flux, "error": SIGMA, "mask": bad}
    np.savez(held, **columns)
    Table(columns).write(text, format="ascii.ecsv")
    table = fits.BinTableHDU(Table(columns))
    assert table.columns["mask"].format == "L"
    lines = "".join(f"{x},{y},{z},{b}\n" for x, y, z, b in zip(*columns.values(), strict=True))
    csv = f"wavelength,flux,error,mask\n{lines}"
    for data in (held.getvalue(), text.getvalue().encode(), made.packed(table), csv.encode()):
        assert np.array_equal(parsed(data, SAYS_NOTHING)[0].mask, bad)
    columns["flux"] = bad
    with pytest.raises(InputError, match="flux holds bool; numbers were expected"):
        parsed(made.packed(fits.BinTableHDU(Table(columns))), SAYS_NOTHING)


def of_columns(header, *values):
    (found,) = parsed(f"{header}\n{','.join(f'{value!r}' for value in values)}\n".encode(),
                      SAYS_NOTHING)  # fmt: skip
    return found


def test_every_name_of_a_column_is_understood():
    """Half an error of a flux of 2 at 800 nm, rejected; in each of the words for that."""
    for name in ("wavelength", "wave", "lambda", "lam", "wl", "WAVE"):
        assert of_columns(f"{name},flux,error", 800.0, 2.0, 0.5).wavelength == 800.0, name
    for name in ("loglam", "log_wavelength", "loglambda"):
        found = of_columns(f"{name},flux,error", float(np.log10(8000.0)), 2.0, 0.5)
        assert found.wavelength == pytest.approx(800.0), name
    for end, factor in {"nm": 1.0, "Angstrom": 10.0, "AA": 10.0, "A": 10.0, "um": 1e-3}.items():
        found = of_columns(f"wavelength_{end},flux,error", 800.0 * factor, 2.0, 0.5)
        assert found.wavelength == pytest.approx(800.0), end
    for name in ("flux_noisy", "flux", "spec", "spectrum", "flux_density"):
        assert of_columns(f"wavelength,{name},error", 800.0, 2.0, 0.5).flux == 2.0, name
    for end in ("nJy", "uJy", "mJy", "Jy"):
        assert of_columns(f"wavelength,flux_{end},error", 800.0, 2.0, 0.5).unit.name == end
    powers = {
        1: "error err sigma flux_error flux_err e_flux uncertainty std",
        2: "variance var stat", -2: "ivar inverse_variance flux_ivar",
    }  # fmt: skip
    for power, names in powers.items():
        for name in names.split():
            found = of_columns(f"wavelength,flux,{name}", 800.0, 2.0, 0.5**power)
            assert found.variance == 0.25, name
    assert {name: power for power, names in powers.items() for name in names.split()} == POWERS
    for name in ("mask", "flag", "flags", "bad", "and_mask", "dq"):
        assert of_columns(f"wavelength,flux,error,{name}", 800.0, 2.0, 0.5, 1).mask, name


@pytest.mark.parametrize(("unit", "per_nm"), [("m", 1e-9), ("nm", 1.0), ("Angstrom", 10.0)])
def test_wavelengths_of_a_header_are_in_the_unit_that_it_names(unit, per_nm):
    linear = {"CUNIT1": unit, "CRVAL1": 800.0 * per_nm, "CDELT1": 0.05 * per_nm}
    data = header_of(made.pfs_object(STAR, kind="header"), "FLUX", **linear)
    assert np.allclose(parsed(data)[0].wavelength, STAR.wavelength, rtol=1e-12)


def test_of_a_simulated_star_the_noisy_flux_is_read():
    data = b"wavelength,flux,flux_noisy,variance\n800,1,1.5,0.1\n"
    assert parsed(data, SAYS_NOTHING)[0].flux.tolist() == [1.5]


def test_a_person_states_only_what_the_file_does_not_say():
    stated = Stated("erg/(s cm2 AA)", "Angstrom", "air")
    for name in ("pfsObject", "SDSS", "ECSV", "image", "NPZ"):
        one, other = (parsed(FORMATS[name][1](STAR), told)[0] for told in (NOTHING, stated))
        assert np.array_equal(one.wavelength, other.wavelength) and one.unit == other.unit
    assert parsed(CSV, Stated("mJy", "Angstrom", "air"))[0].unit.size == pytest.approx(1e6)


def test_electrons_are_refused_with_the_reason():
    for is_merged in (True, False):
        data = made.pfs_fibers([STAR], is_merged=is_merged, norm=None)
        with pytest.raises(InputError, match="raw electrons.*give the pfsCalibrated"):
            parsed(data)


def test_no_pickle_is_opened(tmp_path):
    class Evil:
        def __reduce__(self):
            return (tmp_path.joinpath("run").mkdir, ())

    with pytest.raises(InputError, match="it is a pickle, which may run anything"):
        parsed(pickle.dumps(Evil()))
    held = BytesIO()
    np.savez(held, wavelength=STAR.wavelength, flux=np.array([Evil()], dtype=object),
             error=STAR.sigma)  # fmt: skip
    with pytest.raises(InputError, match="Object arrays cannot be loaded"):
        parsed(held.getvalue(), SAYS_NOTHING)
    text = (
        f"x: !!python/object/apply:pathlib.Path.mkdir [!!python/name:pathlib.Path '{tmp_path}']\n"
    )
    with pytest.raises(InputError, match="METADATA cannot be read"):
        parsed(made.pfs_bundle([STAR], extra=text))
    assert not list(tmp_path.iterdir())


def test_a_text_of_names_within_names_is_not_unfolded():
    laughs = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 30))
    found = parsed(made.pfs_bundle([STAR], extra=f"l0: &l0 [ha]\n{laughs}"))
    assert found[0].mask.sum() == 1


def header_of(data, name, **cards):
    with fits.open(BytesIO(data)) as hdus:
        hdus[name].header.update(cards)
        held = BytesIO()
        hdus.writeto(held)
    return held.getvalue()


def claimed(data, old, new):
    """Return a file whose header claims something else; lengths stay."""
    assert data.count(old) >= 1 and len(old) == len(new)
    return data.replace(old, new)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "it is empty"),
        (b"hello", "its table: no rows"),
        (b"hello\n1\n", "it is neither FITS, ECSV, NPZ nor a CSV table"),
        (b"wavelength,flux,error\n800,1\n", "its table, line 2: 2 values, the header names 3"),
        (b"\xff\xfe\x00", "neither FITS, NPZ nor UTF-8 text"),
        (made.sdss(STAR)[:-2880], "it is cut or damaged"),
        (made.sdss(STAR)[:-100], "it is cut or damaged"),
        (made.sdss(STAR) + b"x" * 2880, "damaged"),
        (gzip.compress(made.sdss(STAR))[:-30], "it is packed, and damaged"),
        (made.pfs_bundle([STAR], extra="a: [1\n"), "METADATA cannot be read"),
        (made.pfs_bundle([STAR], extra="MP_BAD_SKY: 64\n"), "BAD_SKY is bit 64; 0 to 63 exist"),
        (header_of(made.image(STAR), 0, CTYPE1="FREQ"), "its CTYPE1 is 'FREQ'"),
        (header_of(made.pfs_object(STAR, kind="header"), "FLUX", CUNIT1="mile"), "CUNIT1"),
        (claimed(made.image(STAR), b"NAXIS1  =                  240 ",
                 b"NAXIS1  =         987654321098 "), "cut or damaged"),
        (claimed(made.pfs_object(STAR), b"ZNAXIS1 =                  240 ",
                 b"ZNAXIS1 =            987654321 "), "claims 987654321 values"),
        (claimed(made.image(STAR), b"NAXIS   =                    1 ",
                 b"NAXIS   =            900000000 "), "NAXIS = 900000000, where .* at most 999"),
        (claimed(made.sdss(STAR), b"TFIELDS =                    4 ",
                 b"tfields =           0900000000 "), "claims TFIELDS = 900000000"),
        (claimed(made.desi(STAR), b"NAXIS2  =                    1 ",
                 b"NAXIS2  =                  -32 "), "claims NAXIS2 = -32, less than nothing"),
        (claimed(made.desi(STAR), b"PCOUNT  =                    0 ",
                 b"PCOUNT  =                -9999 "), "claims PCOUNT = -9999, less than nothing"),
        (b"wavelength_nm,flux\n800,1\n", "it has no column for its errors"),
        (b"wavelength_nm,flux,error\n800,1,one\n", "column error holds text; numbers were"),
        (made.packed(fits.ImageHDU(np.zeros((3, 4, 5)))), "one spectrum was expected"),
    ],
)  # fmt: skip
def test_what_is_damaged_is_told_with_the_file(data, words):
    with pytest.raises(InputError, match=f"^x: .*{words}"):
        parsed(data, replace(SAYS_NOTHING))


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(InputError, match="there is no such file"):
        read_observed(Location.of(tmp_path / "none.fits"), NOTHING)


def test_what_may_never_end_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(InputError, match=f"^{path}: it is a pipe or a device"):
            read_observed(Location.of(path), NOTHING)
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(5 << 30)
    with pytest.raises(InputError, match="it has 5368709120 bytes; at most"):
        read_observed(Location.of(tmp_path / "huge"), NOTHING)


def test_what_a_table_leaves_out_is_not_used():
    rows = b"wavelength,flux,error\n800,1,0.1\n801,,0.1\n802,nan,0.1\n803,1,\n804,1,0.1\n"
    found = parsed(rows, SAYS_NOTHING)[0]
    assert found.is_usable.tolist() == [True, False, False, False, True]


@pytest.mark.parametrize(
    ("wavelength", "words"),
    [
        ([800.0, np.nan, 802.0], "the wavelength of pixel 1 is nan nm"),
        ([800.0, 801.0, 800.5, 803.0], "wavelengths go back at pixel 2"),
        ([800.0, 800.0, 801.0], "wavelengths go back at pixel 1"),
        ([8e7, 8.1e7, 8.2e7], "is its unit right"),
    ],
)
def test_odd_wavelengths_are_told_with_the_pixel(wavelength, words):
    values = np.array(wavelength)
    lines = "".join(f"{x},1,0.1\n" for x in values)
    found = parsed(f"wavelength,flux,error\n{lines}".encode(), SAYS_NOTHING)[0]
    with pytest.raises(InputError, match=words):
        found.refuse_wavelengths()
