"""The tool runs where torch, Prefect and Dask are not installed."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from astropy.io import fits

import trainlib
from tests.simlib.spectra import made
from tests.trainlib.onsky.toy_bundle import SCALE, WAVELENGTH, toy_stars, write_toy_bundle

ROOT = Path(__file__).resolve().parents[2]
FORBIDDEN = ("torch", "prefect", "dask", "distributed", "bokeh", "h5py", "h5netcdf", "s3fs",
             "psutil", "fastapi", "sqlalchemy")  # fmt: skip
PROGRAM = f"""
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
from flows.cli import run_program
code = run_program(sys.argv[1:])
print(sorted(set({FORBIDDEN!r}) & set(sys.modules)))
sys.exit(code)
"""


def test_a_file_is_denoised_without_torch_prefect_and_dask(tmp_path):
    bundle = write_toy_bundle(tmp_path / "toy")
    (star,), _ = toy_stars(1, 0.02)
    (tmp_path / "star.fits").write_bytes(made.pfs_object(star))
    words = ["denoise", "star.fits", "--bundle", str(bundle), "--out", "out"]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words], cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True,
        capture_output=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    mask = np.arange(WAVELENGTH.size) == made.REJECTED
    here = trainlib.load_bundle(bundle).denoise(WAVELENGTH, star.flux, star.sigma**2, mask)
    with fits.open(tmp_path / "out" / "star.fits") as hdus:
        there = hdus["DENOISED"].data / star.nano
    assert np.abs(there - here.flux).max() < 1e-5 * SCALE
