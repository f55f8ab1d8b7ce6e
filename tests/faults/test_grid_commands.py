"""The verbs of the stellar grids, through the program: what they print and their exit codes."""

import json
from pathlib import Path

import numpy as np
import pytest
import zarr

from flows.cli import run_program
from simlib.stellar import open_grid
from simlib.stellar.archive.releases import RELEASES
from simlib.stellar.store import write_grid
from tests.faults.archive_server import serve
from tests.faults.test_grid_download import packed, plan
from tests.simlib.stellar.archive.bosz_files import whole_native_wavelength, write_2017_text


def said(capsys) -> dict:
    return json.loads(capsys.readouterr().out)


def test_list_names_grids_stores_and_releases(tmp_path: Path, capsys) -> None:
    write_grid(str(tmp_path / "grids" / "mine.zarr"), open_grid("toy"))
    assert run_program(["grid", "list", "--root", str(tmp_path / "none")]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "embedded: default, toy", f"stores: none in {tmp_path}/none/grids",
        *(f"to download: {name} ({RELEASES[name].source})" for name in ("bosz2017", "bosz2024")),
    ]  # fmt: skip
    assert run_program(["grid", "list", "--root", str(tmp_path), "--json"]) == 0
    listed = said(capsys)
    assert listed["embedded"] == ["default", "toy"]
    assert listed["stores"] == [f"{tmp_path}/grids/mine.zarr"]
    assert list(listed["releases"]) == ["bosz2017", "bosz2024"]


def test_info_tells_everything_and_draws(tmp_path: Path, capsys) -> None:
    figure = tmp_path / "coverage.png"
    assert run_program(["grid", "info", "default", "--figure", str(figure), "--json"]) == 0
    told = said(capsys)
    assert told["nodes"] == 1344
    assert told["missing"] == []
    assert told["attrs"]["medium"] == "vacuum"
    errors = {e["axis"]: e["warm"]["rms"] for e in told["leave_one_out"][0]["axes"]}
    assert max(errors[axis] for axis in ("teff", "logg", "feh")) < 0.005
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert run_program(["grid", "info", "toy"]) == 0
    assert "256 nodes, 0 missing" in capsys.readouterr().out


@pytest.mark.slow  # the judgement: quality/test_sanity.py
def test_info_judges_a_grid_by_what_is_known_of_cool_stars(capsys) -> None:
    assert run_program(["grid", "info", "default", "--no-quality", "--sanity"]) == 0
    assert "13 hold everywhere, 16 but for known exceptions, 0 do not" in capsys.readouterr().out
    assert run_program(["grid", "info", "toy", "--no-quality", "--sanity"]) == 0
    assert "unexplained: stars: depth of Mg I, Fe I, off by: line" in capsys.readouterr().out


def test_info_of_cool_stars_alone_is_strict_json_and_prints(tmp_path: Path, capsys) -> None:
    store = str(tmp_path / "cool.zarr")
    write_grid(store, open_grid("toy").isel(teff=[0]))
    command = ["grid", "info", store, "--sanity"]
    assert run_program([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert told["leave_one_out"][0]["axes"][0]["warm"] == {"nodes": 0, "rms": None, "largest": None}
    assert run_program(command) == 0


def test_verify_fails_for_a_changed_store(tmp_path: Path, capsys) -> None:
    store = str(tmp_path / "toy.zarr")
    write_grid(store, open_grid("toy"))
    assert run_program(["grid", "verify", store]) == 0
    zarr.open_group(store, mode="r+")["flux_normalized"][0, 0, 0, 0, 0] = np.float32(0.1)
    assert run_program(["grid", "verify", store]) == 1
    assert "damaged teff 3500 logg 0 feh -2.5 alpha -0.25" in capsys.readouterr().out


def test_diff_lists_the_most_different_nodes(tmp_path: Path, capsys) -> None:
    store = str(tmp_path / "toy.zarr")
    write_grid(store, open_grid("toy"))
    assert run_program(["grid", "diff", "toy", store, "--json"]) == 0
    assert said(capsys)["is_same"] is True
    assert run_program(["grid", "diff", "default", "toy"]) == 0
    assert "different fingerprints" in capsys.readouterr().out


def test_import_makes_a_store_that_opens(tmp_path: Path, capsys) -> None:
    native = whole_native_wavelength(7)
    node = {"teff": 4000.0, "logg": 2.0, "feh": 0.0, "alpha": 0.0}
    short = native[(native > 849) & (native < 861)]
    write_2017_text(tmp_path / "files", open_grid(), node, short)
    store = str(tmp_path / "grid.zarr")
    command = ["grid", "import", str(tmp_path / "files"), "--to", store, "--window", "850,860"]
    assert run_program([*command, "--json"]) == 0
    assert said(capsys)["nodes"] == 1
    assert open_grid(store)["present"].values.all()


def test_download_says_what_it_will_do_and_what_it_did(tmp_path: Path, capsys) -> None:
    files = {target.path: packed(target.path) for target in plan("http://x")}
    with serve(files) as archive:
        command = ["grid", "download", "bosz2017", "--to", str(tmp_path), "--base-url", archive.url,
                   "--teff", "3500,4000", "--logg", "1", "--feh", "0,0.25",
                   "--alpha", "0", "--attempts", "2", "--back-off", "0.01"]  # fmt: skip
        assert run_program([*command, "--dry-run", "--json"]) == 0
        printed = capsys.readouterr()
        dry = json.loads(printed.out)
        assert (dry["files"], dry["there"], dry["to_fetch"]["files"]) == (6, 0, 6)
        assert "6 of 6 files to fetch" in printed.err
        assert not list(tmp_path.iterdir())
        broken, absent = dry["urls"][0].removeprefix(f"{archive.url}/"), plan("http://x")[1].path
        archive.faults[broken] = ["500"] * 9
        del archive.files[absent]
        assert run_program(command) == 1
        printed = capsys.readouterr().out
        assert "4 files fetched" in printed
        assert f"failed {broken}: status 500 (2 attempts)" in printed
        assert f"absent {absent}" in printed
        archive.faults.clear()
        assert run_program(command) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["info", "nowhere.zarr"], "nowhere.zarr': neither a known name (default, toy) nor"),
        (["import", "nowhere", "--to", "x.zarr"], "nowhere; give the folder that holds"),
        (["download", "phoenix", "--to", "x"], "no grid release 'phoenix'; known: bosz2017"),
        (["download", "bosz2017", "--to", "x", "--teff", "1,2"], "has no teff in [1, 2]"),
    ],
)
def test_mistakes_exit_with_two_and_one_message(arguments, message: str, capsys) -> None:
    assert run_program(["grid", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
