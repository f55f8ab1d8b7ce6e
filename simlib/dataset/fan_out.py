"""Work on blocks sent to a Dask cluster and followed until all of it is done.

Recipe and plan reach each worker once, in a plugin; a task is a name and a few numbers. What may
pass is tried again by the worker (`simlib.retry`), a lost worker's tasks go to others, and so do
those of one that hangs; any other error ends it all.
"""

import logging
import secrets
from asyncio import CancelledError as LoopCancelledError
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from distributed import Client, Future, KilledWorker, as_completed
from distributed.comm.core import CommClosedError

from simlib.dataset.tasks import Task
from simlib.dataset.watch import Patience, name_of, watching
from simlib.dataset.worker import Does, Work, run
from simlib.errors import InputError

log = logging.getLogger(__name__)

_MEMORY_TOPIC = "worker-restart-memory"  # told by a nanny that ends its worker
_MOST_IN_VAIN = 10  # times that each worker may be ended so before a task ends
_MOST_SENT = 100  # times that a work is sent to workers that end meanwhile
_LESS_MEMORY = (
    "let each have more (cluster.memory_gb, or fewer of them), or, of a build, simulate fewer rows "
    "at once (dataset.block)"
)


def fan_out(
    client: Client,
    verb: str,
    name: str,
    does: Does,
    tasks: Sequence[Task],
    patience: Patience,
    done: Callable[[Any], None],
) -> None:
    """Do work on the blocks of all tasks; `done` gets what each task returns as it ends.

    verb, name: of the work, on the dashboard and in messages. What a task raises is raised, after
    the others were called back. Raises InputError where the scheduler is lost, or where workers
    had too little memory for a task.
    """
    # `as_completed` asks for the current client, which of several builds at once may be another's
    with (
        client.as_current(),
        _memory_told(client) as over_memory,
        _sent(client, name, does, over_memory) as work,
    ):
        keys = [task.key(verb, work) for task in tasks]
        futures = client.map(
            run,
            [work] * len(tasks),
            [task.split for task in tasks],
            [task.starts for task in tasks],
            key=keys,
        )
        waiting: dict[Hashable, Future[Any]] = dict(zip(keys, futures, strict=True))
        over_memory.waiting = waiting
        ended = as_completed(futures)
        del futures  # a result that is kept would be made again where its worker is lost
        with watching(client, waiting, patience) as watch:
            try:
                for some in ended.batches():  # what they returned, fetched at once, costs less
                    for future, (seconds, result) in zip(some, client.gather(some), strict=True):
                        del waiting[future.key]
                        over_memory.in_vain = 0
                        watch.note(seconds)
                        done(result)
            except BaseException as error:
                if client.status == "running":
                    client.cancel(list(waiting.values()))
                told = _explained(error, client, over_memory, watch.hopeless)
                if told is None:
                    raise
                raise told from error


def _explained(
    error: BaseException, client: Client, over_memory: "_OverMemory", hopeless: Hashable | None
) -> Exception | None:
    """Return what to raise for an error of Dask's that ended the work, None for any other."""
    if isinstance(error, KilledWorker):
        count = error.allowed_failures + 1
        told = f"{name_of(error.task)}: {count} workers ended, one after another, with it"
        if over_memory.ended:
            return InputError(f"{told}, the last over its limit of memory; {_LESS_MEMORY}")
        return RuntimeError(f"{told} (the last: {error.last_worker}); their logs say more")
    if isinstance(error, (CancelledError, OSError)) and over_memory.is_hopeless:
        return InputError(
            f"{over_memory.in_vain} workers, one after another, were over their limit of memory "
            f"before a task ended; {_LESS_MEMORY}"
        )
    if isinstance(error, CancelledError) and hopeless is not None:
        return InputError(
            f"{name_of(hopeless)} hung on one worker after another; look whether the store that it "
            "writes to answers, or allow more time (cluster.hang_factor, cluster.hang_floor_s)"
        )
    is_lost = isinstance(error, (CancelledError, LoopCancelledError, CommClosedError))
    if is_lost or (isinstance(error, OSError) and client.status != "running"):
        return InputError(
            "the Dask scheduler was lost, or called the work back; what is finished stays. Start "
            "the cluster again (cluster.address) and run the same command: it goes on from there"
        )
    return None


@dataclass
class _OverMemory:
    """Workers that were ended for their memory: all, and those since a task ended.

    Where they never come as far as a task, no task fails of it: `most` in vain are enough.
    """

    most: int
    waiting: Mapping[Hashable, Future[Any]] = field(default_factory=dict)
    ended: int = 0
    in_vain: int = 0

    @property
    def is_hopeless(self) -> bool:
        return self.in_vain >= self.most


@contextmanager
def _memory_told(client: Client) -> Iterator[_OverMemory]:
    """Yield a count of the workers that were ended for their memory, each told as it happens.

    All work is called back where that becomes hopeless.
    """
    over = _OverMemory(most=_MOST_IN_VAIN * max(1, len(client.nthreads())))

    async def tell(event: Any) -> None:
        over.ended += 1
        over.in_vain += 1
        log.warning("worker %s was over its limit of memory and starts anew; %s",
                    event[1].get("worker") or "", _LESS_MEMORY)  # fmt: skip
        if over.is_hopeless:
            await client.cancel(list(over.waiting.values()), asynchronous=True)

    client.subscribe_topic(_MEMORY_TOPIC, tell)
    try:
        yield over
    finally:
        if client.status == "running":
            with suppress(Exception):
                client.unsubscribe_topic(_MEMORY_TOPIC)


@contextmanager
def _sent(client: Client, name: str, does: Does, over_memory: _OverMemory) -> Iterator[str]:
    """Yield the name by which all workers have the work; take it from them in the end.

    Where a worker ends while it is sent, it is sent once more, to those that are there then.
    """
    for times_left in reversed(range(_MOST_SENT)):
        work = f"{name}-{secrets.token_hex(4)}"
        try:
            client.register_plugin(Work(work, does))
            break
        except OSError as error:
            _take_back(client, work)
            if client.status != "running" or over_memory.is_hopeless or not times_left:
                raise _explained(error, client, over_memory, None) or error from error
    try:
        yield work
    finally:
        _take_back(client, work)


def _take_back(client: Client, work: str) -> None:
    if client.status == "running":
        with suppress(Exception):  # a cluster that ends meanwhile forgets it too
            client.unregister_worker_plugin(work)
