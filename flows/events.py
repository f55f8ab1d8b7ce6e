"""What a Prefect server is told of grids and tables, so that what depends on them is made again."""

import logging
from typing import Any

from flows.orchestration import is_served
from simlib.location import Location

log = logging.getLogger(__name__)

GRID_CHANGED, RESOURCE = "specdenoise.grid.changed", "specdenoise.grid"
_WAIT_S = 10.0


def tell_grid_changed(kind: str, place: Location, **facts: str | None) -> bool:
    """Tell the server, where one is named, that a grid or table is another; return whether it was.

    kind: "stellar" or "terms" of what was made, "input" of a file. facts: more of it. Raises
    nothing: a schedule finds the same without being told.
    """
    if not is_served():
        return False
    from prefect.client.orchestration import get_client

    try:
        with get_client(sync_client=True, httpx_settings={"timeout": _WAIT_S}) as client:
            made = event(kind, place, **facts)
            client.request("POST", "/events", json=[made]).raise_for_status()
    except Exception as error:
        text = str(error).partition("\n")[0] or type(error).__name__
        log.warning("Prefect was not told that %s has changed: %s", place, text)
        return False
    return True


def event(kind: str, place: Location, **facts: str | None) -> dict[str, Any]:
    """Return the event that a grid or table is another."""
    from prefect.events import Event

    made = Event(
        event=GRID_CHANGED,
        resource={
            "prefect.resource.id": f"{RESOURCE}.{kind}",
            "prefect.resource.name": str(place),
        },
        payload={"kind": kind, "place": str(place), **facts},
    )
    return made.model_dump(mode="json")
