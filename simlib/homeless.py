"""A user without a home that can be written: the libraries' own folders go into the cache."""

import os
from contextlib import suppress

from simlib import cache
from simlib.errors import InputError

_FOLDERS = {
    "PREFECT_HOME": "prefect",
    "MPLCONFIGDIR": "matplotlib",
    "ASTROPY_CACHE_DIR": "astropy",
    "ASTROPY_CONFIG_DIR": "astropy",
}


def settle() -> None:
    """Name folders in the cache to the libraries, before they are imported; what is set wins."""
    if not os.path.isabs(os.path.expanduser("~")):
        os.environ["HOME"] = os.devnull  # some ask for it, whatever else is set
    with suppress(InputError):  # no folder at all: told where the first file should be kept
        for variable, name in _FOLDERS.items():
            if variable not in os.environ:
                os.environ[variable] = str(cache.writable(name))
