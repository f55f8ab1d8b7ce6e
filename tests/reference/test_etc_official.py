"""The comparison with the official calculator, as a person runs it."""

import json
from pathlib import Path

import numpy as np
import pytest

from flows.cli import run_program
from simlib.etc.official import Comparison, _ratio
from tests.paths import reference_folder, shared_data_folder


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


def test_numbers_that_are_not_there_are_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    names = "seeing,zenith_angle,field_angle,moon_zenith_angle,moon_sep,moon_phase,t_exp_s,n_exp"
    (tmp_path / "conditions.csv").write_text(f"{names}\n0.8,30,0.3,45,60,0.2,900,1\n")
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
    names = "seeing,zenith_angle,field_angle,moon_zenith_angle,moon_sep,moon_phase,t_exp_s,n_exp"
    (tmp_path / "conditions.csv").write_text(f"{names}\n0.8,30,0.3,45,60,0.2,900,1\n")
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
