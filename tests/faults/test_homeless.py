"""A user without a home, or with one that cannot be written: no traceback, nothing left behind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# A user that the system does not know, as in a container started under any number.
UNKNOWN = """
import os, pwd, sys
def nobody(*_):
    raise KeyError("no such user")
pwd.getpwuid = pwd.getpwnam = nobody
"""
LIBRARIES = """
import simlib
import matplotlib.figure, prefect, speclite.filters
from simlib.simulation.compiled import kernel
print(prefect.settings.PREFECT_HOME.value())
print(matplotlib.get_cachedir())
print(kernel.observe_rows.stats.cache_path)
"""
SIMULATE = """
from flows.cli import main
sys.argv = ["specdenoise", "build", "tiny", "--set", "storage.root=data"]
main()
"""
ONES_OWN = ("HOME", "PREFECT_HOME", "MPLCONFIGDIR", "NUMBA_CACHE_DIR", "XDG_CACHE_HOME",
            "XDG_CONFIG_HOME", "SPECDENOISE_CACHE", "SPECDENOISE_CACHE_TOLD")  # fmt: skip
HOMES = [
    pytest.param(None, id="unknown", marks=pytest.mark.slow),
    pytest.param("/proc/none", id="no folder", marks=pytest.mark.slow),
]


def run(code: str, folder: Path, home: str | None, **more: str) -> subprocess.CompletedProcess[str]:
    (folder / "temporary").mkdir(exist_ok=True)
    (folder / "work").mkdir(exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if name not in ONES_OWN}
    kept |= {"TMPDIR": str(folder / "temporary")} | ({} if home is None else {"HOME": home})
    return subprocess.run(
        [sys.executable, "-c", UNKNOWN + code], env=kept | more, cwd=folder / "work",
        capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("home", HOMES)
def test_one_variable_suffices_for_every_cache(home: str | None, tmp_path: Path) -> None:
    done = run(LIBRARIES, tmp_path, home, SPECDENOISE_CACHE=str(tmp_path / "cache"))
    assert (done.returncode, done.stderr) == (0, "")
    for place in done.stdout.split():
        assert Path(place).is_relative_to(tmp_path / "cache")
    assert list((tmp_path / "work").iterdir()) == []


def test_without_a_place_for_it_one_warning_says_which_is_taken(tmp_path: Path) -> None:
    done = run(LIBRARIES, tmp_path, None, SPECDENOISE_CACHE=f"{os.devnull}/below")
    assert done.returncode == 0
    (warning,) = done.stderr.splitlines()
    assert "cannot be written" in warning and "Set SPECDENOISE_CACHE to a folder" in warning
    for place in done.stdout.split():
        assert Path(place).is_relative_to(tmp_path / "temporary" / f"specdenoise-{os.getuid()}")
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.slow
def test_a_user_without_a_home_builds_a_dataset_with_one_warning(tmp_path: Path) -> None:
    done = run(SIMULATE, tmp_path, None)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("cannot be written") == 1
    assert "Traceback" not in done.stderr
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["data"]
