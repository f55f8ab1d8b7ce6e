"""Start torchrun on a run directory, follow its log, end it cleanly, tell why it failed."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from simlib.errors import InputError, Preempted, Stopped, require_kind
from simlib.location import Location, Place
from simlib.processes import usable_cores
from simlib.provenance import provenance
from simlib.retry import persist
from trainlib import runs
from trainlib.config import TrainingConfig
from trainlib.training.data import dataset_identity, open_endless_split, published
from trainlib.training.events import require_writer
from trainlib.training.failures import clear_failures, read_failures
from trainlib.training.log import LOG as CURVE
from trainlib.training.log import Interval, tail_log
from trainlib.training.mirror import OUTPUT as LOG
from trainlib.training.mirror import Mirror, mirrored

Progress = Callable[[Interval], None]
Lines = Callable[[str], None]

_POLL_S = 0.2
_GRACE_S = 25.0  # between TERM and KILL: of the 30 that batch systems and pods give
_CPU_RANKS = 4
_DISK_FULL = 2**16  # bytes free
_READ_AT_END, _LINES_TOLD = 2**14, 12  # of a log: bytes, lines
# Gradients are as large from step to step: their memory is kept for the next, where glibc would
# give it back, to be asked for again page by page (4 % of a step of the paper's network).
_MEMORY_KEPT = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**31)}
_SCRATCH = (
    ".torchrun"  # in the folder of the run: else torchrun leaves its own among temporary files
)


class RanksLost(RuntimeError):
    """Training ended without a word: it was killed, and its checkpoint is there to go on from."""


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
    dataset: Place,
    run_directory: Place | None = None,
    *,
    progress: Progress | None = None,
    on_line: Lines | None = None,
    is_cancelled: Callable[[], bool] | None = None,
    resume: bool = True,
    command: Sequence[str] | None = None,
) -> TrainingResult:
    """Train on a dataset and return when done; a finished run is not trained again.

    dataset: as `open_dataset` takes it. run_directory: None for the one that
    `runs.run_directory` names. progress: called with every object of log.jsonl, old ones too.
    on_line: called with every line that the ranks print. command: starts the ranks elsewhere, ends
    with them and as they end; by default torchrun does so on this host.
    is_cancelled: asked several times a second; the ranks are ended when it says so. resume: False
    forgets a checkpoint. Raises InputError for a person's mistake, RuntimeError for our failure,
    KeyboardInterrupt when cancelled: Stopped where the ranks kept in the midst of an epoch where
    they are, as they do whenever they are told to stop; Preempted where that was another's doing.
    """
    require_kind("config", config, TrainingConfig, "what `trainlib.load_config` returns")
    require_writer(config.train.tensorboard)
    place = published(Location.of(dataset, config.storage.options))
    identity = dataset_identity(place)
    directory = runs.run_directory(config, identity)
    if run_directory is not None:
        directory = Location.of(run_directory).under(config.storage.options)
    fingerprint = runs.run_fingerprint(config, identity)
    manifest = runs.find_manifest(directory)
    if manifest and manifest.fingerprint != fingerprint:
        raise InputError(
            f"{directory} holds run {manifest.fingerprint}, this config makes {fingerprint}; "
            "give another directory or remove that one"
        )
    has_checkpoint = (directory / runs.CHECKPOINT).exists()
    if manifest and manifest.outcome and resume and has_checkpoint:
        # what does not shape the network may have changed: how it is judged, where the data are
        runs.write_config(directory, config)
        origin = runs.origin_of(place, identity, directory, config)
        runs.write_manifest(directory, manifest.model_copy(update={"dataset": origin}))
        return _result(directory, was_finished=True)
    if config.dataset.mode == "endless":
        open_endless_split(place)  # a mistake is told before anything is written
    ranks = config.train.ranks or default_ranks(config.train.device)
    environment = rank_environment(config.train.threads, ranks, is_here=command is None)
    with mirrored(directory, fingerprint) as mirror:
        prepare_run(mirror.folder, config, place, identity, resume=resume, place=directory)
        if not (resume or directory.is_local):
            for name in runs.JUDGED.values():
                (directory / name).remove()
        persist(f"the run {directory}", mirror.send)
        restarts = config.train.restarts
        started = list(command or torchrun_command(mirror.folder, ranks, directory, restarts))
        with mirror.sending():
            try:
                code = _follow(started, mirror, environment, progress, on_line, is_cancelled)
            except KeyboardInterrupt as told:
                if any(failure.is_preemption for failure in read_failures(mirror.folder)):
                    raise Stopped(*told.args) from None
                raise
        if code != 0:
            raise _failure(mirror.folder, code)
    return _result(directory, was_finished=False)


def torchrun_command(folder: Path, ranks: int, run: Location, restarts: int) -> list[str]:
    """Return the command that starts all ranks on this host, and again where one is lost.

    folder: that they train `run` in.
    """
    worker = ["-m", "trainlib.training.train", str(folder), "--watch", str(os.getpid()),
              "--place", run.url]  # fmt: skip
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone",
                f"--max-restarts={restarts}"]  # fmt: skip
    scratch = f"--log-dir={folder / _SCRATCH}"
    return [*torchrun, scratch, f"--nproc-per-node={ranks}", *worker]


def prepare_run(
    directory: Path,
    config: TrainingConfig,
    dataset: Location,
    identity: str,
    *,
    resume: bool = True,
    place: Place | None = None,
) -> None:
    """Write config.toml and manifest.json, which the ranks read; InputError while one trains.

    identity: the dataset's fingerprint. place: where the run belongs, where that is another.
    """
    with runs.lock_run(directory):
        clear_failures(directory)
        if not resume:
            for checkpoint in (*runs.checkpoints_in(directory), Location.of(directory) / runs.BEST):
                checkpoint.remove()
        if not runs.checkpoints_in(directory):  # nobody is told of intervals without one
            (directory / CURVE).unlink(missing_ok=True)
        runs.write_config(directory, config)
        manifest = runs.RunManifest(
            fingerprint=runs.run_fingerprint(config, identity),
            inputs=runs.run_inputs(config, identity),
            dataset=runs.origin_of(dataset, identity, place or directory, config),
            recipe=config.train.recipe,
            started=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            provenance=provenance(),
        )
        runs.write_manifest(directory, manifest)


def default_ranks(device: str) -> int:
    """Return one rank per GPU; on the CPU one per core, at most 4.

    Ranks of one thread each share cores better than threads do, which wait for each other at every
    product.
    """
    if device != "cpu" and torch.cuda.is_available():
        return torch.cuda.device_count()
    return min(usable_cores(), _CPU_RANKS)


def rank_environment(threads: int | None, ranks: int, is_here: bool = True) -> dict[str, str]:
    """Return the variables that a rank is started with.

    threads: of each, None for its share of the cores. is_here: all ranks are on this host.
    """
    quiet = {"TORCH_CPP_LOG_LEVEL": "ERROR", "OMP_WAIT_POLICY": "PASSIVE"} | _MEMORY_KEPT
    if is_here and sys.platform == "linux":
        quiet["GLOO_SOCKET_IFNAME"] = "lo"  # one host: independent of how its name resolves
    paths = [str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH", "")]
    return (
        quiet
        | dict(os.environ)
        | {
            "OMP_NUM_THREADS": str(threads or max(1, usable_cores() // ranks)),
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "PYTHONSAFEPATH": "1",  # the working folder may hold files named like Python's modules
        }
    )


def _follow(
    command: list[str],
    mirror: Mirror,
    environment: dict[str, str],
    progress: Progress | None,
    on_line: Lines | None,
    is_cancelled: Callable[[], bool] | None,
) -> int:
    intervals, lines = tail_log(mirror.folder), _tail(mirror.folder / LOG)
    with (mirror.folder / LOG).open("ab") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=environment, start_new_session=True
        )
        try:
            while True:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_POLL_S)
                if progress is not None:
                    for interval in next(intervals):
                        progress(interval)
                if on_line is not None:
                    for line in next(lines):
                        on_line(line)
                if process.returncode is not None:
                    return process.returncode
                if is_cancelled is not None and is_cancelled():
                    raise KeyboardInterrupt("training cancelled")
                if mirror.is_lost.is_set():
                    return 1
        finally:
            _end(process)
            # ranks that lost torchrun end a moment later: whoever trains again is not to meet them;
            # that this cannot be awaited, on a full disk, is no reason to say less of what ended
            with suppress(InputError, OSError), runs.lock_run(mirror.folder, _GRACE_S):
                pass
            shutil.rmtree(mirror.folder / _SCRATCH, ignore_errors=True)


def _tail(path: Path) -> Iterator[list[str]]:
    """Yield, whenever asked, the whole lines that a file has gained since this was made."""
    offset = path.stat().st_size if path.exists() else 0

    def gained() -> Iterator[list[str]]:
        nonlocal offset
        while True:
            with path.open("rb") as file:
                file.seek(offset)
                data = file.read()
            whole = data[: data.rfind(b"\n") + 1]
            offset += len(whole)
            yield whole.decode(errors="replace").splitlines()

    return gained()


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
    where = f"the log is {directory / LOG}"
    if failures:
        first = failures[0]
        if first.is_mistake:
            return InputError(first.message)
        if first.is_preemption:
            return Preempted(first.message)
        return RuntimeError(
            f"training failed on rank {first.rank}: {first.kind}: {first.message}; {where}"
        )
    if shutil.disk_usage(directory).free < _DISK_FULL:
        return InputError(
            f"no space left on the disk of {directory}; free some and train again: the run goes on "
            "from its last checkpoint"
        )
    return RanksLost(
        f"training ended with code {code} before it could say why; {where}, and ends so:\n"
        f"{_last_lines(directory / LOG)}\n"
        "train again to go on from the last checkpoint"
    )


def _last_lines(path: Path) -> str:
    """Return the end of a log, indented; rules drawn across the page are left out."""
    data = path.read_bytes()[-_READ_AT_END:] if path.exists() else b""
    lines = [line.rstrip() for line in data.decode(errors="replace").splitlines()]
    told = [line for line in lines if line.strip("=-~ ")][-_LINES_TOLD:]
    return "\n".join(f"  {line}" for line in told) or "  (it is empty)"


def _result(directory: Location, *, was_finished: bool) -> TrainingResult:
    manifest = runs.read_manifest(directory)
    if (outcome := manifest.outcome) is None:
        raise RuntimeError(f"training ended, but {directory / runs.MANIFEST} says of no end")
    return TrainingResult(
        run_directory=str(directory),
        fingerprint=manifest.fingerprint,
        epochs=outcome.epoch,
        steps=outcome.step,
        samples=outcome.samples,
        seconds=outcome.seconds,
        cpu_seconds=outcome.cpu_seconds,
        parameters=outcome.parameters,
        loss=outcome.loss,
        validation_loss=outcome.validation_loss,
        was_finished=was_finished,
    )
