"""What a server is told of a config and of grids; nothing of it needs a network."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from flows import deployment, events, served
from flows.claim import Held, Refresh
from flows.cli import run_program
from flows.deployment import FLOWS, SCHEDULED, deployments
from simlib.errors import InputError
from simlib.location import Location

DOCKER = ["deploy.kind=docker", "deploy.image=registry.org/specdenoise:1"]
PODS = ["deploy.kind=kubernetes", "deploy.image=registry.org/specdenoise:1",
        "deploy.namespace=survey"]  # fmt: skip


def made(tmp_path: Path, *overrides: str, **more: Any) -> dict[str, Any]:
    root = f"storage.root='{tmp_path}/data'"
    return {one.flow_name: one for one in deployments("tiny", [root, *overrides], **more)}


def test_one_is_scheduled_and_woken_by_grids_and_all_are_named_by_the_dataset(
    tmp_path: Path,
) -> None:
    found = made(tmp_path, "deploy.cron=5 4 * * 1", "deploy.timezone=Europe/Budapest")
    assert list(found) == list(FLOWS)
    assert {one.name for one in found.values()} == {"tiny"}
    assert {name: one.entrypoint for name, one in found.items()} == FLOWS
    refresh = found.pop(SCHEDULED)
    (schedule,) = refresh.schedules
    assert (schedule.schedule.cron, schedule.schedule.timezone) == ("5 4 * * 1", "Europe/Budapest")
    (trigger,) = refresh.triggers
    assert trigger.expect == {"specdenoise.grid.changed"}
    assert trigger.match.model_dump() == {"prefect.resource.id": "specdenoise.grid.*"}
    assert not any(one.schedules or one.triggers for one in found.values())


def test_its_parameters_mean_the_same_in_every_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text("[dataset]\nname = 'mine'\n[storage]\nroot = './kept'\n")
    for one in deployments("mine.toml", ["train.lr=0.5"]):
        assert one.name == "mine" and one.parameters == {
            "source": f"{tmp_path}/mine.toml",
            "overrides": ["train.lr=0.5", f"storage.root='{tmp_path}/kept'"],
        }
        assert one.job_variables["working_dir"] == str(tmp_path)
    schema = one._parameter_openapi_schema.properties
    assert (schema["source"]["type"], schema["overrides"]["type"]) == ("string", "array")


def test_each_kind_of_worker_is_told_what_it_needs(tmp_path: Path) -> None:
    process = made(tmp_path)[SCHEDULED]
    assert process.work_pool_name == "specdenoise" and "image" not in process.job_variables
    docker = made(tmp_path, *DOCKER, "deploy.pool=mine")[SCHEDULED]
    assert docker.work_pool_name == "mine"
    assert docker.job_variables["image"] == "registry.org/specdenoise:1"
    assert docker.job_variables["volumes"] == [f"{tmp_path}/data:{tmp_path}/data"]
    pods = made(tmp_path, *PODS, "storage.root=s3://bucket/x")[SCHEDULED]
    assert pods.job_variables["namespace"] == "survey" and "volumes" not in pods.job_variables
    assert pods.parameters["overrides"][-1] == "storage.root=s3://bucket/x"
    here = made(tmp_path, by_workers=False)[SCHEDULED]
    assert here.work_pool_name is None and not here.job_variables and here.schedules


@pytest.mark.parametrize(
    ("overrides", "message"),
    [(PODS, "pods do not see storage.root = "), (["deploy.kind=docker"], "needs image"),
     (["deploy.image=x"], "takes no image"), (["deploy.namespace=x"], "namespace acts only where"),
     (["deploy.cron=61 * * * *"], "is no schedule; write minute"),
     (["deploy.cron=every night"], "deploy.cron"),
     (["deploy.timezone=Mars/Olympus"], "is no time zone; write one such as"),
     (["deploy.timezone=../etc"], "is no time zone")],
)  # fmt: skip
def test_what_cannot_run_is_refused(overrides: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        made(tmp_path, *overrides)


def test_the_recipe_beside_the_code_is_of_the_same_flows() -> None:
    import yaml

    recipe = Path(__file__).resolve().parents[2] / "infra" / "prefect.yaml"
    found = yaml.safe_load(recipe.read_text(encoding="utf-8"))["deployments"]
    assert {one["entrypoint"] for one in found} == set(FLOWS.values())
    (scheduled,) = [one for one in found if "schedules" in one]
    assert scheduled["entrypoint"] == FLOWS[SCHEDULED]
    assert scheduled["triggers"][0]["expect"] == [events.GRID_CHANGED]
    assert scheduled["triggers"][0]["match"] == {"prefect.resource.id": f"{events.RESOURCE}.*"}


@pytest.mark.parametrize("verb", ["deploy", "serve"])
def test_without_a_server_both_verbs_say_how_to_have_one(
    verb: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "")
    assert run_program([verb, "tiny"]) == 2
    assert "no Prefect server is named; start one" in capfd.readouterr().err
    assert run_program([verb, "tiny", "--set", "deploy.pol=x"]) == 2
    assert "the nearest known key is 'deploy.pool'" in capfd.readouterr().err


@pytest.mark.parametrize(
    "asks", [deployment.register, pytest.param(deployment.serve, marks=pytest.mark.slow)]
)
def test_a_server_that_does_not_answer_is_a_mistake_in_its_address(
    asks: Callable[..., object], tmp_path: Path
) -> None:
    nobody = "http://127.0.0.1:9/api"
    with (
        temporary_settings({PREFECT_API_URL: nobody, PREFECT_CLIENT_MAX_RETRIES: 0}),
        pytest.MonkeyPatch.context() as patch,
        pytest.raises(InputError, match=f"no Prefect server answers at {nobody}"),
    ):
        patch.setenv("PREFECT_API_URL", nobody)
        asks("tiny", [f"storage.root='{tmp_path}'"])


def test_an_event_says_which_grid_has_changed(tmp_path: Path) -> None:
    told = events.event("terms", Location.of(tmp_path))
    assert told["event"] == "specdenoise.grid.changed"
    assert told["resource"]["prefect.resource.id"] == "specdenoise.grid.terms"
    assert told["payload"] == {"kind": "terms", "place": str(tmp_path)}
    json.dumps(told)
    told = events.event("input", Location.of(tmp_path), of="sky.tables", old=None, new="b")
    assert told["payload"] == {
        "kind": "input", "place": str(tmp_path), "of": "sky.tables", "old": None, "new": "b",
    }  # fmt: skip


def test_nobody_is_told_where_no_server_is_named_and_its_silence_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as silent:
        silent.setenv("PREFECT_API_URL", "")
        silent.setitem(sys.modules, "prefect.client.orchestration", None)  # to import it fails
        assert not events.tell_grid_changed("terms", Location.of(tmp_path))
    assert caplog.messages == []
    nobody = "http://127.0.0.1:9/api"
    monkeypatch.setenv("PREFECT_API_URL", nobody)
    with temporary_settings({PREFECT_API_URL: nobody}):
        assert not events.tell_grid_changed("terms", Location.of(tmp_path))
    (told,) = caplog.messages
    assert told.startswith(f"Prefect was not told that {tmp_path} has changed")


def refreshed(**changed: Any) -> Refresh:
    record = Refresh(number=1, token="t", host="h", process=1, began="then", renewed=0.0,
                     flow_run="0" * 32, outcome="release 2")  # fmt: skip
    return record.model_copy(update=changed)


@pytest.mark.parametrize(
    ("changed", "kind", "message"),
    [({"ended": "x"}, "COMPLETED", "told later: release 2"),
     ({"ended": "x", "has_failed": True}, "FAILED", "told later: release 2"),
     ({}, "CRASHED", "process 1 on h since then is gone; what it had finished is kept")],
)  # fmt: skip
def test_what_a_server_missed_is_told_as_it_was(
    changed: dict[str, Any], kind: str, message: str
) -> None:
    state = served.end_of(refreshed(**changed))
    assert (state.type.value, state.message) == (kind, message)


def test_a_flow_that_is_held_or_mistaken_ends_with_the_message_alone() -> None:
    def ends(error: Exception | None) -> Any:
        def fn() -> Refresh:
            if error is not None:
                raise error
            return refreshed()

        return served.as_flow(fn, "x").fn()

    held, mistaken, done = ends(Held("held by x")), ends(InputError("no")), ends(None)
    assert (held.type.value, held.message) == ("COMPLETED", "skipped: held by x")
    assert (mistaken.type.value, mistaken.message) == ("FAILED", "no")
    assert (done.type.value, done.message) == ("COMPLETED", "release 2")


@pytest.mark.parametrize(
    ("error", "is_late", "is_tried"),
    [(ConnectionError("gone"), False, True), (InputError("no"), False, False),
     (ConnectionError("gone"), True, False), (PermissionError("no"), False, False)],
)  # fmt: skip
def test_a_stage_is_tried_again_where_its_error_may_pass(
    error: Exception, is_late: bool, is_tried: bool
) -> None:
    from prefect.states import Failed

    from flows.stages import build_dataset

    task = build_dataset.in_prefect
    assert task.retries == 2 and task.timeout_seconds > 86400 and "build-dataset" in task.tags
    state = Failed(data=error, name="TimedOut" if is_late else "Failed")
    assert task.retry_condition_fn(task, None, state) is is_tried


def test_lost_ranks_are_gone_on_with_and_failed_ones_are_not() -> None:
    from flows.stages import may_train_on
    from trainlib.training.launch import RanksLost

    assert may_train_on(RanksLost("killed")) and may_train_on(ConnectionError())
    assert not may_train_on(RuntimeError("bug")) and not may_train_on(InputError("no"))


def test_a_pool_of_another_kind_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Server:
        def __enter__(self) -> "Server":
            return self

        def __exit__(self, *_: object) -> None: ...

        def read_work_pool(self, name: str) -> Any:
            return type("Pool", (), {"type": "docker", "name": name})()

    monkeypatch.setattr(deployment, "get_client", lambda **_: Server())
    with pytest.raises(InputError, match="'specdenoise' is of type 'docker', not 'process'"):
        deployment._require_pool(deployment.Deploy())
