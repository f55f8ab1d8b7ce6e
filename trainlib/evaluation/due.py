"""What of a run would be made again, and why; told without loading torch."""

from simlib.dataset.changes import Due, changes_between
from simlib.errors import InputError
from simlib.location import Location
from trainlib import runs
from trainlib.config import Gate, TrainingConfig
from trainlib.evaluation.gate import known_judgement
from trainlib.evaluation.page import PAGE, shows
from trainlib.evaluation.results import Evaluation, evaluation_fingerprint, read_results
from trainlib.release import numbers_of, read_release, releases_in
from trainlib.runs import RunManifest, run_directory, run_inputs
from trainlib.training.seal import sealed_digest


def training_due(config: TrainingConfig, dataset: Location) -> Due:
    """Return whether the config's run on a dataset, whether made yet or not, is to be trained.

    Also where it is finished, but its records say otherwise how it is judged or where its data are.
    """
    directory = run_directory(config, dataset.name)
    manifest = _manifest(directory)
    if manifest is None:
        before = _newest(config, directory)
        changes = changes_between(before.inputs, run_inputs(config, dataset.name)) if before else ()
        seconds = before.outcome.seconds if before and before.outcome else config.train.seconds
        told = "another one was trained last" if before else "none of this name was trained"
        return Due("train", str(directory), True, told, changes, seconds)
    if manifest.outcome is None or not (directory / runs.CHECKPOINT).exists():
        return Due("train", str(directory), True, "was begun", (), config.train.seconds)
    if not _is_recorded(config, dataset, directory, manifest):
        return Due("train", str(directory), True, "is finished; its records are not of today",
                   (), 0.0)  # fmt: skip
    return Due("train", str(directory), False, "is finished")


def evaluation_due(config: TrainingConfig, dataset: Location) -> Due:
    """Return whether a trained run is to be judged as the config says."""
    directory = run_directory(config, dataset.name)
    known, manifest = _evaluated(directory), _manifest(directory)
    judged = directory / runs.JUDGED[config.evaluate.checkpoint]
    if manifest is None or (digest := sealed_digest(judged)) is None:
        return Due("evaluate", str(directory), True, "no network is trained yet")
    now = evaluation_fingerprint(manifest.fingerprint, digest, dataset.name, config.evaluate)
    if known is None:
        return Due("evaluate", str(directory), True, "it was not judged yet")
    if known.fingerprint != now:
        told = "network, spectra or [evaluate] are others"
        return Due("evaluate", str(directory), True, told, (), known.seconds)
    return Due("evaluate", str(directory), False, "is judged")


def report_due(config: TrainingConfig, dataset: Location) -> Due:
    """Return whether the page of a run is of other results than those that are there."""
    page = run_directory(config, dataset.name) / PAGE
    known = _evaluated(page.parent)
    is_shown = known is not None and shows(page, [known.fingerprint])
    return Due("report", str(page), not is_shown, "shows them" if is_shown else "is not of them")


def release_due(config: TrainingConfig, gate: Gate, dataset: Location) -> Due:
    """Return whether a judged run is to be compared with the released one, and to follow it.

    One that was released before is not: someone went back from it.
    """
    directory, name = run_directory(config, dataset.name), config.dataset.name
    place = str(releases_in(config.root, name))
    manifest, known = _manifest(directory), _evaluated(directory)
    if manifest is None or known is None:
        return Due("release", place, True, "nothing is judged yet")
    if (holds := read_release(config.root, name)) is None:
        return Due("release", place, True, "nothing of this name is released")
    if holds.run is not None and holds.run.fingerprint == manifest.fingerprint:
        return Due("release", place, False, f"release {holds.number} is it")
    if manifest.fingerprint in released_runs(config.root, name):
        return Due("release", place, False, "was released, and taken back")
    before = holds.run.fingerprint if holds.run else ""
    judgement = known_judgement(directory, known.fingerprint, before, gate)
    if judgement is not None and not judgement.passes:
        return Due("release", place, False, f"does not pass the gate: {judgement.reason}")
    return Due("release", place, True, f"release {holds.number} is of another run")


def released_runs(root: Location, name: str) -> set[str]:
    """Return the fingerprints of all runs that were ever released under a name."""
    records = (read_release(root, name, number) for number in numbers_of(root, name))
    return {one.run.fingerprint for one in records if one is not None and one.run is not None}


def _evaluated(directory: Location) -> Evaluation | None:
    try:
        return read_results(directory).evaluation
    except InputError:  # none, or damaged: made again
        return None


def _manifest(directory: Location) -> RunManifest | None:
    try:
        return runs.find_manifest(directory)
    except InputError:  # damaged, or of another version: written anew
        return None


def _is_recorded(
    config: TrainingConfig, dataset: Location, directory: Location, manifest: RunManifest
) -> bool:
    try:
        kept = runs.read_config(directory)
    except InputError:
        return False
    is_same = all(getattr(kept, name) == getattr(config, name) for name in type(kept).model_fields)
    return is_same and runs.dataset_of(directory, kept, manifest).url == dataset.url


def _newest(config: TrainingConfig, directory: Location) -> RunManifest | None:
    """Return the manifest of the run of the same dataset name that was finished last."""
    runs_of_all = directory.parent
    others = [name for name in runs_of_all.names() if name.startswith(f"{config.dataset.name}-")]
    found = [_manifest(runs_of_all / name) for name in others]
    finished = [one for one in found if one is not None and one.outcome is not None]
    return max(finished, key=lambda one: one.outcome.ended if one.outcome else "", default=None)
