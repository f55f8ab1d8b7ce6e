"""Secrets have one way in: the environment, or a profile of the file system's own.

What is written in a config, in an option or in a URL is kept, logged, sent to workers and shown by
an orchestrator, so what looks like a secret is refused there, without being repeated.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from simlib.errors import InputError, shown

OptionsMapping = TypeVar("OptionsMapping", bound=Mapping[str, Any])

_SECRET_KEY = re.compile(
    r"secret|password|passwd|passphrase|token|credential|cookie|authorization"
    r"|(access|account|api|private|shared|storage|subscription|customer)_?key"
    r"|connection_?string|(^|[_-])(key|pass|pwd|sas|auth|pkey)$",
    re.IGNORECASE,
)
_PASSWORD = re.compile(r"://[^/@:\s]*:[^/@\s]*@")
_NOT_SHOWN = {"options", "prologue"}  # keys of a config below which a secret may have been put
WAY_OUT = (
    "give it in the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for s3://, else "
    "FSSPEC_<PROTOCOL>_<OPTION>), or keep it in a profile and name that (profile=NAME)"
)


def refuse_secrets(options: OptionsMapping) -> OptionsMapping:
    """Return options for a file system; InputError, without the value, where one may be a secret.

    Nested tables are looked through too, and URLs with a password in any value.
    """
    for name, key, value in _leaves(options):
        if _SECRET_KEY.search(key):
            raise InputError(f"the option {name} looks like a secret and is not taken; {WAY_OUT}")
        if isinstance(value, str) and has_password(value):
            raise InputError(f"the option {name} holds a URL with a password; {WAY_OUT}")
    return options


def _leaves(options: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str, Any]]:
    """Yield dotted name, own key and value of every entry, tables and lists gone through."""
    for key, value in options.items():
        name = f"{above}{key}"
        yield name, str(key), value
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{name}.")
        elif isinstance(value, (list, tuple)):
            yield from _leaves({f"{key}[{n}]": item for n, item in enumerate(value)}, above)


def refuse_password(url: str) -> str:
    """Return a path or URL; InputError, without repeating it, where it carries a password."""
    if has_password(url):
        raise InputError(f"a URL with user:password@ is not taken; {WAY_OUT}")
    return url


def has_password(text: str) -> bool:
    """Return whether some text holds a URL that says who asks, with a password."""
    return _PASSWORD.search(text) is not None


def entry(name: str, value: Any) -> str:
    """Return `name = value` of a config for a message, the name alone where it may be secret."""
    is_open = not _NOT_SHOWN & set(name.split(".")) and not has_password(str(value))
    return f"{name} = {shown(value)}" if is_open else name
