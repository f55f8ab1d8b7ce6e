"""What a Prefect server is told of grids, so that what depends on them is made again."""

import logging
from typing import Any

from flows.orchestration import is_served
from simlib.location import Location

log = logging.getLogger(__name__)

GRID_CHANGED, RESOURCE = "specdenoise.grid.changed", "specdenoise.grid"
_WAIT_S = 10.0


def tell_grid_changed(kind: str, place: Location) -> None:
    """Tell the server, where one is named, that a grid was made. kind: "stellar" or "terms".

    Raises nothing: a schedule finds the same without being told.
    """
    if not is_served():
        return
    from prefect.client.orchestration import get_client

    try:
        with get_client(sync_client=True, httpx_settings={"timeout": _WAIT_S}) as client:
            client.request("POST", "/events", json=[event(kind, place)]).raise_for_status()
    except Exception as error:
        text = str(error).partition("\n")[0] or type(error).__name__
        log.warning("Prefect was not told that %s has changed: %s", place, text)


def event(kind: str, place: Location) -> dict[str, Any]:
    """Return the event that a grid was made."""
    from prefect.events import Event

    made = Event(
        event=GRID_CHANGED,
        resource={
            "prefect.resource.id": f"{RESOURCE}.{kind}",
            "prefect.resource.name": str(place),
        },
        payload={"kind": kind, "place": str(place)},
    )
    return made.model_dump(mode="json")
