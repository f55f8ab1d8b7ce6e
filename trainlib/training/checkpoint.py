"""Checkpoints: everything a run needs to go on, in one file that is whole or absent.

Read with `weights_only`, so a checkpoint can hold no code.
"""

import errno
import io
import os
import pickle
from pathlib import Path
from typing import Any

import torch

from simlib.errors import InputError

FORMAT_VERSION = 1


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values; the file before stays until the new one is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    serialised = io.BytesIO()  # apart: torch.save hides why a file cannot be written
    torch.save({"format_version": FORMAT_VERSION, **state}, serialised)
    try:
        with beside.open("wb") as file:
            file.write(serialised.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise InputError(
                f"no space left for the checkpoint {path}; free some and train again: "
                "the run goes on from the one before"
            ) from None
        raise
    finally:
        beside.unlink(missing_ok=True)


def load_checkpoint(path: Path, device: torch.device) -> dict[str, Any]:
    """Return what was saved; InputError for a file that is not such a checkpoint."""
    if not path.is_file():
        raise InputError(f"no checkpoint at {path}; train first")
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise InputError(
            f"{path} is not a checkpoint of tensors and plain values, so it is not read: "
            f"{str(error).splitlines()[0]}"
        ) from None
    version = state.get("format_version") if isinstance(state, dict) else None
    if version != FORMAT_VERSION:
        raise InputError(
            f"{path} has checkpoint format {version!r}, this version reads {FORMAT_VERSION}; "
            "train again"
        )
    return state
