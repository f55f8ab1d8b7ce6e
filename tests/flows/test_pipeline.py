"""Mistakes that show only when a stage runs: told once, nothing published."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def program(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PREFECT_HOME": str(folder / "prefect")}
    environment.pop("PREFECT_API_URL", None)
    return subprocess.run(
        [sys.executable, "-m", "flows", *arguments],
        capture_output=True, text=True, timeout=280, check=False, cwd=folder, env=environment,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stellar.band=hsc2017-z", "reaches beyond the shifted templates"),
        ("stellar.grid=/no/such/grid", "/no/such/grid"),
    ],
)
def test_a_stage_s_mistake_is_one_message_and_exit_code_2(
    override: str, message: str, tmp_path: Path
) -> None:
    done = program(["build", "tiny", "--set", override], tmp_path)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert done.stderr.count("error:") == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert not list(tmp_path.glob("data/datasets/tiny/*/manifest.json"))
