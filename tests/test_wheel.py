"""The wheel carries its data: an installed program needs no checkout."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DATA = {".toml", ".csv", ".npz", ".xz", ".json", ".html", ".typed"}


@pytest.mark.slow
def test_a_wheel_holds_every_data_file_of_the_packages(tmp_path: Path) -> None:
    source = tmp_path / "source"
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, timeout=60
    ).stdout.decode()
    files = [Path(name) for name in tracked.split("\0") if name and (ROOT / name).is_file()]
    for path in files:
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_bytes((ROOT / path).read_bytes())
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path), str(source)],
        check=True, capture_output=True, timeout=280,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    packages = ("simlib", "trainlib", "flows")
    wanted = {
        path.as_posix()
        for path in files
        if path.parts[0] in packages and path.suffix in DATA | {".py"}
    }
    assert wanted
    assert wanted <= inside
    assert not any(name.startswith(("tests/", "infra/")) for name in inside)
