"""The one exception that stands for a person's mistake.

Its message says what was found, what was expected and the way out; the command line prints that
message and nothing else, and exits with 2.
"""

import reprlib

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 200  # characters


class InputError(ValueError):
    """Something a person gave cannot be used: a value, a file, a store, a machine."""


def shown(value: object) -> str:
    """Return a value as Python writes it, the middle of a long one left out."""
    return _SHORT.repr(value)


def require_kind(name: str, value: object, kind: type | tuple[type, ...], made: str) -> None:
    """Raise InputError unless a value is of a kind. made: what gives one, for the message."""
    if not isinstance(value, kind):
        found = " ".join(shown(value).split())
        raise InputError(f"{name} is of the type {type(value).__name__} ({found}); give {made}")
