"""Every number of a page about evaluated runs, from what they have stored."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from trainlib.evaluation.claims import Claim, claims, in_a_sentence
from trainlib.evaluation.compare import paired, why_not_paired
from trainlib.evaluation.generalisation import read_generalisation
from trainlib.evaluation.metrics import FITTED, NETWORK
from trainlib.evaluation.page_tables import ablation_table, fit_table
from trainlib.evaluation.results import Results
from trainlib.evaluation.shown import Shown


def page_numbers(shown: Sequence[Shown]) -> dict[str, Any]:
    """Return the numbers of a page.

    `runs`: name, `verdict` (a sentence and the rows of its table), the JSON object of the
    evaluation, `binned` measures of all methods, where the network is `beaten`, the rows that are
    shown as `examples`, and, where they were asked for, `fits` of the simulator, tests on other
    spectra, `generalisation`, and variants of the training, `ablation`. `comparisons` of the others
    with the first. `tested_alike`: η of all on spectra unlike the first's training set, a row a
    kind. Shares are fractions.
    """
    first = shown[0]
    return {
        "runs": [_numbers_of(run) for run in shown],
        "comparisons": [_comparison(first, run) for run in shown[1:]],
        "tested_alike": _tested_alike(shown),
    }


def _numbers_of(run: Shown) -> dict[str, Any]:
    results = run.results
    rows = claims_of(results)
    return {
        "name": run.name,
        "verdict": {
            "sentence": in_a_sentence(results.on, rows),
            "claims": [asdict(row) for row in rows],
        },
        "evaluation": results.evaluation.summary,
        "binned": list(_records(results)),
        "cpu_ms": dict(zip(map(str, results.on["method"].values),
                           map(_number, results.on["cpu_ms"].values), strict=True)),
        "beaten": defeats(results.evaluation.summary),
        "fits": fit_table(fit) if (fit := results.evaluation.summary.get("fit")) else None,
        "generalisation": _generalisation(run),
        "ablation": ablation_table(run.ablation) if run.ablation else None,
        "examples": [
            example_of(results, number) for number in range(results.examples.sizes["example"])
        ],
    }  # fmt: skip


def claims_of(results: Results) -> list[Claim]:
    """Return the rows of the verdict."""
    return claims(results.on, results.examples, results.evaluation.summary.get("trust"))


def _generalisation(run: Shown) -> dict[str, Any] | None:
    """Return what was found on spectra unlike the training set, None where it was not asked."""
    found = read_generalisation(run.trained.directory, run.trained.checkpoint)
    return None if found is None else found.model_dump(mode="json", exclude={"provenance"})


def _tested_alike(shown: Sequence[Shown]) -> list[dict[str, Any]]:
    """Return what all runs make of the same spectra; nothing where only the first was tested."""
    first, *others = (run.trained for run in shown)
    usual = first.manifest.fingerprint
    found = [
        read_generalisation(first.directory, first.checkpoint),
        *(read_generalisation(one.directory, one.checkpoint, usual) for one in others),
    ]
    if found[0] is None or not any(found[1:]):
        return []
    by_name = [{row.name: row for row in one.rows} if one else {} for one in found]
    return [
        {
            "text": row.text,
            "eta": [one[row.name].eta if row.name in one else None for one in by_name],
        }
        for row in found[0].rows
    ]


def _records(results: Results) -> Iterator[dict[str, Any]]:
    """Yield every bin of every abscissa, with all statistics of all measures of all methods."""
    table = results.binned
    values = {str(name): table[name].values for name in table.variables}
    names = [[str(name) for name in values[dim]] for dim in ("measure", "statistic")]

    def of_method(place: int, number: int) -> dict[str, Any]:
        ratios = {name: _number(values[name][place, number]) for name in ("eta", "eta_error")}
        return ratios | {
            measure: dict(zip(names[1], map(_number, row), strict=True))
            for measure, row in zip(names[0], values["value"][:, place, number], strict=True)
        }

    for number in range(table.sizes["bin"]):
        yield {
            "axis": str(values["axis"][number]),
            **{name: _number(values[name][number]) for name in ("low", "high", "floor")},
            **{name: int(values[name][number]) for name in ("count", "limit_count")},
            "methods": {
                str(method): of_method(place, number)
                for place, method in enumerate(values["method"])
            },
        }


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def _comparison(first: Shown, other: Shown) -> dict[str, Any]:
    if (reason := why_not_paired(first, other)) is not None:
        return {"first": first.name, "second": other.name, "reason": reason, "bins": []}
    bins = [asdict(pair) for pair in paired(first.results, other.results)]
    return {"first": first.name, "second": other.name, "reason": None, "bins": bins}


def example_of(results: Results, number: int) -> dict[str, Any]:
    """Return the labels of a stored example, and its errors before and after."""
    on, row = results.on, int(results.examples["row"][number])
    names = ("snr", "teff", "logg", "feh", "alpha", "magnitude", "redshift")
    network = on.sel({"method": "dae"})
    return {
        "row": row,
        **{name: float(on[name][row]) for name in names},
        "error": float(network["mean_abs_relative_error"][row]),
        "error_noisy": float(on["mean_abs_relative_error"].sel({"method": "none"})[row]),
        "max_error": float(network["max_abs_relative_error"][row]),
        "kl_divergence": float(network["kl_divergence"][row]),
    }


def defeats(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Return every bin and method with a mean |R| that the network does not undercut.

    On the same spectra, whose `count` the bin has. A fit of the simulator is no such method.
    """
    found = []
    for part in summary["bins"]:
        of_all = part["methods"][NETWORK]["mean_abs_relative_error"]
        for method, told in part["methods"].items():
            error, network = told["mean_abs_relative_error"], told.get("network", of_all)
            is_judged = part["count"] and error is not None and method not in (NETWORK, *FITTED)
            if not is_judged or network < error:
                continue
            place = {name: part[name] for name in ("snr_low", "snr_high") if name in part}
            place["count"] = told.get("count", part["count"])
            found.append({"bin": place, "method": method, "error": error, "network": network})
    return found
