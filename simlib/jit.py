"""The one way that loops are compiled: by numba, what it compiled kept in the cache folder."""

from collections.abc import Callable
from typing import Any

import numba

from simlib import cache

_CONFIG: Any = numba.config


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
