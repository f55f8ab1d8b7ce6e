"""Simulate observations of stars: exposure time calculator, stellar grids, datasets.

The names below are what this package promises; each is loaded when it is first used.
"""

import os
from importlib import import_module
from typing import Any

_HOME = {
    "load_config": "simlib.config",
    "load_instrument": "simlib.instrument",
    "load_sky": "simlib.etc.sky.model",
    "run_etc": "simlib.etc.terms",
    "open_grid": "simlib.stellar.grid",
    "draw_parameters": "simlib.parameters",
    "simulate": "simlib.simulation.simulate",
    "open_dataset": "simlib.dataset.open",
    "replay": "simlib.dataset.replay",
    "plot": "simlib.plots.plot",
    "InputError": "simlib.errors",
}
_PACKAGES = ("etc", "stellar")

_home = os.path.expanduser("~")
if not os.path.isabs(_home) or not os.access(_home, os.W_OK | os.X_OK):
    import_module("simlib.homeless").settle()

__all__ = list(_HOME) + list(_PACKAGES)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("simlib.version").version()
    if name in _PACKAGES:
        return import_module(f"simlib.{name}")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
