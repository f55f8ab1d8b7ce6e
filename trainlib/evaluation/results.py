"""What an evaluation found, `results.zarr`: published in one step, checked when it is read."""

from dataclasses import dataclass
from functools import cached_property
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
EVALUATION_VERSION = 6
RESULTS = "results.zarr"
# groups beside the root
_OFF, _BINNED, _EXAMPLES, _TRUST = "augmentation_off", "binned", "examples", "trust"


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
    """Measures per method and spectrum, with augmentation on and off, in memory.

    examples: spectra to be shown, as `examples.make_examples` makes them. trust: what is true of
    the network's errors and verdicts, as `refusal.judge_trust` says; empty where it tells none.
    """

    on: xr.Dataset
    off: xr.Dataset
    examples: xr.Dataset
    trust: xr.Dataset
    evaluation: Evaluation

    @cached_property
    def binned(self) -> xr.Dataset:
        """Measures in bins, with augmentation on."""
        from trainlib.evaluation.binned import binned  # noqa: PLC0415  loads torch

        return binned(self.on)


def evaluation_fingerprint(run: str, checkpoint: str, judged_on: str, section: Evaluate) -> str:
    """Return 16 hex digits of all that shapes the results: run, network, spectra, how judged."""
    return fingerprint(EVALUATION_VERSION, run, checkpoint, judged_on, section)


def write_results(directory: Place, results: Results) -> None:
    """Put the results of a run in place of those that are there, once they read back the same."""
    groups = {None: results.on, _OFF: results.off, _BINNED: results.binned,
              _EXAMPLES: results.examples, _TRUST: results.trust}  # fmt: skip
    told = {"evaluation": results.evaluation.model_dump()}
    groups[None] = groups[None].assign_attrs(told)
    groups[None] = groups[None].assign_attrs(checksum=_checksum(*groups.values()))
    with publishing(Location.of(directory) / RESULTS, replace=True) as beside:
        for group, part in groups.items():
            part.to_zarr(**beside.zarr, group=group, mode="a", consolidated=False)
        _read(beside, "see what is wrong with the disk")


def read_results(run_directory: Place) -> Results:
    """Return the results of a run; InputError where there are none or they are damaged."""
    place = Location.of(run_directory) / RESULTS
    if not place.exists():
        raise InputError(f"{run_directory} is not evaluated; run `specdenoise evaluate` first")
    return _read(place, f"run `specdenoise evaluate {run_directory}` again")


def _read(place: Location, remedy: str) -> Results:
    with reading(place, remedy):
        store = _fetched(place)
        parts = [
            xr.open_zarr(store, group=group, chunks=None, consolidated=False).load()
            for group in (None, _OFF, _BINNED, _EXAMPLES, _TRUST)
        ]
        on, off, _, examples, trust = parts
        evaluation = Evaluation.model_validate(on.attrs["evaluation"])
        found, expected = _checksum(*parts), on.attrs["checksum"]
    if found != expected:
        raise InputError(
            f"{place} is damaged: its values are not those that were written; {remedy}"
        )
    return Results(on, off, examples, trust, evaluation)


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
