"""An import that is killed and run again does only the rest, and the same bits come out."""

import os
import signal
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from simlib.errors import InputError
from simlib.parameters import AXES
from simlib.stellar import open_grid
from tests.simlib.stellar.archive.bosz_files import whole_native_wavelength, write_2017_text

WINDOW = (850.0, 860.0)
AXIS_VALUES = ((4000.0, 4250.0), (1.0, 2.0), (-0.5, 0.0), (0.0, 0.25))

# Imports through the program's own path, one thread. It kills itself, as a machine would, when the
# store or its records are touched for the given time; at the end it says how often they were.
SCRIPT = """
import os, signal, sys
from pathlib import Path
from distributed import Client, LocalCluster
from simlib.stellar.archive.import_plan import plan_import
from simlib.stellar.archive.importing import import_grid

TOUCHES = {"open", "os.mkdir", "os.rename", "os.link", "os.remove"}
store, kill_at, touched = sys.argv[2], int(sys.argv[3]), 0

def watch(event, arguments):
    global touched
    if event in TOUCHES and any(store in str(argument) for argument in arguments[:2]):
        touched += 1
        if touched == kill_at:
            os.killpg(0, signal.SIGKILL)

with LocalCluster(n_workers=1, threads_per_worker=1, processes=False,
                  dashboard_address=None) as cluster, Client(cluster) as client:
    plan = plan_import(Path(sys.argv[1]), window=(850.0, 860.0))
    sys.addaudithook(watch)
    report = import_grid(plan, store, client)
    print(touched, report.files_read, report.planes_kept, flush=True)
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    native, grid = whole_native_wavelength(7), open_grid()
    short = native[(native > 849) & (native < 861)]
    for values in product(*AXIS_VALUES):
        write_2017_text(folder, grid, dict(zip(AXES, values, strict=True)), short)
    return folder


def run(source: Path, store: Path, kill_at: int = 0) -> list[int] | None:
    """Import; return times touched, files read and planes kept, or None where it was killed."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(source), str(store), str(kill_at)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        start_new_session=True,
        timeout=120,
        check=False,
    )
    if done.returncode == -signal.SIGKILL:
        return None
    assert done.returncode == 0
    return [int(number) for number in done.stdout.split()]


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


@pytest.fixture(scope="module")
def undisturbed(source: Path, tmp_path_factory) -> tuple[dict[str, bytes], int]:
    """What an import makes, and how often it touches the store and its records."""
    folder = tmp_path_factory.mktemp("whole")
    counts = run(source, folder / "grid.zarr")
    assert counts is not None and counts[1:] == [16, 0]
    return files_in(folder), counts[0]


def check_kills(
    source: Path, folder: Path, undisturbed: tuple[dict[str, bytes], int], points: list[int]
) -> None:
    """Import and kill at each point in turn, then once more undisturbed."""
    whole, _ = undisturbed
    store = folder / "grid.zarr"
    for point in points:
        if run(source, store, point) is None and not (store / "zarr.json").exists():
            with pytest.raises(InputError, match="no stellar grid|is not complete"):
                open_grid(store)
    records = len(list(folder.rglob("plane-*.json")))
    counts = run(source, store)
    assert counts is not None
    assert counts[1:] == [16 - 4 * records, records] or counts[1:] == [0, 4]
    assert files_in(folder) == whole
    assert open_grid(store)["present"].values.all()


@pytest.mark.slow  # of kills a build's stay
def test_a_killed_import_goes_on_and_ends_with_the_same_bits(
    source: Path, tmp_path: Path, undisturbed
) -> None:
    half, late = undisturbed[1] // 2, undisturbed[1] // 3
    check_kills(source, tmp_path, undisturbed, [half, late])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_an_import_that_is_killed_anywhere_ends_with_the_same_bits(
    seed: int, source: Path, tmp_path: Path, undisturbed
) -> None:
    points = np.random.default_rng(seed).integers(1, undisturbed[1], size=3)
    check_kills(source, tmp_path, undisturbed, points.tolist())
