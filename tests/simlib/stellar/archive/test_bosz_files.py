"""Files in the exact formats, made from the embedded grid, come back as they were."""

import bz2
import gzip
import math
from io import BytesIO
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import xarray as xr
from astropy.io import fits

from simlib.stellar import open_grid
from simlib.stellar.archive import bosz2017, bosz2024
from simlib.stellar.archive.releases import RELEASES
from simlib.stellar.archive.spectrum_files import BadFileError, ModelSpectrum, Window, decimals
from simlib.stellar.schema import node_digest
from tests.simlib.stellar.archive.bosz_files import (
    model_on,
    text_2024,
    whole_native_wavelength,
    write_2017_fits,
    write_2017_text,
    write_2024,
)

NODE = {"teff": 4250.0, "logg": 2.0, "feh": -0.5, "alpha": 0.25}
WINDOW = (680.0, 900.0)
CALCIUM = 854.4438  # nm, vacuum
GOLDEN = {"bosz2017": (1, "f76f228a755208c5"), "bosz2024": (1, "bc7d5244a5a30522")}


@pytest.fixture(scope="module")
def grid() -> xr.Dataset:
    return open_grid()


@pytest.fixture(scope="module")
def native() -> np.ndarray:
    whole = whole_native_wavelength(7)
    return whole[(whole > 660) & (whole < 930)]


def read(release: ModuleType, path: Path, window: Window) -> ModelSpectrum:
    return release.read_spectrum(path.name, path.read_bytes(), window)


def check(spectrum, grid: xr.Dataset) -> None:
    wavelength = spectrum.wavelength_nm
    assert wavelength.dtype == np.dtype("=f8")  # native order, whatever the file has
    assert spectrum.flux_normalized.dtype == np.dtype("=f4")
    assert WINDOW[0] <= wavelength[0] < wavelength[-1] <= WINDOW[1]
    flux, continuum = model_on(grid, NODE, wavelength)
    np.testing.assert_allclose(spectrum.flux_normalized, flux, atol=1e-6)
    np.testing.assert_allclose(spectrum.continuum, continuum, rtol=1e-6)
    near = np.abs(wavelength - CALCIUM) < 0.3
    deepest = wavelength[near][np.argmin(spectrum.flux_normalized[near])]
    assert abs(deepest - CALCIUM) < 0.015


@pytest.mark.parametrize("write", [write_2017_text, write_2017_fits])
def test_files_of_2017_round_trip(write, grid: xr.Dataset, native: np.ndarray, tmp_path) -> None:
    spectrum = read(bosz2017, write(tmp_path, grid, NODE, native), WINDOW)
    check(spectrum, grid)
    assert spectrum.is_rebuilt
    inside = (native >= WINDOW[0]) & (native <= WINDOW[1])
    np.testing.assert_allclose(spectrum.wavelength_nm, native[inside], atol=1e-10)


@pytest.mark.parametrize("write", [write_2017_text, write_2017_fits])
def test_whole_files_of_2017_round_trip(write, grid: xr.Dataset, tmp_path) -> None:
    check(
        read(bosz2017, write(tmp_path, grid, NODE, whole_native_wavelength(7)), WINDOW),
        grid,
    )


def test_the_resolution_of_a_name_is_not_trusted(grid: xr.Dataset, native, tmp_path) -> None:
    path = write_2017_text(tmp_path, grid, NODE, native)
    lying = path.rename(path.with_name(path.name.replace("b20000", "b5000")))
    spectrum = read(bosz2017, lying, WINDOW)
    check(spectrum, grid)
    assert spectrum.is_rebuilt


@pytest.mark.parametrize("change", [str.upper, str.lower])
def test_columns_of_fits_are_found_whatever_their_case(
    change, grid: xr.Dataset, native: np.ndarray, tmp_path
) -> None:
    path = write_2017_fits(tmp_path, grid, NODE, native)
    with fits.open(path, mode="update") as units:
        for column in units[1].columns:
            column.name = change(column.name)
    check(read(bosz2017, path, WINDOW), grid)


def test_files_of_2024_round_trip_from_air_to_vacuum(grid: xr.Dataset, tmp_path) -> None:
    check(read(bosz2024, write_2024(tmp_path, grid, NODE), WINDOW), grid)


def test_releases_differ_by_their_surface_factor() -> None:
    assert pytest.approx(4) == bosz2024.SURFACE_FACTOR / bosz2017.SURFACE_FACTOR
    assert pytest.approx(math.pi) == bosz2017.SURFACE_FACTOR


def test_a_file_off_the_series_keeps_its_own_wavelengths_and_says_so(
    grid: xr.Dataset, tmp_path
) -> None:
    own = np.linspace(670.0, 910.0, 4001)
    path = write_2017_text(tmp_path, grid, NODE, own)
    with pytest.warns(UserWarning, match="do not follow the documented series"):
        spectrum = read(bosz2017, path, WINDOW)
    assert not spectrum.is_rebuilt
    np.testing.assert_allclose(spectrum.wavelength_nm, own[(own >= 680) & (own <= 900)], atol=1e-4)


def rewrite(path: Path, change) -> Path:
    codec = bz2 if path.name.endswith("bz2") else gzip
    path.write_bytes(codec.compress(change(codec.decompress(path.read_bytes()))))
    return path


def line_of(text: bytes, number: int) -> bytes:
    return text.splitlines(keepends=True)[number]


def with_line(text: bytes, number: int, line: bytes) -> bytes:
    lines = text.splitlines(keepends=True)
    lines[number] = line
    return b"".join(lines)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"nan 1.0\n", "not finite"),
        (b"1.0 0.0\n", "continuum of zero"),
        (b"1.0\n", "not finite"),
        (b"1.0 1.0 1.0\n", "no table of numbers"),
        (b"<b> 1.0\n", "no table of numbers"),
    ],
)
def test_a_bad_line_of_2017_rejects_the_file(
    line: bytes, reason: str, grid: xr.Dataset, native: np.ndarray, tmp_path
) -> None:
    path = write_2017_text(tmp_path, grid, NODE, native[(native > 795) & (native < 805)])
    middle = int(np.searchsorted(native[(native > 795) & (native < 805)], 800.0))
    rewrite(path, lambda text: with_line(text, middle, line_of(text, middle)[:13] + line))
    with pytest.raises(BadFileError, match=reason):
        read(bosz2017, path, (796.0, 804.0))


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
@pytest.mark.parametrize("write", [write_2017_text, write_2017_fits])
def test_a_cut_file_of_2017_is_rejected(
    write, share: float, grid: xr.Dataset, native: np.ndarray, tmp_path
) -> None:
    path = write(tmp_path, grid, NODE, native)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(BadFileError, match="cut short|cannot be read as FITS"):
        read(bosz2017, path, WINDOW)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda text: text[: len(text) // 2], "rows, resolution 500 has 7500"),
        (lambda text: with_line(text, 4000, b"nan 1\n"), "not finite"),
        (lambda text: with_line(text, 4000, b"1 0\n"), "continuum of zero"),
        (lambda text: with_line(text, 4000, b"1 2 3\n"), "no table of numbers"),
    ],
)
def test_a_bad_file_of_2024_is_rejected(change, reason: str, grid: xr.Dataset, tmp_path) -> None:
    name = "bosz2024_ms_t4250_g+2.0_m-0.50_a+0.25_c+0.00_v2_r500_resam.txt.gz"
    path = tmp_path / name
    path.write_bytes(gzip.compress(change(text_2024(grid, NODE, 500))))
    row = bosz2024.file_wavelength(500)[4000] / 10
    with pytest.raises(BadFileError, match=reason):
        read(bosz2024, path, (row - 100, row + 100))


def test_a_cut_file_of_2024_is_rejected(grid: xr.Dataset, tmp_path) -> None:
    path = write_2024(tmp_path, grid, NODE, 500)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(BadFileError, match="cannot be unpacked"):
        read(bosz2024, path, WINDOW)


def test_a_fits_table_without_its_columns_is_rejected(tmp_path) -> None:
    path = tmp_path / "amm05cp00op00t4000g30v20modrt0b5000rs.fits"
    table = fits.BinTableHDU.from_columns([fits.Column("Other", "D", array=np.arange(9.0))])
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(path)
    with pytest.raises(BadFileError, match="has no column 'wavelength'"):
        read(bosz2017, path, WINDOW)


def lines_2017(wavelength: list[float]) -> bytes:
    return "".join(f"{w:12.3f} {1.0:14.7E} {2.0:14.7E}\n" for w in wavelength).encode()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (lines_2017([8000.0, 8001.0, 8001.0, 8002.0]), "wavelengths that do not increase"),
        (lines_2017([8000.0, 8001.0, 8002.0]).replace(b"8001.000", b"     nan"), "not finite"),
        (lines_2017([8000.0, 8001.0]).replace(b"1.0000000E+00", b"9.0E+300"), "no spectrum has"),
        (lines_2017([8000.0, 8001.0]).replace(b"2.0000000E+00", b"1.0E-300"), "no spectrum has"),
        (b'"8000.0e1" 1 2\n', "does not begin with a number|no plain number"),
        (b"\n \n", "does not begin with a number|ends before"),
        (b"", "cut short|ends before"),
    ],
)
def test_text_of_2017_that_is_no_spectrum_is_rejected(text: bytes, reason: str) -> None:
    with pytest.raises(BadFileError, match=reason):
        bosz2017.read_spectrum("a.asc.bz2", bz2.compress(text), (799.0, 801.0))


def table_2017(**columns: fits.Column) -> bytes:
    kept = {
        "wavelength": fits.Column("Wavelength", "D", array=np.linspace(7000.0, 9000.0, 50)),
        "flux": fits.Column("SpecificIntensity", "E", array=np.ones(50)),
        "continuum": fits.Column("Continuum", "E", array=np.ones(50)),
    }
    table = fits.BinTableHDU.from_columns(list((kept | columns).values()))
    data = BytesIO()
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(data)
    return data.getvalue()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (table_2017(flux=fits.Column("SpecificIntensity", "3E", array=np.ones((50, 3)))), "FITS"),
        (table_2017(flux=fits.Column("SpecificIntensity", "4A", array=["x"] * 50)), "FITS"),
        (table_2017(wavelength=fits.Column("Wavelength", "D", array=np.ones(50))), "nothing betw"),
        (table_2017(wavelength=fits.Column("Wavelength", "D", array=np.full(50, 8000.0))),
         "do not increase"),
        (table_2017().replace(b"NAXIS2  =                   50", b"NAXIS2  =                    0"),
         "nothing between|FITS"),
        (table_2017().replace(b"NAXIS2  =                   50", b"NAXIS2  =                   -5"),
         "FITS"),
        (table_2017().replace(b"XTENSION= 'BINTABLE'", b"XTENSION= 'IMAGE   '"), "FITS"),
        (b"", "FITS"),
    ],
    ids=range(8),
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:.*documented series")
def test_fits_of_2017_that_is_no_spectrum_is_rejected(data: bytes, reason: str) -> None:
    with pytest.raises(BadFileError, match=reason):
        bosz2017.read_spectrum("a.fits", data, (750.0, 850.0))


@pytest.mark.parametrize("resolution", [0, 1, 999_999_999])
def test_a_name_of_2024_is_not_believed(resolution: int) -> None:
    name = f"bosz2024_ms_t4250_g+2.0_m-0.50_a+0.25_c+0.00_v2_r{resolution}_resam.txt.gz"
    with pytest.raises(BadFileError, match="rows, resolution"):
        bosz2024.read_spectrum(name, gzip.compress(b"1 1\n"), WINDOW)


def test_a_window_that_a_file_of_2024_does_not_reach_is_told() -> None:
    name = "bosz2024_ms_t4250_g+2.0_m-0.50_a+0.25_c+0.00_v2_r500_resam.txt.gz"
    with pytest.raises(BadFileError, match="has nothing between 40000 and 50000 nm"):
        bosz2024.read_spectrum(name, gzip.compress(b"1 1\n" * 7500), (40000.0, 50000.0))


def test_the_readers_give_the_numbers_of_their_version() -> None:
    """Where this fails on purpose, raise `reader_version` in the table of releases."""
    rng = np.random.default_rng(4)
    rows = [f"{f:14.7E} {c:14.7E}\n" for f, c in rng.uniform(1e5, 2e5, (7500, 2))]
    native = 10 * whole_native_wavelength(7)
    near = native[(native > 7990) & (native < 8110)]
    lines = [f"{w:12.3f} {row}" for w, row in zip(near, rows, strict=False)]
    texts = {
        "bosz2017": ("a.asc.bz2", bz2.compress("".join(lines).encode())),
        "bosz2024": (
            "bosz2024_ms_t4250_g+2.0_m-0.50_a+0.25_c+0.00_v2_r500_resam.txt.gz",
            gzip.compress("".join(rows).encode()),
        ),
    }
    found = {}
    for release, (name, data) in texts.items():
        spectrum = RELEASES[release].read_spectrum(name, data, (800.0, 810.0))
        digest = node_digest(spectrum.flux_normalized, spectrum.continuum)
        found[release] = (RELEASES[release].reader_version, f"{digest:016x}")
    assert found == GOLDEN


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        (b"  6700.001 1 2\n 6700.1 1 2\n", 3),
        (b"6700.0 1\n6700.02 1\n", 2),
        (b"6.700001E+03 1\n", 3),
        (b"6700 1\n", 0),
    ],
)
def test_printed_digits_are_counted(text: bytes, digits: int) -> None:
    assert decimals(text) == digits
