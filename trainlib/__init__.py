"""Training and evaluation of the denoiser; the public functions are loaded when first used."""

from importlib import import_module
from typing import Any

__all__ = ["denoise", "evaluate", "export", "load_bundle", "load_config", "train"]

_HOMES = {
    "load_config": "trainlib.config",
    "train": "trainlib.training.launch",
    "evaluate": "trainlib.evaluation.evaluate",
    "export": "trainlib.onsky.export",
    "load_bundle": "trainlib.onsky.denoise",
    "denoise": "trainlib.onsky.batch",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("simlib.version").version()
    if name not in _HOMES:
        raise AttributeError(f"module 'trainlib' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
