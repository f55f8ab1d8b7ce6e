"""The exception that stands for a person's mistake, and those for work that was told to stop.

The message of a mistake says what was found, what was expected and the way out; the command line
prints that message and nothing else, and exits with 2.
"""

import reprlib

PREEMPTED = 75  # exit code: begun again, it goes on from there (a temporary failure, by custom)

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 200  # characters


class InputError(ValueError):
    """Something a person gave cannot be used: a value, a file, a store, a machine."""


class Preempted(RuntimeError):
    """Processes at work were told to stop (SIGTERM), and kept where they are."""


class Stopped(KeyboardInterrupt):
    """This process was told to stop, with a signal's number or by who called it, and kept that."""


def shown(value: object) -> str:
    """Return a value as Python writes it, the middle of a long one left out."""
    return _SHORT.repr(value)


def require_kind(name: str, value: object, kind: type | tuple[type, ...], made: str) -> None:
    """Raise InputError unless a value is of a kind. made: what gives one, for the message."""
    if not isinstance(value, kind):
        found = " ".join(shown(value).split())
        raise InputError(f"{name} is of the type {type(value).__name__} ({found}); give {made}")
