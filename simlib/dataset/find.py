"""Find a dataset, complete or still being written, in its folder or in that of all its versions."""

from simlib.artifact import read_record
from simlib.dataset.manifest import Manifest
from simlib.dataset.places import latest_in, manifest_in, plan_in
from simlib.dataset.plan import Plan
from simlib.dataset.publish import Latest
from simlib.errors import InputError
from simlib.location import Location, Place


def find_dataset(given: Place) -> tuple[Location, Manifest | None]:
    """Return a dataset's folder and its manifest; None where it is still being written.

    given: the folder of a dataset, of its arrays, or of all its versions, of which the latest is
    taken. Raises InputError where there is none, or several that are not complete.
    """
    place = Location.of(given)
    if place.name == "spectra.zarr":
        place = place.parent
    if (found := _dataset_at(place)) is None:
        raise InputError(f"no dataset at {place}; build it with `specdenoise build CONFIG`")
    return found


def _dataset_at(place: Location) -> tuple[Location, Manifest | None] | None:
    if (latest := read_record(latest_in(place), Latest)) is not None:
        place = place / latest.fingerprint
    if (manifest := read_record(manifest_in(place), Manifest)) is not None:
        return place, manifest
    if read_record(plan_in(place), Plan) is not None:
        return place, None
    begun = [place / name for name in place.names() if plan_in(place / name).exists()]
    if len(begun) > 1:
        raise InputError(
            f"{place} holds {len(begun)} versions and none is published; give the folder of one: "
            + ", ".join(version.name for version in begun)
        )
    return _dataset_at(begun[0]) if begun else None
