"""The comparison with the official calculator, as a person runs it."""

import json
from pathlib import Path

import numpy as np
import pytest

from flows.cli import run_program
from simlib.config import Sky
from simlib.etc import official
from simlib.etc.conditions_file import read_conditions
from simlib.etc.official import Comparison, _ratio
from simlib.etc.sky.model import load_sky
from simlib.etc.terms import run_etc
from simlib.instrument import load_instrument
from tests.paths import reference_folder, shared_data_folder

COLUMNS = "seeing,zenith_angle,field_angle,moon_zenith_angle,moon_sep,moon_phase,t_exp_s,n_exp"


def shown(capfd: pytest.CaptureFixture[str], *arguments: str) -> dict[str, dict[str, float]]:
    assert run_program(["etc-official", *arguments]) == 0
    return json.loads(capfd.readouterr().out)["ratios"]


@pytest.mark.slow
def test_the_verb_shows_the_ratios_of_its_setting(capfd: pytest.CaptureFixture[str]) -> None:
    numbers = str(reference_folder("etc"))
    tables = str(shared_data_folder("etc"))
    same = shown(capfd, numbers, "--json", "--sky-tables", tables)
    for term, ratios in same.items():
        assert ratios["nearest"] == pytest.approx(1.0, abs=1e-4), term
    assert same["snr"]["default"] != pytest.approx(1.0, abs=1e-3)
    embedded = shown(capfd, numbers, "--json")
    assert embedded["snr"]["nearest"] == pytest.approx(1.0, abs=0.1)
    assert embedded["sky_lines_e"] != same["sky_lines_e"]
    brighter = shown(capfd, numbers, "--json", "--magnitude", "15")
    assert brighter["variance"] != embedded["variance"]
    assert brighter["sky_lines_e"] == embedded["sky_lines_e"]
    shining = shown(capfd, numbers, "--json", "--set", "sky.oh_scale=2")
    assert shining["sky_lines_e"]["nearest"] > embedded["sky_lines_e"]["nearest"]
    assert run_program(["etc-official", numbers]) == 0
    assert f"{embedded['snr']['nearest']:.4f}" in capfd.readouterr().out


THEIRS = {  # of each of our terms, by their name, and by what a test multiplies it
    "sky_continuum_e": ("sky_continuum", 2.0), "sky_lines_e": ("sky_lines", 3.0),
    "moon_e": ("moon", 5.0), "stray_e": ("stray", 7.0), "dark_e": ("dark", 11.0),
    "read_variance_e2": ("read", 13.0), "sky_subtraction_variance_e2": ("sky_sub_sys", 17.0),
}  # fmt: skip


def test_every_term_is_compared_with_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(official, "SETTINGS", {"nearest": ("upstream", "reference")})
    (tmp_path / "conditions.csv").write_text(f"{COLUMNS}\n0.8,30,0.3,45,60,0.2,900,1\n")
    at = read_conditions(tmp_path / "conditions.csv")
    instrument = load_instrument("pfs-redmr-2024-07-14")
    ours = run_etc(at, instrument, load_sky(Sky()), convention="upstream", quadrature="reference")
    wide = {name: np.broadcast_to(ours[name].values, (1, 4096)) for name in THEIRS}
    source = ours["conversion_e"].values
    numbers = {theirs: times * wide[name] for name, (theirs, times) in THEIRS.items()}
    numbers |= {"total_adjusted": np.full((1, 4096), 19.0), "conversion_left_edge": source}
    np.savez(tmp_path / "etc_upstream_py.npz", **numbers)
    found = official.compare_with_official(tmp_path, Sky(), magnitude=21.0)
    assert (found.conditions, found.magnitude) == (1, 21.0)
    told = {term: by_setting["nearest"] for term, by_setting in found.ratios.items()}
    assert set(told) == {*THEIRS, "source", "variance", "snr"}
    for name, (_, times) in THEIRS.items():
        assert told[name] == pytest.approx(1.0 / times, rel=1e-6), name


def test_numbers_that_are_not_there_are_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "conditions.csv").write_text(f"{COLUMNS}\n0.8,30,0.3,45,60,0.2,900,1\n")
    assert run_program(["etc-official", str(tmp_path)]) == 2
    assert "etc_upstream_py.npz" in capfd.readouterr().err
    np.savez(tmp_path / "etc_upstream_py.npz", moon=np.ones((2, 5)))
    assert run_program(["etc-official", str(tmp_path)]) == 2
    assert "sky_continuum, " in capfd.readouterr().err


def test_a_term_that_they_have_nothing_of_has_no_ratio() -> None:
    nothing, some = np.zeros((2, 3)), np.full((2, 3), 2.0)
    assert _ratio(some, nothing) is None and _ratio(some, some / 4.0) == 4.0
    found = Comparison(2, 22.0, {"moon_e": {"default": None, "nearest": 1.0}})
    assert found.rows() == [("moon_e", "—", "1.0000")]


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        (b"PK\x03\x04 cut short", "is no archive of numbers (.npz)"),
        (b"", "is no archive of numbers (.npz)"),
        ({"dark": np.float64(1.0)}, "dark are not there for 1 conditions each"),
        ({"moon": np.full((1, 5), np.nan)}, "moon hold what is no finite number"),
        ({"total_adjusted": np.ones((1, 4))}, "differ in their pixels"),
        ({}, "--magnitude: magnitude is not a number"),
    ],
    ids=["cut", "empty", "scalar", "nan", "pixels", "magnitude"],
)
def test_odd_numbers_are_one_message(
    odd: bytes | dict[str, np.ndarray], message: str, tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "conditions.csv").write_text(f"{COLUMNS}\n0.8,30,0.3,45,60,0.2,900,1\n")
    file = tmp_path / "etc_upstream_py.npz"
    if isinstance(odd, bytes):
        file.write_bytes(odd)
    else:
        good = ("sky_continuum", "sky_lines", "moon", "stray", "dark", "read", "sky_sub_sys",
                "total_adjusted", "conversion_left_edge")  # fmt: skip
        np.savez(file, **{name: np.ones((1, 5)) for name in good} | odd)
    more = ["--magnitude", "nan"] if odd == {} else []
    assert run_program(["etc-official", str(tmp_path), *more]) == 2
    told = capfd.readouterr().err
    assert message in told and told.count("\n") == 1
