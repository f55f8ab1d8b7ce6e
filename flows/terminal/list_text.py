"""How what is there is put into words: runs, datasets, one dataset; a line each, never cut."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from simlib.location import Location
from simlib.words import size_text

if TYPE_CHECKING:
    from simlib.dataset.catalogue import ListedDataset
    from trainlib.run_list import ListedRun


def print_runs(found: "Sequence[ListedRun]", root: Location) -> None:
    """Print a line a run."""
    if not found:
        print(f"no runs in {root / 'runs'}")
        return
    for one in found:
        told = [
            one.name,
            one.recipe and f"recipe {one.recipe}",
            one.dataset and f"dataset {one.dataset}",
            one.started and f"begun {one.started}",
            one.state,
            "" if one.epochs is None else f"{one.epochs} epochs",
            "" if one.validation_loss is None else f"validation loss {one.validation_loss:.5f}",
        ]
        print("  ".join(filter(None, told)))


def print_datasets(found: "Sequence[ListedDataset]", root: Location) -> None:
    """Print a line a version."""
    if not found:
        print(f"no datasets in {root / 'datasets'}")
        return
    for one in found:
        told = [
            one.name,
            one.fingerprint,
            one.state,
            one.mode,
            _rows(one.rows or {}),
            "" if one.bytes is None else size_text(one.bytes),
            one.made and f"made {one.made}",
        ]
        print("  ".join(filter(None, told)))


def _rows(rows: Mapping[str, int]) -> str:
    return ", ".join(f"{split} {count:,}" for split, count in rows.items())


def print_dataset(found: Mapping[str, Any]) -> None:
    """Print a line a fact of a dataset; what is not known is left out."""
    told = {name: value for name, value in found.items() if name != "config"} | found["config"]
    told |= {"rows": _rows(found["rows"])}
    if found.get("bytes"):
        told["bytes"] = f"{found['bytes']} ({size_text(found['bytes'])})"
    for name, value in told.items():
        if value is not None:
            print(f"{name:32s} {value if isinstance(value, str) else json.dumps(value)}")
