"""Flows and stages as Prefect runs them. The work never fails for the server.

One that does not answer, or that ends meanwhile, costs a warning; what it missed is told to it by
the next refresh (`settle`).
"""

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

from prefect import Flow, Task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import FlowRunContext, TaskRunContext
from prefect.exceptions import ObjectNotFound
from prefect.settings import get_current_settings
from prefect.states import Cancelled, Completed, Crashed, Failed

from flows.claim import Held, Refresh
from simlib.errors import InputError

log = logging.getLogger(__name__)
logging.raiseExceptions = False  # else each log line that a server misses is told of on stderr

P = ParamSpec("P")
R = TypeVar("R")

POLL_S = 3.0  # between two looks whether a run is cancelled
PAUSES_S = (10.0, 60.0)  # before a stage is tried again
_told: set[str] = set()  # servers whose silence was told of


def as_flow(fn: Callable[P, R], name: str) -> Any:
    """Return Prefect's flow of a function.

    What is given is checked by the function itself, which says what is wrong in one message. A flow
    whose work another run does ends Completed, one that a person's mistake ends, Failed: both with
    that message and nothing else.
    """

    @wraps(fn)
    def ending(*given: P.args, **named: P.kwargs) -> Any:
        try:
            result = fn(*given, **named)
        except Held as error:
            return Completed(message=f"skipped: {error}")
        except InputError as error:
            return Failed(message=str(error), data=error)
        return Completed(message=result.outcome) if isinstance(result, Refresh) else result

    return Flow(ending, name=name, validate_parameters=False)


def as_task(
    fn: Callable[P, R],
    name: str,
    timeout_s: float | None,
    is_passing: Callable[[Exception], bool],
) -> Any:
    """Return Prefect's task of a function.

    A stage finds out by fingerprint whether its work is done already, so Prefect's own cache of
    results stays off.
    """

    def is_tried_again(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
        error, is_late = state.data, state.name == "TimedOut"
        return isinstance(error, Exception) and not is_late and is_passing(error)

    return Task(
        fn,
        name=name,
        tags=["specdenoise", name],
        cache_policy=NO_CACHE,
        timeout_seconds=timeout_s,
        retries=len(PAUSES_S),
        retry_delay_seconds=list(PAUSES_S),
        retry_condition_fn=is_tried_again,
    )


def run(
    fn: Callable[P, R],
    orchestrate: Callable[[Callable[P, R]], Any],
    *given: P.args,
    **named: P.kwargs,
) -> R:
    """Return what a function returns, which Prefect runs and shows as far as its server answers.

    orchestrate: makes Prefect's flow or task of it.
    """
    done: list[R] = []
    failed: list[BaseException] = []
    cancelled: list[UUID] = []

    @wraps(fn)
    def noting(*given: P.args, **named: P.kwargs) -> R:
        failed.clear()
        try:
            with _heeding_cancellation(cancelled):
                result = fn(*given, **named)
        except BaseException as error:
            failed.append(error)
            raise
        done.append(result)
        return result

    if is_silent():
        return fn(*given, **named)
    try:
        orchestrate(noting)(*given, **named, return_state=True)
    except Exception as error:
        tell_silence(error)
    finally:
        for run in cancelled:
            _set_state(run, Cancelled(message="cancelled, and ended here"))
    if done:
        return done[-1]
    if failed:
        raise failed[-1]
    return fn(*given, **named)


@contextmanager
def _heeding_cancellation(cancelled: list[UUID]) -> Iterator[None]:
    """Interrupt this process where someone cancels its run on the server, and note which.

    A worker does so with the processes that it started; of those that a person did, nobody else.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None or TaskRunContext.get() is not None:
        yield
        return
    run, stop = context.flow_run.id, threading.Event()

    def heed() -> None:
        with get_client(sync_client=True) as client:
            while not stop.wait(POLL_S):
                with suppress(Exception):  # no answer: asked again
                    state = client.read_flow_run(run).state
                    if state and (state.is_cancelling() or state.is_cancelled()):
                        cancelled.append(run)
                        os.kill(os.getpid(), signal.SIGINT)
                        return

    threading.Thread(target=heed, daemon=True).start()
    try:
        yield
    finally:
        stop.set()


def settle(records: Iterable[Refresh]) -> None:
    """Tell the server how runs ended of which it missed the end."""
    for record in records:
        if record.flow_run is None or record.is_held:
            continue
        try:
            with get_client(sync_client=True) as client:
                state = client.read_flow_run(UUID(record.flow_run)).state
            if state is not None and not state.is_final():
                _set_state(UUID(record.flow_run), end_of(record))
        except ObjectNotFound:  # of another server, or removed there
            continue
        except Exception as error:
            tell_silence(error)
            return


def end_of(record: Refresh) -> State[Any]:
    """Return the state in which a refresh ended, which its server was not told of."""
    if record.ended is None:
        return Crashed(message=f"{record.holder} is gone; what it had finished is kept")
    kind = Failed if record.has_failed else Completed
    return kind(message=f"told later: {record.outcome}")


def _set_state(run: UUID, state: State[Any]) -> None:
    try:
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(run, state, force=True)
    except Exception as error:
        tell_silence(error)


def is_silent() -> bool:
    """Return whether it was told that the server does not answer; it is not asked again."""
    return str(get_current_settings().api.url) in _told


def tell_silence(error: Exception) -> None:
    """Say, once, that the server does not answer."""
    url = str(get_current_settings().api.url)
    if url not in _told:
        _told.add(url)
        text = str(error).partition("\n")[0] or type(error).__name__
        log.warning("Prefect at %s does not answer (%s); the work goes on without it", url, text)
