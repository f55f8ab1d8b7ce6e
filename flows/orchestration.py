"""Flows and stages: plain functions, which Prefect runs where a server is there to show them.

A verb needs no server. To load Prefect and start its temporary server took 25 s of processor time
for a workflow of a minute, and left that server behind where the program was killed; so without
`PREFECT_API_URL`, in the environment or in Prefect's own settings, functions are just called.
"""

import os
import tomllib
from collections.abc import Callable
from functools import cached_property, update_wrapper
from pathlib import Path
from typing import Any, Generic, Literal, ParamSpec, TypeVar

from simlib.retry import may_pass

P = ParamSpec("P")
R = TypeVar("R")

_SETTINGS = ("PREFECT_PROFILE", "PREFECT_PROFILES_PATH")


class Orchestrated(Generic[P, R]):
    """A function that Prefect runs where there is a server. fn: the function itself.

    timeout_s: after which a stage ends. is_passing: whether a stage is tried again after an error.
    """

    def __init__(
        self,
        fn: Callable[P, R],
        kind: Literal["flow", "task"],
        name: str,
        timeout_s: float | None = None,
        is_passing: Callable[[Exception], bool] = may_pass,
    ) -> None:
        self.fn, self.kind, self.name = fn, kind, name
        self.timeout_s, self.is_passing = timeout_s, is_passing
        update_wrapper(self, fn)

    def __call__(self, *given: P.args, **named: P.kwargs) -> R:
        """Call the function, by way of Prefect where a server is known."""
        if not is_served():
            return self.fn(*given, **named)
        from flows.served import run

        return run(self.fn, self._orchestrate, *given, **named)

    @cached_property
    def in_prefect(self) -> Any:
        """Return it as Prefect's flow or task."""
        return self._orchestrate(self.fn)

    def _orchestrate(self, fn: Callable[P, R]) -> Any:
        from flows.served import as_flow, as_task

        if self.kind == "flow":
            return as_flow(fn, self.name)
        return as_task(fn, self.name, self.timeout_s, self.is_passing)


def flow(name: str) -> Callable[[Callable[P, R]], Orchestrated[P, R]]:
    """Make a function a flow of this name."""
    return lambda fn: Orchestrated(fn, "flow", name)


def stage(
    name: str, timeout_s: float, is_passing: Callable[[Exception], bool] = may_pass
) -> Callable[[Callable[P, R]], Orchestrated[P, R]]:
    """Make a function a stage of this name: a task of the flow that calls it."""
    return lambda fn: Orchestrated(fn, "task", name, timeout_s, is_passing)


def current_run() -> str | None:
    """Return the id of Prefect's run that this is part of, None where it is of none."""
    if not is_served():
        return None
    from prefect.context import FlowRunContext

    context = FlowRunContext.get()
    return str(context.flow_run.id) if context and context.flow_run else None


def is_served() -> bool:
    """Return whether a Prefect server is named; Prefect is asked only where it was ever set up."""
    if "PREFECT_API_URL" in os.environ:
        return bool(os.environ["PREFECT_API_URL"])
    is_set_up = _mentions_prefect() or any(name in os.environ for name in _SETTINGS)
    if not is_set_up:
        return False
    from prefect.settings import get_current_settings

    return get_current_settings().api.url is not None


def _mentions_prefect() -> bool:
    """Return whether one of the files that Prefect reads may set something of it."""
    home = Path(os.environ.get("PREFECT_HOME") or "~/.prefect").expanduser()
    named = (home / "profiles.toml", Path(".env"))
    if any(path.is_file() and b"PREFECT" in path.read_bytes().upper() for path in named):
        return True
    return Path("prefect.toml").is_file() or _has_section(Path("pyproject.toml"))


def _has_section(project: Path) -> bool:
    """Return whether a project's file sets Prefect up, rather than only asking for its package."""
    if not project.is_file():
        return False
    try:
        return "prefect" in tomllib.loads(project.read_text(encoding="utf-8")).get("tool", {})
    except ValueError:  # Prefect says what is wrong with it
        return True
