"""Where any artefact of the project comes from: report, results, checkpoint, run, dataset and on.

What a dataset comes from is told by `simlib.dataset.lineage`.
"""

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from simlib.dataset.lineage import (
    Step,
    code_step,
    compared,
    dataset_step,
    failed,
    instrument_step,
    made_by,
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
from trainlib.evaluation.page_lineage import read_page_lineage
from trainlib.evaluation.results import RESULTS, read_results
from trainlib.runs import (
    CONFIG,
    JUDGED,
    MANIFEST,
    TRAINING_VERSION,
    RunManifest,
    dataset_of,
    find_manifest,
    read_config,
    real,
    run_fingerprint,
)
from trainlib.training.seal import sealed_digest


def lineage(text: str, root: Location) -> Step:
    """Return the step of an artefact, with all that it was made from.

    text: a path or URL, the name of a shipped grid or instrument, or that of a dataset or run under
    the root. Raises InputError where there is no such thing, or where it is none of this project.
    """
    if text in KNOWN_GRIDS:
        return stellar_grid_step(text)
    if text in known_instruments():
        return instrument_step(text)
    named = [root / folder / text for folder in ("datasets", "runs")] if is_name(text) else []
    places = [*named, Location.of(text, root.options)]
    for place in places:
        if place.exists():
            return step_at(place)
    also = f", nor a dataset, run, grid or instrument of that name under {root}" if named else ""
    raise InputError(f"there is nothing at {shown(text)}{also}; give a path, or --root")


def step_at(place: Location) -> Step:
    """Return the step of what stands at a place; InputError where it is none of this project."""
    for pattern, step in _BY_NAME.items():
        if re.fullmatch(pattern, place.name):
            return step(place)
    return _step_of_folder(place)


def _run_or_instrument(place: Location) -> Step:
    if _manifest(place.parent).get("kind") == "run":
        return run_step(place.parent)
    return instrument_step(str(place))


# the first that fits
_BY_NAME: dict[str, Callable[[Location], Step]] = {
    r".*\.html": lambda place: report_step(place),  # noqa: PLW0108  defined below
    re.escape(RESULTS): lambda place: results_step(place.parent),
    r"manifest\.json|spectra\.zarr|terms-[0-9a-f]{12}\.zarr": lambda place: step_at(place.parent),
    re.escape(CONFIG): _run_or_instrument,
    r".*\.toml": lambda place: instrument_step(str(place)),
    r"(last|best)\.pt": lambda place: checkpoint_step(
        place.parent.parent, place.name.removesuffix(".pt")
    ),
}


def _step_of_folder(place: Location) -> Step:
    if is_store(place / "present") and is_store(place):
        return stellar_grid_step(str(place), options=place.options)
    manifest = _manifest(place)
    if manifest.get("kind") == "run":
        return run_step(place)
    if "arrays" in manifest:
        return terms_step(place)
    is_dataset = "plan" in manifest or any(at(place).exists() for at in (latest_in, plan_in))
    if is_dataset:
        return dataset_step(place)
    if place.name.endswith(".zarr") and (place / "train" / METADATA).exists():
        return _bare_step(place, None)
    raise InputError(
        f"{place} is nothing whose lineage is known; give a report, a run, results.zarr, a "
        "dataset, a grid of terms, a stellar grid or an instrument"
    )


def _manifest(place: Location) -> Mapping[str, Any]:
    """Return what a manifest says, to tell its kind; empty where there is none."""
    data = (place / MANIFEST).read_bytes()
    try:
        value = json.loads(data or b"{}")
    except ValueError:
        raise InputError(f"{place / MANIFEST} is damaged, no JSON: what it is of is lost") from None
    return value if isinstance(value, dict) else {}


def report_step(page: Location) -> Step:
    """Return the step of a report; one that names no results is of the run it lies in."""
    step = Step("report", str(page), None)
    found = read_page_lineage(page)
    if found is None:
        note = "it names no results: those beside it are taken"
        return replace(step, note=note, parents=(results_step(page.parent),))
    folder = real(page.parent)
    parents = (results_step(folder.follow(run.way), run.fingerprint) for run in found.runs)
    return made_by(replace(step, parents=tuple(parents)), found.provenance)


def results_step(directory: Location, recorded: str | None = None) -> Step:
    """Return the step of a run's results. recorded: their fingerprint, by a report."""
    place = directory / RESULTS
    step = Step("results", str(place), recorded)
    try:
        evaluation = read_results(directory).evaluation
    except (InputError, OSError) as error:
        return replace(failed(step, place, error), parents=(run_step(directory),))
    which = "last"
    with suppress(InputError):  # of a config that cannot be read more is told elsewhere
        which = read_config(directory).evaluate.checkpoint
    checkpoint = checkpoint_step(directory, which, evaluation.checkpoint)
    step = replace(
        step,
        note=f"{evaluation.spectra} {evaluation.split} spectra of {evaluation.dataset}",
        parents=(checkpoint,),
    )
    return compared(made_by(step, evaluation.provenance), evaluation.fingerprint)


def checkpoint_step(directory: Location, which: str, recorded: str | None = None) -> Step:
    """Return the step of a run's network, the last or best. recorded: its digest, by results."""
    path = directory / JUDGED[which]
    step = Step("checkpoint", str(path), recorded, parents=(run_step(directory),))
    if (digest := sealed_digest(path)) is None:
        return failed(step, path, InputError("it does not end with a digest"))
    found = compared(step, digest)
    return found if found.state == "there" else replace(found, note="trained further since")


def run_step(directory: Location) -> Step:
    """Return the step of a run, its config, its dataset and its code."""
    step = Step("run", str(directory), None)
    try:
        manifest = find_manifest(directory)
    except (InputError, OSError) as error:
        return failed(step, directory, error)
    if manifest is None:
        return failed(step, directory, InputError(f"it holds no {MANIFEST}"))
    outcome = manifest.outcome
    note = f"recipe {manifest.recipe}, " + (
        f"finished after {outcome.epoch} epochs" if outcome else "not finished"
    )
    config, data = _config_and_dataset(directory, manifest)
    trained_by = manifest.inputs.get("version", {}).get("version of training")
    code = code_step(manifest.provenance, "training", trained_by, TRAINING_VERSION)
    parents = (data, config, code)
    step = Step("run", str(directory), manifest.fingerprint, note=note, parents=parents)
    return made_by(step, manifest.provenance)


def _config_and_dataset(directory: Location, manifest: RunManifest) -> tuple[Step, Step]:
    origin, path = manifest.dataset, directory / CONFIG
    step = Step("config", str(path), manifest.fingerprint)
    try:
        config = read_config(directory)
    except (InputError, OSError) as error:
        place = real(directory).follow(origin.place)
        return failed(step, path, error), _dataset(place, origin.fingerprint)
    place = dataset_of(directory, config, manifest)
    found = run_fingerprint(config, origin.fingerprint)
    return compared(step, found), _dataset(place, origin.fingerprint)


def _dataset(place: Location, recorded: str) -> Step:
    is_bare = place.name.endswith(".zarr") and place.name != "spectra.zarr"
    return _bare_step(place, recorded) if is_bare else dataset_step(place, recorded)


def _bare_step(place: Location, recorded: str | None) -> Step:
    """Return the step of a store of spectra alone, which says nothing of its making."""
    step = Step("dataset", str(place), recorded, note="a store of spectra alone")
    if recorded is None:
        return step
    from trainlib.training.data import dataset_identity  # noqa: PLC0415  (loads torch)

    try:
        return compared(step, dataset_identity(place))
    except (InputError, OSError) as error:
        return failed(step, place, error)
