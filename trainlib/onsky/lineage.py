"""Where a bundle, a release and denoised spectra come from.

A bundle goes where its runs do not, and denoised spectra go further: both name what they are from
by fingerprints alone, by which it is looked for under the root.
"""

from dataclasses import replace

from astropy.io import fits

from simlib.artifact import read_record
from simlib.dataset.lineage import Step, code_step, compared, dataset_step, failed, made_by
from simlib.errors import InputError
from simlib.location import Location
from simlib.spectra.fits_file import START, opened
from simlib.spectra.read import parsing, read_whole, unpacked
from trainlib.evaluation.lineage import network_step, run_step
from trainlib.onsky.bundle import SHIPPED, BundleManifest
from trainlib.release import Release
from trainlib.runs import MANIFEST


def bundle_step(place: Location, root: Location, recorded: str | None = None) -> Step:
    """Return the step of a bundle. recorded: its fingerprint, by what was made with it."""
    step = Step("bundle", str(place), recorded)
    try:
        manifest = read_record(place / MANIFEST, BundleManifest)
    except (InputError, OSError) as error:
        return failed(step, place, error)
    if manifest is None:
        return failed(step, place, InputError(f"it holds no {MANIFEST}"))
    told = {key: str(value) for key, value in manifest.lineage.items()}
    parents = (
        _run_known_by(told.get("run", ""), told.get("checkpoint"), told.get("dataset"), root),
        code_step(manifest.provenance, "export", None, None),
    )
    step = replace(step, note=f"recipe {told.get('recipe', 'unknown')}", parents=parents)
    return compared(made_by(step, manifest.provenance), manifest.fingerprint)


def release_step(place: Location, root: Location) -> Step:
    """Return the step of a release: its dataset, its run and its bundle, as far as there are."""
    step = Step("release", str(place), None)
    try:
        release = read_record(place, Release)
    except (InputError, OSError) as error:
        return failed(step, place, error)
    if release is None:
        return failed(step, place, InputError("nothing is there"))
    parents = []
    if (part := release.bundle) is not None:
        parents.append(bundle_step(place.parent.follow(part.place), root, part.fingerprint))
    if (part := release.run) is not None:
        found = run_step(place.parent.follow(part.place))
        parents.append(_expected(found, part.fingerprint))
    dataset = release.dataset
    parents.append(dataset_step(place.parent.follow(dataset.place), dataset.fingerprint))
    step = replace(step, note=f"number {release.number}", parents=tuple(parents))
    return replace(made_by(step, release.provenance), made=release.made)


def denoised_step(file: Location, root: Location) -> Step:
    """Return the step of denoised spectra, by the cards that `denoise` writes.

    Raises InputError for a file that has none of them.
    """
    cards = _cards_of(file)
    fingerprint, run = str(cards["BUNDLE"]), str(cards.get("RUN", ""))
    shipped = bundle_step(Location.of(SHIPPED), root)
    if shipped.fingerprint == fingerprint:
        bundle = shipped
    else:
        trained = _run_known_by(run, None, str(cards.get("DATASET", "")), root)
        note = "where it is is not recorded"
        bundle = Step("bundle", "", fingerprint, "missing", note, parents=(trained,))
    return Step("denoised spectra", str(file), None, note=str(cards.get("CREATOR", "")),
                parents=(bundle,))  # fmt: skip


def _cards_of(file: Location) -> fits.Header:
    data = read_whole(file)
    with parsing(str(file)):
        if not (whole := unpacked(data)).startswith(START):
            raise InputError("it cannot be read as FITS; give another file")
        with opened(whole) as hdus:
            for hdu in hdus:
                if "BUNDLE" in hdu.header:
                    return hdu.header.copy()
        raise InputError(
            "it has no card BUNDLE: it is not from `specdenoise denoise`; give a file of denoised "
            "spectra"
        )


def _run_known_by(
    fingerprint: str, checkpoint: str | None, dataset: str | None, root: Location
) -> Step:
    """Return the step of a run's network, or of the run where no checkpoint is recorded.

    It is looked for under the root by its fingerprint, and its dataset where it is not there.
    """
    for name in (root / "runs").names():
        if fingerprint and name.endswith(f"-{fingerprint}"):
            directory = root / "runs" / name
            if checkpoint:
                return network_step(directory, checkpoint)
            return _expected(run_step(directory), fingerprint)
    note = f"no run of that fingerprint is under {root / 'runs'}"
    step = Step("run", "", fingerprint or None, "missing", note)
    return replace(step, parents=(_dataset_known_by(dataset, root),)) if dataset else step


def _dataset_known_by(fingerprint: str, root: Location) -> Step:
    versions = root / "datasets"
    for name in versions.names():
        if (versions / name / fingerprint).exists():
            return dataset_step(versions / name / fingerprint, fingerprint)
    note = f"no dataset of that fingerprint is under {versions}"
    return Step("dataset", "", fingerprint, "missing", note)


def _expected(found: Step, recorded: str) -> Step:
    """Return the step of something that is there, of the fingerprint that was recorded."""
    if found.fingerprint is None:
        return replace(found, fingerprint=recorded)
    return compared(replace(found, fingerprint=recorded), found.fingerprint)
