"""A dataset by its name: `demo` is `<root>/datasets/demo`, of which the latest version is taken."""

import re

from simlib.config import NAME
from simlib.errors import InputError, shown
from simlib.location import Location


def is_name(text: str) -> bool:
    """Return whether some text may be the name of a dataset or run, not a path with folders."""
    return re.fullmatch(NAME, text) is not None


def dataset_named(text: str, root: Location) -> Location:
    """Return where a dataset is that is given by its name under a root, or by its path or URL.

    A plain word is a name where the root has such a dataset, else a path; options of the root's
    location are those of a URL too. Raises InputError where a plain word is neither.
    """
    if is_name(text) and (named := root / "datasets" / text).exists():
        return named
    place = Location.of(text, root.options)
    if is_name(text) and not place.exists():
        known = ", ".join(filter(is_name, (root / "datasets").names())) or "none"
        raise InputError(
            f"no dataset {shown(text)}: neither a name in {root / 'datasets'} ({known}) nor a "
            "path; build it with `specdenoise build CONFIG`, or say with --root where names are"
        )
    return place
