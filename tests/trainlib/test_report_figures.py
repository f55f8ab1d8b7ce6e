"""Every cell of the report and every curve of its figures, against what the runs have stored.

The two runs of the page differ in every figure that it shows of them.
"""

import base64
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simlib.rng import Purpose, Split
from tests.trainlib.judged_runs import AUGMENT, BADLY, WELL, judged_badly, judged_well
from trainlib import runs
from trainlib.config import Evaluate
from trainlib.evaluation import figures
from trainlib.evaluation.evaluate import METHODS
from trainlib.evaluation.report import write_report
from trainlib.evaluation.trained import load_trained
from trainlib.training.augment import Augmenter
from trainlib.training.log import read_log

EDGES = [(0, 5), (5, 7), (7, 10), (10, 14), (14, 20), (20, 40), (40, 80), (80, np.inf)]
NARROW = (9, 11)
NAMES = ["noisy input", "Gaussian smoothing", "PCA projection", "Wiener filter", "network"]
SECTIONS = (WELL, BADLY)


@dataclass
class Table:
    heading: str  # of the section, or of the details that it folds away
    rows: list[list[str]] = field(default_factory=list)
    best: list[list[bool]] = field(default_factory=list)


class Page(HTMLParser):
    """What stands on a page: tables, lists of terms, items, tiles, images and running text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.heading, self.term = "", ""
        self.tables: list[Table] = []
        self.terms: list[dict[str, str]] = []
        self.items: dict[str, list[str]] = {}
        self.tiles: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.images: dict[str, str] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.open.append(tag)
        if tag == "table":
            self.tables.append(Table(self.heading))
        elif tag == "tr":
            self.tables[-1].rows.append([])
            self.tables[-1].best.append([])
        elif tag in ("td", "th"):
            self.tables[-1].rows[-1].append("")
            self.tables[-1].best[-1].append(given.get("class") == "best")
        elif tag == "dl":
            self.terms.append({})
        elif tag in ("h2", "summary"):
            self.heading = ""
        elif tag == "li":
            self.items.setdefault(self.heading, []).append("")
        elif tag == "p":
            self.texts.setdefault(self.heading, []).append("")
        elif tag == "dt":
            self.term = ""
        elif tag == "dd":
            self.terms[-1][self.term] = ""
        elif given.get("class") == "tile":
            self.tiles.append("")
        elif tag == "img":
            self.images[self.heading] = given["src"] or ""
        if tag in ("img", "meta"):
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        inside = set(self.open)
        if inside & {"td", "th"}:
            self.tables[-1].rows[-1][-1] += data
        elif inside & {"h2", "summary"}:
            self.heading += data
        elif "li" in inside:
            self.items[self.heading][-1] += data
        elif "dt" in inside:
            self.term += data
        elif "dd" in inside:
            self.terms[-1][self.term] += data
        elif "p" in inside:
            self.texts[self.heading][-1] += data
        elif "main" in inside and self.tiles and not self.heading:
            self.tiles[-1] += data


def numbers(text: str) -> list[float]:
    return [float(n.replace(",", "")) for n in re.findall(r"[-−]?\d[\d,]*\.?\d*", text)]


@dataclass(frozen=True)
class Judged:
    """A run, and what its results hold, read without the project."""

    place: Path
    section: Evaluate
    on: xr.Dataset
    off: xr.Dataset


@dataclass(frozen=True)
class Shown:
    page: Page
    runs: tuple[Judged, Judged]
    figures: dict[str, Figure]
    folder: Path


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """Return the page about both runs, and its figures as they were before they were pixels."""
    folder = tmp_path_factory.mktemp("shown")
    places = (judged_well(folder), judged_badly(folder))
    drawn: dict[str, Figure] = {}
    save = figures.save_and_embed

    def kept(figure: Figure, path: Path) -> str:
        drawn[path.name.removesuffix(".png")] = figure
        return save(figure, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "save_and_embed", kept)
        page = write_report(places, folder / "both.html")
    judged = [
        Judged(place, section, *(
            xr.open_zarr(place / "results.zarr", group=group, chunks=None, consolidated=False)
            for group in (None, "augmentation_off")
        ))
        for place, section in zip(places, SECTIONS, strict=True)
    ]  # fmt: skip
    return Shown(Page(page.read_text()), (judged[0], judged[1]), drawn, folder)


def masks(results: xr.Dataset) -> list[np.ndarray]:
    snr = results["snr"].values
    return [(snr >= low) & (snr < high) for low, high in (*EDGES, NARROW)]


def expected_table(results: xr.Dataset, measure: str, digits: int) -> list[list[str]]:
    """Return the cells of a table, made from the stored measures."""
    average = np.median if measure == "max_abs_relative_error" else np.mean
    is_first = measure == "mean_abs_relative_error"
    table = [["S/N", "spectra", *NAMES, *(["limit", "η"] if is_first else [])]]
    for (low, high), inside in zip((*EDGES, NARROW), masks(results), strict=True):
        edges = f"{low}–{high}" if high < np.inf else f"{low} and above"
        values = [100 * average(row[inside]) if inside.any() else None
                  for row in results[measure].values]  # fmt: skip
        cells = ["–" if value is None else f"{value:.{digits}f}" for value in values]
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


def test_every_cell_of_every_table_is_what_the_run_has_stored(shown: Shown) -> None:
    tables = iter(shown.page.tables)
    for run in shown.runs:
        for results, measure, digits, told in (
            (run.on, "mean_abs_relative_error", 2, run.place.name),
            (run.off, "mean_abs_relative_error", 2, "Augmentation off"),
            (run.on, "mean_relative_error", 3, "signed mean R"),
            (run.on, "max_abs_relative_error", 1, "max |R|"),
        ):
            found = next(tables)
            assert told in found.heading
            assert found.rows == expected_table(results, measure, digits)
    assert next(tables, None) is None
    assert len({str(table.rows) for table in shown.page.tables}) == 8


def test_the_best_of_each_row_is_marked_where_there_is_one(shown: Shown) -> None:
    for table in shown.page.tables:
        is_ranked = "signed" not in table.heading
        for cells, best in zip(table.rows[1:], table.best[1:], strict=True):
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
            assert note == ([100] if count < 100 else [40] if low >= 40 else [])
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


def test_the_example_s_text_is_of_its_row(shown: Shown) -> None:
    (row, _), run = example_of(shown), shown.runs[0]
    assert row > 0
    of_row = {str(name): float(run.on[name][row]) for name in run.on if run.on[name].ndim == 1}
    (heading,) = (text for text in shown.page.texts if text.startswith("An example"))
    assert numbers(heading) == [round(of_row["snr"], 1)]
    errors = 100 * run.on["mean_abs_relative_error"].values[:, row]
    told = (("teff", 0), ("logg", 2), ("feh", 2), ("alpha", 2), ("magnitude", 2), ("redshift", 5))
    expected = [row, *(float(f"{of_row[name]:.{digits}f}") for name, digits in told)]
    assert numbers(shown.page.texts[heading][0]) == [
        *expected, round(errors[0], 1), round(errors[-1], 2),
    ]  # fmt: skip


def curves_of(axes: Axes) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the curves of a panel by their names in its legend."""
    return {
        str(line.get_label()): (np.asarray(line.get_xdata()), np.asarray(line.get_ydata()))
        for line in axes.lines
    }


def unnamed(axes: Axes) -> list[tuple[np.ndarray, np.ndarray]]:
    return [curve for name, curve in curves_of(axes).items() if name.startswith("_child")]


def test_the_example_s_curves_are_its_row_s_spectra(shown: Shown) -> None:
    _, expected = example_of(shown)
    above, below = shown.figures["example"].axes
    angstrom = 10 * np.linspace(710.0, 885.0, 128)
    (inset,) = above.child_axes
    assert inset.lines[1].get_linewidth() > above.lines[1].get_linewidth()
    inside = (angstrom > 8475) & (angstrom < 8695)
    assert set(curves_of(above)) == set(curves_of(inset)) == set(expected)
    for name, values in expected.items():
        x, y = curves_of(above)[name]
        np.testing.assert_allclose(x, angstrom)
        np.testing.assert_allclose(y, values, rtol=1e-5, atol=1e-6)
        x, y = curves_of(inset)[name]
        np.testing.assert_allclose(x, angstrom[inside])
        np.testing.assert_allclose(y, values[inside], rtol=1e-5, atol=1e-6)
    x, y = unnamed(below)[-1]
    left = 100 * (expected["denoised"] / expected["noiseless"] - 1)
    np.testing.assert_allclose(x, angstrom)
    np.testing.assert_allclose(y, left, atol=1e-3)
    low, high = below.get_ylim()
    assert low == -high and np.mean(np.abs(left) < high) > 0.98
    assert "(Å)" in below.get_xlabel() and "(%)" in below.get_ylabel()


def test_the_losses_are_drawn_as_they_were_logged(shown: Shown) -> None:
    curves = curves_of(shown.figures["loss"].axes[0])
    assert len(curves) == 4
    for run in shown.runs:
        log = read_log(run.place)
        for name, key in (("training", "loss"), ("validation", "validation_loss")):
            x, y = curves[f"{name}, {run.place.name}"]
            assert list(x) == [entry["samples"] for entry in log]
            assert list(y) == [entry[key] for entry in log]
    assert shown.figures["loss"].axes[0].yaxis.get_major_formatter()(0.25, 0) == "0.25"
    assert "RMSE" in shown.figures["loss"].axes[0].get_ylabel()


def expected_curve(results: xr.Dataset, measure: str, method: str) -> tuple[list, list]:
    values, snr = results[measure].values[METHODS.index(method)], results["snr"].values
    filled = [inside for inside in masks(results)[:-1] if inside.any()]
    return (
        [pytest.approx(np.median(snr[some])) for some in filled],
        [pytest.approx(100 * values[some].mean()) for some in filled],
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
        x, y = unnamed(axes)[0]
        assert np.array_equal(x, first.on["snr"].values)
        np.testing.assert_allclose(y, 100 * first.on[measure].sel({"method": "dae"}).values)
    assert curves.keys() == expected.keys()
    for name, (x, y) in expected.items():
        assert [list(values) for values in curves[name]] == [x, y], name
    for axis in (axes.xaxis, axes.yaxis):
        assert axis.get_major_formatter()(0.25, 0) == "0.25"  # not a power of ten
    assert "S/N" in axes.get_xlabel() and "(%)" in axes.get_ylabel()
    lines = {str(line.get_label()): line for line in axes.lines}
    for name, method in zip(NAMES, METHODS, strict=True):
        assert lines[name].get_color() == figures.COLOURS[method]


def test_each_image_of_the_page_is_the_file_beside_it(shown: Shown) -> None:
    headings = {"error": "Error against S/N", "bias": "Bias", "loss": "Training"}
    (headings["example"],) = (text for text in shown.page.images if "example" in text)
    assert shown.page.images.keys() == set(headings.values())
    for name, heading in headings.items():
        kind, _, data = shown.page.images[heading].partition(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(data) == (shown.folder / f"figures/{name}.png").read_bytes()
    assert len(set(shown.page.images.values())) == 4
