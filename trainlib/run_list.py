"""All runs below a root, each with what its manifest says: nothing is opened beside it."""

from dataclasses import dataclass

from simlib.errors import InputError
from simlib.location import Location
from trainlib.runs import RunManifest, find_manifest


@dataclass(frozen=True)
class ListedRun:
    """A run. state: `finished`, `not finished`, or why it cannot be read; then all else is empty.

    dataset: its fingerprint. epochs, validation_loss: where it is finished.
    """

    name: str
    place: str
    state: str
    recipe: str = ""
    dataset: str = ""
    started: str = ""
    epochs: int | None = None
    validation_loss: float | None = None


def list_runs(root: Location) -> list[ListedRun]:
    """Return the runs in `<root>/runs`, the one begun last at the end."""
    found = [_listed(root / "runs" / name) for name in (root / "runs").names()]
    return sorted((one for one in found if one is not None), key=lambda one: one.started)


def _listed(place: Location) -> ListedRun | None:
    try:
        manifest: RunManifest | None = find_manifest(place)
    except InputError as error:
        return ListedRun(place.name, str(place), state=str(error))
    if manifest is None:
        return None
    outcome = manifest.outcome
    return ListedRun(
        name=place.name,
        place=str(place),
        state="finished" if outcome else "not finished",
        recipe=manifest.recipe,
        dataset=manifest.dataset.fingerprint,
        started=manifest.started,
        epochs=outcome.epoch if outcome else None,
        validation_loss=outcome.validation_loss if outcome else None,
    )
