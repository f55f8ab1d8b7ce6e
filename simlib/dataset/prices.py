"""What machines and storage cost, as a person's own table says."""

from importlib import resources
from pathlib import Path
from typing import Annotated

from pydantic import Field

from simlib.config import Section, validate
from simlib.text_files import read_toml

_EXAMPLE = Path(str(resources.files("simlib"))) / "dataset" / "prices.toml"

Price = Annotated[float, Field(ge=0.0, le=1e9)]


class Prices(Section):
    """The price of a core for an hour, of 1e9 bytes for a month, of 1,000 objects written."""

    currency: Annotated[str, Field(min_length=1, max_length=20)]
    core_hour: Price
    gb_month: Price
    thousand_puts: Price


def read_prices(path: Path | None = None) -> Prices:
    """Return the prices of a TOML file; of the example that is shipped where none is given.

    Raises InputError for a file that is no such table.
    """
    file = _EXAMPLE if path is None else path
    return validate(Prices, read_toml(file, "table of prices"), f"table of prices {file}")
