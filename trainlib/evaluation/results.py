"""What an evaluation found, `results.zarr`: published in one step, checked when it is read."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from pydantic import BaseModel, ConfigDict, Field
from zarr.core.buffer import cpu
from zarr.storage import MemoryStore

from simlib.artifact import publishing, reading
from simlib.errors import InputError
from simlib.fingerprint import checksum, fingerprint
from simlib.location import Location, Place
from trainlib.config import Evaluate

# Raised by hand when the same network is judged otherwise; a test with golden values guards it.
EVALUATION_VERSION = 3
RESULTS = "results.zarr"
_OFF = "augmentation_off"  # the group beside the root


class Evaluation(BaseModel):
    """How and on what a run was judged. fingerprint: of all that shapes the results.

    checkpoint: digest of the network's file. dataset: fingerprint. summary: the JSON object.
    """

    model_config = ConfigDict(frozen=True)
    fingerprint: str
    checkpoint: str
    dataset: str
    split: str
    spectra: int
    seconds: float
    cpu_seconds: float
    bottleneck: int
    wiener_rank: int
    summary: dict[str, Any]
    provenance: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True)
class Results:
    """Measures per method and spectrum, with augmentation on and off, in memory."""

    on: xr.Dataset
    off: xr.Dataset
    evaluation: Evaluation


def evaluation_fingerprint(run: str, checkpoint: str, judged_on: str, section: Evaluate) -> str:
    """Return 16 hex digits of all that shapes the results: run, network, spectra, how judged."""
    return fingerprint(EVALUATION_VERSION, run, checkpoint, judged_on, section)


def write_results(directory: Place, results: Results) -> None:
    """Put the results of a run in place of those that are there, once they read back the same."""
    on = results.on.assign_attrs(evaluation=results.evaluation.model_dump())
    on = on.assign_attrs(checksum=_checksum(on, results.off))
    with publishing(Location.of(directory) / RESULTS, replace=True) as beside:
        on.to_zarr(**beside.zarr, consolidated=False)
        results.off.to_zarr(**beside.zarr, group=_OFF, mode="a", consolidated=False)
        _read(beside, "see what is wrong with the disk")


def read_results(run_directory: Place) -> Results:
    """Return the results of a run; InputError where there are none or they are damaged."""
    place = Location.of(run_directory) / RESULTS
    if not place.exists():
        raise InputError(f"{run_directory} is not evaluated; run `specdenoise evaluate` first")
    return _read(place, f"run `specdenoise evaluate {run_directory}` again")


def _read(place: Location, remedy: str) -> Results:
    with reading(place, remedy):
        store = place.zarr if place.is_local else {"store": _fetched(place)}
        on, off = (
            xr.open_zarr(**store, group=group, chunks=None, consolidated=False).load()
            for group in (None, _OFF)
        )
        evaluation = Evaluation.model_validate(on.attrs["evaluation"])
        found, expected = _checksum(on, off), on.attrs["checksum"]
    if found != expected:
        raise InputError(
            f"{place} is damaged: its values are not those that were written; {remedy}"
        )
    return Results(on, off, evaluation)


def _fetched(place: Location) -> MemoryStore:
    """Return a small store with all its files, read together."""
    files = place.read_files(place.sizes())
    return MemoryStore({name: cpu.Buffer.from_bytes(data) for name, data in files.items()})


def _checksum(*parts: xr.Dataset) -> str:
    """Return 16 hex digits over values, names, dimensions and attributes."""
    return fingerprint(
        *(
            [
                {
                    str(name): [variable.dims, variable.attrs, _values(variable.values)]
                    for name, variable in part.variables.items()
                },
                {key: value for key, value in part.attrs.items() if key != "checksum"},
            ]
            for part in parts
        )
    )


def _values(values: np.ndarray) -> Any:
    return checksum(values) if np.issubdtype(values.dtype, np.number) else values.tolist()
