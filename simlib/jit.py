"""The one way that loops are compiled: by numba, what it compiled kept in the cache folder."""

import gc
from collections.abc import Callable
from typing import Any

import numba
from numba.core import event

from simlib import cache

_CONFIG: Any = numba.config


class _WithoutCollection(event.Listener):
    """Compiling makes objects by the million and little to collect: looking through them all, over
    and over, would take a twentieth of its time. numba compiles in one thread at a time.
    """

    def __init__(self) -> None:
        self.depth, self.was_enabled = 0, False

    def on_start(self, event: Any) -> None:
        if self.depth == 0:
            self.was_enabled = gc.isenabled()
            gc.disable()
        self.depth += 1

    def on_end(self, event: Any) -> None:
        self.depth -= 1
        if self.depth == 0 and self.was_enabled:
            gc.enable()


event.register("numba:compile", _WithoutCollection())  # type: ignore[no-untyped-call]


def njit(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that compiles a function, options as of `numba.njit`.

    NUMBA_CACHE_DIR wins where it is set; else the cache's folder is used, and nothing beside the
    sources or in a home is ever touched.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        configured = _CONFIG.CACHE_DIR
        _CONFIG.CACHE_DIR = configured or str(cache.writable("numba"))
        try:  # where it is kept is settled here, for this function; other people's stay as they are
            compiled: Callable[..., Any] = numba.njit(**options)(function)
        finally:
            _CONFIG.CACHE_DIR = configured
        return compiled

    return decorate
