"""Who made something is told truly: this project's commit or none, and what decides its bits."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from simlib import provenance as module
from simlib.provenance import arithmetic, provenance


def git(folder: Path, *command: str) -> str:
    who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    done = subprocess.run(
        ["git", *who, *command], cwd=folder, capture_output=True, text=True, timeout=30, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a repository with a package of ours in it, and another below its `.venv`."""
    packages = [tmp_path / "simlib", tmp_path / ".venv/lib/site-packages/simlib"]
    for package in packages:
        package.mkdir(parents=True)
        (package / "provenance.py").write_text("")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "simlib")
    git(tmp_path, "commit", "-q", "-m", "one")
    return tmp_path


def test_the_commit_is_that_of_our_own_checkout(checkout: Path) -> None:
    head = git(checkout, "rev-parse", "HEAD")
    assert module._commit(checkout / "simlib") == head
    (checkout / "simlib/provenance.py").write_text("changed")
    assert module._commit(checkout / "simlib") == f"{head}-dirty"


def test_what_is_installed_within_another_checkout_has_no_commit(checkout: Path) -> None:
    assert module._commit(checkout / ".venv/lib/site-packages/simlib") is None


def test_the_hook_of_another_repository_does_not_lead_astray(
    checkout: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    head = git(checkout, "rev-parse", "HEAD")
    monkeypatch.setenv("GIT_DIR", str(checkout / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(elsewhere))
    (elsewhere / "simlib").mkdir()
    assert module._commit(elsewhere / "simlib") is None
    assert module._commit(checkout / "simlib") == head


def test_without_git_there_is_no_commit(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(checkout / "none"))
    assert module._commit(checkout / "simlib") is None


def test_the_arithmetic_is_another_for_another_instruction_set() -> None:
    code = "from simlib.provenance import arithmetic; print(arithmetic())"
    said = [
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | more, capture_output=True, text=True, timeout=60, check=True,
        ).stdout.strip()
        for more in ({}, {"NUMBA_CPU_NAME": "generic"})
    ]  # fmt: skip
    assert said[0] == arithmetic()
    compilers = " ".join(f"{name} {version(name)}" for name in ("numba", "llvmlite", "numpy"))
    assert said[0].split(" ", 2)[2] == compilers
    assert said[1].startswith("generic e3b0c442 numba ")  # no features at all


def test_provenance_names_versions_and_machine() -> None:
    told = provenance()
    assert told["versions"]["numpy"] and told["host"] and told["cores"] >= 1
