"""`simulate` and `replay`: a person's own stars, and one row with all its steps."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from astropy.io import fits

from flows.cli import run_program
from simlib.config import load_config
from simlib.dataset.build import build_dataset
from simlib.dataset.open import open_dataset
from simlib.etc.conditions_file import CONDITIONS
from simlib.etc.grid.store import ensure_terms_grid
from simlib.lists.names import Known
from simlib.simulation import spectra_file
from simlib.simulation.target_list import KNOWN

TOY = ["stellar.grid=toy", "stellar.teff=[4000, 4500]", "stellar.logg=[1, 3]",
       "stellar.feh=[-1, 0]", "stellar.alpha=[0, 0.25]"]  # fmt: skip
SETS = [part for override in TOY for part in ("--set", override)]
HEADER = (
    "seeing_arcsec,zenith_angle_deg,field_angle_deg,moon_zenith_angle_deg,moon_target_angle_deg,"
    "moon_phase,exposure_time_s,exposure_count,teff,logg,feh,alpha,redshift,ebv,magnitude"
)
ROWS = (
    "0.8,30,0.3,60,90,0.1,900,12,4200,2.2,-0.4,0.1,0.001,0.05,20.5",
    "1.2,10,0.5,95,100,0.2,450,4,4100,1.5,-0.8,0.2,-0.004,0.2,19.0",
)


def table(folder: Path, rows: tuple[str, ...] = ROWS, header: str = HEADER) -> Path:
    path = folder / "targets.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_own_stars_are_simulated_alike_by_both_paths(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    stores = {}
    for path in ("compiled", "reference"):
        out = tmp_path / f"{path}.zarr"
        assert run_program(
            ["simulate", str(table(tmp_path)), "--out", str(out), "--path", path, *SETS]
        ) == 0  # fmt: skip
        stores[path] = stored = xr.open_zarr(out, consolidated=False)
        assert capfd.readouterr().out.splitlines() == [
            *(f"row {row + 1}: " + "  ".join(
                f"{name} {float(stored[name][row]):.5g}"
                for name in ("teff", "magnitude", "flux_scale", "snr")
            ) for row in range(2)),
            str(out),
        ]  # fmt: skip
    fast, slow = stores["compiled"], stores["reference"]
    assert (fast["flux"].dtype, slow["flux"].dtype) == (np.float32, np.float64)
    assert fast["flux"].dims == ("spectrum", "wavelength")
    for name, bound in {"flux": 1e-5, "variance": 2e-5, "snr": 5e-6}.items():
        assert np.abs(fast[name].values / slow[name].values - 1.0).max() < bound
    assert list(fast["exposure_count"].values) == [12.0, 4.0]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "compiled.zarr", "reference.zarr", "targets.csv",
    ]  # fmt: skip


def test_own_stars_become_files_of_the_survey(tmp_path: Path) -> None:
    out = tmp_path / "objects"
    arguments = ["simulate", str(table(tmp_path)), "--out", str(out), "--format", "pfs", *SETS]
    assert run_program(arguments) == 0
    assert len(list(out.glob("pfsObject-00000-00000-0,0-*.fits"))) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["objects", "targets.csv"]


def test_bad_rows_are_left_out_and_a_template_is_read(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine.csv"
    assert run_program(["simulate", str(mine), "--template"]) == 0
    mine.write_text(mine.read_text() + mine.read_text().splitlines()[-1].replace("4650", "hot"))
    out = tmp_path / "stars.fits"
    arguments = ["simulate", str(mine), "--out", str(out), "--skip-bad", "--json", *SETS]
    assert run_program(arguments) == 0
    told = capfd.readouterr()
    record = json.loads(told.out.partition("\n")[2])
    assert [row["object_id"] for row in record["spectra"]] == [1, 2]
    assert record["columns"]["seeing"] == "seeing_arcsec" and record["filled"] == {}
    assert len(record["skipped"]) == 1 and "teff is 'hot'" in record["skipped"][0]
    assert "left out: row 3 (line 7): teff is 'hot'" in told.err
    with fits.open(out) as stored:
        assert stored["TARGET"].data["objId"].tolist() == [1, 2]
        assert stored[0].header["instrument"] == "pfs-redmr-2024-07-14"


@pytest.mark.parametrize(
    ("verb", "known"), [("simulate", KNOWN), ("etc", CONDITIONS)], ids=["simulate", "etc"]
)
def test_every_column_of_a_list_stands_in_the_help(
    verb: str, known: tuple[Known, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_program([verb, "--help"]) == 0
    words = set(re.findall(r"\w+", capfd.readouterr().out))
    assert {one.written or one.name for one in known} <= words
    assert {"CSV", "ECSV", "FITS", "VOTable", "Example"} <= words


@pytest.mark.parametrize(
    ("rows", "header", "options", "message"),
    [
        (
            (ROWS[0].replace(",900,12,", ",900,2.5,"),),
            HEADER,
            ["--format", "pfs"],
            "row 1: exposure_count = 2.5",
        ),
        ((ROWS[0].replace("4200", "hot"),), HEADER, [], "row 1 (line 2): teff is 'hot'"),
        ((ROWS[0].replace("4200", "9000"),), HEADER, [], "teff = 9000 is outside"),
        ((ROWS[0] + ",colour",), HEADER + ",interpolated_axis", [], "interpolated_axis is 'col"),
        ((ROWS[0] + ",teff",), HEADER + ",interpolated_axis", [], "logg = 2.2 is no node"),
        (ROWS, HEADER.replace("magnitude", "g_mag"), [], "missing column magnitude"),
        (ROWS, HEADER, ["--path", "fast"], "unknown path 'fast'"),
        (ROWS, HEADER, ["--format", "fits"], "unknown format 'fits'"),
    ],
)
def test_a_mistake_in_the_targets_is_one_message(
    rows: tuple[str, ...], header: str, options: list[str], message: str, tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    out = tmp_path / ("out" if "pfs" in options else "out.zarr")
    code = run_program(
        ["simulate", str(table(tmp_path, rows, header)), "--out", str(out), *SETS, *options]
    )
    error = capfd.readouterr().err
    assert code == 2
    assert message in error and error.count("error:") == 1
    assert not out.exists()


def test_what_is_there_is_not_overwritten(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out.zarr").mkdir()
    arguments = ["simulate", str(table(tmp_path)), "--out", str(tmp_path / "out.zarr")]
    assert run_program(arguments) == 2
    assert "exists; name another place" in capfd.readouterr().err


@pytest.mark.parametrize(("form", "holds"), [([], "zarr.json"), (["--format", "pfs"], "*.fits")])
def test_of_two_that_write_the_same_place_one_is_refused(
    form: list[str], holds: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    out = tmp_path / ("out" if form else "out.zarr")
    arguments = ["simulate", str(table(tmp_path)), "--out", str(out), *form, *SETS]
    codes: list[int] = []

    def meanwhile(*given: object) -> None:
        monkeypatch.undo()
        codes.append(run_program(arguments))  # another begins and ends before this one publishes
        write_spectra(*given)  # type: ignore[arg-type]

    write_spectra = spectra_file.write_spectra
    monkeypatch.setattr(spectra_file, "write_spectra", meanwhile)
    assert run_program(arguments) == 2
    assert codes == [0]
    assert f"{out} exists; choose another place" in capfd.readouterr().err
    assert list(out.glob(holds)) and not list(out.rglob("*.writing"))
    assert sorted(path.name for path in tmp_path.iterdir()) == [out.name, "targets.csv"]
    inside = {path.name for path in out.iterdir() if path.is_dir()}
    assert out.name not in inside and "spectra.zarr" not in inside and "objects" not in inside


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the folder of a dataset that needs no cluster: its rows are computed when read."""
    root = tmp_path_factory.mktemp("data")
    overrides = [f"storage.root='{root}'", "dataset.mode=virtual", *TOY]
    config = load_config("tiny", overrides)
    return str(build_dataset(config, ensure_terms_grid(config), client=None))  # type: ignore[arg-type]


@pytest.mark.slow  # of the function: tests/simlib/dataset/test_replay.py
def test_a_replayed_row_shows_every_step_and_is_the_row(
    dataset: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ["replay", dataset, "validation", "3", "--out", str(tmp_path), "--json"]
    assert run_program(arguments) == 0
    shown = json.loads(capfd.readouterr().out)
    row = open_dataset(dataset, "validation").isel(spectrum=3)
    assert shown["row"]["teff"] == pytest.approx(float(row["teff"]), rel=1e-6)
    assert shown["row"]["snr"] == pytest.approx(float(row["snr"]), rel=5e-6)
    assert shown["row"]["flux_off_again"] == 0.0 and shown["row"]["variance_off_again"] == 0.0
    assert shown["row"]["flux_off_plain"] < 1e-5 and shown["row"]["variance_off_plain"] < 2e-5
    steps = xr.open_dataset(tmp_path / "validation-00000003.nc", engine="h5netcdf")
    for name in ("template", "shifted", "reddened", "convolved", "sampled", "source_e",
                 "sky_lines_e", "moon_e", "stray_e", "dark_e", "variance"):  # fmt: skip
        assert np.isfinite(steps[name].values).any()
    stretch = steps["wavelength_observed"].values / steps["wavelength_rest"].values
    assert np.allclose(stretch, 1.0 + float(row["redshift"]), rtol=1e-9)
    assert (steps["reddened"] <= steps["shifted"]).all()
    scale = float(steps["flux_scale"])
    assert np.allclose(steps["sampled"], scale * steps["flux_stored"], rtol=1e-5)
    assert (tmp_path / "validation-00000003.png").read_bytes().startswith(b"\x89PNG")


def test_a_row_of_a_dataset_at_a_url_is_replayed(
    dataset: str, capfd: pytest.CaptureFixture[str]
) -> None:
    url = Path(dataset).absolute().as_uri()
    arguments = ["replay", url, "validation", "3", "--json", "--storage-option", "auto_mkdir=true"]
    assert run_program(arguments) == 0
    assert json.loads(capfd.readouterr().out)["row"]["flux_off_again"] == 0.0
    assert run_program([*arguments[:-1], "auto_mkdir"]) == 2
    assert "has no KEY=VALUE" in capfd.readouterr().err


def test_a_row_that_is_not_there_is_refused(
    dataset: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_program(["replay", dataset, "validation", "48"]) == 2
    assert "has no row 48 in 'validation': it has rows 0 to 47" in capfd.readouterr().err
