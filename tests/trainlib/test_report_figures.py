"""Every cell of the report and every curve of its figures, against what the runs have stored.

The two runs of the page differ in every figure that it shows of them.
"""

import base64
import html
import json
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from flows.cli import run_program
from simlib.rng import Purpose, Split
from tests.trainlib.judged_runs import (
    AUGMENT,
    BADLY,
    WELL,
    judged_badly,
    judged_well,
    with_ablation,
    with_fits,
)
from tests.trainlib.page_reader import Page, numbers
from trainlib import runs
from trainlib.config import Evaluate
from trainlib.evaluation import figures
from trainlib.evaluation.methods import METHODS
from trainlib.evaluation.metrics import MEASURES
from trainlib.evaluation.report import write_report
from trainlib.evaluation.trained import load_trained
from trainlib.training.augment import Augmenter
from trainlib.training.log import read_log

EDGES = [(0, 5), (5, 7), (7, 10), (10, 14), (14, 20), (20, 40), (40, 80), (80, np.inf)]
NARROW = (9, 11)
NAMES = ["noisy input", "Gaussian smoothing", "Savitzky-Golay filter", "PCA projection",
         "Wiener filter", "network"]  # fmt: skip
OTHERS = ["linear, at rest", "best template", "fit of the simulator", "network, polished"]
_NM, _R = "vacuum wavelength (Å)", "|R| (%)"
_SPECTRA = [("", "normalised flux"), (_NM, _R)]
LABELS = {
    "figure-1": [(_NM, "normalised flux")],
    "figure-3": [("epoch", "loss"), ("", "learning rate")],
    "figure-4": _SPECTRA, "figure-5": [*_SPECTRA, ("", "|E|")],
    **{f"figure-{number}": [("", "|E|"), (label, _R)] for number, label in enumerate(
        ("median S/N per pixel", "Teff (K)", "log g", "[Fe/H]"), start=6)},
    "alpha": [("", "|E|"), ("[α/Fe]", _R)],
    "error": [("median S/N per pixel", "mean |R| (%)")],
    "bias": [("median S/N per pixel", "mean R (%), signed")],
    "gradients-1-mae": [("", "mean |gradient|")],
    "gradients-1-recipe-A": [("", "mean |gradient|")],
}  # fmt: skip
CAPTIONS = {  # of figures, a part of each that tells what is drawn, and how many have it
    "The nearest of the judged stars to the paper's": 1,
    "Means over an interval; what the loss measures is the recipe's own affair.": 1,
    "Every point is a spectrum.": 1,
    "Every point is a spectrum; only those interpolated along the abscissa.": 3,
    "Lines: means in bins. Dots: single spectra, network.": 1,
    "Signed; linear within ±0.1 %, logarithmic beyond.": 1, "Not a figure of the paper.": 1,
    "Mean |gradient|: ": 2,
}  # fmt: skip
LONG = dict(zip(METHODS, NAMES, strict=True))
STARS = {"teff": "Teff (K)", "logg": "log g", "feh": "[Fe/H]", "alpha": "[α/Fe]"}
SECTIONS = (WELL, BADLY)


@dataclass(frozen=True)
class Judged:
    """A run, and what its results hold, read without the project."""

    place: Path
    section: Evaluate
    on: xr.Dataset
    off: xr.Dataset
    binned: xr.Dataset
    examples: xr.Dataset
    trust: xr.Dataset


@dataclass(frozen=True)
class Shown:
    page: Page
    runs: tuple[Judged, Judged]
    figures: dict[str, Figure]
    embedded: dict[str, str]
    text: str
    folder: Path


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """Return the page about both runs, and its figures as they were before they were pixels."""
    folder = tmp_path_factory.mktemp("shown")
    places = (with_ablation(with_fits(judged_well(folder))), judged_badly(folder))
    drawn: dict[str, Figure] = {}
    embedded: dict[str, str] = {}
    save = figures.save_and_embed

    def kept(figure: Figure, path: Path, told: str) -> str:
        drawn[path.name.removesuffix(".svg")] = figure
        embedded[path.name] = save(figure, path, told)
        return embedded[path.name]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "save_and_embed", kept)
        page = write_report(places, folder / "both.html")
    judged = [
        Judged(place, section, *(
            xr.open_zarr(place / "results.zarr", group=group, chunks=None, consolidated=False)
            for group in (None, "augmentation_off", "binned", "examples", "trust")
        ))
        for place, section in zip(places, SECTIONS, strict=True)
    ]  # fmt: skip
    text = page.read_text()
    return Shown(Page(text), (judged[0], judged[1]), drawn, embedded, text, folder)


def masks(results: xr.Dataset) -> list[np.ndarray]:
    snr = results["snr"].values
    return [(snr >= low) & (snr < high) for low, high in (*EDGES, NARROW)]


def expected_table(
    results: xr.Dataset, measure: str, digits: int, has_ratios: bool
) -> list[list[str]]:
    """Return the cells of a table, made from the stored measures."""
    average = np.median if measure == "max_abs_relative_error" else np.mean
    is_first = measure == "mean_abs_relative_error"
    table = [["S/N", "spectra", *NAMES, *(["limit", "η"] if is_first else [])]]
    for (low, high), inside in zip((*EDGES, NARROW), masks(results), strict=True):
        edges = f"{low}–{high}" if high < np.inf else f"{low} and above"
        values = [100 * average(row[inside]) if inside.any() else None
                  for row in results[measure].values]  # fmt: skip
        cells = ["–" if value is None else f"{value:.{digits}f}" for value in values]
        known = inside & np.isfinite(results["floor"].values)
        if has_ratios and known.any() and (low, high) != NARROW:
            floor = results["floor"].values[known].mean()
            ratios = results[measure].values[:, known].mean(axis=1) / floor
            cells = [f"{cell} {eta:.3g} η" for cell, eta in zip(cells, ratios, strict=True)]
        if is_first:
            cells += expected_limit(results, inside)
        table.append([edges, str(inside.sum()), *cells])
    return table


def expected_limit(results: xr.Dataset, inside: np.ndarray) -> list[str]:
    """Return the last two cells of a row: the limit, and the network's error over it."""
    known = inside & np.isfinite(results["floor"].values)
    if not known.any():
        return ["–", "–"]
    floor = results["floor"].values[known]
    error = results["mean_abs_relative_error"].sel({"method": "dae"}).values[known]
    eta = error.mean() / floor.mean()
    if known.sum() == 1:
        return [f"{100 * floor.mean():.2f}", f"{eta:.2f}"]
    scatter = np.std(error - eta * floor, ddof=1) / np.sqrt(known.sum()) / floor.mean()
    return [f"{100 * floor.mean():.2f}", f"{eta:.2f} ± {scatter:.2f}"]


def bins_along(axis: str) -> list[tuple[float, float]]:
    """Return the bins of a parameter of the toy, and those of S/N."""
    low, high, width = {"teff": (3500, 5000, 250), "logg": (0, 5, 0.5), "feh": (-2.5, 0.75, 0.25),
                        "alpha": (-0.25, 0.5, 0.125)}[axis]  # fmt: skip
    edges = np.arange(low, high + width / 2, width)
    return list(pairwise(edges.tolist()))


def expected_by_star(run: Judged) -> list[list[str]]:
    rows = [["star", "spectra", *NAMES, "limit", "η"]]
    for axis, name in STARS.items():
        for low, high in bins_along(axis):
            inside = (run.on[axis].values >= low) & (run.on[axis].values < high)
            means = [100 * row[inside].mean() for row in run.on["mean_abs_relative_error"].values]
            told = [f"{name} {low:g} to {high:g}", str(inside.sum())]
            rows.append(
                [*told, *(f"{mean:.2f}" for mean in means), *expected_limit(run.on, inside)]
            )
    return rows


def expected_measures(run: Judged) -> list[list[str]]:
    """Return the rows of the table of all measures, from the network's stored ones."""
    network, rows = run.on.sel({"method": "dae"}), []
    bins = [("snr", *edges) for edges in EDGES]
    bins += [(axis, *edges) for axis in STARS for edges in bins_along(axis)]
    for axis, low, high in bins:
        inside = (run.on[axis].values >= low) & (run.on[axis].values < high)
        above = f"to {high:g}" if high < np.inf else "and above"
        told = [f"{({'snr': 'S/N'} | STARS)[axis]} {low:g} {above}", str(inside.sum())]
        of = {str(name): network[name].values[inside] for name in MEASURES}
        main = of["mean_abs_relative_error"]
        if not inside.any():
            rows.append([*told, *["–"] * 12])
            continue
        values = [main.mean(), *np.percentile(main, [10, 50, 90, 99]), main.max()]
        told += [f"{100 * value:.2f}" for value in values]
        told += [f"{100 * of['max_abs_relative_error'].mean():.1f}"]
        told += [f"{100 * of['mean_relative_error'].mean():.3f}"]
        told += [f"{1000 * of[name].mean():.3f}"
                 for name in ("mean_abs_error", "max_abs_error", "mean_error")]  # fmt: skip
        rows.append([*told, f"{1e6 * of['kl_divergence'].mean():.2f}"])
    return rows


def test_every_cell_of_every_table_is_what_the_run_has_stored(shown: Shown) -> None:
    verdict, *tables = shown.page.tables
    assert verdict.heading == "Verdict"
    rest = iter(tables)
    for run in shown.runs:
        for results, measure, digits, told in (
            (run.on, "mean_abs_relative_error", 2, run.place.name),
            (run.off, "mean_abs_relative_error", 2, "Augmentation off"),
            (run.on, "mean_relative_error", 3, "signed mean R"),
            (run.on, "max_abs_relative_error", 1, "max |R|"),
        ):
            found = next(rest)
            assert told in found.heading
            assert found.rows == expected_table(results, measure, digits, told == run.place.name)
        assert next(rest).rows == expected_by_star(run)
        assert next(rest).rows[1:] == expected_measures(run)
        if run is shown.runs[0]:  # the other was not fitted, and nothing of it varied
            assert next(rest).rows[1:] == expected_fits(run)
    for expected in expected_variants(shown.runs[0]):
        assert next(rest).rows == expected
    assert next(rest, None) is None
    assert len({str(table.rows) for table in tables}) == 16


def expected_fits(run: Judged) -> list[list[str]]:
    told = run.on.attrs["evaluation"]["summary"]["fit"]["starts"]
    cold, dae, truth = (told[name] for name in ("cold", "dae", "truth"))
    before = {"cold": cold["grid_ms"], "dae": dae["network_ms"]}
    alone = {"cold": cold["ms"] - cold["grid_ms"], "dae": dae["ms"], "truth": truth["ms"]}
    return [
        [
            name,
            "1,205" if start == "cold" else "–",
            f"{told[start]['evaluations']:.1f}",
            f"{told[start]['evaluations'] + (1205 if start == 'cold' else 0):,.1f}",
            f"{before[start]:.1f}" if start in before else "–",
            f"{alone[start]:.1f}",
            f"{alone[start] + before.get(start, 0.0):.1f}",
            f"{100 * told[start]['wrong']:.2f}",
            "–".join(f"{100 * end:.2f}" for end in told[start]["wrong_95"]),
        ]
        for start, name in (("cold", "a coarse grid of templates"), ("dae", "the network's answer"),
                            ("truth", "the truth"))
    ]  # fmt: skip


def test_what_a_fit_saves_is_told_with_and_without_what_comes_before_it(shown: Shown) -> None:
    told = shown.runs[0].on.attrs["evaluation"]["summary"]["fit"]["starts"]
    cold, dae = told["cold"], told["dae"]
    heading = f"Where the network does not win: {shown.runs[0].place.name}"
    (text,) = (one for one in shown.page.texts[heading] if one.startswith("From the network"))
    assert numbers(text) == [
        round(dae["evaluations"] / cold["evaluations"], 2),
        float(f"{dae['evaluations'] / (cold['evaluations'] + cold['templates']):.2g}"),
        round((dae["ms"] + dae["network_ms"]) / cold["ms"], 2),
        round(dae["ms"] / (cold["ms"] - cold["grid_ms"]), 2),
        round(100 * dae["accepted"], 2),
    ]


def eta_of(test: dict[str, Any]) -> str:
    return f"{test['eta']:.2f} ± {test['eta_error']:.2f}"


def expected_variants(run: Judged) -> list[list[list[str]]]:
    """Return the rows of the three tables of variants, from the file beside the run alone."""
    told = json.loads((run.place / "ablation.json").read_text())["rows"]
    kinds = ["as trained", "withheld cells", "withheld threads"]
    matrix = [["trained", "epochs", "spectra seen", "CPU s", *(f"on {kind}" for kind in kinds)]]
    every = [["trained", "tested on", "spectra", "S/N, 10–90 %", "noisy, mean |R| (%)", "network",
              "limit", "η", "bias", "worst pixel"]]  # fmt: skip
    tested = {(row["name"], one["name"]): one for row in told for one in row["tests"]}
    for row in told:
        start = [f"{row['name']} {row['text']}"]
        if row["reason"]:
            matrix.append([*start, f"not trained: {row['reason']}"])
            continue
        start += [str(row["epochs"]), f"{row['samples']:,}", f"{row['cpu_seconds']:.0f}"]
        for kind in kinds:
            test = tested.get((row["name"], kind))
            if not test or test["reason"]:
                start.append(f"not tested: {test['reason']}" if test else "–")
                continue
            error, snr = 100 * test["error"], test["snr"]
            start.append(f"{eta_of(test)} {error:.2f}")
            every.append([
                row["name"], kind, str(test["spectra"]),
                f"{snr[1]:.1f} {snr[0]:.1f}–{snr[2]:.1f}", f"{100 * test['noisy']:.2f}",
                f"{error:.3f}", f"{100 * test['floor']:.3f}", eta_of(test),
                f"{100 * test['bias']:.3f}", f"{100 * test['worst']:.1f}",
            ])  # fmt: skip
        matrix.append(start)
    costs = [["trained", "tested on", "spectra", "mean |R| (%)", "first", "ratio",
              "worst pixel (%)", "first", "bias (%)", "first"]]  # fmt: skip
    for name, kind in (("mae", kinds[0]), ("without threads", kinds[2]), ("recipe A", kinds[0])):
        one, first = tested[name, kind], tested["as configured", kind]
        ratio = one["error"] / first["error"]
        scatter = ratio * np.hypot(*(test["eta_error"] / test["eta"] for test in (one, first)))
        costs.append([
            f"as {name}", f"on {kind}", str(one["spectra"]), f"{100 * one['error']:.3f}",
            f"{100 * first['error']:.3f}", f"{ratio:.3f} ± {scatter:.3f}",
            f"{100 * one['worst']:.1f}", f"{100 * first['worst']:.1f}",
            f"{100 * one['bias']:.3f}", f"{100 * first['bias']:.3f}",
        ])  # fmt: skip
    return [matrix, costs, every]


def test_a_run_of_which_nothing_was_varied_says_what_would(shown: Shown) -> None:
    varied, other = (run.place for run in shown.runs)
    texts = [shown.page.texts[f"Trained with one thing otherwise: {one.name}"]
             for one in (varied, other)]  # fmt: skip
    assert numbers(texts[0][0])[:2] == [7.5, 9] and "specdenoise ablate" not in str(texts[0])
    (text,) = texts[1]
    assert f"specdenoise ablate {other} trains" in text


@pytest.mark.parametrize("name", ["mae", "recipe A"])
def test_the_first_layer_is_drawn_and_told_as_it_was_found(name: str, shown: Shown) -> None:
    rows = json.loads((shown.runs[0].place / "ablation.json").read_text())["rows"]
    (layer,) = (row["first_layer"] for row in rows if row["name"] == name)
    values = [layer[key] for key in ("paper", "untrained", "trained")]
    (axes,) = shown.figures[f"gradients-1-{name.replace(' ', '-')}"].axes
    x, y = curves_of(axes)["ours"]
    assert list(y) == values and list(x) == [0, 1, 2]
    assert axes.get_yscale() == "log" and axes.get_ylabel() == "mean |gradient|"
    assert [text.get_text() for text in axes.texts] == [f"{value:.1e}" for value in values]
    (part,) = re.findall(f"<h3>First layer, {name}: .*?</figcaption>", shown.text, re.DOTALL)
    caption = part.partition("<figcaption>")[2]
    told = [float(one) for one in re.findall(r"\d[\d.]*e-\d+", caption)]
    assert told == [*(float(f"{value:.1e}") for value in values), 1e-7, 1e-6]
    assert f"begins with: {layer['rate']:g}." in caption


@dataclass(frozen=True)
class Arrays:
    """What the rows of the verdict are made of. best: the method without a network at S/N 10."""

    errors: dict[str, np.ndarray]
    floor: np.ndarray
    best: str


def arrays_of(run: Judged) -> Arrays:
    errors = dict(zip(METHODS, run.on["mean_abs_relative_error"].values, strict=True))
    at_ten = masks(run.on)[-1]
    best = min(METHODS[1:-1], key=lambda name: errors[name][at_ten].mean())
    return Arrays(errors, run.on["floor"].values, best)


def verdict_of(shown: Shown, text: str) -> list[str]:
    (row,) = (row for row in shown.page.tables[0].rows if row[0].startswith(text))
    return row[1:]


def percent(value: float) -> str:
    return f"{100 * value:.2f} %"


def contrast(values: np.ndarray, above: np.ndarray, below: np.ndarray) -> float:
    good = np.isfinite(values)
    return values[above & good].mean() / values[below & good].mean()


def scatter_of(values: np.ndarray, cool: np.ndarray) -> float:
    good = np.isfinite(values)
    parts = [np.percentile(values[one & good], [10, 90]) for one in (cool, ~cool)]
    return float(np.ptp(parts[0]) / np.ptp(parts[1]))


def test_every_error_of_the_verdict_is_what_the_run_has_stored(shown: Shown) -> None:
    """Each row again, from the arrays alone; the marks follow."""
    assert len(shown.page.tables[0].rows) == 12
    run = shown.runs[0]
    arrays = arrays_of(run)
    errors, floor, best = arrays.errors, arrays.floor, arrays.best
    snr, at_ten, known = run.on["snr"].values, masks(run.on)[-1], np.isfinite(floor)
    judged = [one for one in masks(run.on)[:-2] if one.sum() >= 100]
    assert best == "wiener" and len(judged) >= 1
    mean, count = errors["dae"][at_ten].mean(), at_ten.sum()
    scatter = errors["dae"][at_ten].std(ddof=1) / np.sqrt(count)
    assert verdict_of(shown, "At S/N 10") == [
        f"{100 * mean:.2f} ± {100 * scatter:.2f} %", percent(floor[at_ten & known].mean()),
        f"{percent(errors[best][at_ten].mean())} {LONG[best]}",
        "– not judged" if count < 100 else "✓ holds" if mean < 0.01 else "✗ does not hold",
    ]  # fmt: skip
    ratios = [min(errors[name][one].mean() for name in METHODS[1:-1]) / errors["dae"][one].mean()
              for one in judged]  # fmt: skip
    won = sum(ratio > 1 for ratio in ratios)
    assert verdict_of(shown, "A network does better") == [
        f"{won} of {len(judged)} bins of S/N", "–",
        f"{min(ratios):.2f} × the network's error, where it is nearest",
        "✓ holds" if won == len(judged) else "✗ does not hold",
    ]  # fmt: skip
    etas = {name: max(errors[name][one & known].mean() / floor[one & known].mean()
                      for one in judged) for name in ("dae", best)}  # fmt: skip
    assert verdict_of(shown, "Close to what") == [
        f"{etas['dae']:.2f} × the limit, in the worst bin of S/N", "1.00 ×",
        f"{etas[best]:.2f} × {LONG[best]}", "✓ holds" if etas["dae"] < 1.5 else "✗ does not hold",
    ]  # fmt: skip
    signed = dict(zip(METHODS, run.on["mean_relative_error"].values, strict=True))
    bias = {name: max(abs(signed[name][one].mean()) for one in judged) for name in ("dae", best)}
    assert verdict_of(shown, "Errors of either sign") == [
        percent(bias["dae"]), "–", f"{percent(bias[best])} {LONG[best]}",
        "✓ holds" if bias["dae"] < 0.001 else "✗ does not hold",
    ]  # fmt: skip
    bright = [one & (snr >= 10) & (snr < 120) for one in masks(run.on)[:-1]]
    bright = [one for one in bright if one.sum() >= 20]

    def decade(values: np.ndarray) -> float:
        means = [np.nanmean(values[one]) for one in bright]
        return max(means) / min(means)

    assert verdict_of(shown, "The mean error stays within a decade") == [
        f"{decade(errors['dae']):.2f} ×", f"{decade(floor):.2f} ×",
        f"{decade(errors[best]):.2f} × {LONG[best]}", "✓ holds",
    ]  # fmt: skip


def test_every_star_line_and_time_of_the_verdict_is_what_the_run_has_stored(shown: Shown) -> None:
    run = shown.runs[0]
    arrays = arrays_of(run)
    errors, floor, best = arrays.errors, arrays.floor, arrays.best
    for text, axis, of in (("Extreme log g", "logg", "ends"), ("Metal-rich", "feh", "thirds")):
        values = run.on[axis].values
        low, high = values.min(), values.max()
        above, below = values > high - (high - low) / 3, values < low + (high - low) / 3
        if of == "ends":
            above = np.abs(values - (low + high) / 2) > 0.4 * (high - low)
            below = ~above
        ratio = contrast(errors["dae"], above, below)
        assert verdict_of(shown, text) == [
            f"{ratio:.2f} ×", f"{contrast(floor, above, below):.2f} ×",
            f"{contrast(errors[best], above, below):.2f} × {LONG[best]}",
            "✓ holds" if ratio > 1.5 else "✓ milder here",
        ]  # fmt: skip
    cool = run.on["teff"].values < 3750

    ratios = [scatter_of(values, cool) for values in (errors["dae"], floor, errors[best])]
    assert verdict_of(shown, "Below 3750 K") == [
        f"{ratios[0]:.2f} ×", f"{ratios[1]:.2f} ×", f"{ratios[2]:.2f} × {LONG[best]}",
        "✓ holds" if ratios[0] > 1.5 else "✓ milder here",
    ]  # fmt: skip
    times = dict(zip(METHODS, run.on["cpu_ms"].values, strict=True))
    assert verdict_of(shown, "Evaluated in") == [
        f"{times['dae']:.2f} ms",
        "–",
        f"{times[best]:.2f} ms {LONG[best]}",
        "✓ holds",
    ]
    for text, name, most in (("A line that no star", "new_line", 0.1),
                             ("A line deepened", "deeper_line", 0.5)):  # fmt: skip
        shares = run.examples[name].values
        shares = shares[np.isfinite(shares)]
        ours, _, _, mark = verdict_of(shown, text)
        if shares.size:
            assert ours.startswith(f"{100 * np.median(shares):.2f} ± ")
        holds = "✓ holds" if shares.size and abs(np.median(shares)) <= most else "✗ does not hold"
        assert mark == ("– not judged" if shares.size < 20 else holds)


def test_all_that_the_page_says_is_printed_by_one_command(
    shown: Shown, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_program(["report", *(str(run.place) for run in shown.runs), "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    for run, one in zip(shown.runs, told["runs"], strict=True):
        assert one["name"] == run.place.name
        for number, record in enumerate(one["binned"]):
            table = run.binned.isel(bin=number)
            for method in METHODS:
                values = table["value"].sel({"method": method}).values
                kept = [list(record["methods"][method][name].values()) for name in MEASURES]
                np.testing.assert_array_equal(np.array(kept, float), values)
    kept = json.loads((shown.runs[0].place / "ablation.json").read_text())
    varied, none = (one["ablation"] for one in told["runs"])
    assert none is None and (varied["minutes"], varied["spectra"]) == (7.5, 9)
    for row, stored in zip(varied["rows"], kept["rows"], strict=True):
        assert row == stored | {"tests": row["tests"]}
        assert [one for one in row["tests"] if one] == stored["tests"]
    verdict = told["runs"][0]["verdict"]["claims"]
    assert [row["text"] for row in verdict] == [
        row[0][: len(known["text"])] for row, known in zip(shown.page.tables[0].rows[1:], verdict,
                                                           strict=True)
    ]  # fmt: skip
    (compared,) = told["comparisons"]
    assert "another dataset, evaluate.seed, evaluate.flux_floor" in compared["reason"]
    (text,) = shown.page.texts[f"{compared['second']} against {compared['first']}"]
    assert text == f"Not compared spectrum by spectrum: {compared['reason']}."


def test_the_explorer_holds_the_stored_spectra(shown: Shown) -> None:
    run = shown.runs[0]
    (text,) = re.findall(r'id="explorer-data">(.*?)</script>', shown.text)
    data = json.loads(text)

    def numbers_in(coded: str) -> np.ndarray:
        return np.frombuffer(base64.b64decode(coded), "<f4")

    assert sorted(data["curves"]) == ["denoised", "noisy", "target"]
    for name, coded in data["curves"].items():
        kept = run.examples["flux"].sel({"curve": name}).values
        np.testing.assert_array_equal(numbers_in(coded).reshape(kept.shape), kept)
    np.testing.assert_allclose(
        numbers_in(data["angstrom"]), np.linspace(7100, 8850, 128), rtol=1e-6
    )
    for one, row in zip(data["spectra"], run.examples["row"].values, strict=True):
        assert one["row"] == row
        for name in ("snr", "teff", "logg", "feh", "alpha", "magnitude", "redshift"):
            assert one[name] == float(run.on[name][row])
    assert f"Explore {len(data['spectra'])} spectra" in shown.page.texts


def test_the_best_of_each_row_is_marked_where_there_is_one(shown: Shown) -> None:
    tables = [table for table in shown.page.tables if table.rows[0][0] == "S/N"]
    assert len(tables) == 8
    for table in tables:
        is_ranked = "signed" not in table.heading
        for row, best in zip(table.rows[1:], table.best[1:], strict=True):
            cells = [cell.partition(" ")[0] for cell in row]
            errors = [float(cell) for cell in cells[2 : 2 + len(NAMES)] if cell != "–"]
            assert any(best) == (is_ranked and bool(errors))
            assert all(
                float(cell) == min(errors) for cell, mark in zip(cells, best, strict=True) if mark
            )


def test_the_text_below_a_table_counts_its_run_s_pixels(shown: Shown) -> None:
    for run in shown.runs:
        text = shown.page.texts[f"Mean |R| in per cent: {run.place.name}"][0]
        pixels = run.on.attrs["pixels"]
        known = int(np.isfinite(run.on["floor"].values).sum())
        assert numbers(text)[:5] == [
            known, run.section.flux_floor, pixels["below_floor"], pixels["total"],
            pixels["beyond_one"],
        ]  # fmt: skip


def test_every_bin_that_the_network_loses_is_listed_with_its_figures(shown: Shown) -> None:
    for run in shown.runs:
        measure, expected = run.on["mean_abs_relative_error"].values, []
        for (low, high), inside in list(zip(EDGES, masks(run.on)[:-1], strict=True)):
            if not inside.any():
                continue
            *others, network = (100 * row[inside].mean() for row in measure)
            for name, error in zip(NAMES, others, strict=False):
                if network >= error:
                    start = f"S/N {low}–{high} ({inside.sum()} spectra): {name} {error:.2f} %"
                    expected.append((start, f"network {network:.2f} %", inside.sum(), low))
        found = shown.page.items.get(f"Where the network does not win: {run.place.name}", [])
        assert len(found) == len(expected)
        for text, (start, network, count, low) in zip(found, expected, strict=True):
            assert text.startswith(start) and network in text
            note = numbers(text.partition(network)[2])
            assert note == ([100] if count < 100 else [80] if low >= 80 else [])
    assert len(found) >= 3  # of the run that was trained badly


def test_the_tiles_are_those_of_the_first_run(shown: Shown) -> None:
    run, tiles = shown.runs[0], [numbers(tile) for tile in shown.page.tiles]
    inside = masks(run.on)[-1]
    errors = 100 * run.on["mean_abs_relative_error"].values[:, inside].mean(axis=1)
    state = load_trained(run.place).state
    assert tiles[0] == [round(errors[-1], 2), *NARROW, inside.sum()]
    assert tiles[1] == [round(errors[0], 1)]
    assert tiles[2] == [1192, 1, 2192]  # seconds, ranks, processor seconds
    assert tiles[3] == [state.samples]
    assert tiles[4] == [round(state.parameters / 1e6, 2)]


def test_training_and_origin_are_told_of_each_run(shown: Shown) -> None:
    training, origin = shown.page.terms[:2], shown.page.terms[2:]
    assert len(origin) == len(training) == 2
    for run, told, where in zip(shown.runs, training, origin, strict=True):
        config, manifest = runs.read_config(run.place), runs.read_manifest(run.place)
        state, log, train = load_trained(run.place).state, read_log(run.place), config.train
        assert told["run"] == run.place.name
        blocks, hidden, rank = (getattr(config.model, n) for n in ("blocks", "hidden", "rank"))
        assert numbers(told["network"]) == [blocks, hidden, rank]
        assert numbers(told["bottleneck"]) == [rank, run.section.wiener_rank]
        assert numbers(told["optimiser"]) == [train.lr, train.batch_size]
        budget = [train.seconds] if train.seconds else []
        rows = -state.samples // -state.epoch
        assert numbers(told["length"]) == [state.step, state.epoch, 1000 + rows, *budget]
        assert numbers(told["last losses"]) == [
            round(log[-1]["loss"], 5), round(log[-1]["validation_loss"], 5),
        ]  # fmt: skip
        assert where["run fingerprint"] == manifest.fingerprint
        assert where["dataset"] == (
            f"{manifest.dataset.fingerprint}, {run.place.parent / 'toy.zarr'}"
        )
        versions = manifest.provenance["versions"].items()
        assert where["versions"] == ", ".join(f"{name} {version}" for name, version in versions)
        host, cores = manifest.provenance["host"], manifest.provenance["cores"]
        assert where["machine"].startswith(f"{host}, {cores} cores")
        assert where["machine"].endswith(manifest.started)
        assert numbers(where["evaluation"]) == [
            run.section.spectra, 3000 + run.section.seed, 4000 + run.section.seed,
        ]  # fmt: skip
    for name in ("run", "network", "bottleneck", "optimiser", "length", "last losses"):
        assert training[0][name] != training[1][name]
    for name in ("run fingerprint", "dataset", "evaluation"):
        assert origin[0][name] != origin[1][name]


def example_of(shown: Shown) -> tuple[int, dict[str, np.ndarray]]:
    """Return the row of the example, and its curves, made from the store."""
    run = shown.runs[0]
    row = int(np.argmin(np.abs(run.on["snr"].values - run.section.example_snr)))
    store = xr.open_zarr(
        run.place.parent / "toy.zarr", group="validation", chunks=None, consolidated=False
    ).isel(spectrum=slice(row + 1))
    flux, variance = (torch.from_numpy(store[name].values) for name in ("flux", "variance"))
    frozen = Augmenter(
        AUGMENT, 128, run.section.seed, Split.validation, Purpose.evaluation_noise, True
    )
    batch = frozen(flux, variance.sqrt(), 0, 0)
    with torch.inference_mode():
        denoised = load_trained(run.place).model(batch.noisy, batch.variance)
    curves = {"noisy input": batch.noisy, "noiseless": batch.target, "denoised": denoised}
    return row, {name: values[-1].numpy() for name, values in curves.items()}


def curves_of(axes: Axes) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the curves of a panel by their names in its legend."""
    return {
        str(line.get_label()): (np.asarray(line.get_xdata()), np.asarray(line.get_ydata()))
        for line in axes.lines
    }


def unnamed(axes: Axes) -> list[tuple[np.ndarray, np.ndarray]]:
    return [curve for name, curve in curves_of(axes).items() if name.startswith("_child")]


def test_the_example_s_curves_are_its_row_s_spectra(shown: Shown) -> None:
    row, expected = example_of(shown)
    assert shown.runs[0].examples["row"][0] == row > 0
    angstrom = 10 * np.linspace(710.0, 885.0, 128)
    triplet = (angstrom > 8475) & (angstrom < 8695)
    noiseless = expected["noiseless"]
    divisor = np.maximum(noiseless, WELL.flux_floor * np.sort(noiseless)[63])
    relative = 100 * np.abs(expected["denoised"] - noiseless) / divisor
    for name, some in (("figure-4", angstrom > 0), ("figure-5", triplet)):
        above, below, *beside = shown.figures[name].axes
        curves = curves_of(above)
        assert set(curves) == {"noiseless", "denoised"}
        for label, (x, y) in curves.items():
            np.testing.assert_allclose(x, angstrom[some])
            np.testing.assert_allclose(y, expected[label][some], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(curves_of(below)["|R| (%)"][1], relative[some], atol=1e-3)
        assert "(Å)" in below.get_xlabel() and "(%)" in below.get_ylabel()
        if beside:  # the zoomed one has |E| too
            error = np.abs(expected["denoised"] - noiseless)[some]
            np.testing.assert_allclose(curves_of(beside[0])["|E|"][1], error, atol=1e-5)
    assert len(beside) == 1


def test_the_losses_are_drawn_as_they_were_logged(shown: Shown) -> None:
    axes, rates = shown.figures["figure-3"].axes
    curves, rate = curves_of(axes), curves_of(rates)
    assert len(curves) == 4
    for run in shown.runs:
        log = read_log(run.place)
        for name, key in (("training", "loss"), ("validation", "validation_loss")):
            x, y = curves[f"{name}, {run.place.name}"]
            assert list(x) == [entry["epoch"] for entry in log]
            assert list(y) == [entry[key] for entry in log]
        assert list(rate[f"learning rate, {run.place.name}"][1]) == [e["lr"] for e in log]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", "loss")


@pytest.mark.parametrize(("number", "axis"), [(6, "snr"), (7, "teff"), (8, "logg"), (9, "feh")])
def test_every_spectrum_is_a_point_of_its_mean_and_its_maximum(
    number: int, axis: str, shown: Shown
) -> None:
    run = shown.runs[0]
    network = run.on.sel({"method": "dae"})
    for axes, kind, factor in zip(
        shown.figures[f"figure-{number}"].axes, ("error", "relative_error"), (1, 100), strict=True
    ):
        for label, part in (("mean", "mean"), ("maximum", "max")):
            x, y = curves_of(axes)[label]
            np.testing.assert_array_equal(x, run.on[axis].values)
            np.testing.assert_allclose(y, factor * network[f"{part}_abs_{kind}"].values)


def expected_curve(results: xr.Dataset, measure: str, method: str) -> tuple[list, list]:
    values, snr = results[measure].values[METHODS.index(method)], results["snr"].values
    filled = [inside for inside in masks(results)[:-1] if inside.any()]
    return (
        [pytest.approx(np.median(snr[some])) for some in filled],
        [pytest.approx(100 * values[some].mean()) for some in filled],
    )


def expected_limit_curve(results: xr.Dataset) -> tuple[list, list]:
    snr, floor = results["snr"].values, results["floor"].values
    filled = [some for one in masks(results)[:-1] if (some := one & np.isfinite(floor)).any()]
    return (
        [pytest.approx(np.median(snr[some])) for some in filled],
        [pytest.approx(100 * floor[some].mean()) for some in filled],
    )


@pytest.mark.parametrize(
    ("figure", "measure"),
    [("error", "mean_abs_relative_error"), ("bias", "mean_relative_error")],
)
def test_a_figure_s_curves_are_the_means_of_its_measure(
    figure: str, measure: str, shown: Shown
) -> None:
    first, second = shown.runs
    (axes,) = shown.figures[figure].axes
    curves = {name: curve for name, curve in curves_of(axes).items() if name[0] != "_"}
    expected = {
        name: expected_curve(first.on, measure, method)
        for name, method in zip(NAMES, METHODS, strict=True)
    }
    if figure == "error":
        expected[second.place.name] = expected_curve(second.on, measure, "dae")
        expected["information limit"] = expected_limit_curve(first.on)
        x, y = unnamed(axes)[0]
        assert np.array_equal(x, first.on["snr"].values)
        np.testing.assert_allclose(y, 100 * first.on[measure].sel({"method": "dae"}).values)
    assert curves.keys() == expected.keys()
    for name, (x, y) in expected.items():
        assert [list(values) for values in curves[name]] == [x, y], name
    assert "S/N" in axes.get_xlabel() and "(%)" in axes.get_ylabel()
    lines = {str(line.get_label()): line for line in axes.lines}
    for name, method in zip(NAMES, METHODS, strict=True):
        assert lines[name].get_color() == figures.COLOURS[method]


def test_each_drawing_of_the_page_is_the_file_beside_it_in_the_page_s_colours(
    shown: Shown,
) -> None:
    paper = [f"Figure {number}:" for number in (1, *range(3, 12))]
    told = [title for title in shown.page.figures if title.startswith("Figure")]
    assert [title.partition(" ")[0] + " " + title.split()[1] for title in told] == paper
    assert len(shown.embedded) + shown.text.count("Left out:") == len(shown.page.figures) == 15
    for name, drawing in shown.embedded.items():
        kept = (shown.folder / "figures" / name).read_text()
        assert drawing in shown.text and re.findall("<path", drawing) == re.findall("<path", kept)
        assert not re.search("#(22282e|d5dade|0064a[cd]|ffffff)", drawing)
        assert "#22282e" in kept and "var(--ink)" in drawing


def test_every_axis_is_labelled_and_every_figure_has_its_caption(shown: Shown) -> None:
    labels = {
        name: [(axes.get_xlabel(), axes.get_ylabel()) for axes in figure.axes]
        for name, figure in shown.figures.items()
    }
    assert labels == LABELS
    text = html.unescape(shown.text)
    assert {caption: text.count(caption) for caption in CAPTIONS} == CAPTIONS


def test_every_method_has_a_name_and_a_colour_of_its_own_on_the_page(shown: Shown) -> None:
    assert list(figures.NAMES.values()) == [*NAMES[:5], *OTHERS[:3], NAMES[5], OTHERS[3]]
    assert figures.COLOURS.keys() == figures.NAMES.keys()
    assert len({to_rgb(colour) for colour in figures.COLOURS.values()}) == len(figures.NAMES)
    defined = set(re.findall(r"--([\w-]+):", shown.text))
    assert {f"m-{name}" for name in figures.NAMES} <= defined
    for name, drawing in shown.embedded.items():
        assert set(re.findall(r"var\(--([^)]*)\)", drawing)) <= defined, name


def test_a_figure_without_its_data_is_left_out_with_the_reason(shown: Shown) -> None:
    """The toy's pixels are wider than the artificial line: that of this star falls between."""
    assert np.isnan(shown.runs[0].examples["new_line"].values[0])
    assert shown.text.count("Left out: the artificial lines lie outside or between") == 2
