"""Validation spectra through a network of recipe C, as an evaluation judges them.

What it learnt does not matter for its speed, so that it learns for one epoch. The time holds the
rows, which are computed as they are needed, their noise and augmentation, the network with its scan
for the redshift, and all measures; no baseline, no limit.
"""

import tempfile
import time
from pathlib import Path

import torch

from simlib.dataset.build import build_dataset
from simlib.etc.grid.store import ensure_terms_grid
from simlib.processes import usable_cores
from tests.bench.simulate import entry
from tests.simlib.dataset.toy_build import here
from tests.trainlib.training_runs import train_here
from trainlib.config import load_config
from trainlib.evaluation.judged import judged
from trainlib.evaluation.metrics import NETWORK
from trainlib.evaluation.parts import BLOCK
from trainlib.evaluation.trained import load_trained
from trainlib.training.data import open_split, read_spectra

COMMAND = "python -m tests.bench evaluate"
ROWS, LEARNT = 10240, 4096
BAR_S = 60.0  # for 10,000 on two cores


def run() -> list[dict[str, object]]:
    """Return one entry per figure: name, value, unit, against, command."""
    with tempfile.TemporaryDirectory() as root:
        overrides = [f"storage.root='{root}'", "dataset.mode=virtual", "train.epochs=1",
                     f"dataset.n_train={LEARNT}", f"dataset.n_validation={ROWS}"]  # fmt: skip
        config = load_config("demo", overrides)
        with here() as client:
            folder = build_dataset(config, ensure_terms_grid(config), client)
        trained = load_trained(train_here(config, str(folder), Path(root) / "run"))
        torch.set_num_threads(usable_cores())
        labels = open_split(folder, "validation")
        judge_block(trained, labels, 0)  # all is compiled and opened
        begin, begin_cpu = time.perf_counter(), time.process_time()
        for first in range(0, ROWS, BLOCK):
            judge_block(trained, labels, first)
        seconds, cpu = time.perf_counter() - begin, time.process_time() - begin_cpu
    cores = usable_cores()
    return [
        told("evaluate.network_s_of_10000", 1e4 * seconds / ROWS, "s",
             f"{ROWS} spectra in this process on {cores} cores; the bar is {BAR_S:g} s on 2"),
        told("evaluate.network_cpu_ms", 1e3 * cpu / ROWS, "ms", "of processor time a spectrum"),
    ]  # fmt: skip


def judge_block(trained, labels, first: int) -> None:
    spectra = read_spectra(labels, first, first + BLOCK, torch.device("cpu"))
    judged(trained, {NETWORK: trained.model}, spectra, is_on=True)


def told(name: str, value: float, unit: str, what: str) -> dict[str, object]:
    return entry(name, round(value, 2), unit, what) | {"command": COMMAND}
