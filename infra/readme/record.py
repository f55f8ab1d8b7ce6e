"""What the README tells of runs, from what is stored in them: small, and by name."""

import math
from pathlib import Path
from typing import Any

from simlib.dataset.publish import published_dataset
from simlib.errors import InputError
from simlib.location import Location, Place
from simlib.provenance import arithmetic, provenance
from tests.bench._network import network_figures
from trainlib import runs
from trainlib.evaluation.ablation import read_ablation
from trainlib.evaluation.generalisation import read_generalisation
from trainlib.evaluation.metrics import summarise_bins
from trainlib.evaluation.results import Results, read_results

_DIGITS = 8  # of a number that is kept: more than are shown by so much that none is rounded twice
# Of what is stored, what the README does not show.
_LEFT_OUT = {
    "auc", "digest", "identity", "odd", "provenance", "share_95", "stars", "within_68_95",
    "within_95_95",
}  # fmt: skip
METHODS = ("none", "savgol", "wiener", "rest", "template", "dae")


def survey_of(run: Path) -> dict[str, Any]:
    """Return what is stored in an evaluated run: baselines, fits, trust, other spectra.

    bins: by S/N, mean |R| of the first spectra alone, on which all METHODS were tried. eta: by
    method and bin. Raises InputError where something is not stored.
    """
    results = read_results(run)
    summary = results.evaluation.summary
    other = read_generalisation(run, results.evaluation.checkpoint)
    if other is None or not {"fit", "trust"} <= summary.keys():
        raise InputError(
            f"{run} has not all that the README tells: evaluate.fit_spectra has to be more than 0, "
            "and `specdenoise evaluate` and `specdenoise generalise` to have been run on it"
        )
    return _small({
        "run": run_of(run),
        "bins": _bins(results),
        "eta": {method: _eta(results, method) for method in ("dae", "polished")},
        "cpu_ms": float(results.on["cpu_ms"].sel({"method": "dae"})),
        "fit": summary["fit"],
        "trust": summary["trust"],
        "generalisation": other.model_dump(mode="json"),
    })  # fmt: skip


def _bins(results: Results) -> list[dict[str, Any]]:
    error = results.on["mean_abs_relative_error"]
    tried = error.sel({"method": list(METHODS)}).notnull().all("method").values
    bins: Any = summarise_bins(results.on.isel(spectrum=tried))["bins"]
    return [
        {name: one[name] for name in ("snr_low", "snr_high", "count")}
        | {name: one["methods"][name]["mean_abs_relative_error"] for name in METHODS}
        for one in bins
    ]


def _eta(results: Results, method: str) -> list[float]:
    """Return a method's error over the limit in the bins of S/N."""
    table = results.binned.sel({"method": method})
    values: list[float] = table["eta"].values[table["axis"].values == "snr"].tolist()
    return values


def limit_of(run: Path, begin: int, rows: int, continuous: str) -> dict[str, Any]:
    """Return how far from the limit a network is on rows of `test`; continuous: a dataset."""
    asked = [("test", {}), ("masked", {"masked": True}), ("continuous", {"dataset": continuous})]
    found = {
        name: network_figures(run, "test", rows, begin=begin, **options) for name, options in asked
    }
    return _small({"begin": begin, "rows": rows} | found)


def demo_of(run: Path, dataset: str, rows: int) -> dict[str, Any]:
    """Return how far from the limit a network is on the first validation rows of a dataset."""
    figures = network_figures(run, "validation", rows, dataset=dataset)
    return _small({"run": run_of(run), "rows": rows, "network": figures})


def ablation_of(run: Path) -> dict[str, Any]:
    """Return what came of a run's variants; its `run` is the first, trained as configured.

    Raises InputError where nothing is kept.
    """
    found = read_ablation(run)
    if found is None:
        raise InputError(f"{run}: nothing is compared; run `specdenoise ablate` first")
    as_configured = Location.of(run).parent / found.rows[0].run
    return _small({"run": run_of(as_configured)} | found.model_dump(mode="json"))


def bench_of(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the entries of a bench.json that was made just now, and this machine."""
    made = provenance()
    kept = [{name: one[name] for name in ("name", "value", "unit", "against")} for one in entries]
    return {
        "date": made["written"].split("T")[0],
        "cores": made["cores"],
        "cpu": arithmetic().split()[0],
        "entries": kept,
    }


def run_of(run: Place) -> dict[str, Any]:
    """Return what a run is, when and where it was made, and what it took.

    Raises InputError where it is not finished, or was ended by its budget of seconds before.
    """
    manifest = runs.read_manifest(run)
    if (outcome := manifest.outcome) is None:
        raise InputError(f"{run} is not finished; run `specdenoise train` again")
    epochs = manifest.inputs["train"]["train.epochs"]
    if outcome.epoch != epochs:
        raise InputError(
            f"{run} ended after {outcome.epoch} of {epochs} epochs, for want of time; remove it "
            "and train again on a machine that does nothing else"
        )
    _, dataset = published_dataset(runs.real(Location.of(run)).follow(manifest.dataset.place))
    return {
        "name": Location.of(run).name,
        "fingerprint": manifest.fingerprint,
        "commit": manifest.provenance["commit"],
        "date": outcome.ended.split("T")[0],
        "cores": manifest.provenance["cores"],
        "cpu": ", ".join(sorted({one.split()[0] for one in dataset.arithmetic})),
        **{name: dataset.config["dataset"][name] for name in ("seed", "n_train")},
        **{name: getattr(outcome, name) for name in ("epoch", "parameters", "cpu_seconds")},
    }


def _small(value: Any) -> Any:
    """Return a JSON object with fewer digits, and without what the README does not show."""
    if isinstance(value, dict):
        return {key: _small(one) for key, one in value.items() if key not in _LEFT_OUT}
    if isinstance(value, list | tuple):
        return [_small(one) for one in value]
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
    return value
