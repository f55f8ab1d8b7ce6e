"""A run by its name, or by that of its dataset: `demo` is the run on `demo` that is worked with."""

import logging
import re

from simlib.dataset.named import is_name
from simlib.errors import InputError, shown
from simlib.location import Location
from trainlib.release import read_release, releases_in
from trainlib.runs import find_manifest

log = logging.getLogger(__name__)


def run_named(text: str, root: Location) -> Location:
    """Return where a run is that is given by name under a root, or by its path or URL.

    A plain word is the name of a release, whose run is taken, or of a run, or of a dataset, of
    which the run begun last is taken; which it is, is logged. Raises InputError where a plain word
    is neither a name nor a path, and for a record of a release that is damaged.
    """
    place = Location.of(text, root.options)
    if not is_name(text):
        return place
    release = read_release(root, text)
    if release is not None and release.run is not None:
        run = releases_in(root, text).follow(release.run.place)
        log.info("%s: run %s, which is released", text, run.name)
        return run
    folder = root / "runs"
    if (run := folder / text).exists():
        return run
    names = folder.names()
    of_dataset = [
        name for name in names if re.fullmatch(rf"{re.escape(text)}-[0-9a-f]{{16}}", name)
    ]
    if of_dataset:
        run = max((folder / name for name in of_dataset), key=_begun)
        log.info("%s: run %s, begun last of %d", text, run.name, len(of_dataset))
        return run
    if place.exists():
        return place
    raise InputError(
        f"no run {shown(text)}: neither a name in {folder} ({', '.join(names) or 'none'}), a "
        "dataset that one was trained on, nor a path; train it with `specdenoise train CONFIG`, or "
        "say with --root where names are"
    )


def _begun(run: Location) -> str:
    """Return when a run was begun; one that says nothing of it goes first."""
    try:
        manifest = find_manifest(run)
    except InputError:
        return ""
    return manifest.started if manifest else ""
