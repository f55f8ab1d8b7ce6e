"""Observed spectra through the shipped bundle: many stars of a file, one alone, and the first one.

The file is of the survey's bundles (pfsCoadd), with a hundredth of each star's pixels masked; its
time holds reading it and writing what is made of it, without pictures. Stars are the simulator's.
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
STARS, POLISHED, REPEATS, ALONE = 2048, 512, 3, 100
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
    polishing, plain = trainlib.load_bundle(), trainlib.load_bundle(polish=False)
    stars = drawn(polishing, STARS)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        small = folder / "star.fits"
        small.write_bytes(made.pfs_object(stars[0]))
        entries = [
            *of_file(plain, stars, folder, "spectra_per_s", "no polish"),
            *of_file(polishing, stars[:POLISHED], folder, "polished_per_s", "polished"),
            *alone(plain, stars[0], "single_ms", "no polish"),
            *alone(polishing, stars[0], "single_polished_ms", "polished"),
        ]
        warm, cold = first_result(small, folder / "warm"), first_result(small, folder / "cold", {
            "SPECDENOISE_CACHE": str(folder / "cache"), "NUMBA_CACHE_DIR": "",
        })  # fmt: skip
    return [
        *entries,
        told("denoise.first_result_cpu_s", warm, "s", "a process of its own, all compiled before"),
        told("denoise.first_result_cold_cpu_s", cold, "s", "the same, nothing compiled before"),
    ]


def of_file(
    bundle: Bundle, stars: list[Struck], folder: Path, name: str, how: str
) -> list[dict[str, object]]:
    """Return how many stars a second a file of them takes, read and written."""
    file, outs = Location.of(folder / f"{name}.fits"), iter(range(REPEATS + 1))
    file.path.write_bytes(made.pfs_bundle(stars, visits=(1, 2)))
    seconds, cpu = least(
        lambda: trainlib.denoise(bundle, [file], Location.of(folder / f"{name}-{next(outs)}")),
        REPEATS,
    )
    count, cores = len(stars), len(os.sched_getaffinity(0))
    what = f"{count} stars of one file on {cores} cores, {how}; {1e3 * cpu / count:.2f} ms of "
    return [told(f"denoise.{name}", count / seconds, "1/s", f"{what}processor time each")]


def alone(bundle: Bundle, star: Struck, name: str, how: str) -> list[dict[str, object]]:
    """Return what one call of a loaded bundle takes."""
    seconds, cpu = least(
        lambda: bundle.denoise(star.wavelength, star.flux, star.sigma**2, star.struck), ALONE
    )
    return [
        told(f"denoise.{name}", 1e3 * seconds, "ms",
             f"one call of a loaded bundle, {how}; {1e3 * cpu:.2f} ms of processor time")
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
    """Return stars of the simulator that the network learnt from, at any redshift of its range."""
    draw = np.random.default_rng(0)
    if bundle._simulator is None:
        raise SystemExit(f"stars are the simulator's, which is not there: {bundle.unpolished}")
    known, told = bundle._simulator.problem, bundle._network.frame.statistics
    spread = np.sqrt(3.0) * known.sigma * draw.uniform(-1.0, 1.0, (count, known.sigma.size))
    flux = np.concatenate([
        known.generator.look(known.expected + some, is_sloped=False)[0].astype(float)
        for some in np.array_split(spread, -(-count // 64))
    ])  # fmt: skip
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
