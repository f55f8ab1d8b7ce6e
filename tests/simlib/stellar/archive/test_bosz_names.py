"""Names, URLs and wavelengths of both releases, against published examples."""

import math

import numpy as np
import pytest

from simlib.stellar.archive import bosz2017, bosz2024
from simlib.stellar.archive.spectrum_files import BadFileError, ModelName
from tests.simlib.stellar.archive.bosz_files import FIRST_NATIVE, whole_native_wavelength


def name_2017(teff, logg, feh, alpha, resolution, suffix, carbon=0.0) -> ModelName:
    return ModelName(teff, logg, feh, alpha, carbon, 2.0, resolution, suffix)


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (0.25, "p03"), (0.5, "p05"), (0.75, "p08"), (1.25, "p13"), (0.0, "p00"),
        (-0.25, "m03"), (-0.75, "m08"), (-1.25, "m13"), (-1.75, "m18"), (-2.25, "m23"),
        (-2.5, "m25"), (-2.75, "m28"),
    ],
)  # fmt: skip
def test_composition_codes_round_half_up(value: float, code: str) -> None:
    assert bosz2017.composition_code(value) == code


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (
            name_2017(4000, 3.0, -0.5, 0.0, 5000, "fits"),
            "amm05cp00op00t4000g30v20modrt0b5000rs.fits",
        ),
        (
            name_2017(3500, 0.0, 0.0, 0.0, 50000, "asc.bz2"),
            "amp00cp00op00t3500g00v20modrt0b50000rs.asc.bz2",
        ),
        (
            name_2017(12000, 4.5, 0.75, -0.25, 300000, "fits", carbon=-0.75),
            "amp08cm08om03t12000g45v20modrt0b300000rs.fits",
        ),
    ],
)
def test_file_names_of_2017_are_made_and_read(model: ModelName, text: str) -> None:
    assert bosz2017.file_name(model) == text
    assert bosz2017.parse_path(text) == model
    assert bosz2017.parse_path(bosz2017.relative_path(model)) == model


def test_url_of_2017_has_the_exact_abundances_in_its_folders() -> None:
    model = name_2017(4250, 1.5, -1.25, 0.25, 20000, "asc.bz2")
    assert f"{bosz2017.BASE_URL}/{bosz2017.relative_path(model)}" == (
        "https://archive.stsci.edu/missions/hlsp/bosz/ascii/insbroad_020000/metal_-1.25/"
        "carbon_+0.00/alpha_+0.25/amm13cp00op03t4250g15v20modrt0b20000rs.asc.bz2"
    )


def test_exact_folders_win_over_rounded_codes() -> None:
    path = "metal_-0.80/carbon_+0.00/alpha_+0.00/amm08cp00op00t4000g30v20modrt0b5000rs.fits"
    model = bosz2017.parse_path(path)
    assert model is not None
    assert model.feh == -0.80


@pytest.mark.parametrize(
    "text",
    [
        "readme.txt",
        "amm05cp00op00t4000g30v20modrt0b5000rs.fits.part",
        "amm99cp00op00t4000g30v20modrt0b5000rs.fits",
        "bosz2024_ms_t4000_g+1.5_m-0.50_a+0.00_c+0.00_v2_rorig_noresam.txt.gz",
        "bosz2024_ms_t4000_g+1.5_m-0.50_a+0.00_c+0.00_v2_r20000_lineid.txt.gz",
        "bosz2024_wave_r20000.txt",
    ],
)
def test_other_files_are_not_models(text: str) -> None:
    assert bosz2017.parse_path(text) is None
    assert bosz2024.parse_path(text) is None


@pytest.mark.parametrize(
    ("model", "path"),
    [
        (
            ModelName(3500, 0.0, -2.5, -0.25, 0.0, 2.0, 20000, "txt.gz"),
            "r20000/m-2.50/bosz2024_ms_t3500_g+0.0_m-2.50_a-0.25_c+0.00_v2_r20000_resam.txt.gz",
        ),
        (
            ModelName(5000, 3.5, 0.75, 0.5, 0.25, 1.0, 500, "txt.gz"),
            "r500/m+0.75/bosz2024_mp_t5000_g+3.5_m+0.75_a+0.50_c+0.25_v1_r500_resam.txt.gz",
        ),
        (
            ModelName(16000, -0.5, 0.0, 0.0, 0.0, 0.0, 5000, "txt.gz"),
            "r5000/m+0.00/bosz2024_ap_t16000_g-0.5_m+0.00_a+0.00_c+0.00_v0_r5000_resam.txt.gz",
        ),
    ],
)
def test_paths_of_2024_are_made_and_read(model: ModelName, path: str) -> None:
    assert bosz2024.relative_path(model) == path
    assert bosz2024.parse_path(path) == model


def test_either_family_of_2024_is_read_where_both_exist() -> None:
    model = ModelName(7750, 4.0, 0.0, 0.0, 0.0, 2.0, 5000, "txt.gz")
    asked = bosz2024.file_name(model)
    assert asked.startswith("bosz2024_mp_")
    other = asked.replace("_mp_", "_ap_")
    assert bosz2024.parse_path(asked) == bosz2024.parse_path(other) == model


@pytest.mark.parametrize("code", ["p03", "p08", "m03", "m08", "m13", "m18", "m23", "m28"])
def test_a_rounded_code_is_read_as_its_node_not_divided_by_ten(code: str) -> None:
    model = bosz2017.parse_path(f"a{'m' + code}cp00op00t4000g30v20modrt0b5000rs.fits")
    assert model is not None
    assert (4 * model.feh) % 1 == 0
    assert bosz2017.composition_code(model.feh) == code


def test_boxes_have_the_sizes_of_the_archives() -> None:
    assert math.prod(len(nodes) for nodes in bosz2017.BOX.values()) == 4312
    assert math.prod(len(nodes) for nodes in bosz2024.BOX.values()) == 6160


def test_native_series_of_2017_has_the_published_ends_and_length() -> None:
    wavelength = 10 * whole_native_wavelength(1)
    assert len(wavelength) == bosz2017.NATIVE_POINTS
    assert wavelength[0] == pytest.approx(1000.0021388, abs=1e-7)
    assert wavelength[-1] == pytest.approx(319999.42266, abs=1e-4)


@pytest.mark.parametrize(
    ("step", "rows"),
    [
        (300, 5769), (75, 23074), (30, 57684), (15, 115367), (7, 247215), (3, 576833),
        (1, 1730499),
    ],
)  # fmt: skip
def test_every_resolution_of_2017_has_its_row_count(step: int, rows: int) -> None:
    assert len(whole_native_wavelength(step)) == rows
    assert bosz2017.is_row_count(rows)
    assert not bosz2017.is_row_count(rows - 1)


@pytest.mark.parametrize("step", [1, 3, 7, 30])
def test_printed_wavelengths_are_rebuilt_from_any_stretch(step: int) -> None:
    exact = bosz2017.native_wavelength(FIRST_NATIVE + 555 * step, step, 5000)
    rebuilt = bosz2017.rebuild_wavelength(np.round(exact, 4), 5.1e-5)
    assert rebuilt is not None
    assert np.array_equal(rebuilt, exact)


def test_wavelengths_off_the_series_are_not_rebuilt() -> None:
    assert bosz2017.rebuild_wavelength(np.linspace(700.0, 710.0, 500), 5.1e-5) is None
    assert bosz2017.rebuild_wavelength(np.array([700.0]), 5.1e-5) is None


def test_wavelengths_of_2024_follow_the_formula() -> None:
    wavelength = bosz2024.file_wavelength(2000)
    assert len(wavelength) == 30000
    assert wavelength[0] == 500.0
    ratio = wavelength[1:] / wavelength[:-1]
    np.testing.assert_allclose(ratio, 640 ** (1 / 30000), rtol=1e-13)


def test_a_wavelength_file_of_2024_is_held_against_the_formula(tmp_path) -> None:
    wavelength = bosz2024.file_wavelength(500)
    path = tmp_path / "bosz2024_wave_r500.txt"
    np.savetxt(path, wavelength, fmt="%.5e")
    with pytest.raises(BadFileError, match="differs from the formula"):
        bosz2024.check_wavelength_file(path, 500)
    np.savetxt(path, wavelength, fmt="%.4f")
    bosz2024.check_wavelength_file(path, 500)
    np.savetxt(path, wavelength[1:], fmt="%.4f")
    with pytest.raises(BadFileError, match="has 7499 wavelengths, the formula 7500"):
        bosz2024.check_wavelength_file(path, 500)
