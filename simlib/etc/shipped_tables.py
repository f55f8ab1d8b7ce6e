"""The tables that are shipped with the calculator."""

from functools import cache
from importlib import resources
from pathlib import Path

from simlib.tables import Table, read_table

EMBEDDED = Path(str(resources.files("simlib"))) / "etc" / "data"


@cache
def embedded(name: str, *columns: str) -> Table:
    """Return the named columns of a shipped table."""
    return read_table(EMBEDDED / name, columns)
