"""Training and evaluation of the denoiser; the public functions are loaded when first used."""

from importlib import import_module
from typing import Any

__all__ = ["denoise", "evaluate", "export", "load_bundle", "train"]

_HOMES = {
    "train": "trainlib.training.launch",
    "evaluate": "trainlib.evaluation.evaluate",
    "export": "trainlib.onsky.export",
    "load_bundle": "trainlib.onsky.denoise",
    "denoise": "trainlib.onsky.batch",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'trainlib' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
