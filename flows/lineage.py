"""Which kind of artefact something is, and so its step, with all that it was made from.

The steps are in `simlib.dataset.lineage`, `trainlib.evaluation.lineage`, `trainlib.onsky.lineage`.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from simlib.dataset.lineage import (
    Step,
    dataset_step,
    instrument_step,
    stellar_grid_step,
    terms_step,
)
from simlib.dataset.named import is_name
from simlib.dataset.places import latest_in, plan_in
from simlib.errors import InputError, shown
from simlib.instrument import known_instruments
from simlib.location import Location
from simlib.stellar.grid import KNOWN_GRIDS
from simlib.stellar.store import METADATA, is_store
from trainlib.evaluation.lineage import (
    bare_step,
    checkpoint_step,
    report_step,
    results_step,
    run_step,
)
from trainlib.evaluation.results import RESULTS
from trainlib.onsky.bundle import ARRAYS
from trainlib.onsky.lineage import bundle_step, denoised_step, release_step
from trainlib.runs import CONFIG, MANIFEST
from trainlib.trust.model import TRUST

_RELEASE = r"\d{6}\.json"


def lineage(text: str, root: Location) -> Step:
    """Return the step of an artefact, with all that it was made from.

    text: a path or URL, the name of a shipped grid or instrument, or that of a dataset, run or
    release under the root, where runs and datasets that are known by a fingerprint are looked for
    too. Raises InputError where there is no such thing, or where it is none of this project.
    """
    if text in KNOWN_GRIDS:
        return stellar_grid_step(text)
    if text in known_instruments():
        return instrument_step(text)
    folders = ("datasets", "runs", "releases") if is_name(text) else ()
    for place in (*(root / folder / text for folder in folders), Location.of(text, root.options)):
        if place.exists():
            return _step_at(place, root)
    also = f", nor a dataset, run, release, grid or instrument of that name under {root}"
    raise InputError(
        f"there is nothing at {shown(text)}{also if folders else ''}; give a path, or --root"
    )


def _step_at(place: Location, root: Location) -> Step:
    for pattern, step in _BY_NAME.items():
        if re.fullmatch(pattern, place.name):
            return step(place, root)
    return _step_of_folder(place, root)


def _of_its_folder(place: Location, root: Location) -> Step:
    return _step_at(place.parent, root)


def _run_or_instrument(place: Location, _: Location) -> Step:
    if _manifest(place.parent).get("kind") == "run":
        return run_step(place.parent)
    return instrument_step(str(place))


def _checkpoint(place: Location, _: Location) -> Step:
    return checkpoint_step(place.parent.parent, place.name.removesuffix(".pt"))


# the first that fits
_BY_NAME: dict[str, Callable[[Location, Location], Step]] = {
    r".*\.html": lambda place, _: report_step(place),
    re.escape(RESULTS): lambda place, _: results_step(place.parent),
    r"manifest\.json|spectra\.zarr|terms-[0-9a-f]{12}\.zarr": _of_its_folder,
    "|".join(map(re.escape, (ARRAYS, TRUST))): _of_its_folder,
    re.escape(CONFIG): _run_or_instrument,
    r".*\.toml": lambda place, _: instrument_step(str(place)),
    r"(last|best)\.pt": _checkpoint,
    _RELEASE: release_step,
    r".*\.fits(\.gz)?": denoised_step,
}
_BY_KIND: dict[str, Callable[[Location, Location], Step]] = {
    "run": lambda place, _: run_step(place),
    "bundle": bundle_step,
}


def _step_of_folder(place: Location, root: Location) -> Step:
    if is_store(place / "present") and is_store(place):
        return stellar_grid_step(str(place), options=place.options)
    manifest = _manifest(place)
    if (step := _BY_KIND.get(str(manifest.get("kind")))) is not None:
        return step(place, root)
    if "arrays" in manifest:
        return terms_step(place)
    is_dataset = "plan" in manifest or any(at(place).exists() for at in (latest_in, plan_in))
    if is_dataset:
        return dataset_step(place)
    if place.name.endswith(".zarr") and (place / "train" / METADATA).exists():
        return bare_step(place, None)
    if releases := sorted(name for name in place.names() if re.fullmatch(_RELEASE, name)):
        return release_step(place / releases[-1], root)
    raise InputError(
        f"{place} is nothing whose lineage is known; give a report, a run, results.zarr, a "
        "dataset, a release, a bundle, denoised spectra, a grid of terms, a stellar grid or an "
        "instrument"
    )


def _manifest(place: Location) -> Mapping[str, Any]:
    """Return what a manifest says, to tell its kind; empty where there is none."""
    data = (place / MANIFEST).read_bytes()
    try:
        value = json.loads(data or b"{}")
    except ValueError:
        raise InputError(f"{place / MANIFEST} is damaged, no JSON: what it is of is lost") from None
    return value if isinstance(value, dict) else {}
