"""Flows are plain functions, which Prefect runs only where a server is named."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from prefect.exceptions import ObjectNotFound

from flows import building, pipeline, served, stages
from flows.orchestration import Orchestrated, flow, is_served, stage

PROFILE = 'active = "x"\n[profiles.x]\n%s\n'


def slow(*values: object) -> Any:
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.fixture
def unset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a home of Prefect's in which nothing was set up, and an empty working folder."""
    for name in [name for name in os.environ if name.startswith("PREFECT")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def test_without_a_server_the_functions_are_just_called(
    unset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Orchestrated, "in_prefect", property(lambda _: pytest.fail("Prefect ran")))

    @stage("one", 9.0)
    def one(number: int) -> int:
        """Add one."""
        return number + 1

    @flow("both")
    def both(number: int) -> int:
        return one(one(number=number))

    assert both(40) == 42
    assert (one.__doc__, one.__name__, one.fn(1)) == ("Add one.", "one", 2)


@pytest.mark.parametrize(
    ("name", "text", "served"),
    [
        ("home/profiles.toml", PROFILE % 'PREFECT_API_URL = "http://h/api"', True),
        slow("home/profiles.toml", PROFILE % 'PREFECT_LOGGING_LEVEL = "INFO"', False),
        slow("here/prefect.toml", '[api]\nurl = "http://h/api"\n', True),
        slow("here/.env", "PREFECT_API_URL=http://h/api\n", True),
        ("here/pyproject.toml", "[project]\nname = 'other'\n", False),
    ],
)  # fmt: skip
def test_prefect_s_own_settings_count(name: str, text: str, served: bool, unset: Path) -> None:
    """Asked in a process of its own: Prefect reads them when it is loaded."""
    (unset / name).write_text(text)
    code = "from flows.orchestration import is_served; print(is_served())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100,
                          check=True, cwd=unset / "here")  # fmt: skip
    assert done.stdout.strip() == str(served)


@pytest.mark.parametrize(
    ("text", "loads"),
    [('dependencies = ["prefect>=3"]', False), ("[tool.prefect.api]\nurl = 'http://h/api'", True),
     ("not = [toml", True)],
)  # fmt: skip
def test_a_project_that_only_depends_on_prefect_does_not_load_it(
    text: str, loads: bool, unset: Path
) -> None:
    """As this program's own does, in whose folder many commands are given."""
    (unset / "here/pyproject.toml").write_text(text)
    code = "import sys; from flows.orchestration import is_served; is_served()\n"
    code += "print('prefect' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100,
                          cwd=unset / "here", check=False)  # fmt: skip
    assert "pyproject.toml" in done.stderr or done.stdout.strip() == str(loads)


def test_the_environment_says_so_first(unset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_served()
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    assert is_served()
    monkeypatch.setenv("PREFECT_API_URL", "")
    assert not is_served()


def test_every_stage_and_flow_has_its_name_in_prefect() -> None:
    named = {
        one.in_prefect.name: one for one in vars(stages).values() if isinstance(one, Orchestrated)
    }
    assert sorted(named) == [
        "build-dataset", "etc-grid", "evaluate", "release", "report", "sweep", "train",
    ]  # fmt: skip
    assert all(type(one.in_prefect).__name__ == "Task" for one in named.values())
    flows = [pipeline.workflow, building.building, pipeline.training, pipeline.refreshing,
             pipeline.sweeping]  # fmt: skip
    assert [one.in_prefect.name for one in flows] == [
        "specdenoise", "specdenoise-build", "specdenoise-train", "specdenoise-refresh",
        "specdenoise-sweep",
    ]  # fmt: skip
    assert {type(one.in_prefect).__name__ for one in flows} == {"Flow"}


@pytest.mark.slow  # its parts: test_pipeline.py
def test_a_whole_build_loads_no_prefect_and_leaves_no_process(unset: Path) -> None:
    code = (
        "import psutil, sys; from flows.cli import run_program\n"
        "sets = ['dataset.mode=virtual', 'stellar.grid=toy', 'stellar.teff=[4000, 4500]',\n"
        "        'stellar.logg=[1, 3]', 'stellar.feh=[-1, 0]', 'stellar.alpha=[0, 0.25]',\n"
        "        'cluster.kind=threads']\n"
        "words = [part for value in sets for part in ('--set', value)]\n"
        "assert run_program(['build', 'tiny', *words]) == 0\n"
        "print('prefect' in sys.modules, psutil.Process().children())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200,
                          check=True, cwd=unset / "here")  # fmt: skip
    assert done.stdout.splitlines()[-1] == "False []"


ENDS = ("cancelling", "cancelled")


@pytest.mark.parametrize("state", ENDS)
def test_a_run_that_is_cancelled_on_the_server_is_interrupted_here_once(
    state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an answer that failed and one that was not about that."""
    run, interrupted = SimpleNamespace(id=UUID(int=7)), threading.Event()
    answers: Iterator[Any] = iter(["none", "running", state, *20 * ["running"]])

    def read_flow_run(asked: UUID) -> Any:
        assert asked == run.id
        if (said := next(answers)) == "none":
            raise ConnectionError
        of_kind = {f"is_{kind}": lambda kind=kind: said == kind for kind in ENDS}
        return SimpleNamespace(state=SimpleNamespace(**of_kind))

    signals: list[tuple[int, int]] = []
    monkeypatch.setattr(
        served.os, "kill", lambda *told: signals.append(told) or interrupted.set()
    )  # fmt: skip
    client = nullcontext(SimpleNamespace(read_flow_run=read_flow_run))
    monkeypatch.setattr(served, "get_client", lambda sync_client: client)
    monkeypatch.setattr(served, "POLL_S", 0.01)
    of_flow = SimpleNamespace(get=lambda: SimpleNamespace(flow_run=run))
    monkeypatch.setattr(served, "FlowRunContext", of_flow)
    monkeypatch.setattr(served, "TaskRunContext", SimpleNamespace(get=lambda: None))
    cancelled: list[UUID] = []
    with served._heeding_cancellation(cancelled):
        assert interrupted.wait(20.0)
    assert cancelled == [run.id] and signals == [(os.getpid(), signal.SIGINT)]


@pytest.fixture
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served, "_told", set())


def as_it_is(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Run a function as a server does that answers: no error comes out of it."""

    def run(*given: Any, return_state: bool, **named: Any) -> None:
        with suppress(ValueError):
            fn(*given, **named)

    return run


def test_what_a_served_function_returns_or_raises_is_its_own(no_server: None) -> None:
    assert served.run(divmod, as_it_is, 17, 5) == (3, 2)
    assert served.run(sorted, as_it_is, [1, 3, 2], reverse=True) == [3, 2, 1]
    with pytest.raises(ValueError, match="invalid literal"):
        served.run(int, as_it_is, "x")


def test_the_last_of_several_tries_counts(no_server: None) -> None:
    tried = iter([ValueError("busy"), "first", "second"])

    def work() -> object:
        if isinstance(found := next(tried), Exception):
            raise found
        return found

    def again(fn: Callable[[], Any]) -> Callable[..., Any]:
        return lambda return_state: [as_it_is(fn)(return_state=True) for _ in range(3)]

    assert served.run(work, again) == "second"


def test_a_server_that_is_gone_costs_one_warning(
    no_server: None, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[int] = []

    def gone(fn: Callable[..., Any]) -> Callable[..., Any]:
        def run(*given: Any, return_state: bool) -> None:
            asked.append(1)
            raise ConnectionError("refused\nmore")

        return run

    assert served.run(abs, gone, -3) == 3 and served.run(abs, gone, -4) == 4
    assert len(asked) == 1  # it is not asked again
    (told,) = caplog.messages
    assert "does not answer (refused); the work goes on without it" in told


@pytest.mark.parametrize(
    ("changes", "is_final", "expected"),
    [
        ({}, False, ("FAILED", "told later: worse")),
        ({"has_failed": False}, False, ("COMPLETED", "told later: worse")),
        ({"ended": None}, False, ("CRASHED", "me is gone; what it had finished is kept")),
        ({}, True, None),
        ({"flow_run": None}, False, None),
        ({"is_held": True}, False, None),
    ],
)
def test_an_end_that_the_server_missed_is_told_to_it(
    changes: dict[str, Any], is_final: bool, expected: Any, monkeypatch: pytest.MonkeyPatch,
    no_server: None,
) -> None:  # fmt: skip
    run, told = UUID(int=9), list[tuple[UUID, str, str]]()
    client = SimpleNamespace(
        read_flow_run=lambda asked: SimpleNamespace(
            state=SimpleNamespace(is_final=lambda: is_final and asked == run)
        ),
        set_flow_run_state=lambda which, state, force: told.append(
            (which, state.type.value, state.message)
        ),
    )
    monkeypatch.setattr(served, "get_client", lambda sync_client: nullcontext(client))
    record = {"flow_run": str(run), "is_held": False, "ended": "noon", "has_failed": True,
              "outcome": "worse", "holder": "me"}  # fmt: skip
    served.settle([SimpleNamespace(**(record | changes))])  # type: ignore[list-item]
    assert told == ([] if expected is None else [(run, *expected)])


def test_a_run_that_the_server_does_not_know_does_not_keep_the_next_from_it(
    monkeypatch: pytest.MonkeyPatch, no_server: None, caplog: pytest.LogCaptureFixture
) -> None:
    errors: list[Exception] = [ObjectNotFound(ValueError()), ConnectionError("refused")]
    asked: list[UUID] = []

    def read_flow_run(run: UUID) -> Any:
        asked.append(run)
        raise errors[len(asked) - 1]

    client = SimpleNamespace(read_flow_run=read_flow_run)
    monkeypatch.setattr(served, "get_client", lambda sync_client: nullcontext(client))
    records = [SimpleNamespace(flow_run=str(UUID(int=n)), is_held=False) for n in (1, 2, 3)]
    served.settle(records)  # type: ignore[arg-type]
    assert asked == [UUID(int=1), UUID(int=2)] and len(caplog.messages) == 1
