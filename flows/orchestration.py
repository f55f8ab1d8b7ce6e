"""Flows and stages: plain functions, which Prefect runs where a server is there to show them.

A verb needs no server. To load Prefect and start its temporary server took 25 s of processor time
for a workflow of a minute, and left that server behind where the program was killed; so without
`PREFECT_API_URL`, in the environment or in Prefect's own settings, functions are just called.
"""

import os
from collections.abc import Callable
from functools import cached_property, update_wrapper
from pathlib import Path
from typing import Any, Generic, Literal, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_SETTINGS = ("PREFECT_PROFILE", "PREFECT_PROFILES_PATH")
_FILES = ("pyproject.toml", ".env")  # of the working folder, which Prefect reads


class Orchestrated(Generic[P, R]):
    """A function that Prefect runs where there is a server. fn: the function itself."""

    def __init__(self, fn: Callable[P, R], kind: Literal["flow", "task"], name: str) -> None:
        self.fn, self.kind, self.name = fn, kind, name
        update_wrapper(self, fn)

    def __call__(self, *given: P.args, **named: P.kwargs) -> R:
        """Call the function, by way of Prefect where a server is known."""
        if not is_served():
            return self.fn(*given, **named)
        result: R = self.in_prefect(*given, **named)
        return result

    @cached_property
    def in_prefect(self) -> Any:
        """Return it as Prefect's flow or task.

        A stage finds out by fingerprint whether its work is done already, so Prefect's own cache of
        results stays off.
        """
        from prefect import flow, task
        from prefect.cache_policies import NO_CACHE

        if self.kind == "flow":
            return flow(name=self.name)(self.fn)
        return task(name=self.name, cache_policy=NO_CACHE)(self.fn)


def flow(name: str) -> Callable[[Callable[P, R]], Orchestrated[P, R]]:
    """Make a function a flow of this name."""
    return lambda fn: Orchestrated(fn, "flow", name)


def stage(name: str) -> Callable[[Callable[P, R]], Orchestrated[P, R]]:
    """Make a function a stage of this name: a task of the flow that calls it."""
    return lambda fn: Orchestrated(fn, "task", name)


def is_served() -> bool:
    """Return whether a Prefect server is named; Prefect is asked only where it was ever set up."""
    if "PREFECT_API_URL" in os.environ:
        return bool(os.environ["PREFECT_API_URL"])
    home = Path(os.environ.get("PREFECT_HOME") or "~/.prefect").expanduser()
    files = [home / "profiles.toml", *(Path(name) for name in _FILES)]
    mentions = any(path.is_file() and b"PREFECT" in path.read_bytes().upper() for path in files)
    mentions = mentions or Path("prefect.toml").is_file()
    if not mentions and not any(name in os.environ for name in _SETTINGS):
        return False
    from prefect.settings import get_current_settings

    return get_current_settings().api.url is not None
