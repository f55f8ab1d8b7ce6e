"""The comparison with the official calculator, as a person runs it."""

import json
from pathlib import Path

import numpy as np
import pytest

from flows.cli import run_program
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
