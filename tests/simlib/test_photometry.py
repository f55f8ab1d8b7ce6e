"""Filters: read as speclite reads them, without its imports; a file that is no filter is told."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import speclite.filters

from simlib.errors import InputError
from simlib.photometry import band_file, load_band

NAMES = sorted(path.stem for path in band_file("hsc2017-i2").parent.glob("*.ecsv"))
HEAD = """# %ECSV 1.0
# ---
# datatype:
# - {name: wavelength, unit: UNIT, datatype: float64}
# - {name: response, datatype: float64}
# meta: {group_name: mine, band_name: a}
"""
ROWS = "700 0\n710 0.5\n720 1\n730 0\n"


def test_filters_are_those_of_speclite() -> None:
    """Every fifth of them, and those that are named in messages: all take ten seconds."""
    assert len(NAMES) > 100
    for name in {*NAMES[::5], "hsc2017-i2", "hsc2017-z", "sdss2010-i", "lsst2023-i"}:
        ours = load_band(name)
        theirs = speclite.filters.load_filter(name, load_from_cache=False)
        expected = theirs.response
        assert np.array_equal(ours.response.astype(expected.dtype), expected), name
        wavelength = np.asarray(theirs.wavelength) / 10.0
        assert np.allclose(ours.wavelength_nm, wavelength, rtol=1e-14, atol=0.0), name


def write(folder: Path, rows: str = ROWS, unit: str = "nm", head: str = HEAD) -> str:
    file = folder / "mine-a.ecsv"
    file.write_text(head.replace("UNIT", unit) + rows)
    return str(file)


@pytest.mark.parametrize(
    "unit, factor", [("nm", 1.0), ("Angstrom", 0.1), ("um", 1e3), ("micron", 1e3)]
)
def test_an_own_filter_is_in_its_own_unit(tmp_path: Path, unit: str, factor: float) -> None:
    band = load_band(write(tmp_path, "wavelength response\n" + ROWS, unit))
    assert np.allclose(band.wavelength_nm, np.array([700, 710, 720, 730]) * factor, rtol=1e-15)
    assert band.response.tolist() == [0.0, 0.5, 1.0, 0.0]
    assert band.at(np.array([band.wavelength_nm[1]])) == [0.5]


def test_columns_stand_in_any_order_between_any_marks(tmp_path: Path) -> None:
    head = HEAD.replace("# datatype", "# delimiter: ','\n# datatype")
    band = load_band(write(tmp_path, "response,wavelength\n0,1\n0,2\n3,3\n0,4\n0,5\n", head=head))
    assert band.wavelength_nm.tolist() == [2.0, 3.0, 4.0]
    assert band.response.tolist() == [0.0, 3.0, 0.0]


@pytest.mark.parametrize(
    "rows, unit, told",
    [
        ("wavelength response\n" + ROWS, "furlong", "its wavelength is in 'furlong'"),
        ("wavelength throughput\n" + ROWS, "nm", "its columns are wavelength, throughput"),
        ("wavelength response\n700 0\n", "nm", "its wavelengths are not 3 or more"),
        ("wavelength response\n700 0\n710 1\n710 1\n720 0\n", "nm", "each above the last"),
        ("wavelength response\n700 0\n710 -1\n720 0\n", "nm", "below zero somewhere"),
        ("wavelength response\n700 0\n710 nan\n720 0\n", "nm", "not finite"),
        ("wavelength response\n700 0\n710 0\n720 0\n", "nm", "zero everywhere"),
        ("wavelength response\n700 1\n710 1\n720 0\n", "nm", "does not end at zero"),
        ("wavelength response\n700 0\n710 1\n720 1\n", "nm", "does not end at zero"),
        ("wavelength response\n700 0\n710 one\n720 0\n", "nm", "one"),
        ("", "nm", "no filter"),
    ],
)
def test_what_is_no_filter_is_told(tmp_path: Path, rows: str, unit: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        load_band(write(tmp_path, rows, unit))


@pytest.mark.parametrize("head", ["", "# %ECSV 1.0\n# - [\n", "# meta: 1\n", "# datatype: 5\n"])
def test_a_table_without_its_head_is_told(tmp_path: Path, head: str) -> None:
    with pytest.raises(InputError, match="its head is not that of an ECSV table"):
        load_band(write(tmp_path, "wavelength response\n" + ROWS, head=head))


def test_a_filter_costs_no_second_of_imports() -> None:
    code = ("import sys; from simlib.photometry import load_band; load_band('hsc2017-i2'); "
            "sys.exit('astropy' in sys.modules)")  # fmt: skip
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 0
