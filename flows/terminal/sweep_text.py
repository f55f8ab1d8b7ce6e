"""How what a sweep found is put into words."""

from typing import TYPE_CHECKING

from flows.terminal.tables import print_table
from simlib.words import time_text

if TYPE_CHECKING:
    from trainlib.training.sweep import Outcome, Table


def print_sweep(place: str, table: "Table") -> None:
    """Print the trials, the best first, and where the table is."""
    keys = list(table.trials[0].values)
    heads = (*keys, "validation loss", "epochs", "trained", "time", "state", "run")
    print_table("", heads, [_row(one, keys) for one in table.trials])
    print(place)


def _row(one: "Outcome", keys: list[str]) -> list[str]:
    return [
        *(f"{one.values[key]:.4g}" if isinstance(one.values[key], float) else str(one.values[key])
          for key in keys),
        "" if one.score is None else f"{one.score:.5f}",
        str(one.epochs),
        f"{100.0 * one.share:.0f} %",
        time_text(one.seconds),
        one.state,
        one.run.rstrip("/").rpartition("/")[2],
    ]  # fmt: skip
