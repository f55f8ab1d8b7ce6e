"""The calculator's verbs as a person meets them: what they print, write and refuse."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from flows.cli import run_program
from simlib.etc import sky_comparison
from tests.paths import shared_data_folder
from tests.simlib.etc.made import write_conditions

GOOD = "0.8,30,0.3,45,60,0.2,900,20"


@pytest.fixture
def table(tmp_path) -> Path:
    return write_conditions(tmp_path / "c.csv", GOOD, "0.6,45,0.1,95,100,0.1,450,8")


def test_terms_are_written_with_signal_to_noise_and_figures(tmp_path, capsys):
    table = write_conditions(tmp_path / "c.csv", GOOD)
    out, figures = tmp_path / "terms.zarr", tmp_path / "figures"
    arguments = ["etc", str(table), "--out", str(out), "--magnitude", "21"]
    assert run_program([*arguments, "--figures", str(figures), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    terms = xr.open_zarr(out)
    assert terms.sizes["condition"] == len(told["conditions"]) == 1
    medians = terms["snr"].median("wavelength").values
    np.testing.assert_allclose([row["snr"] for row in told["conditions"]], medians)
    assert np.all(medians > 0)
    names = {path.name for path in figures.iterdir()}
    assert names == {"lsf.png", "noise-budget-01.png", "throughput-01.png", "snr-01.png"}
    assert sorted(told["figures"]) == sorted(str(path) for path in figures.iterdir())


def test_terms_are_written_as_netcdf_by_the_name_of_the_file(tmp_path, table, capsys):
    out = tmp_path / "terms.nc"
    assert run_program(["etc", str(table), "--out", str(out)]) == 0
    assert capsys.readouterr().out.rstrip().endswith(str(out))
    with xr.open_dataset(out) as terms:
        assert terms["conversion_e"].attrs["units"].startswith("electron")
        assert "snr" not in terms


def test_a_spectrum_file_is_observed(tmp_path, table):
    star = tmp_path / "star.csv"
    star.write_text("wavelength_nm,flux\n700,1\n900,1\n")
    out = tmp_path / "terms.zarr"
    assert run_program(["etc", str(table), "--out", str(out), "--spectrum", str(star)]) == 0
    assert xr.open_zarr(out)["snr"].dims == ("condition", "wavelength")


def test_an_impossible_moon_is_a_warning_with_its_row(tmp_path, capsys):
    rows = (GOOD, "0.8,10,0.3,40,120,0.2,900,20", "0.8,0,0.3,80,60,0.2,900,20")
    table = write_conditions(tmp_path / "c.csv", *rows)
    assert run_program(["etc", str(table), "--out", str(tmp_path / "t.zarr")]) == 0
    warning = capsys.readouterr().err
    assert "warning: row 2, 3: no sky has this moon (2 of 3)" in warning


@pytest.mark.parametrize(
    ("row", "options", "message"),
    [
        ("0.8,nan,0.3,45,60,0.2,900,20", [], "row 2 (line 3): zenith_angle_deg is not a number"),
        ("-1,30,0.3,45,60,0.2,900,20", [], "seeing_arcsec is -1 arcsec"),
        ("0.8,30,0.3,45,60,1.5,900,20", [], "moon_phase is 1.5; it must lie in [0, 1]"),
        (GOOD, ["--instrument", "hubble"], "unknown instrument 'hubble'; known: pfs-redmr-2016"),
        (GOOD, ["--sky-tables", "nowhere"], "/nowhere'"),
        (GOOD, ["--convention", "best"], "known: centred, modified, upstream"),
        (GOOD, ["--magnitude", "20", "--spectrum", "x.csv"], "not both"),
        (GOOD, ["--magnitude", "nan"], "--magnitude: magnitude is not a number"),
        (GOOD, ["--set", "noise.sky_subtraction=0"], "`etc` takes keys of [sky] alone"),
        (GOOD, ["--set", "sky.oh=1"], "the nearest known key is 'sky.oh_scale'"),
    ],
)
def test_a_mistake_ends_with_code_2_and_one_message(tmp_path, capsys, row, options, message):
    table = write_conditions(tmp_path / "c.csv", GOOD, row)
    out = tmp_path / "terms.zarr"
    assert run_program(["etc", str(table), "--out", str(out), *options]) == 2
    told = capsys.readouterr()
    assert message in told.err
    assert told.err.startswith("error: ")
    assert told.err.count("\n") == 1
    assert not out.exists()


def test_the_grid_is_built_checked_and_its_errors_stored(tmp_path, capsys):
    root = ["--set", f"storage.root={tmp_path}"]
    assert run_program(["etc-grid", "build", "tiny", *root, "--json"]) == 0
    url = Path(json.loads(capsys.readouterr().out)["url"])
    assert (url / "manifest.json").is_file()
    assert run_program(["etc-grid", "check", "tiny", *root, "--rows", "100", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["rows"] == 164
    assert told["is_good"]
    assert told["grid_bytes"] < 20e6
    assert told["errors"]["total_variance"]["largest"] < 0.005
    stored = json.loads(Path(told["record"]).read_text())["interpolation"]
    assert stored["errors"] == told["errors"]


def test_a_grid_that_is_off_is_neither_published_nor_passed(tmp_path, capsys):
    coarse = ["--set", f"storage.root={tmp_path}", "--set", "terms.seeing_nodes=3"]
    assert run_program(["etc-grid", "build", "tiny", *coarse]) == 2
    assert "too coarse: " in capsys.readouterr().err
    assert run_program(["etc-grid", "check", "tiny", *coarse, "--rows", "20"]) == 2
    told = capsys.readouterr()
    assert "aperture_fraction" in told.out
    assert "Raise the node counts in [terms] or terms.tolerance" in told.err
    assert not list(tmp_path.rglob("manifest.json"))


def test_a_comparison_of_skies_is_told_as_it_was_found(tmp_path, monkeypatch, capsys):
    asked = []
    found = SimpleNamespace(record=lambda: {"blends": 7.0}, lines=lambda: iter([("a", "b", "c")]))
    monkeypatch.setattr(sky_comparison, "compare_skies",
                        lambda *given: asked.append(given) or found)  # fmt: skip
    monkeypatch.setattr(sky_comparison, "draw_comparison", lambda one: Figure())
    assert run_program(["etc-sky", "tables", "--set", "sky.water_mm=5"]) == 0
    shown = capsys.readouterr().out
    assert " ".join(shown.split()).startswith("embedded sky against tables") and "quantity" in shown
    assert (asked[0][0].water_mm, asked[0][1]) == (5.0, "tables")
    figures = ["--figures", str(tmp_path)]
    assert run_program(["etc-sky", "tables", "--json", *figures]) == 0
    picture = str(tmp_path / "sky-comparison.png")
    assert json.loads(capsys.readouterr().out) == {"blends": 7.0, "figures": [picture]}
    assert run_program(["etc-sky", "tables", *figures]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == picture and Path(picture).exists()


@pytest.mark.slow  # the comparison: simlib/etc
def test_the_embedded_sky_is_compared_by_one_command(tmp_path, capsys):
    tables = shared_data_folder("etc")
    assert run_program(["etc-sky", str(tables), "--figures", str(tmp_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [Path(path).name for path in told["figures"]] == ["sky-comparison.png"]
    assert (tmp_path / "sky-comparison.png").stat().st_size > 10_000
    assert told["rms_transmission"] < told["bars"]["rms_transmission"]
    assert len(told["bands"]) == 6
    assert run_program(["etc-sky", str(tables), "--set", "sky.continuum_scale=2", "--json"]) == 0
    brighter = json.loads(capsys.readouterr().out)
    assert brighter["median_variance_ratio"] != told["median_variance_ratio"]
    assert brighter["bands"] == told["bands"]
    assert run_program(["etc-sky", str(tables)]) == 0
    shown = capsys.readouterr().out
    assert f"{told['median_variance_ratio']:.4g}" in shown and f"{tables}" in shown
