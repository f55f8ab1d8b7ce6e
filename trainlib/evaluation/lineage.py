"""Where a report, results, a checkpoint and a run come from.

What a dataset comes from is told by `simlib.dataset.lineage`.
"""

from contextlib import suppress
from dataclasses import replace

from simlib.dataset.lineage import (
    Step,
    code_step,
    compared,
    dataset_step,
    failed,
    made_by,
)
from simlib.errors import InputError
from simlib.location import Location
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
    step = replace(
        step,
        note=f"{evaluation.spectra} {evaluation.split} spectra of {evaluation.dataset}",
        parents=(network_step(directory, evaluation.checkpoint),),
    )
    return compared(made_by(step, evaluation.provenance), evaluation.fingerprint)


def network_step(directory: Location, recorded: str) -> Step:
    """Return the step of the checkpoint that a run is judged and exported by.

    recorded: its digest, by what was made from it.
    """
    which = "last"
    with suppress(InputError):  # of a config that cannot be read more is told elsewhere
        which = read_config(directory).evaluate.checkpoint
    return checkpoint_step(directory, which, recorded)


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
    return bare_step(place, recorded) if is_bare else dataset_step(place, recorded)


def bare_step(place: Location, recorded: str | None) -> Step:
    """Return the step of a store of spectra alone, which says nothing of its making."""
    step = Step("dataset", str(place), recorded, note="a store of spectra alone")
    if recorded is None:
        return step
    from trainlib.training.data import dataset_identity  # noqa: PLC0415  (loads torch)

    try:
        return compared(step, dataset_identity(place))
    except (InputError, OSError) as error:
        return failed(step, place, error)
