"""Deployments: what Prefect's server knows of a config, to run it by a schedule, event or click.

Four are made of each config, named by its dataset: `specdenoise-refresh`, every night and when a
grid has changed, `specdenoise`, `specdenoise-train` and `specdenoise-sweep` on demand. No limit of
Prefect's own is set: of two refreshes at once the claim in the store lets one go on
(`flows.claim`), which also decides against those that were started by hand, and frees itself where
a worker is lost.
"""

import asyncio
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from httpx import TransportError
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.schedules import CronSchedule
from prefect.deployments.runner import RunnerDeployment
from prefect.events import DeploymentEventTrigger
from prefect.exceptions import ObjectNotFound, TerminationSignal
from prefect.runner import Runner
from prefect.settings import get_current_settings
from prefect.workers.utilities import get_default_base_job_template_for_infrastructure_type

from flows.config import Config, load_config
from flows.deploy_config import Deploy
from flows.events import GRID_CHANGED, RESOURCE
from flows.orchestration import is_served
from flows.watching import watched
from simlib.config import presets
from simlib.errors import InputError

log = logging.getLogger(__name__)

FLOWS = {
    "specdenoise-refresh": "flows.deployed.refresh",
    "specdenoise": "flows.deployed.specdenoise",
    "specdenoise-train": "flows.deployed.train",
    "specdenoise-sweep": "flows.deployed.sweep",
}
SCHEDULED = "specdenoise-refresh"


def deployments(
    source: str, overrides: Sequence[str] = (), *, by_workers: bool = True
) -> list[RunnerDeployment]:
    """Return the deployments of a config. by_workers: of its work pool, else of this process.

    Raises InputError for a mistake, and for a root that the workers could not see.
    """
    config = load_config(source, overrides)
    given = {"source": _found_anywhere(source), "overrides": [*overrides, *_pinned(config)]}
    pool = _pool(config) if by_workers else {}
    made = []
    for flow, entrypoint in FLOWS.items():
        on_its_own = _when(config.deploy) if flow == SCHEDULED else {}
        made.append(
            RunnerDeployment.from_entrypoint(
                entrypoint,
                name=config.dataset.name,
                parameters=given,
                tags=["specdenoise", config.dataset.name],
                **pool,
                **on_its_own,
            )
        )
    return made


def _when(deploy: Deploy) -> dict[str, Any]:
    try:
        schedule = CronSchedule(cron=deploy.cron, timezone=deploy.timezone)
    except ValueError:
        raise InputError(
            f"deploy.cron = {deploy.cron!r} is no schedule; write minute, hour, day, month and day "
            "of the week, such as '0 3 * * *'"
        ) from None
    trigger = DeploymentEventTrigger(
        expect={GRID_CHANGED}, match={"prefect.resource.id": f"{RESOURCE}.*"}
    )
    return {"schedule": schedule, "triggers": [trigger]}


def _found_anywhere(source: str) -> str:
    return source if source in presets() else str(Path(source).absolute())


def _pinned(config: Config) -> list[str]:
    """Return what makes the config mean the same in whichever folder a worker runs."""
    return [f"storage.root={config.root.url!r}"] if config.root.is_local else []


def _pool(config: Config) -> dict[str, Any]:
    """Return the work pool and what of its jobs is ours."""
    deploy, root = config.deploy, config.root
    variables: dict[str, Any] = {"env": {"PYTHONUNBUFFERED": "1"}}
    if deploy.kind == "process":
        variables["working_dir"] = os.getcwd()
    else:
        variables["image"] = deploy.image
    if deploy.kind == "docker" and root.is_local:
        variables["volumes"] = [f"{root}:{root}"]
    if deploy.kind == "kubernetes":
        if root.is_local:
            raise InputError(
                f"deploy.kind = 'kubernetes': pods do not see storage.root = {root}; give a URL "
                "that they reach, such as s3://…"
            )
        variables["namespace"] = deploy.namespace or "default"
    return {"work_pool_name": deploy.pool, "job_variables": variables}


def register(source: str, overrides: Sequence[str] = ()) -> list[dict[str, str]]:
    """Tell the server of a config's deployments, and of their pool where it has none.

    Returns name and id of each. Raises InputError for a mistake, and for a pool of another type.
    """
    deploy = load_config(source, overrides).deploy
    _require_server()
    made = deployments(source, overrides)
    with _answering():
        _require_pool(deploy)
        return [{"name": f"{one.flow_name}/{one.name}", "id": str(one.apply())} for one in made]


def serve(source: str, overrides: Sequence[str] = ()) -> None:
    """Run a config's deployments in processes of this machine, until interrupted.

    Changes of the files that it names are told to the server meanwhile.
    """
    made = deployments(source, overrides, by_workers=False)
    _require_server()
    with _answering():
        runner = Runner()
        for one in made:
            runner.add_deployment(one)
        log.info("served until interrupted: %s", ", ".join(one.full_name for one in made))
        # only now, since to register anew undoes for a moment what waits for the event
        with watched(source, overrides), suppress(KeyboardInterrupt, TerminationSignal):
            asyncio.run(runner.start())


@contextmanager
def _answering() -> Iterator[None]:
    """Raise InputError, with its address, where the server does not answer what is asked of it."""
    try:
        yield
    except TransportError as error:
        raise InputError(
            f"no Prefect server answers at {get_current_settings().api.url} ({error}); start it, "
            "or correct PREFECT_API_URL"
        ) from None


def _require_server() -> None:
    if not is_served():
        raise InputError(
            "no Prefect server is named; start one (`prefect server start`) and say where it is "
            "(PREFECT_API_URL=http://127.0.0.1:4200/api)"
        )


def _require_pool(deploy: Deploy) -> None:
    with get_client(sync_client=True) as client:
        try:
            found = client.read_work_pool(deploy.pool)
        except ObjectNotFound:
            found = client.create_work_pool(
                WorkPoolCreate(
                    name=deploy.pool, type=deploy.kind, base_job_template=_template(deploy.kind)
                )
            )
    if found.type != deploy.kind:
        raise InputError(
            f"the work pool {deploy.pool!r} is of type {found.type!r}, not {deploy.kind!r}; "
            "choose another name (deploy.pool) or kind (deploy.kind)"
        )


def _template(kind: str) -> dict[str, Any]:
    """Return how the server describes jobs of a kind."""
    found = asyncio.run(get_default_base_job_template_for_infrastructure_type(kind))
    if found is None:
        raise InputError(
            f"the server knows no work pools of type {kind!r}; create deploy.pool there with "
            f"`prefect work-pool create --type {kind}`"
        )
    return found
