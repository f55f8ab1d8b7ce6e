"""Run the stages: Prefect flows, a Dask cluster for the fan-out, the command line.

Imported before Prefect, so that nothing is reported to anyone and its console stays quiet: the
command line has its own. What a person has set in the environment wins.
"""

import os
from importlib import import_module
from typing import Any

os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")
os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
os.environ.setdefault("PREFECT_LOGGING_INTERNAL_LEVEL", "CRITICAL")
# a server that is gone is told of once, and soon: 6 s a request; by default it is a minute
os.environ.setdefault("PREFECT_CLIENT_MAX_RETRIES", "2")
os.environ.setdefault("PREFECT_LOGGING_EXTRA_LOGGERS", "flows,simlib,trainlib")
os.environ.setdefault("PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "ignore")

_HOME = {
    "etc_grid": "flows.building",
    "build_dataset": "flows.building",
    "train": "flows.stages",
    "evaluate": "flows.stages",
    "report": "flows.stages",
    "refresh": "flows.pipeline",
    "specdenoise": "flows.pipeline",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("simlib.version").version()
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
