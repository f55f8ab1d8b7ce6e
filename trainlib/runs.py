"""A run: where its directory is, what identifies it, and its records.

A run directory moves with its root: what its manifest names inside that root is relative to it.
"""

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict

from simlib.artifact import Record, lock, read_record, write_bytes, write_record
from simlib.config import validate
from simlib.errors import InputError
from simlib.fingerprint import fingerprint, plain
from simlib.location import Location, Place
from simlib.text_files import read_toml
from trainlib.config import FOREIGN_SECTIONS, WHILE_TRAINING, TrainingConfig

# Raised by hand when the same config makes another network; a test with golden values guards it.
TRAINING_VERSION = 2
CHECKPOINT, BEST = "checkpoints/last.pt", "checkpoints/best.pt"
JUDGED = {"last": CHECKPOINT, "best": BEST}  # by `evaluate.checkpoint`
CONFIG, MANIFEST, LOCK = "config.toml", "manifest.json", ".lock"
# Where and how fast a run is computed, not what it computes.
_CIRCUMSTANCES = {
    "ranks", "threads", "device", "join_timeout_s", "restarts", "keep", "memory_gb", "runs",
    "recipe", "tensorboard", "measure_peak", "compile",
}  # fmt: skip


class Origin(BaseModel):
    """The dataset of a run. place: from the run directory where one root holds both, else a URL."""

    model_config = ConfigDict(frozen=True)
    place: str
    fingerprint: str


class State(BaseModel):
    """How far a run is, as its checkpoint says. epoch: whole ones done. ended: in UTC, the last.

    seconds, cpu_seconds: spent, earlier starts included. loss, validation_loss: of the last
    interval. best_loss: the least validation_loss so far. begun_…: of the interval in which a run
    was told to stop, the sum of losses, spectra and seconds; else 0.
    """

    epoch: int = 0
    step: int = 0
    samples: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    loss: float = math.inf
    validation_loss: float = math.inf
    best_loss: float = math.inf
    begun_loss: float = 0.0
    begun_samples: int = 0
    begun_seconds: float = 0.0
    parameters: int = 0
    world_size: int = 0
    device: str = ""
    ended: str = ""
    is_finished: bool = False


class RunManifest(Record):
    """What `manifest.json` says of a run.

    inputs: all that shapes the network, of which `fingerprint` is. outcome: None until finished.
    """

    remedy: ClassVar[str] = "remove it and train again: what the checkpoint holds is kept"
    kind: Literal["run"] = "run"
    fingerprint: str
    inputs: dict[str, dict[str, Any]]
    dataset: Origin
    recipe: str
    started: str
    provenance: dict[str, Any]
    outcome: State | None = None


def run_inputs(config: TrainingConfig, dataset_fingerprint: str) -> dict[str, dict[str, Any]]:
    """Return all that shapes the trained network, in sections: config keys, version, dataset."""
    sections = {
        "version": {"version of training": TRAINING_VERSION},
        "dataset": {
            "fingerprint": dataset_fingerprint,
            # stored and virtual spectra are the same bits: only the endless ones make another run
            "is endless": config.dataset.mode == "endless",
        },
        "model": config.leaves("model"),
        # what is off is no part: runs that were made before it was there stay what they are
        "augment": config.leaves(
            "augment", but={name for name in WHILE_TRAINING if not getattr(config.augment, name)}
        ),
        "train": config.leaves("train", but=_CIRCUMSTANCES),
    }
    found: dict[str, dict[str, Any]] = plain(sections)
    return found


def run_fingerprint(config: TrainingConfig, dataset_fingerprint: str) -> str:
    """Return 16 hex digits of the dataset and of all that shapes the trained network."""
    return fingerprint(run_inputs(config, dataset_fingerprint))


def run_directory(config: TrainingConfig, dataset_fingerprint: str) -> Location:
    """Return `<root>/runs/<dataset.name>-<fingerprint>`, or below `train.runs`."""
    folder = config.place(config.train.runs) if config.train.runs else config.root / "runs"
    return folder / f"{config.dataset.name}-{run_fingerprint(config, dataset_fingerprint)}"


@contextmanager
def lock_run(directory: Path, timeout_s: float = 0.0) -> Iterator[None]:
    """Hold the run directory; InputError names the process that trains in it already.

    timeout_s: so long that process may take to end.
    """
    with lock(directory / LOCK, f"the run directory {directory}", timeout_s):
        yield


def checkpoints_in(directory: Place) -> list[Location]:
    """Return the checkpoints that a run may go on from and that are there, the newest first."""
    folder, name = (Location.of(directory) / CHECKPOINT).parent, Path(CHECKPOINT)
    before = re.compile(rf"{name.stem}-(\d+){re.escape(name.suffix)}")
    found = (
        (name.name, 0),
        *((one, int(m[1])) for one in folder.names() if (m := before.fullmatch(one))),
    )
    ordered = [folder / one for one, _ in sorted(found, key=lambda pair: pair[1])]
    return [place for place in ordered if place.exists()]


def write_config(directory: Place, config: TrainingConfig) -> None:
    """Write the resolved `config.toml`."""
    tables = plain(config.model_dump(exclude_none=True))
    write_bytes(Location.of(directory) / CONFIG, tomli_w.dumps(tables).encode())


def read_config(directory: Place) -> TrainingConfig:
    """Return the resolved config of a run; InputError where there is none that can be used."""
    path = Location.of(directory) / CONFIG
    if not path.exists():
        raise InputError(f"{directory} is no run directory: it holds no {CONFIG}")
    try:
        tables = read_toml(path, "the config of a run")
        own = {name: table for name, table in tables.items() if name not in FOREIGN_SECTIONS}
        return validate(TrainingConfig, own, str(path))
    except InputError as error:
        raise InputError(f"{error}; train again to write it anew") from None


def write_manifest(directory: Place, manifest: RunManifest) -> None:
    """Write `manifest.json` in place of the one that is there."""
    write_record(Location.of(directory) / MANIFEST, manifest)


def read_manifest(directory: Place) -> RunManifest:
    """Return what `manifest.json` says; InputError where there is none that can be used."""
    manifest = find_manifest(directory)
    if manifest is None:
        raise InputError(f"{directory} is no run directory: it holds no {MANIFEST}; train again")
    return manifest


def find_manifest(directory: Place) -> RunManifest | None:
    """Return what `manifest.json` says, None where there is none; InputError for a damaged one."""
    return read_record(Location.of(directory) / MANIFEST, RunManifest)


def read_run(directory: Place) -> tuple[TrainingConfig, RunManifest]:
    """Return config and manifest of a run.

    Raises InputError where one cannot be used, or where the config is not the one that was trained.
    """
    config, manifest = read_config(directory), read_manifest(directory)
    found = run_fingerprint(config, manifest.dataset.fingerprint)
    if found != manifest.fingerprint:
        raise InputError(
            f"{Location.of(directory) / CONFIG} describes run {found}, {MANIFEST} beside it run "
            f"{manifest.fingerprint}: the config was edited, or made by another version; train "
            "again with the config you want"
        )
    return config, manifest


def origin_of(
    dataset: Location, dataset_fingerprint: str, directory: Place, config: TrainingConfig
) -> Origin:
    """Return how a run's manifest names its dataset."""
    root, run, data = (real(place) for place in (config.root, Location.of(directory), dataset))
    is_inside = all(place.url.startswith(f"{root}/") for place in (data, run))
    place = data.relative_to(run) if is_inside else dataset.url
    return Origin(place=place, fingerprint=dataset_fingerprint)


def dataset_of(directory: Place, config: TrainingConfig, manifest: RunManifest) -> Location:
    """Return where a run's dataset is."""
    run = Location.of(directory).under(config.storage.options)
    return real(run).follow(manifest.dataset.place)


def real(place: Location) -> Location:
    """Follow symbolic links: a way from one folder to another holds between their real places."""
    return Location.of(place.path.resolve(), place.options) if place.is_local else place
