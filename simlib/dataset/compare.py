"""Compare two datasets: what made them, how their stars are distributed, their mean spectra.

Rows are read evenly spread over a split, in runs of neighbours, so that few chunks are touched and
a dataset that is computed when it is looked at computes few rows beside those that are asked for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from scipy import stats

from simlib.config import SimulationConfig
from simlib.dataset.layout import ROW_VARIABLES
from simlib.dataset.manifest import Manifest, config_tables
from simlib.dataset.open import open_dataset
from simlib.dataset.publish import published_dataset
from simlib.location import Location, Place

LEVEL = 0.01  # of all tests together: how often one of them cries wolf
MOST_ROWS = 16_384  # of a split, for the tests
MOST_SPECTRA = 1_024  # of a split, for its mean
_RUN = 64  # rows read together
_PARAMETERS = tuple(name for name in ROW_VARIABLES if name != "interpolated_axis")  # a category


@dataclass(frozen=True)
class Entry:
    """Something of the config or the making that differs; None where one has no such key."""

    key: str
    a: Any
    b: Any


@dataclass(frozen=True)
class ParameterTest:
    """Two samples of one variable: Kolmogorov and Smirnov's statistic and its p-value.

    p_corrected: after Holm, for all tests of the comparison. None where there is nothing to test.
    """

    name: str
    statistic: float | None
    p_value: float | None
    p_corrected: float | None
    differs: bool


@dataclass(frozen=True)
class MeanRatio:
    """Mean flux of A over that of B, by wavelength. spectra: read of each."""

    spectra: tuple[int, int]
    lowest: float
    highest: float
    rms_from_one: float
    largest_at_nm: float
    largest: float


@dataclass(frozen=True)
class SplitDifference:
    """One split of both. rows: of each; tested: read of each for the tests.

    wavelengths: "same", or how those of A and B differ: then there is no ratio.
    """

    split: str
    rows: tuple[int, int]
    tested: tuple[int, int]
    parameters: tuple[ParameterTest, ...]
    wavelengths: str
    mean_ratio: MeanRatio | None


@dataclass(frozen=True)
class DatasetDifference:
    """How dataset A differs from dataset B. only_in_a, only_in_b: splits."""

    a: str
    b: str
    entries: tuple[Entry, ...]
    only_in_a: tuple[str, ...]
    only_in_b: tuple[str, ...]
    splits: tuple[SplitDifference, ...]

    @property
    def is_same(self) -> bool:
        """Return whether nothing was found that differs."""
        return not (self.entries or self.only_in_a or self.only_in_b) and all(
            part.rows[0] == part.rows[1]
            and part.mean_ratio is not None
            and part.mean_ratio.rms_from_one == 0.0
            and not any(test.differs for test in part.parameters)
            for part in self.splits
        )


def compare_datasets(a: Place, b: Place, most_spectra: int = MOST_SPECTRA) -> DatasetDifference:
    """Return how two published datasets differ.

    most_spectra: of a split that are read for its mean. Raises InputError where one is not there,
    not complete, damaged in what is read, or virtual and not to be made again here.
    """
    (folder_a, manifest_a), (folder_b, manifest_b) = published_dataset(a), published_dataset(b)
    splits_a, splits_b = manifest_a.plan.rows, manifest_b.plan.rows
    parts = [
        _compare_split(
            split, open_dataset(folder_a, split), open_dataset(folder_b, split), most_spectra
        )
        for split in splits_a
        if split in splits_b
    ]
    return DatasetDifference(
        a=str(folder_a),
        b=str(folder_b),
        entries=tuple(differing_entries(folder_a, manifest_a, folder_b, manifest_b)),
        only_in_a=tuple(split for split in splits_a if split not in splits_b),
        only_in_b=tuple(split for split in splits_b if split not in splits_a),
        splits=corrected(parts),
    )


def differing_entries(
    folder_a: Location, manifest_a: Manifest, folder_b: Location, manifest_b: Manifest
) -> list[Entry]:
    """Return the keys of config and making whose values differ.

    A path inside a dataset's own root is compared by its way from the dataset, so that a copy of
    the root is no difference; it is shown as the path that it is now.
    """
    compared_a, compared_b = (
        flattened(_facts(manifest) | _own(manifest)) for manifest in (manifest_a, manifest_b)
    )
    shown_a, shown_b = (
        flattened(_facts(manifest) | config_tables(manifest, folder))
        for folder, manifest in ((folder_a, manifest_a), (folder_b, manifest_b))
    )
    keys = dict.fromkeys((*compared_a, *compared_b))
    return [
        Entry(key, shown_a.get(key), shown_b.get(key))
        for key in keys
        if compared_a.get(key) != compared_b.get(key)
    ]


def _facts(manifest: Manifest) -> dict[str, Any]:
    """Return what beside the config tells two makings apart."""
    return {
        "fingerprint": manifest.fingerprint,
        "mode": manifest.mode,
        "physics_version": manifest.physics_version,
        "arithmetic": list(manifest.arithmetic),
        "stellar_grid": manifest.stellar_grid,
    }


def _own(manifest: Manifest) -> dict[str, Any]:
    """Return the simulation's part of a config: that of a training makes no spectra."""
    known = SimulationConfig.model_fields
    return {name: table for name, table in manifest.config.items() if name in known}


def flattened(tables: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Return nested tables as one, the keys joined by dots."""
    flat: dict[str, Any] = {}
    for key, value in tables.items():
        if isinstance(value, Mapping):
            flat |= flattened(value, f"{above}{key}.")
        else:
            flat[f"{above}{key}"] = value
    return flat


def _compare_split(split: str, a: xr.Dataset, b: xr.Dataset, most_spectra: int) -> SplitDifference:
    counts = (a.sizes["spectrum"], b.sizes["spectrum"])
    rows_a, rows_b = (evenly(count, MOST_ROWS) for count in counts)
    wavelengths = _wavelengths(a["wavelength"].values, b["wavelength"].values)
    return SplitDifference(
        split=split,
        rows=counts,
        tested=(len(rows_a), len(rows_b)),
        parameters=tuple(
            two_samples(name, a[name][rows_a].values, b[name][rows_b].values)
            for name in _PARAMETERS
        ),
        wavelengths=wavelengths,
        mean_ratio=_mean_ratio(a, b, most_spectra) if wavelengths == "same" else None,
    )


def evenly(count: int, most: int) -> np.ndarray:
    """Return at most `most` of `count` row numbers: runs of neighbours, evenly spread."""
    if count <= most:
        return np.arange(count)
    run = min(_RUN, most)
    starts = np.linspace(0, count - run, most // run).round().astype(int)
    return np.unique(starts[:, np.newaxis] + np.arange(run))


def two_samples(name: str, a: np.ndarray, b: np.ndarray) -> ParameterTest:
    """Return the test of whether two samples are of one distribution, not yet corrected."""
    a, b = (values[np.isfinite(values)] for values in (a, b))
    if not (a.size and b.size):
        return ParameterTest(name, None, None, None, differs=bool(a.size or b.size))
    found = stats.ks_2samp(a, b, method="asymp")  # the exact one fails for hundreds of rows
    return ParameterTest(name, float(found.statistic), float(found.pvalue), None, differs=False)


def corrected(parts: Sequence[SplitDifference]) -> tuple[SplitDifference, ...]:
    """Return the splits with Holm's correction for all their tests together, and the verdicts."""
    tests = [test for part in parts for test in part.parameters]
    tested = [number for number, test in enumerate(tests) if test.p_value is not None]
    for number, p_value in zip(
        tested, holm([tests[n].p_value or 0.0 for n in tested]), strict=True
    ):
        test = tests[number]
        tests[number] = ParameterTest(
            test.name, test.statistic, test.p_value, p_value, differs=p_value < LEVEL
        )
    judged = iter(tests)
    return tuple(
        SplitDifference(
            part.split, part.rows, part.tested, tuple(next(judged) for _ in part.parameters),
            part.wavelengths, part.mean_ratio,
        )
        for part in parts
    )  # fmt: skip


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number, after Holm (1979)."""
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values)
    steps = values[order] * np.arange(len(values), 0, -1)
    result = np.empty_like(values)
    result[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(value) for value in result]


def _wavelengths(a: np.ndarray, b: np.ndarray) -> str:
    if np.array_equal(a, b):
        return "same"
    told = (f"{len(w)} pixels {w.min():.4g}-{w.max():.4g} nm" for w in (a, b))
    same_span = len(a) == len(b) and f"largest difference {np.abs(a - b).max():.2g} nm"
    return " | ".join(told) + (f", {same_span}" if same_span else "")


def _mean_ratio(a: xr.Dataset, b: xr.Dataset, most_spectra: int) -> MeanRatio | None:
    """Return the ratio of the mean spectra; None where that of B is nowhere positive."""
    rows = [evenly(part.sizes["spectrum"], most_spectra) for part in (a, b)]
    mean_a, mean_b = (
        part["flux"][some].values.mean(axis=0, dtype=np.float64)
        for part, some in zip((a, b), rows, strict=True)
    )
    there = mean_b > 0.0
    if not there.any():
        return None
    ratio, wavelength = mean_a[there] / mean_b[there], a["wavelength"].values[there]
    largest = int(np.abs(ratio - 1.0).argmax())
    return MeanRatio(
        spectra=(len(rows[0]), len(rows[1])),
        lowest=float(ratio.min()),
        highest=float(ratio.max()),
        rms_from_one=float(np.sqrt(np.mean((ratio - 1.0) ** 2))),
        largest_at_nm=float(wavelength[largest]),
        largest=float(ratio[largest]),
    )
