"""A run: where its directory is, what identifies it, what is kept beside the results."""

import contextlib
import json
import os
import tomllib
from pathlib import Path
from typing import Any

import tomli_w

from simlib.config import validate
from simlib.errors import InputError
from simlib.fingerprint import fingerprint, plain
from trainlib.config import FOREIGN_SECTIONS, TrainingConfig

FORMAT_VERSION = 1
CHECKPOINT = "checkpoints/last.pt"
# Where and how fast a run is computed, not what it computes.
_CIRCUMSTANCES = {"ranks", "threads", "device", "join_timeout_s", "runs", "recipe"}


def run_fingerprint(config: TrainingConfig, dataset_fingerprint: str) -> str:
    """Return 16 hex digits of the dataset and of all that shapes the trained network."""
    train = config.train.model_dump(exclude=_CIRCUMSTANCES)
    # stored and virtual spectra are the same bits: only the endless ones make another run
    endless = ["endless"] if config.dataset.mode == "endless" else []
    return fingerprint(dataset_fingerprint, config.model, config.augment, train, *endless)


def run_directory(config: TrainingConfig, dataset_fingerprint: str) -> str:
    """Return `<root>/runs/<dataset.name>-<fingerprint>`.

    Runs are kept on a local disk: with a remote `storage.root`, `train.runs` must say where.
    """
    folder = config.train.runs or f"{config.storage.root}/runs"
    if "://" in folder and not folder.startswith("file://"):
        raise InputError(
            f"runs cannot be kept at {folder!r}: they need a local disk; set train.runs to a folder"
        )
    name = f"{config.dataset.name}-{run_fingerprint(config, dataset_fingerprint)}"
    return str(Path(folder.removeprefix("file://")) / name)


def write_config(directory: Path, config: TrainingConfig) -> None:
    """Write the resolved `config.toml`."""
    tables = plain(config.model_dump(exclude_none=True))
    write_text(directory / "config.toml", tomli_w.dumps(tables))


def read_config(directory: Path) -> TrainingConfig:
    """Return the resolved config of a run; InputError where there is none."""
    path = directory / "config.toml"
    if not path.is_file():
        raise InputError(f"{directory} is no run directory: it holds no config.toml")
    tables = tomllib.loads(path.read_text(encoding="utf-8"))
    return validate(TrainingConfig, {k: v for k, v in tables.items() if k not in FOREIGN_SECTIONS})


def write_manifest(directory: Path, **entries: Any) -> dict[str, Any]:
    """Add entries to `manifest.json` beside what it holds already; return all."""
    manifest: dict[str, Any] = read_manifest(directory) | plain(entries)
    write_text(directory / "manifest.json", json.dumps(manifest, indent=2) + "\n")
    return manifest


def read_manifest(directory: Path) -> dict[str, Any]:
    """Return what `manifest.json` holds; empty where there is none."""
    path = directory / "manifest.json"
    if not path.is_file():
        return {}
    manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return manifest


def read_log(directory: Path) -> list[dict[str, Any]]:
    """Return the intervals of `log.jsonl`, a torn last line left out."""
    path = directory / "log.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    intervals = []
    for line in lines:
        with contextlib.suppress(json.JSONDecodeError):
            intervals.append(json.loads(line))
    return intervals


def write_text(path: Path, text: str) -> None:
    """Write a file that is whole or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
