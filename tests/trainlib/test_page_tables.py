"""What a page says of fits and variants of which something is not known."""

from typing import Any

import pytest

from trainlib.evaluation.ablation import Ablated, Ablation
from trainlib.evaluation.generalisation import OnSpectra
from trainlib.evaluation.page_tables import ablation_table, fit_table


def fit(**starts: dict[str, Any]) -> dict[str, Any]:
    usual = {"evaluations": 4.0, "ms": 8.0, "wrong": 0.1, "wrong_95": [0.05, 0.2]}
    return {"spectra": 7, "starts": {name: usual | told for name, told in starts.items()}}


def test_a_fit_judged_before_its_grid_was_timed_tells_both_together() -> None:
    network = {"ms": 2.0, "network_ms": 1.0, "accepted": 0.5}
    told = fit_table(fit(cold={"templates": 96}, dae=network))
    cold, ours = told["rows"]
    assert (cold["before_ms"], cold["fit_ms"], cold["ms"]) == (None, None, 8.0)
    assert (ours["before_ms"], ours["fit_ms"], ours["ms"]) == (1.0, 2.0, 3.0)
    assert told["of_cold"] == {"evaluations": 1.0, "compared": 0.04, "fit_ms": None, "ms": 0.375}
    timed = fit_table(fit(cold={"templates": 96, "grid_ms": 4.0}, dae=network))
    assert timed["of_cold"] == told["of_cold"] | {"fit_ms": 0.5} and timed["accepted"] == 0.5


def test_a_network_that_begins_no_fit_saves_none() -> None:
    told = fit_table(fit(cold={"templates": 96, "grid_ms": 4.0}, truth={}))
    assert told["of_cold"] is None and told["accepted"] is None
    assert [row["start"] for row in told["rows"]] == ["cold", "truth"]


def on_kind(kind: str, error: float | None, eta_error: float | None = 0.25) -> OnSpectra:
    eta = None if error is None else 2.0
    return OnSpectra(identity="", name=kind, text=f"on {kind}", error=error, eta=eta,
                     eta_error=eta_error)  # fmt: skip


def variant(name: str, *tests: OnSpectra) -> Ablated:
    return Ablated(name=name, text=name, tests=tests)


def table(*rows: Ablated) -> dict[str, Any]:
    return ablation_table(Ablation(minutes=1.0, spectra=3, rows=rows))


def test_a_variant_is_set_against_the_first_on_the_spectra_it_bears_on() -> None:
    kinds = ("as trained", "withheld cells", "withheld threads")
    first = variant("as configured", *(on_kind(kind, 0.01 * n) for n, kind in enumerate(kinds, 1)))
    names = ("rmse", "without cells", "without threads", "recipe A")
    told = table(
        first, *(variant(name, *(on_kind(kind, 0.06) for kind in kinds)) for name in names)
    )
    assert [one["ratio"] for one in told["costs"]] == pytest.approx([6.0, 3.0, 2.0, 6.0])
    where = [one["tested_on"] for one in told["costs"]]
    assert where == [f"on {kinds[place]}" for place in (0, 1, 2, 0)]
    assert told["costs"][2]["ratio_error"] == pytest.approx(2.0 * 0.125 * 2**0.5)


def test_what_was_not_tested_has_no_cost() -> None:
    first = variant("as configured", on_kind("as trained", 0.01))
    dark = OnSpectra(identity="", name="as trained", text="", reason="too dark")
    told = table(first, variant("mae", dark), variant("recipe A"), variant("without cells"))
    assert told["costs"] == [] and [len(row["tests"]) for row in told["rows"]] == [1] * 4
    (alone,) = table(first, variant("mae", on_kind("as trained", 0.02, None)))["costs"]
    assert alone["ratio"] == 2.0 and alone["ratio_error"] is None
    (unknown,) = table(first, variant("mae", on_kind("as trained", None)))["costs"]
    assert unknown["ratio"] is None and unknown["usual_error"] == 0.01
    assert table(first)["costs"] == []
