"""The tool runs where torch, Prefect and Dask are not installed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

import trainlib
from simlib.stellar import open_grid
from tests.simlib.fit.toy_stars import config, drawn, problem, seen
from tests.simlib.spectra import made
from tests.trainlib.onsky.toy_bundle import SCALE, WAVELENGTH, toy_stars, write_toy_bundle
from trainlib.config import PlainAugment
from trainlib.onsky.simulator import described_simulator, simulator_of

ROOT = Path(__file__).resolve().parents[2]
FORBIDDEN = ("torch", "prefect", "dask", "distributed", "bokeh", "h5py", "h5netcdf", "s3fs",
             "psutil", "fastapi", "sqlalchemy")  # fmt: skip
WITHOUT = f"""
import sys
class Without:
    def __init__(self, finder):
        self.finder = finder
    def __getattr__(self, name):
        return getattr(self.finder, name)
    def find_spec(self, name, path=None, target=None):
        is_hidden = name.partition(".")[0] in {FORBIDDEN!r}
        return None if is_hidden else self.finder.find_spec(name, path, target)
sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
"""
TOLD = "\nprint(sorted(set({!r}) & set(sys.modules)))\n"
PROGRAM = """
from flows.cli import run_program
code = run_program(sys.argv[1:])
"""
POLISH = """
import json
import numpy as np
from trainlib.onsky.simulator import simulator_of
given = np.load("given.npz")
made = simulator_of(json.loads(str(given["said"])), given["wavelength"])
found = made.refined(*(given[name] for name in ("flux", "variance", "denoised", "named")))
np.savez("found.npz", **vars(found))
code = 0
"""


def run_alone(program: str, folder: Path, *words: str, loaded: tuple[str, ...] = FORBIDDEN) -> str:
    """Return what a program says that finds none of the forbidden packages, nor loads one.

    loaded: what it may not load.
    """
    whole = WITHOUT + program + TOLD.format(loaded) + "sys.exit(code)"
    done = subprocess.run(
        [sys.executable, "-c", whole, *words], cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True,
        capture_output=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    return done.stdout


def test_a_file_is_denoised_without_torch_prefect_and_dask(tmp_path):
    bundle = write_toy_bundle(tmp_path / "toy")
    (star,), _ = toy_stars(1, 0.02)
    (tmp_path / "star.fits").write_bytes(made.pfs_object(star))
    words = ["denoise", "star.fits", "--bundle", str(bundle), "--out", "out"]
    run_alone(PROGRAM, tmp_path, *words)
    mask = np.arange(WAVELENGTH.size) == made.REJECTED
    here = trainlib.load_bundle(bundle).denoise(WAVELENGTH, star.flux, star.sigma**2, mask)
    with fits.open(tmp_path / "out" / "star.fits") as hdus:
        there = hdus["DENOISED"].data / star.nano
    assert np.abs(there - here.flux).max() < 1e-5 * SCALE


def test_nothing_that_is_slow_to_load_is_loaded_for_it(tmp_path):
    """Of a second until the first answer these would take a third, and more."""
    (star,), _ = toy_stars(1, 0.02)
    (tmp_path / "star.fits").write_bytes(made.pfs_object(star))
    bundle = write_toy_bundle(tmp_path / "toy")
    run_alone(
        PROGRAM, tmp_path, "denoise", "star.fits", "--bundle", str(bundle), "--out", "out",
        "--no-polish", loaded=(*FORBIDDEN, "matplotlib", "pandas", "xarray", "astropy.table"),
    )  # fmt: skip


@pytest.mark.slow
def test_answers_are_polished_without_torch_prefect_and_dask(tmp_path):
    stars = drawn(4, seed=6)
    noisy, variance, clean = seen(stars, snr=50.0)
    wavelength = problem().generator.templates.wavelength
    said = described_simulator(config(), PlainAugment(), open_grid("toy"))
    given = {"flux": noisy, "variance": variance, "denoised": clean, "named": stars[:, :5]}
    np.savez(tmp_path / "given.npz", said=json.dumps(said), wavelength=wavelength, **given)
    run_alone(POLISH, tmp_path)
    here = simulator_of(said, wavelength).refined(*given.values())
    with np.load(tmp_path / "found.npz") as there:
        assert here.is_accepted.any() and np.array_equal(there["is_accepted"], here.is_accepted)
        assert np.abs(there["flux"] - here.flux).max() < 1e-5
        assert np.allclose(there["stars"], here.stars, rtol=1e-4, atol=1e-6)
