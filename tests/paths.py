"""Where tests find data that is not part of the project; they skip where it is absent."""

import os
from pathlib import Path

import pytest

_BESIDE = Path(__file__).resolve().parents[2] / "shared"


def reference_folder(part: str) -> Path:
    """Return the folder of one independent code's numbers, or skip the test."""
    return _folder("SPECDENOISE_REFERENCE", "reference", part)


def shared_data_folder(part: str) -> Path:
    """Return the folder of one data set kept outside the project, or skip the test."""
    return _folder("SPECDENOISE_DATA", "data", part)


def _folder(variable: str, name: str, part: str) -> Path:
    folder = Path(os.environ.get(variable, _BESIDE / name)) / part
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent; set {variable} to the folder that holds {part!r}")
    return folder
