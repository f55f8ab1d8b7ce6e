"""A disk that is really full, met by worker processes, through the whole program."""

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


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flows", "build", "tiny", "--set", f"storage.root='{folder}'"],
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip


def test_a_full_disk_is_one_message_and_space_lets_it_go_on(small_disk: Path) -> None:
    failed = build(small_disk)
    assert failed.returncode == 2
    assert failed.stderr.count("error:") == 1
    assert "no space left while writing" in failed.stderr
    assert "Traceback" not in failed.stdout + failed.stderr
    assert not list(small_disk.glob("datasets/tiny/*/manifest.json"))
    subprocess.run(["mount", "-o", "remount,size=200m", str(small_disk)], timeout=20, check=True)
    assert build(small_disk).returncode == 0
    assert len(list(small_disk.glob("datasets/tiny/*/manifest.json"))) == 1
