"""A quick look at one denoised spectrum, as PNG: what was seen, what was made of it, what is left.

One figure serves all spectra: its artists are moved, which takes a tenth of making them anew.
"""

from io import BytesIO
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from simlib.plots.lines import STELLAR
from simlib.spectra.observed import Observed
from simlib.units import SPEED_OF_LIGHT_M_S
from trainlib.onsky.denoise import Denoised
from trainlib.onsky.flags import MASKED, SUSPECT, UNUSABLE
from trainlib.onsky.mirror import plain_text

_TRIPLET = {name: at for name, at in STELLAR.items() if name.startswith("Ca II")}
_SIZE, _DOTS = (10.0, 5.4), 96  # inches, and dots in one
_COLOURS = 48  # of the picture: few, so that a page may hold many
_INPUT, _MADE, _BAND, _SUSPECT, _MASKED = "#8f99a3", "#0064ac", "#9ecae8", "#d55e00", "#6f4bb8"
_KEYS = {
    "━ input": _INPUT, "━ denoised": _MADE, "■ its error": "#3a7fb0", "◇ suspect": _SUSPECT,
    "| not used": _MASKED,
}  # fmt: skip
_MOST_SIGMA = 7.0  # of the residual that is shown; what is farther off stands at the edge
_OUTLIERS = (0.5, 99.5)  # per cent of the input that set the range shown
_LEAST_NM = 0.1  # of wavelengths shown
_ROOM = 0.06  # of the range, above and below


class QuickLook:
    """A figure that looks at one spectrum after the other; not for several threads."""

    def __init__(self) -> None:
        figure = Figure(figsize=_SIZE, dpi=_DOTS)
        self._canvas: Any = FigureCanvasAgg(figure)
        self._flux, self._left = figure.subplots(
            2, 1, sharex=True, height_ratios=(2.6, 1.0),
            gridspec_kw={"left": 0.085, "right": 0.985, "top": 0.9, "bottom": 0.095,
                         "hspace": 0.07},
        )  # fmt: skip
        flux, left, none = self._flux, self._left, [np.nan]
        (self._seen,) = flux.plot(none, none, color=_INPUT, lw=0.5)
        self._band = flux.fill_between([0.0, 1.0], 0.0, 1.0, color=_BAND, lw=0.0, zorder=2.1)
        (self._made,) = flux.plot(none, none, color=_MADE, lw=0.9, zorder=2.2)
        (self._odd,) = flux.plot(none, none, "D", color=_SUSPECT, ms=4.0, mfc="none", zorder=2.3)
        (self._lost,) = flux.plot(none, none, "|", color=_MASKED, ms=7.0, zorder=2.3,
                                  transform=flux.get_xaxis_transform())  # fmt: skip
        self._lines = [
            (flux.axvline(0.0, color="#5b8c5a", lw=0.8, ls=(0, (5, 3)), zorder=1.9),
             left.axvline(0.0, color="#5b8c5a", lw=0.8, ls=(0, (5, 3)), zorder=1.9),
             flux.text(0.0, 0.985, name, transform=flux.get_xaxis_transform(), fontsize=7,
                       rotation=90, ha="right", va="top", color="#3d6b3c", clip_on=True))
            for name in _TRIPLET
        ]  # fmt: skip
        left.axhspan(-1.0, 1.0, color="#e8ebee", lw=0.0)
        left.axhline(0.0, color=_MADE, lw=0.8)
        (self._residual,) = left.plot(none, none, color=_INPUT, lw=0.5)
        (self._far,) = left.plot(none, none, "D", color=_SUSPECT, ms=4.0, mfc="none")
        left.set_ylim(-_MOST_SIGMA, _MOST_SIGMA)
        left.set_ylabel("residual [σ]", fontsize=9)
        left.set_xlabel("wavelength, vacuum [nm]", fontsize=9)
        for place, (words, colour) in enumerate(_KEYS.items()):  # a legend would take 25 ms
            flux.text(0.55 + 0.093 * place, 1.02, words, color=colour, fontsize=8.5,
                      transform=flux.transAxes)  # fmt: skip
        for axes in (flux, left):
            axes.tick_params(labelsize=8)
            axes.grid(color="#eef0f2", lw=0.6)
            axes.set_axisbelow(True)
            # Where labels and title stand is not looked for: it would take as long as all else.
            axes.yaxis.set_label_coords(-0.06, 0.5)
        left.xaxis.set_label_coords(0.5, -0.24)
        # names of stars come from files: nothing in them is a formula
        self._title = flux.set_title("", loc="left", y=1.0, fontsize=10, parse_math=False)
        self._unit = flux.set_ylabel("", fontsize=8, parse_math=False)

    def draw(self, observed: Observed, denoised: Denoised, file: str) -> bytes:
        """Return the picture of a spectrum. file: that it is from, for the title."""
        known = np.isfinite(denoised.flux)
        at, seen = observed.wavelength[known], observed.flux[known]
        made, error, flag = denoised.flux[known], denoised.error[known], denoised.flag[known]
        lost = flag & (MASKED | UNUSABLE) != 0
        odd = (flag & SUSPECT != 0) & ~lost
        shown = np.where(lost, np.nan, seen)
        self._seen.set_data(at, shown)
        self._made.set_data(at, made)
        self._band.set_data(at, made - error, made + error)
        low, high = _range(made, seen[~lost & ~odd])
        self._odd.set_data(at[odd], np.clip(seen[odd], low, high))
        self._lost.set_data(at[lost], np.full(np.count_nonzero(lost), 0.02))
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            sigma = np.hypot(np.sqrt(observed.variance[known]), error)
            pull = np.clip((shown - made) / sigma, -0.97 * _MOST_SIGMA, 0.97 * _MOST_SIGMA)
        self._residual.set_data(at, pull)
        self._far.set_data(at[odd], pull[odd])
        self._mark(denoised.redshift)
        self._flux.set_xlim(at.min(), max(at.max(), at.min() + _LEAST_NM))
        self._flux.set_ylim(low, high)
        self._title.set_text(title(observed, denoised, file))
        self._unit.set_text(f"flux [{plain_text(observed.unit.name, 40)}]")
        return self._png()

    def _mark(self, redshift: float) -> None:
        for (one, other, name), at in zip(self._lines, _TRIPLET.values(), strict=True):
            place = at * (1.0 + redshift)
            for line in (one, other):
                line.set_xdata([place, place])
            name.set_x(place)

    def _png(self) -> bytes:
        self._canvas.draw()
        held: Any = BytesIO()
        whole = Image.fromarray(np.asarray(self._canvas.buffer_rgba())[..., :3])
        few = whole.quantize(_COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        few.save(held, format="png", compress_level=6)
        return bytes(held.getvalue())


def title(observed: Observed, denoised: Denoised, file: str) -> str:
    """Return what stands above a picture, in letters that every font has."""
    velocity, error = (1e-3 * SPEED_OF_LIGHT_M_S * value
                       for value in (denoised.redshift, denoised.redshift_error))  # fmt: skip
    return (
        f"{plain_text(file, 40)}  {plain_text(observed.name, 40)}    S/N {denoised.snr:.1f}    "
        f"z {denoised.redshift:.6f} ({velocity:.1f} ± {error:.1f} km/s)\n{denoised.verdict}"
    )


def _range(made: np.ndarray, seen: np.ndarray) -> tuple[float, float]:
    """Return the lowest and highest flux shown: all of the denoised one, most of the input."""
    low, high = float(made.min()), float(made.max())
    if seen.size:
        ends = np.percentile(seen, _OUTLIERS)
        low, high = min(low, float(ends[0])), max(high, float(ends[1]))
    room = _ROOM * (high - low) or 1.0
    return low - room, high + room
