"""Observed spectra through the shipped bundle: many stars of a file, one alone, and the first one.

The file is of the survey's bundles (pfsCoadd), with a hundredth of each star's pixels masked; its
time holds reading it and writing what is made of it. No pictures, no polish.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import trainlib
from simlib.location import Location
from tests.bench.simulate import entry
from tests.simlib.spectra import made
from trainlib.onsky.bundle import SHIPPED
from trainlib.onsky.denoise import Bundle

COMMAND = "python -m tests.bench denoise"
ROOT = Path(__file__).resolve().parents[2]
STARS, REPEATS, ALONE = 2048, 3, 100
SCALE = 40.0  # 1e-17 erg s-1 cm-2 AA-1 of normalised flux
STRUCK = 0.003  # of the pixels, their neighbours are masked with them


@dataclass(frozen=True)
class Struck(made.Star):
    """A star with cosmic rays."""

    struck: np.ndarray

    @property
    def bits(self) -> np.ndarray:
        return self.struck.astype(np.int32) << made.PLANES["CR"]


def run() -> list[dict[str, object]]:
    """Return one entry per figure: name, value, unit, against, command; none without a bundle."""
    if not SHIPPED.exists():
        print("no bundle is in this package, `make bundle` puts one there: `denoise` is left out")
        return []
    bundle = trainlib.load_bundle()
    stars = drawn(bundle, STARS)
    one = stars[0]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        file = folder / "stars.fits"
        file.write_bytes(made.pfs_bundle(stars, visits=(1, 2)))
        places = iter(range(REPEATS + 1))
        seconds, cpu = least(
            lambda: trainlib.denoise(
                bundle, [Location.of(file)], Location.of(folder / f"out-{next(places)}")
            ),
            REPEATS,
        )
        small = folder / "star.fits"
        small.write_bytes(made.pfs_object(one))
        warm, cold = first_result(small, folder / "warm"), first_result(small, folder / "cold", {
            "SPECDENOISE_CACHE": str(folder / "cache"), "NUMBA_CACHE_DIR": "",
        })  # fmt: skip
    alone, alone_cpu = least(
        lambda: bundle.denoise(one.wavelength, one.flux, one.sigma**2, one.struck), ALONE
    )
    cores = len(os.sched_getaffinity(0))
    return [
        told("denoise.spectra_per_s", STARS / seconds, "1/s",
             f"{STARS} stars of one file on {cores} cores; {1e3 * cpu / STARS:.2f} ms of processor "
             "time each"),
        told("denoise.single_ms", 1e3 * alone, "ms",
             f"one call of a loaded bundle; {1e3 * alone_cpu:.2f} ms of processor time"),
        told("denoise.first_result_cpu_s", warm, "s", "a process of its own, all compiled before"),
        told("denoise.first_result_cold_cpu_s", cold, "s", "the same, nothing compiled before"),
    ]  # fmt: skip


def told(name: str, value: float, unit: str, what: str) -> dict[str, object]:
    return entry(name, round(value, 2), unit, what) | {"command": COMMAND}


def least(work: Callable[[], object], times: int) -> tuple[float, float]:
    """Return the least wall and processor seconds of several runs, after a first one."""
    work()
    spent = []
    for _ in range(times):
        begin, begin_cpu = time.perf_counter(), time.process_time()
        work()
        spent.append((time.perf_counter() - begin, time.process_time() - begin_cpu))
    wall, cpu = zip(*spent, strict=True)
    return min(wall), min(cpu)


def drawn(bundle: Bundle, count: int) -> list[Struck]:
    """Return stars that the network's basis makes, at any redshift of its range."""
    draw = np.random.default_rng(0)
    frame = bundle._network.frame
    told = frame.statistics
    size = np.sqrt(told.eigenvalues).astype(np.float32)
    coefficients = size * draw.standard_normal((count, size.size), np.float32)
    flux = frame.spectra(coefficients, draw.uniform(*told.redshifts, count)).astype(float)
    sigma = np.geomspace(0.01, 0.1, count)[:, np.newaxis] * told.noise_shape
    noisy = flux + sigma * draw.standard_normal(flux.shape)
    struck = draw.random(flux.shape) < STRUCK
    struck[:, 1:-1] |= struck[:, :-2] | struck[:, 2:]
    return [
        Struck(bundle.wavelength, SCALE * noisy[row], SCALE * sigma[row], struck[row])
        for row in range(count)
    ]


def first_result(file: Path, out: Path, environment: dict[str, str] | None = None) -> float:
    """Return the processor seconds of the command on one small file."""
    words = [sys.executable, "-m", "flows", "denoise", str(file), "--out", str(out)]
    before = spent_by_children()
    subprocess.run(
        words, env=os.environ | {"PYTHONPATH": str(ROOT)} | (environment or {}),
        check=True, capture_output=True,
    )  # fmt: skip
    return spent_by_children() - before


def spent_by_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
