"""An import that is killed and run again does only the rest, and the same bits come out."""

import os
import signal
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest

from simlib.stellar import open_grid
from simlib.stellar.shape import AXES
from tests.simlib.stellar.bosz_files import whole_native_wavelength, write_2017_text

WINDOW = (850.0, 860.0)
AXIS_VALUES = ((4000.0, 4250.0, 4500.0), (1.0, 2.0, 3.0), (-0.5, 0.0), (0.0, 0.25))

# Imports through the program's own path, one thread; a plane's progress is one line.
SCRIPT = """
import sys
from pathlib import Path
from distributed import Client, LocalCluster
from simlib.stellar.import_plan import plan_import
from simlib.stellar.importing import import_grid

def show(done, total, files):
    print(done, total, flush=True)
    if files and int(sys.argv[3]):
        sys.stdin.read(1)  # the test decides when to go on

with LocalCluster(n_workers=1, threads_per_worker=1, processes=False,
                  dashboard_address="127.0.0.1:0") as cluster, Client(cluster) as client:
    plan = plan_import(Path(sys.argv[1]), window=(850.0, 860.0))
    report = import_grid(plan, sys.argv[2], client, on_progress=show)
    print("read", report.files_read, "kept", report.planes_kept, flush=True)
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    native, grid = whole_native_wavelength(7), open_grid()
    short = native[(native > 849) & (native < 861)]
    for values in product(*AXIS_VALUES):
        write_2017_text(folder, grid, dict(zip(AXES, values, strict=True)), short)
    return folder


def start(source: Path, store: Path, is_held: bool) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(source), str(store), str(int(is_held))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def files_in(store: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(store)): p.read_bytes() for p in sorted(store.rglob("*")) if p.is_file()
    }


def test_a_killed_import_goes_on_and_ends_with_the_same_bits(source: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole.zarr"
    uninterrupted = start(source, whole, is_held=False)
    output, _ = uninterrupted.communicate(timeout=120)
    assert output.splitlines()[-1] == "read 36 kept 0"

    store = tmp_path / "killed.zarr"
    child = start(source, store, is_held=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "0 9\n"
    assert child.stdout.readline() == "1 9\n"  # a plane is done, others are under way
    child.send_signal(signal.SIGKILL)
    child.communicate(timeout=30)
    records = Path(f"{store}.parts")
    done = len(list(records.glob("plane-*.json")))
    assert 1 <= done <= 9

    output, _ = start(source, store, is_held=False).communicate(timeout=120)
    lines = output.splitlines()
    assert lines[0] == f"{done} 9"
    assert lines[-1] == f"read {36 - 4 * done} kept {done}"
    assert files_in(store) == files_in(whole)
    assert open_grid(store).attrs["checksum"] == open_grid(whole).attrs["checksum"]
