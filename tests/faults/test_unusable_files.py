"""Files that a person gives and the program cannot use: exit code 2, file and place in one message.

Every verb is called as the command line calls it, in this process.
"""

import os
import shutil
from pathlib import Path

import pytest

from flows.cli import run_program
from simlib.errors import InputError
from simlib.instrument import FOLDER
from simlib.text_files import parse_toml
from tests.simlib.etc.made import write_conditions, write_sky_tables

GOOD = "0.8,30,0.3,45,60,0.2,900,20"
HEADER = (
    "seeing_arcsec,zenith_angle_deg,field_angle_deg,moon_zenith_angle_deg,"
    "moon_target_angle_deg,moon_phase,exposure_time_s,exposure_count"
)
STAR_HEADER = f"teff,logg,feh,alpha,redshift,ebv,magnitude,{HEADER}"
STAR = f"4500,2.0,-1.0,0.25,0.001,0.05,20,{GOOD}"
NAME = "pfs-redmr-2016-02-29"
SIMULATE = ("simulate", "t.csv", "--out", "s.zarr")  # looks at its config before its targets


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refused(capfd: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """Run a verb that must refuse its input; return what it says on one line."""
    before = set(Path().rglob("*"))
    capfd.readouterr()
    assert run_program([str(a) for a in arguments]) == 2
    said = capfd.readouterr().err
    assert said.count("error:") == 1
    assert "Traceback" not in said
    assert "our fault" not in said
    assert len(said) < 2000, "a message is for reading"
    assert set(Path().rglob("*")) == before, "nothing half-written"
    return said


CONFIGS = {
    "a value where a section is expected": (b"train = 5\n", "train = 5", "[train]"),
    "a list where a section is expected": (b"stellar = [1, 2]\n", "stellar", "[stellar]"),
    "an array of tables": (b"[[dataset]]\nn_train = 5\n", "dataset", "[dataset]"),
    "not UTF-8": (b"# caf\xe9\n[dataset]\nn_train = 5\n", "UTF-8", "line 1"),
    "UTF-16": ("[dataset]\nn_train = 5\n".encode("utf-16"), "UTF-8"),
    "NUL bytes": (b"[dataset]\nname = 'a\x00b'\n", "TOML"),
    "deeply nested brackets": (b"a = " + b"[" * 100_000 + b"]" * 100_000, "nested"),
    "nested as deep as the parser bears": (b"[stellar]\nteff = " + b"[" * 90 + b"]" * 90, "nested"),
    "deeply nested tables": (b"[a" + b".a" * 2_000 + b"]\n", "nested"),
    "a number of 5000 digits": (b"[dataset]\nseed = " + b"9" * 5000, "TOML"),
    "a number of 400 digits": (b"[dataset]\nn_train = " + b"9" * 400, "64 bits", "dataset.n_train"),
    "400 digits where a fraction is expected": (b"[stellar]\nr_v = " + b"9" * 400, "64 bits"),
    "infinity": (b"[stellar]\nr_v = inf\n", "stellar.r_v = inf"),
    "not a number": (b"[conditions]\nseeing = [nan, 1.0]\n", "conditions.seeing"),
    "a date": (b"[dataset]\nn_train = 2024-01-01\n", "dataset.n_train"),
    "a time as a name": (b"[dataset]\nname = 07:32:00\n", "dataset.name"),
    "a NUL in a text": (b'[stellar]\ngrid = "a\\u0000b"\n', "NUL", "stellar.grid"),
    "a table as a value": (b"[stellar]\nteff = {low = 1}\n", "stellar.teff"),
    "a thousand unknown keys": (
        b"[stellar]\n" + b"".join(b"k%d = 1\n" % i for i in range(1000)), "more"),
    "a very long unknown key": (b"[stellar]\n" + b"k" * 100_000 + b" = 1\n", "unknown key"),
    "a very long value": (b"[stellar]\nr_v = '" + b"k" * 100_000 + b"'\n", "stellar.r_v"),
}  # fmt: skip


@pytest.mark.parametrize("kind", CONFIGS)
@pytest.mark.parametrize("verb", [" ".join(SIMULATE), "etc-grid build"])
def test_a_broken_config_is_told_with_its_place(
    kind: str, verb: str, capfd: pytest.CaptureFixture[str]
) -> None:
    data, *words = CONFIGS[kind]
    Path("mine.toml").write_bytes(data)
    said = refused(capfd, *verb.split(), "mine.toml")
    for word in (*words, "mine.toml"):
        assert word in said


def test_a_config_that_is_no_regular_file_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    Path("folder.toml").mkdir()
    os.mkfifo("pipe.toml")
    Path("loop.toml").symlink_to("loop.toml")
    assert "folder" in refused(capfd, *SIMULATE, "folder.toml")
    assert "pipe" in refused(capfd, *SIMULATE, "pipe.toml")
    assert "loop.toml" in refused(capfd, *SIMULATE, "loop.toml")
    assert "neither a preset" in refused(capfd, *SIMULATE, "x" * 300 + ".toml")
    assert "neither a preset" in refused(capfd, *SIMULATE, "a\0b")


def test_a_file_that_may_not_be_read_is_named(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one who is not root finds it, whoever runs the test."""

    def refuse(path: str | Path) -> bytes:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("simlib.text_files._read_regular", refuse)
    Path("mine.toml").write_text("")
    for arguments in ((*SIMULATE, "mine.toml"), ("etc", "mine.csv", "--out", "t.zarr")):
        said = refused(capfd, *arguments)
        assert "'mine." in said
        assert "Permission denied" in said


def test_an_empty_config_is_the_defaults() -> None:
    from flows.config import load_config

    Path("mine.toml").write_bytes(b"")
    assert load_config("mine.toml").dataset.n_train == 8192
    Path("mine.toml").write_bytes(b"\xef\xbb\xbf[dataset]\r\nn_train = 5\r\n")
    assert load_config("mine.toml").dataset.n_train == 5


@pytest.mark.parametrize(
    ("override", "word"),
    [
        ("train=5", "section.key=value"),
        ("dataset.name=" + "[" * 5000 + "]" * 5000, "dataset.name"),
        ("a" + ".a" * 2_000 + "=1", "nested"),
        ("dataset.n_train=" + "9" * 400, "64 bits"),
        ("dataset.n_train=" + "9" * 5000, "dataset.n_train"),
        ("dataset.n_train.x=5", "is a value"),
        ("dataset.n_train=1\nn_test=2", "dataset.n_train"),
        ("train.lr=1 2 3", "train.lr"),
        ('stellar.grid="a\\u0000"', "NUL"),
        ("storage.codec=" + "k" * 100_000, "storage.codec"),
    ],
)
def test_a_broken_override_is_told(
    override: str, word: str, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("mine.toml").write_text("[dataset]\nn_train = 5\n")
    said = refused(capfd, *SIMULATE, "mine.toml", "--set", override)
    assert word in said


ENCODINGS = {
    "Latin-1": lambda text: text.replace("# c", "# é").encode("latin-1"),
    "UTF-16": lambda text: text.encode("utf-16"),
    "NUL bytes": lambda text: text.encode().replace(b"0.3", b"0\x003"),
    "ragged, a value too many": lambda text: (text + "x" + ",1" * 40 + "\n").encode(),
    "ragged, a value too few": lambda text: (text + "1,2\n").encode(),
    "a quote that does not end": lambda text: (text + '"1,2\n').encode(),
    "a quoted line end": lambda text: (text + '"1\n2",' + GOOD + "\n").encode(),
    "not a number": lambda text: text.replace("0.3", "thirty").encode(),
    "no rows": lambda text: text.splitlines()[1].encode(),
    "empty": lambda _: b"",
    "blank": lambda _: b"\n\n \n# nothing\n",
}


@pytest.mark.parametrize("kind", ENCODINGS)
def test_a_broken_list_of_conditions_is_told(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    Path("mine.csv").write_bytes(ENCODINGS[kind](f"# c\n{HEADER}\n{GOOD}\n"))
    assert "mine.csv" in refused(capfd, "etc", "mine.csv", "--out", "t.zarr")


@pytest.mark.parametrize("kind", ENCODINGS)
def test_a_broken_list_of_targets_is_told(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    Path("mine.csv").write_bytes(ENCODINGS[kind](f"# c\n{STAR_HEADER}\n{STAR}\n"))
    assert "mine.csv" in refused(capfd, "simulate", "mine.csv", "--out", "t.zarr")


@pytest.mark.parametrize("kind", [k for k in ENCODINGS if k != "not a number"])
def test_a_broken_spectrum_is_told(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    write_conditions(Path("c.csv"), GOOD)
    text = "# c\nwavelength_nm,flux\n600,0.3\n1000,2\n"
    Path("mine.csv").write_bytes(ENCODINGS[kind](text))
    said = refused(capfd, "etc", "c.csv", "--out", "t.zarr", "--spectrum", "mine.csv")
    assert "mine.csv" in said


@pytest.mark.parametrize("kind", [k for k in ENCODINGS if k != "not a number"])
def test_a_broken_sky_table_is_told(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    write_conditions(Path("c.csv"), GOOD)
    write_sky_tables(Path("sky"))
    text = "# c\nwavelength_air_nm,intensity_1e-16_cgs\n800,0.3\n"
    Path("sky/sky_lines_one.csv").write_bytes(ENCODINGS[kind](text))
    said = refused(capfd, "etc", "c.csv", "--out", "t.zarr", "--sky-tables", "sky")
    assert "sky_lines_one.csv" in said


def test_a_column_that_stands_twice_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    Path("mine.csv").write_text(f"{HEADER},moon_phase\n{GOOD},0.9\n")
    said = refused(capfd, "etc", "mine.csv", "--out", "t.zarr")
    assert "moon_phase twice" in said


def test_a_table_that_is_no_regular_file_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    write_conditions(Path("c.csv"), GOOD)
    Path("folder.csv").mkdir()
    os.mkfifo("pipe.csv")
    for name in ("folder.csv", "pipe.csv"):
        assert name in refused(capfd, "etc", name, "--out", "t.zarr")
        assert name in refused(capfd, "simulate", name, "--out", "t.zarr")
        assert name in refused(capfd, "etc", "c.csv", "--out", "t.zarr", "--spectrum", name)


def test_a_field_of_any_length_is_read_as_it_is() -> None:
    """The standard library's reader gives up at 131,072 characters."""
    from simlib.etc.conditions_file import read_conditions

    Path("mine.csv").write_text(f"name,{HEADER}\n{'x' * 200_000},{GOOD}\n")
    assert float(read_conditions("mine.csv").seeing[0]) == 0.8


def test_quotes_commas_and_a_byte_order_mark_are_understood() -> None:
    from simlib.etc.conditions_file import read_conditions

    text = f'name,{HEADER}\r\n"HD 1, the # first",{GOOD}\r\n# out\r\n\r\n#HD 2,{GOOD}\r\n'
    Path("mine.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert read_conditions("mine.csv").sizes == {"condition": 1}


def instrument(replace: tuple[str, str] = ("", ""), curve: bytes | None = None) -> Path:
    text = (FOLDER / f"{NAME}.toml").read_text().replace(f'"{NAME}.csv"', '"mine.csv"')
    assert replace[0] in text
    Path("mine.toml").write_text(text.replace(*replace, 1))
    shutil.copy(FOLDER / f"{NAME}.csv", "mine.csv")
    if curve is not None:
        Path("mine.csv").write_bytes(curve)
    return write_conditions(Path("c.csv"), GOOD)


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("[fiber]", "fiber = 5\n[fibre]", "telescope.fiber"),
        ("radius_um = 63.5", "radius_um = '63.5'", "fiber.radius_um"),
        ("radius_um = 63.5", "radius_um = -1", "fiber.radius_um"),
        ("radius_um = 63.5", "radius_um = nan", "fiber.radius_um"),
        ("radius_um = 63.5", "radius_um = true", "fiber.radius_um"),
        ("radius_um = 63.5", "radius_um = 2024-01-01", "fiber.radius_um"),
        ("radius_um = 63.5", "radius_um = " + "9" * 400, "fiber.radius_um"),
        ("radius_um = 63.5", "radius = 63.5", "radius_um"),
        ("pixel_count = 4096", "pixel_count = 0", "spectrograph.pixel_count"),
        ("pixel_count = 4096", "pixel_count = 4.5", "spectrograph.pixel_count"),
        ("pixel_count = 4096", "pixel_count = 99999999999", "spectrograph.pixel_count"),
        ("focal_length_m = [23.39, ", "focal_length_m = [", "focal_length_m"),
        ("focal_length_m = [23.39, ", "focal_length_m = [[23.39], ", "focal_length_m"),
        ("focal_length_m = [", "focal_length_m = 5 #", "focal_length_m"),
        ("[0.0, 0.1625, ", "[0.1625, 0.0, ", "field_angle_deg"),
        ("[0.0, 0.1625, 0.325, 0.4875, 0.65]", "[]", "field_angle_deg"),
        ("wavelength_min_nm = 710.0", "wavelength_min_nm = 900.0", "wavelength_m"),
        ('throughput = "mine.csv"', "throughput = 5", "throughput"),
        ('throughput = "mine.csv"', "", "throughput"),
        ('throughput = "mine.csv"', 'throughput = "none.csv"', "none.csv"),
        ('throughput = "mine.csv"', 'throughput = "."', "throughput"),
        ("[table2]", "[table3]", "table2"),
        ("[table2]", "[[table2]]", "table2"),
        ("[detector]", "[detector", "TOML"),
        ("radius_um = 63.5", "radius_um = " + "[" * 5000 + "]" * 5000, "nested"),
        ("# Figures", "\x00", "TOML"),
    ],
)
def test_a_broken_instrument_is_told(
    old: str, new: str, word: str, capfd: pytest.CaptureFixture[str]
) -> None:
    conditions = instrument((old, new))
    said = refused(capfd, "etc", conditions, "--out", "t.zarr", "--instrument", "mine.toml")
    assert word in said
    assert "mine" in said


@pytest.mark.parametrize(
    "curve",
    [
        b"",
        b"wavelength_nm,throughput\n700,0.2\xff\n",
        b"wavelength_nm,throughput\n700,0.2\n900\n",
        b"wavelength_nm,throughput\n700,0.2\n900,inf\n",
        b"wavelength_nm,throughput\n700,0.2\n900,1e300\n",
        b"wavelength_nm,throughput\n700,0.2\n900,-1\n",
        b"wavelength_nm,throughput,throughput\n700,0.2,0.3\n900,0.2,0.3\n",
    ],
)
def test_a_broken_throughput_is_told(curve: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    conditions = instrument(curve=curve)
    said = refused(capfd, "etc", conditions, "--out", "t.zarr", "--instrument", "mine.toml")
    assert "mine.csv" in said


@pytest.mark.parametrize("opened", ["[", "{a="])
def test_sixteen_levels_are_not_too_deep_and_seventeen_are(opened: str) -> None:
    def nested(levels: int) -> str:
        closed = "]" if opened == "[" else "}"
        return "a = " + opened * (levels - 1) + "1" + closed * (levels - 1)

    parse_toml(nested(16), "it")
    with pytest.raises(InputError, match="nested too deeply; 16 levels"):
        parse_toml(nested(17), "it")
