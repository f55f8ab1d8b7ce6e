"""A disk that is really full, or can only be read, met by the whole program and its workers."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, timeout=20, check=False).returncode:
        pytest.skip("mounting a tmpfs needs root")
    yield folder
    subprocess.run(["umount", str(folder)], timeout=20, check=True)


def program(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flows", *words],
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    return program("build", "tiny", "--set", f"storage.root='{folder}'")


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], timeout=20, check=True)


def test_a_full_disk_is_one_message_and_space_lets_it_go_on(small_disk: Path) -> None:
    failed = build(small_disk)
    assert failed.returncode == 2
    assert failed.stderr.count("error:") == 1
    assert "no space left while writing" in failed.stderr
    assert "Traceback" not in failed.stdout + failed.stderr
    assert not list(small_disk.glob("datasets/tiny/*/manifest.json"))
    remount(small_disk, "size=200m")
    assert build(small_disk).returncode == 0
    assert len(list(small_disk.glob("datasets/tiny/*/manifest.json"))) == 1


def test_a_disk_that_can_only_be_read_is_one_message_and_what_is_there_is_read(
    small_disk: Path,
) -> None:
    remount(small_disk, "size=200m,ro")
    failed = build(small_disk)
    assert failed.returncode == 2
    assert failed.stderr.count("error:") == 1
    assert "this place can only be read" in failed.stderr and str(small_disk) in failed.stderr
    assert "Traceback" not in failed.stdout + failed.stderr
    remount(small_disk, "rw")
    assert not list(small_disk.iterdir())
    made = build(small_disk)
    assert made.returncode == 0
    remount(small_disk, "ro")
    assert build(small_disk).stdout == made.stdout
    assert program("verify", made.stdout.strip()).returncode == 0
