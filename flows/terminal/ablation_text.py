"""How a comparison of variants of a run is put into words: trained on against tested on."""

from collections.abc import Mapping
from typing import Any

from flows.terminal.tables import print_table


def print_ablation(found: Mapping[str, Any]) -> None:
    """Print how far each variant is from the limit on each kind of spectra, and why one is not."""
    rows = found["rows"]
    kinds = list(dict.fromkeys(test["name"] for row in rows for test in row["tests"]))
    heads = ("trained", "epochs", "CPU s", *(f"on {kind}: η (mean, worst |R|)" for kind in kinds))
    print_table("", heads, [_row(row, kinds) for row in rows if not row["reason"]])
    for row in rows:
        if row["reason"]:
            print(f"{row['name']}: not trained, {row['reason']}")
        if layer := row["first_layer"]:
            print(f"{row['name']}: {_gradients(layer)}")


def _gradients(layer: Mapping[str, float]) -> str:
    return (
        f"mean |gradient| of the first layer {layer['untrained']:.1e} before the first step, "
        f"{layer['trained']:.1e} after the last; {layer['paper']:.1e} before it with the paper's "
        f"widths; learning rate {layer['rate']:g}"
    )


def _row(row: Mapping[str, Any], kinds: list[str]) -> list[str]:
    tests = {test["name"]: test for test in row["tests"]}
    told = [_test(tests.get(kind)) for kind in kinds]
    return [row["name"], str(row["epochs"]), f"{row['cpu_seconds']:.0f}", *told]


def _test(test: Mapping[str, Any] | None) -> str:
    if test is None or test["reason"]:
        return "–" if test is None else test["reason"]
    scatter = "" if test["eta_error"] is None else f" ± {test['eta_error']:.2f}"
    return f"{test['eta']:.2f}{scatter} ({100 * test['error']:.2f} %, {100 * test['worst']:.1f} %)"
