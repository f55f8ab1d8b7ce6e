"""Tables of a page beside those by S/N: fits of the simulator, and variants of the training."""

import math
from collections.abc import Mapping
from typing import Any

from trainlib.evaluation.ablation import Ablated, Ablation, bears_on
from trainlib.evaluation.generalisation import OnSpectra

_NETWORK, _COLD = "dae", "cold"  # starts of a fit


def fit_table(fit: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an evaluation says of each start, what comes before a fit told apart.

    `rows`: start, templates tried, evaluations, `before_ms` of a grid of templates or the network,
    `fit_ms`, `ms` of both, wrong minima with their interval; None where it is not known.
    `of_cold`: what a fit from the network's answer takes, as shares of what the cold one does, None
    without such a start; `compared`: evaluations with the templates. `accepted`: share of spectra
    in which the fit took the place of the network's answer.
    """
    rows = {start: _start(start, told) for start, told in fit["starts"].items()}
    of_cold = None
    if _NETWORK in rows:
        ours, cold = rows[_NETWORK], rows[_COLD]
        counts = ("evaluations", "compared", "fit_ms", "ms")
        of_cold = {name: _ratio(ours[name], cold[name]) for name in counts}
    accepted = fit["starts"].get(_NETWORK, {}).get("accepted")
    return {"spectra": fit["spectra"], "rows": list(rows.values()), "of_cold": of_cold,
            "accepted": accepted}  # fmt: skip


def _start(start: str, told: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row. told: `ms` has a grid's time in it, which `grid_ms` tells, but no network's."""
    templates, before = told.get("templates"), told.get("network_ms", told.get("grid_ms"))
    is_in = templates is not None  # what comes before, in `ms`
    fit_ms = told["ms"] if not is_in else None if before is None else told["ms"] - before
    return {
        "start": start,
        "templates": templates,
        "evaluations": told["evaluations"],
        "compared": told["evaluations"] + (templates or 0),
        "before_ms": before,
        "fit_ms": fit_ms,
        "ms": told["ms"] if is_in else told["ms"] + (before or 0.0),
        "wrong": told["wrong"],
        "wrong_95": told["wrong_95"],
    }


def ablation_table(found: Ablation) -> dict[str, Any]:
    """Return variants of a training as `rows`, with a test or None for each of the `kinds`.

    kinds: name and text of what they were tested on. costs: each variant against the first one,
    `usual`, on the spectra that it bears on; the error of the ratio of their mean |R| is that of
    two on different spectra: on the same ones it is smaller.
    """
    kinds = {test.name: test.text for row in found.rows for test in row.tests}
    rows = [row.model_dump(mode="json") | {"tests": _in_order(row, kinds)} for row in found.rows]
    costs = [_cost(found.rows[0], row) for row in found.rows[1:]]
    return {
        "minutes": found.minutes,
        "spectra": found.spectra,
        "kinds": [{"name": name, "text": text} for name, text in kinds.items()],
        "rows": rows,
        "costs": [one for one in costs if one],
    }


def _in_order(row: Ablated, kinds: Mapping[str, str]) -> list[dict[str, Any] | None]:
    tests = {test.name: test.model_dump(mode="json") for test in row.tests}
    return [tests.get(name) for name in kinds]


def _cost(usual: Ablated, row: Ablated) -> dict[str, Any] | None:
    """Return a variant beside the first one, None where one of them was not tested so."""
    theirs, ours = (_told(one, bears_on(row.name)) for one in (usual, row))
    if theirs is None or ours is None:
        return None
    pairs = {name: [getattr(one, name) for one in (ours, theirs)]
             for name in ("error", "worst", "bias")}  # fmt: skip
    ratio = _ratio(*pairs["error"])
    scatters = [_ratio(one.eta_error, one.eta) for one in (ours, theirs)]
    known = [one for one in scatters if one is not None]
    error = ratio * math.hypot(*known) if ratio is not None and len(known) == 2 else None
    return {
        "name": row.name,
        "text": row.text,
        "tested_on": ours.text,
        "spectra": ours.spectra,
        **{name: pair[0] for name, pair in pairs.items()},
        **{f"usual_{name}": pair[1] for name, pair in pairs.items()},
        "ratio": ratio,
        "ratio_error": error,
    }


def _told(row: Ablated, kind: str) -> OnSpectra | None:
    return next((one for one in row.tests if one.name == kind and not one.reason), None)


def _ratio(above: float | None, below: float | None) -> float | None:
    return above / below if above is not None and below else None
