"""Tables that a public function is given: of the right kind, and whole, or one message."""

from collections.abc import Iterable

import xarray as xr

from simlib.errors import InputError, require_kind


def require_dataset(name: str, value: object, variables: Iterable[str], made: str) -> None:
    """Raise InputError unless a value is a Dataset with these variables or dimensions.

    made: what gives one, for the message.
    """
    require_kind(name, value, xr.Dataset, made)
    held = set(value.variables) | set(value.dims) if isinstance(value, xr.Dataset) else set()
    if missing := [one for one in variables if one not in held]:
        there = ", ".join(sorted(map(str, held))) or "nothing"
        raise InputError(f"{name} lacks {', '.join(missing)} (it holds {there}); give {made}")
