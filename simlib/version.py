"""The version of this program, as installed."""

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of


def version() -> str:
    """Return the version; of a checkout that was not installed `unknown`."""
    try:
        return version_of("specdenoise")
    except PackageNotFoundError:
        return "unknown"
