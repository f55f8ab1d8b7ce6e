"""Flows and stages as Prefect runs them. The work never fails for the server.

One that does not answer, or that ends meanwhile, costs a warning; what it missed is told to it by
the next run (`flows.claims`).
"""

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from prefect import Flow, Task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.settings import get_current_settings
from prefect.states import Completed, Failed

from flows.claim import Held, Refresh
from simlib.errors import InputError

log = logging.getLogger(__name__)
logging.raiseExceptions = False  # else each log line that a server misses is told of on stderr

P = ParamSpec("P")
R = TypeVar("R")

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

    @wraps(fn)
    def noting(*given: P.args, **named: P.kwargs) -> R:
        failed.clear()
        try:
            result = fn(*given, **named)
        except BaseException as error:
            failed.append(error)
            raise
        done.append(result)
        return result

    if str(get_current_settings().api.url) in _told:
        return fn(*given, **named)
    try:
        orchestrate(noting)(*given, **named, return_state=True)
    except Exception as error:
        tell_silence(error)
    if done:
        return done[-1]
    if failed:
        raise failed[-1]
    return fn(*given, **named)


def tell_silence(error: Exception) -> None:
    """Say, once, that the server does not answer."""
    url = str(get_current_settings().api.url)
    if url not in _told:
        _told.add(url)
        text = str(error).partition("\n")[0] or type(error).__name__
        log.warning("Prefect at %s does not answer (%s); the work goes on without it", url, text)
