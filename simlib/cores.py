"""Work shared among the cores of this process, each part on one of them.

Where parts run beside each other, none may take all cores for itself: products of matrices within
one stay on its thread, and what would be shared again is not. Else twice as many threads as cores
wait for each other, spinning.
"""

import ctypes
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from itertools import chain, islice
from typing import Any, TypeVar

from simlib.processes import usable_cores

_Part = TypeVar("_Part")
_Made = TypeVar("_Made")
_BOUND_TO_OPENBLAS = ("numpy._core._multiarray_umath", "scipy.linalg._fblas")
_NAMES = ("scipy_openblas_{}64_", "scipy_openblas_{}", "openblas_{}64_", "openblas_{}")

_here = threading.local()
_lock = threading.Lock()
_before: list[int] = []  # threads that each library had, while it has one
_users = 0  # threads that products are to stay on now


def threads() -> int:
    """Return the threads that work may be shared among here: one in a part of shared work."""
    if getattr(_here, "is_part", False):
        return 1
    said = os.environ.get("OMP_NUM_THREADS", "")
    return int(said) if said.isdecimal() and int(said) else usable_cores()


def on_cores(work: Callable[[_Part], _Made], parts: Iterable[_Part]) -> Iterator[_Made]:
    """Yield what work makes of each part, in their order, with as many at a time as `threads`.

    A few parts are taken ahead. A single one is worked on by the caller's thread.
    """
    waiting, count = iter(parts), threads()
    first = list(islice(waiting, 2))
    if count < 2 or len(first) < 2:
        yield from (_alone(work, part) for part in chain(first, waiting))
        return
    ahead: deque[Future[_Made]] = deque()
    with ThreadPoolExecutor(count) as pool:
        for part in chain(first, waiting):
            ahead.append(pool.submit(_alone, work, part))
            if len(ahead) > count:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def _alone(work: Callable[[_Part], _Made], part: _Part) -> _Made:
    was_part, _here.is_part = getattr(_here, "is_part", False), True
    try:
        with _products_on_one_thread():
            return work(part)
    finally:
        _here.is_part = was_part


@contextmanager
def _products_on_one_thread() -> Iterator[None]:
    """Keep products of matrices on the thread that asks for them; others' too, meanwhile."""
    global _users  # noqa: PLW0603  (how many ask is known to the process alone)
    with _lock:
        if _users == 0:
            _before[:] = [get() for get, _ in _libraries()]
            _set([1] * len(_before))
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _set(_before)


def _set(counts: list[int]) -> None:
    for (_, put), count in zip(_libraries(), counts, strict=True):
        put(count)


@cache
def _libraries() -> tuple[tuple[Callable[[], int], Callable[[int], Any]], ...]:
    """Return, of each OpenBLAS that is loaded, what tells and what sets its number of threads.

    None where products are another library's: it does as it does.
    """
    found = []
    for module in _BOUND_TO_OPENBLAS:
        try:
            library = ctypes.CDLL(import_module(module).__file__)
        except (ImportError, OSError, TypeError):
            continue
        for name in _NAMES:
            try:
                get, put = (getattr(library, name.format(f"{verb}_num_threads"))
                            for verb in ("get", "set"))  # fmt: skip
            except AttributeError:
                continue
            found.append((get, put))
            break
    return tuple(found)
