"""Start torchrun on a run directory, follow its log, end it cleanly, tell why it failed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from simlib.errors import InputError
from simlib.provenance import provenance
from trainlib import runs
from trainlib.config import TrainingConfig
from trainlib.training.data import dataset_identity, open_endless_split
from trainlib.training.guard import clear_failures, read_failures

Progress = Callable[[dict[str, Any]], None]

_POLL_S = 0.2
_GRACE_S = 15.0  # between TERM and KILL
_CPU_RANKS = 4
_DISK_FULL = 2**16  # bytes free
LOG = "train.log"


@dataclass(frozen=True)
class TrainingResult:
    """What a finished training came to. was_finished: nothing had to be done."""

    run_directory: str
    fingerprint: str
    epochs: int
    steps: int
    samples: int
    seconds: float
    cpu_seconds: float
    parameters: int
    loss: float
    validation_loss: float
    was_finished: bool


def train(
    config: TrainingConfig,
    dataset_url: str,
    run_directory: str | None = None,
    *,
    progress: Progress | None = None,
    is_cancelled: Callable[[], bool] | None = None,
    resume: bool = True,
) -> TrainingResult:
    """Train on a dataset and return when done; a finished run is not trained again.

    dataset_url: folder or URL as `open_dataset` takes it. run_directory: None for the one that
    `runs.run_directory` names. progress: called with every object of log.jsonl, old ones too.
    is_cancelled: asked several times a second; the ranks are ended when it says so. resume: False
    forgets a checkpoint. Raises InputError for a person's mistake, RuntimeError for our failure,
    KeyboardInterrupt when cancelled.
    """
    options = config.storage.options
    dataset = dataset_identity(dataset_url, options)
    fingerprint = runs.run_fingerprint(config, dataset)
    directory = Path(run_directory or runs.run_directory(config, dataset))
    manifest = runs.read_manifest(directory)
    if manifest and manifest["fingerprint"] != fingerprint:
        raise InputError(
            f"{directory} holds run {manifest['fingerprint']}, this config makes {fingerprint}; "
            "give another directory or remove that one"
        )
    origin = {"url": _absolute(dataset_url), "fingerprint": dataset}
    if manifest.get("is_finished") and resume and (directory / runs.CHECKPOINT).is_file():
        # what does not shape the network may have changed: how it is judged, where the data are
        write_public_config(directory, config)
        runs.write_manifest(directory, dataset=origin)
        return _result(directory, was_finished=True)
    if config.dataset.mode == "endless":
        open_endless_split(dataset_url, options)  # a mistake is told before anything is written
    if not resume:
        (directory / runs.CHECKPOINT).unlink(missing_ok=True)
    prepare_run(directory, config, fingerprint, origin)
    ranks = config.train.ranks or default_ranks(config.train.device)
    with _options_file(options) as options_path:
        command = torchrun_command(directory, ranks, options_path)
        environment = _environment(config.train.threads, ranks)
        code = _follow(command, directory, environment, progress, is_cancelled)
    if code != 0:
        raise _failure(directory, code)
    return _result(directory, was_finished=False)


def torchrun_command(directory: Path, ranks: int, options_path: Path | None) -> list[str]:
    """Return the command that starts all ranks on this host."""
    worker = ["-m", "trainlib.training.train", str(directory), "--watch", str(os.getpid())]
    if options_path is not None:
        worker += ["--storage-options", str(options_path)]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--max-restarts=0"]
    return [*torchrun, f"--nproc-per-node={ranks}", *worker]


def _absolute(url: str) -> str:
    return url if "://" in url else str(Path(url).resolve())


def prepare_run(
    directory: Path, config: TrainingConfig, fingerprint: str, dataset: dict[str, str]
) -> None:
    """Write config.toml and manifest.json, which the ranks read; dataset: url and fingerprint."""
    directory.mkdir(parents=True, exist_ok=True)
    clear_failures(directory)
    write_public_config(directory, config)
    runs.write_manifest(
        directory,
        format_version=runs.FORMAT_VERSION,
        kind="run",
        fingerprint=fingerprint,
        dataset=dataset,
        recipe=config.train.recipe,
        is_finished=False,
        started=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **provenance(),
    )


def write_public_config(directory: Path, config: TrainingConfig) -> None:
    """Write config.toml without the storage options: they may hold secrets and travel apart."""
    storage = config.storage.model_copy(update={"options": {}})
    runs.write_config(directory, config.model_copy(update={"storage": storage}))


@contextmanager
def _options_file(options: dict[str, Any]) -> Iterator[Path | None]:
    if not options:
        yield None
        return
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:  # readable by its owner alone
        json.dump(options, file)
        file.flush()
        yield Path(file.name)


def default_ranks(device: str) -> int:
    """Return one rank per GPU; on the CPU one per core, at most 4.

    Ranks of one thread each share cores better than threads do, which wait for each other at every
    product.
    """
    if device != "cpu" and torch.cuda.is_available():
        return torch.cuda.device_count()
    return min(_cores(), _CPU_RANKS)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _environment(threads: int | None, ranks: int) -> dict[str, str]:
    quiet = {"TORCH_CPP_LOG_LEVEL": "ERROR", "OMP_WAIT_POLICY": "PASSIVE"}
    if sys.platform == "linux":
        quiet["GLOO_SOCKET_IFNAME"] = "lo"  # one host: independent of how its name resolves
    paths = [str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH", "")]
    return (
        quiet
        | dict(os.environ)
        | {
            "OMP_NUM_THREADS": str(threads or max(1, _cores() // ranks)),
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        }
    )


def _follow(
    command: list[str],
    directory: Path,
    environment: dict[str, str],
    progress: Progress | None,
    is_cancelled: Callable[[], bool] | None,
) -> int:
    told = 0
    with (directory / LOG).open("ab") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=environment, start_new_session=True
        )
        try:
            while True:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_POLL_S)
                intervals = runs.read_log(directory) if progress else []
                for interval in intervals[told:]:
                    assert progress is not None
                    progress(interval)
                told = max(told, len(intervals))
                if process.returncode is not None:
                    return process.returncode
                if is_cancelled is not None and is_cancelled():
                    raise KeyboardInterrupt("training cancelled")
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """TERM, then KILL the group; the ranks also end by themselves without their parent."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, sign)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE_S)


def _failure(directory: Path, code: int) -> Exception:
    failures = read_failures(directory)
    if failures and failures[0]["kind"] == "InputError":
        return InputError(str(failures[0]["message"]))
    where = f"the log is {directory / LOG}"
    if failures:
        first = failures[0]
        return RuntimeError(
            f"training failed on rank {first['rank']}: {first['kind']}: {first['message']}; {where}"
        )
    if shutil.disk_usage(directory).free < _DISK_FULL:
        return InputError(
            f"no space left on the disk of {directory}; free some and train again: the run goes on "
            "from its last checkpoint"
        )
    return RuntimeError(
        f"training ended with code {code} and without a word (killed, or out of memory?); {where}; "
        "train again to go on from the last checkpoint"
    )


def _result(directory: Path, *, was_finished: bool) -> TrainingResult:
    manifest, last = runs.read_manifest(directory), runs.read_log(directory)[-1]
    return TrainingResult(
        run_directory=str(directory),
        fingerprint=manifest["fingerprint"],
        epochs=manifest["epochs"],
        steps=manifest["steps"],
        samples=manifest["samples"],
        seconds=manifest["seconds"],
        cpu_seconds=manifest["cpu_seconds"],
        parameters=manifest["parameters"],
        loss=last["loss"],
        validation_loss=last["validation_loss"],
        was_finished=was_finished,
    )
