"""Whether the workers of a running cluster see what their work needs, asked before it begins.

A worker on another machine may have no such folder, another one of the same name, no credentials
or another version of this program; told late, this would look like a fault of ours.
"""

import secrets
from collections.abc import Mapping
from hashlib import sha256

from distributed import Client

from simlib.artifact import write_bytes
from simlib.errors import InputError
from simlib.location import Location
from simlib.physics import PHYSICS_VERSION

Places = Mapping[str, Location]  # by the name of what asks for them, such as `storage.root`

_WAIT_S = 20
_MOST_NAMED = 5  # workers in a message
_RECORDS = (".json", ".csv", ".toml", ".ecsv")  # small files of a folder, compared by content


def require_seen(
    client: Client, reads: Places, writes: Places, wait_s: float | None = None
) -> None:
    """Raise InputError, naming the workers, unless all see these places as they are here.

    A mark is left for a moment in every place to write, which is made where it is absent.
    wait_s: for workers that were asked for; by default someone else starts them, and should have.
    """
    address = client.scheduler_info()["address"]
    try:
        client.wait_for_workers(1, timeout=wait_s or _WAIT_S)
    except TimeoutError:
        way_out = (
            f"start `dask worker {address}`"
            if wait_s is None
            else f"none came in {wait_s:g} s: look at the queue, or wait longer (cluster.wait_s)"
        )
        raise InputError(f"no worker has joined the cluster at {address}; {way_out}") from None
    here = {name: glimpse(place) for name, place in reads.items()}
    mark = f".seen-{secrets.token_hex(8)}"
    try:
        for place in writes.values():
            write_bytes(place / mark, mark.encode())
        found = client.run(look, PHYSICS_VERSION, here, reads, writes, mark, on_error="return")
    finally:
        for place in writes.values():
            (place / mark).remove()
    told = [
        f"{worker}: {'; '.join(some) if isinstance(some, list) else f'cannot run this ({some})'}"
        for worker, some in sorted(found.items())
        if some
    ]
    if told:
        more = f"; and {len(told) - _MOST_NAMED} more workers" if len(told) > _MOST_NAMED else ""
        raise InputError(
            f"workers of the cluster at {address} do not see what they need. "
            f"{'; '.join(told[:_MOST_NAMED])}{more}. Share it with every worker under the same "
            "path, or use a URL that all can reach (s3://…, credentials in the environment of "
            "each), or leave cluster.address out to use this machine"
        )


def look(
    version: int, here: Mapping[str, str | None], reads: Places, writes: Places, mark: str
) -> list[str]:
    """Return what a worker, which runs this, finds otherwise than it is where the work was begun.

    here: what `glimpse` returned there of the places to read. mark: a file in those to write.
    """
    troubles = []
    if version != PHYSICS_VERSION:
        troubles.append(f"its version simulates by physics {PHYSICS_VERSION}, not {version}")
    for name, place in reads.items():
        try:
            there = glimpse(place)
        except (OSError, InputError) as error:
            troubles.append(f"{name} = {place} cannot be read ({error})")
            continue
        if there != here[name]:
            what = "is not there" if there is None else "is another one"
            troubles.append(f"{name} = {place} {what}")
    for name, place in writes.items():
        own = place / f"{mark}-{secrets.token_hex(8)}"
        try:
            if (place / mark).read_bytes() != mark.encode():
                troubles.append(f"{name} = {place} is not the folder that it is here")
                continue
            write_bytes(own, b"")
            own.remove()
        except (OSError, InputError) as error:
            troubles.append(f"{name} = {place} cannot be written ({error})")
    return troubles


def glimpse(place: Location) -> str | None:
    """Return digits that tell a file, or a folder by its names and records; None for nothing."""
    names = place.names()
    if not names:
        data = place.read_bytes()
        return None if data is None else sha256(data).hexdigest()
    records = [(place / name).read_bytes() for name in names if name.endswith(_RECORDS)]
    return sha256(repr((names, records)).encode()).hexdigest()
