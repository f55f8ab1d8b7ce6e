"""Back to what was released before, in one step."""

from simlib.errors import InputError
from simlib.location import Location
from trainlib.release import Release, numbers_of, read_release, release, releases_in


def roll_back(root: Location, name: str) -> Release:
    """Release again what was released before that which holds; return the record that holds now.

    Once more goes one further back. Raises InputError where there is nothing before, or where it is
    gone or damaged.
    """
    records = [read_release(root, name, number) for number in numbers_of(root, name)]
    releases = [one for one in records if one is not None]
    if not releases:
        raise InputError(
            f"nothing of the name {name!r} is released under {root}; `specdenoise refresh CONFIG` "
            "releases what it made"
        )
    first = next(one for one in releases if _parts(one) == _parts(releases[-1]))
    before = [one for one in releases if one.number < first.number]
    if not before:
        raise InputError(
            f"before release {first.number} of {name!r}, which holds, there was none to go back to"
        )
    here, last = releases_in(root, name), before[-1]
    return release(
        root,
        name,
        here.follow(last.dataset.place),
        here.follow(last.run.place) if last.run else None,
        (here.follow(last.bundle.place), last.bundle.fingerprint) if last.bundle else None,
    )


def _parts(one: Release) -> tuple[object, ...]:
    return one.dataset, one.run, one.bundle
