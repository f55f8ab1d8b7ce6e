"""How much the flow adds to the work itself: through a Prefect server against plain calls.

Both make the preset `tiny` from nothing, in a process of its own, the caches warm: the flow
with a server on loopback named (its run, its tasks and their states recorded there), the flow
without one, and the stages' functions called one after another.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.simulate import entry
from tests.flows.test_prefect_server import free_port
from tests.flows.test_schedule import ROOT, server

COMMAND = "python -m tests.bench flow"
DIRECT = """
from flows.config import load_config
from flows import stages
config = load_config("tiny", ["storage.root='data'"])
work = {name: getattr(stages, name).fn
        for name in ("etc_grid", "build_dataset", "train", "evaluate", "report")}
dataset = work["build_dataset"](config, work["etc_grid"](config))
run = work["train"](config, dataset)
work["evaluate"](config, run)
work["report"](config, run)
"""
FLOW = """
from flows.pipeline import specdenoise
specdenoise("tiny", ["storage.root='data'"])
"""


def run() -> list[dict[str, object]]:
    """Return one entry per figure: name, value, unit, against, command."""
    with tempfile.TemporaryDirectory() as scratch, server(Path(scratch), free_port()) as served:
        alone = os.environ | {"PREFECT_HOME": f"{scratch}/home"}
        seconds(DIRECT, alone)  # compiles, and fills the caches
        direct = seconds(DIRECT, alone)
        plain = seconds(FLOW, alone)
        through = seconds(FLOW, served)
    return [
        told("flow.overhead_ratio", through / direct, "a server", through, direct),
        told("flow.overhead_without_a_server", plain / direct, "no server", plain, direct),
    ]


def told(name: str, ratio: float, how: str, flow: float, direct: float) -> dict[str, object]:
    what = f"the functions called directly: {direct:.1f} s, the flow with {how} {flow:.1f} s"
    return entry(name, round(ratio, 2), "ratio", what) | {"command": COMMAND}


def seconds(code: str, environment: dict[str, str]) -> float:
    """Return the wall seconds of a program in an empty folder."""
    words = [sys.executable, "-c", code]
    with tempfile.TemporaryDirectory() as folder:
        begun = time.monotonic()
        subprocess.run(
            words,
            env=environment | {"PYTHONPATH": str(ROOT)},
            cwd=folder,
            check=True,
            capture_output=True,
        )
        return time.monotonic() - begun
