"""The figures of a page: what each is called, and of what stored things it is drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simlib.location import Location
from trainlib.evaluation import figures
from trainlib.evaluation.examples import PAPER_STAR, curves_of, nearest_star
from trainlib.evaluation.page_numbers import example_of
from trainlib.evaluation.results import Results
from trainlib.evaluation.shown import Shown
from trainlib.training.log import read_log


@dataclass(frozen=True)
class Drawing:
    """A figure of the page. image: SVG, None where a run lacks what it needs; then `reason`."""

    title: str
    caption: str
    image: str | None
    reason: str = ""


def draw(shown: Sequence[Shown], folder: Location) -> dict[str, Drawing]:
    """Return the figures of a page by name, and write those that could be drawn to a folder."""
    first = shown[0].results
    found: dict[str, Drawing] = {}

    def add(name: str, title: str, caption: str, figure: Any, reason: str = "") -> None:
        image = None if figure is None else figures.save_and_embed(
            figure, folder / f"{name}.svg", title)  # fmt: skip
        found[name] = Drawing(title, caption, image, reason)

    star = first.examples["row"].values.tolist().index(nearest_star(first.on))
    add("figure-1", "Figure 1: a simulated observation", _like_the_paper(example_of(first, star)),
        _noise(first, star))  # fmt: skip
    add(
        "figure-3",
        "Figure 3: loss and learning rate",
        "Means over an interval; what the loss measures is the recipe's own affair.",
        figures.loss_figure({one.name: read_log(one.trained.directory) for one in shown}),
    )
    told = example_of(first, 0)
    text = (f"mean |R| {told['error']:.2%}, max |R| {told['max_error']:.2%}, "
            f"KL divergence {told['kl_divergence']:.2e}")  # fmt: skip
    for name, is_zoom, number in (("figure-4", False, 4), ("figure-5", True, 5)):
        add(name, f"Figure {number}: a reconstruction{', the Ca II triplet' if is_zoom else ''}",
            f"Row {told['row']}, S/N {told['snr']:.1f}: {text}.",
            _reconstruction(first, "denoised", is_zoom), _OUTSIDE)  # fmt: skip
    for number, axis in enumerate(("snr", "teff", "logg", "feh"), start=6):
        add(f"figure-{number}", f"Figure {number}: error against {figures.AXES_SHOWN[axis]}",
            "Every point is a spectrum; only those interpolated along the abscissa."
            if axis != "snr" else "Every point is a spectrum.",
            figures.errors_figure(first.on, axis))  # fmt: skip
    for name, is_zoom, number in (("figure-10", False, 10), ("figure-11", True, 11)):
        lines = first.examples["new_line"].values[0], first.examples["deeper_line"].values[0]
        known = np.isfinite(lines).all()
        add(name, f"Figure {number}: artificial lines{', the Ca II triplet' if is_zoom else ''}",
            f"A new line at 8600 Å, of which {lines[0]:.1%} comes back, and 8542 Å made 30 % "
            f"deeper, of which {lines[1]:.1%} does." if known else "",
            _reconstruction(first, "altered_denoised", is_zoom) if known else None,
            "the artificial lines lie outside or between the pixels")  # fmt: skip
    add("error", "Mean |R| against S/N", "Lines: means in bins. Dots: single spectra, network.",
        figures.error_figure({run.name: run.results.on for run in shown}))  # fmt: skip
    add("bias", "Mean R against S/N", "Signed; linear within ±0.1 %, logarithmic beyond.",
        figures.bias_figure(first.on))  # fmt: skip
    add("alpha", "Error against [α/Fe]", "Not a figure of the paper.",
        figures.errors_figure(first.on, "alpha"))  # fmt: skip
    for number, run in enumerate(shown, start=1):
        for row in run.ablation.rows if run.ablation else ():
            if (layer := row.first_layer) is not None:
                values = {"the paper's widths, untrained": layer.paper,
                          "this network, untrained": layer.untrained,
                          "this network, trained": layer.trained}  # fmt: skip
                add(f"gradients-{number}-{row.name.replace(' ', '-')}",
                    f"First layer, {row.name}: gradient in its weights",
                    _steepness(values, layer.rate),
                    figures.gradients_figure(values, _PAPER))  # fmt: skip
    return found


_PAPER = (1e-7, 1e-6)  # mean |gradient| of the first layer, section 3.5


def _steepness(values: Mapping[str, float], rate: float) -> str:
    ours = ", ".join(f"{value:.1e} ({name})" for name, value in values.items())
    return (f"Mean |gradient|: {ours}; the paper tells of {_PAPER[0]:g} to {_PAPER[1]:g} (section "
            f"3.5). Learning rate that a step begins with: {rate:g}.")  # fmt: skip


_OUTSIDE = "the run's pixels do not cover the Ca II triplet"


def _like_the_paper(told: dict[str, Any]) -> str:
    paper = ", ".join(f"{figures.AXES_SHOWN[name]} {value:g}" for name, value in PAPER_STAR.items())
    ours = ", ".join(f"{told[name]:.{0 if name == 'teff' else 2}f}" for name in PAPER_STAR)
    return f"The nearest of the judged stars to the paper's ({paper}): {ours}; row {told['row']}."


def _noise(results: Results, number: int) -> Any:
    curves = curves_of(results.examples)
    return figures.noise_figure(
        results.examples["wavelength"].values, curves["target"][number], curves["noisy"][number],
        float(results.on["snr"][int(results.examples["row"][number])]),
    )  # fmt: skip


def _reconstruction(results: Results, made: str, is_zoom: bool) -> Any:
    """Return figure 4, 5, 10 or 11, None where there is nothing to be seen."""
    one = {name: values[0] for name, values in curves_of(results.examples).items()}
    truth = "altered" if made == "altered_denoised" else "target"
    wavelength = results.examples["wavelength"].values
    low, high = figures.TRIPLET_RANGE_NM if is_zoom else (-np.inf, np.inf)
    some = (wavelength > low) & (wavelength < high)
    if some.sum() < 3:
        return None
    noiseless = one[truth].astype(float)
    middle = np.sort(noiseless)[(len(noiseless) - 1) // 2]
    error = np.abs(one[made] - noiseless)
    relative = error / np.maximum(noiseless, results.on.attrs["flux_floor"] * middle)
    curves = {"noiseless": one["target"][some], "denoised": one[made][some]}
    if truth == "altered":
        curves["altered"] = one["altered"][some]
    return figures.denoised_figure(
        wavelength[some], curves, relative[some], error=error[some] if is_zoom else None
    )
