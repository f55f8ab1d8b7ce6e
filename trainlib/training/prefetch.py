"""Items made by a thread while others are used: as many in advance as asked for, and no more."""

import logging
import threading
from collections.abc import Iterable, Iterator
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

log = logging.getLogger(__name__)

Item = TypeVar("Item")
_PATIENCE_S = 600.0  # for one item: compilation and set-up may come before the first
_FAREWELL_S = 30.0  # for the item in the making when the rest is not wanted


class Prefetcher(Generic[Item]):
    """Iterates over the same items, made by a thread that begins at once.

    depth: items that exist beside the one in use, the one in the making included. What is raised
    while an item is made is raised in its place. `close` must be called; it ends the thread.
    """

    def __init__(self, items: Iterable[Item], depth: int) -> None:
        self._made: SimpleQueue[Item | _End] = SimpleQueue()
        self._room = threading.Semaphore(depth)
        self._is_closed = threading.Event()
        self._end: _End | None = None
        self._thread = threading.Thread(
            target=self._make, args=(items,), daemon=True, name="prefetch"
        )
        self._thread.start()

    def _make(self, items: Iterable[Item]) -> None:
        source = iter(items)
        try:
            while self._room.acquire() and not self._is_closed.is_set():
                self._made.put(next(source))
        except StopIteration:
            self._made.put(_End(None))
        except BaseException as error:  # whatever it is, it is raised where the item is awaited
            self._made.put(_End(error))

    def __iter__(self) -> Iterator[Item]:
        """Return itself."""
        return self

    def __next__(self) -> Item:
        """Return the next item; the one before is taken to be used up."""
        if self._end is None:
            try:
                item = self._made.get(timeout=_PATIENCE_S)
            except Empty:
                raise RuntimeError(f"nothing was made within {_PATIENCE_S:g} s") from None
            if not isinstance(item, _End):
                self._room.release()
                return item
            self._end = item
        if self._end.error is not None:
            raise self._end.error
        raise StopIteration

    def close(self) -> None:
        """End the thread, after the item in the making, and forget what was made."""
        self._is_closed.set()
        self._room.release()
        self._thread.join(_FAREWELL_S)
        if self._thread.is_alive():
            log.warning("what is made ahead did not end within %g s; left behind", _FAREWELL_S)
        self._made = SimpleQueue()


class _End:
    """Stands where there are no more items, or where one could not be made."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error
