"""What must be true of a grid of cool stars, as a table that any grid can be judged by.

Numbers of the six stars were computed at their own parameters; another program, and another family
of structures, met them to about one per cent, and the bounds leave room for other codes. The rest
are rules of cool atmospheres. Resolution 5000 unless a row speaks of the grid's own.

Where TiO (M stars) or CN (metal-rich giants) hide what a rule is about, the row says so: nodes that
fail there are explained, the others are a question to the grid.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from simlib.errors import InputError
from simlib.stellar.grid import continuum_on
from simlib.stellar.quality import sanity_exceptions as known
from simlib.stellar.quality.features import LINES
from simlib.stellar.quality.sanity_features import measure_between, measure_nodes, measure_stars
from simlib.units import BOLTZMANN_J_K, PLANCK_J_S, SPEED_OF_LIGHT_M_S

GRAVITIES, ALPHAS = (0.5, 2.5, 4.5), (0.0, 0.4)  # compared with each other
STARS = {
    "Arcturus": (4286.0, 1.66, -0.52, 0.25),
    "61 Cyg A": (4374.0, 4.63, -0.33, 0.0),
    "metal-poor giant": (4600.0, 1.2, -2.2, 0.4),
    "M2 dwarf": (3550.0, 4.8, 0.0, 0.0),
    "mu Leo": (4474.0, 2.51, 0.25, 0.0),
    "Aldebaran": (3927.0, 1.11, -0.37, 0.0),
}
CALCIUM, ALKALI, METAL = (
    ["Ca II 8498", "Ca II 8542", "Ca II 8662"],
    ["Na I 8183", "Na I 8195", "K I 7699"],
    ["Mg I 8807", "Fe I 8689"],
)
DEPTHS = {  # of CALCIUM, ALKALI, METAL
    "Arcturus": (0.46, 0.63, 0.60, 0.13, 0.16, 0.14, 0.27, 0.22),
    "61 Cyg A": (0.40, 0.55, 0.53, 0.28, 0.34, 0.28, 0.30, 0.30),
    "metal-poor giant": (0.29, 0.48, 0.43, 0.03, 0.04, 0.03, 0.09, 0.08),
    "M2 dwarf": (np.nan, np.nan, np.nan, 0.48, 0.54, 0.63, np.nan, np.nan),
}
WIDTHS = {"Arcturus": 6.9, "61 Cyg A": 6.0, "metal-poor giant": 3.3, "mu Leo": 7.5}  # A
MEANS = {
    "Arcturus": 0.96, "61 Cyg A": 0.97, "metal-poor giant": 0.995, "M2 dwarf": 0.85,
    "mu Leo": 0.92, "Aldebaran": 0.93,
}  # fmt: skip


@dataclass(frozen=True)
class SanityRow:
    """One rule, and where it does not hold."""

    check: str
    low: float | None  # what is judged lies between the two
    high: float | None
    judged: int
    failed: list[dict[str, Any]]  # nodes or stars
    unexplained: list[dict[str, Any]]  # those of them that no known exception covers
    exception: str
    worst: float | None  # the value nearest to the bounds, or farthest outside


def sanity_table(grid: xr.Dataset) -> list[SanityRow]:
    """Judge a grid; reads all of it. A row judges only what the grid has."""
    nodes = measure_nodes(grid)
    return [
        *_stars_rows(measure_stars(grid, STARS)),
        *_line_rows(nodes),
        *_gravity_rows(measure_between(grid, "logg", GRAVITIES)),
        *_alpha_rows(measure_between(grid, "alpha", ALPHAS)),
        *_tio_rows(nodes),
        *_continuum_rows(grid),
        *_flux_rows(nodes),
    ]


def judge(
    check: str,
    values: xr.DataArray,
    low: float | None,
    high: float | None,
    but: known.Known | None = None,
) -> SanityRow:
    """Return the row of values that must lie strictly between two bounds; NaN is not judged."""
    flat = values.stack(place=values.dims).dropna("place")
    inside = np.array([-np.inf if low is None else low, np.inf if high is None else high])
    margin = np.minimum(flat.values - inside[0], inside[1] - flat.values)
    outside = flat[margin <= 0]
    covered = np.broadcast_to(but.covers(outside) if but else False, outside.shape)
    worst = float(flat.values[np.argmin(margin)]) if flat.size else None
    return SanityRow(
        check,
        low,
        high,
        judged=int(flat.size),
        failed=_places(outside, values.dims),
        unexplained=_places(outside[~covered], values.dims),
        exception=but.reason if but else "",
        worst=worst,
    )


def _places(values: xr.DataArray, dims: tuple[Hashable, ...]) -> list[dict[str, Any]]:
    return [{str(name): place[name].item() for name in dims} for place in values["place"]]


def _stars_rows(stars: xr.Dataset) -> list[SanityRow]:
    depth = stars["depth"].sel(line=[*CALCIUM, *ALKALI, *METAL], star=list(DEPTHS))
    expected = np.array(list(DEPTHS.values())).T
    off, ratio = depth - expected, depth / expected
    width = stars["calcium_width"].sel(star=list(WIDTHS)) / list(WIDTHS.values())
    mean = stars["mean"].sel(star=list(MEANS)) - list(MEANS.values())
    return [
        judge("stars: depth of Ca II, off by", off.sel(line=CALCIUM), -0.05, 0.05),
        judge("stars: depth of Na I, K I / expected", ratio.sel(line=ALKALI), 0.7, 1.3),
        judge("stars: depth of Mg I, Fe I, off by", off.sel(line=METAL), -0.05, 0.05),
        judge("stars: width of Ca II / expected", width, 0.85, 1.15),
        judge("stars: mean flux 691-909 nm, off by", mean, -0.01, 0.01),
    ]


def _line_rows(nodes: xr.Dataset) -> list[SanityRow]:
    first, second, third = (
        nodes["depth"].sel(line=f"Ca II {name}", drop=True) for name in (8498, 8542, 8662)
    )
    rise = nodes["calcium_width"].sel(teff=slice(4000, None)).diff("feh")
    return [
        judge("Ca II 8542: minimum off its vacuum wavelength, nm", nodes["offset"], -0.015, 0.015),
        judge("depth of Ca II 8542 - 8662", second - third, 0.0, None),
        judge("depth of Ca II 8662 - 8498", third - first, 0.0, None, known.TIO_COVERS_CALCIUM),
        judge("width of Ca II, a step up in [M/H], ≥ 4000 K", rise, 0.0, None),
    ]


def _gravity_rows(gravities: xr.Dataset) -> list[SanityRow]:
    supergiant, giant, dwarf = (gravities.isel(logg=i, drop=True) for i in range(3))
    wider = (supergiant - giant)["calcium_width"].sel(teff=slice(4500, None))
    sodium = (dwarf / giant)["depth"].sel(line=["Na I 8183", "Na I 8195"])
    sodium = sodium.sel(teff=slice(4000, 5000), feh=slice(-1, None))
    return [
        judge("width of Ca II, log g 0.5 - 2.5, ≥ 4500 K", wider, 0.0, None),
        judge(
            "depth of Na I, log g 4.5 / 2.5, 4000-5000 K, [M/H] ≥ -1",
            sodium,
            1.4,
            None,
            known.SODIUM_BLENDED,
        ),
    ]


def _alpha_rows(alphas: xr.Dataset) -> list[SanityRow]:
    deeper = alphas["depth"].diff("alpha").isel(alpha=0, drop=True)
    brighter = alphas["cn_band"].diff("alpha").isel(alpha=0, drop=True)
    giants = brighter.sel(teff=slice(4250, None), logg=slice(None, 2), feh=slice(-0.5, None))
    rules = {
        "Ca II": (0.0, None, known.CN_UNDER_CALCIUM),
        "Mg I": (0.0, None, None),
        "Ti I": (0.0, None, known.CN_OR_TIO_UNDER_WEAK_LINES),
        "Si I": (0.0, None, known.CN_OR_TIO_UNDER_WEAK_LINES),
        "Fe I": (-0.03, 0.03, known.ALPHA_TOUCHES_IRON),
    }
    rows = [
        judge(f"[alpha/M] 0.4 - 0: depth of {element}", deeper.sel(line=_lines_of(element)), *rule)
        for element, rule in rules.items()
    ]
    cn = "[alpha/M] 0.4 - 0: flux in CN, log g ≤ 2, ≥ 4250 K, [M/H] ≥ -0.5"
    return [*rows, judge(cn, giants, 0.0, None, known.NO_CN_IN_HOT_SUPERGIANTS)]


def _lines_of(element: str) -> list[str]:
    return [line for line in LINES if line.startswith(element)]


def _tio_rows(nodes: xr.Dataset) -> list[SanityRow]:
    step = nodes["tio_step"]

    def at(**near: float) -> xr.DataArray:
        kept = step
        for name, value in near.items():
            kept = kept.where(abs(kept[name] - value) < 1e-6)
        return kept

    metal_rich, metal_poor = at(teff=3500, feh=0.5), at(feh=-2)
    return [
        judge(
            "TiO 7126 step, ≥ 4500 K",
            step.sel(teff=slice(4500, None)),
            0.93,
            None,
            known.BANDS_OF_METAL_RICH,
        ),
        judge(
            "TiO 7126 step, 3900-4000 K, solar",
            _sun(step, 3900, 4000),
            0.75,
            0.90,
            known.TIO_IN_DWARFS,
        ),
        judge(
            "TiO 7126 step, 3500-3550 K, solar",
            _sun(step, 3500, 3550),
            0.30,
            0.40,
            known.TIO_IN_DWARFS,
        ),
        judge("TiO 7126 step, 3500 K, [M/H] 0.5", metal_rich, None, 0.25, known.OXYGEN_IN_CO),
        judge("TiO 7126 step, [M/H] -2", metal_poor, 0.95, None, known.TIO_OF_M_STARS),
    ]


def _sun(values: xr.DataArray, coolest: float, hottest: float) -> xr.DataArray:
    is_solar = np.isclose(values["feh"], 0)[:, None] & np.isclose(values["alpha"], 0)
    return values.sel(teff=slice(coolest, hottest)).where(
        xr.DataArray(is_solar, dims=("feh", "alpha"))
    )


def _continuum_rows(grid: xr.Dataset) -> list[SanityRow]:
    try:
        continuum = grid["present"].copy(data=continuum_on(grid, np.array([800.0]))[..., 0])
    except InputError:  # the window does not hold 800 nm
        continuum = grid["present"].where(False)
    ratio = continuum / black_body_flux(800.0, grid["teff"])
    warm, cool = ratio.sel(teff=slice(3900, None)), ratio.where(ratio["teff"] < 3900)
    return [
        judge("continuum at 800 nm / black body, ≥ 3900 K", warm, 0.85, 1.2, known.BLANKETING),
        judge("continuum at 800 nm / black body, < 3900 K", cool, None, 1.4, known.BLANKETING),
        judge("continuum at 800 nm, a step up in Teff", continuum.diff("teff"), 0.0, None),
    ]


def _flux_rows(nodes: xr.Dataset) -> list[SanityRow]:
    top = nodes["lowest_top"].where(nodes["teff"] >= 4200)
    clean = top.where((nodes["feh"] <= 0.25) & (nodes["logg"] > 1))
    return [
        judge("flux: lowest, own resolution", nodes["lowest"], 0.0, None),
        judge("flux: highest, own resolution", nodes["highest"], None, 1.001),
        judge("flux: top of every 10 nm, ≥ 4200 K", top, 0.90, None, known.BANDS_OF_METAL_RICH),
        judge("the same, and [M/H] ≤ 0.25, log g > 1", clean, 0.96, None, known.BANDS_NEAR_SOLAR),
    ]


def black_body_flux(wavelength_nm: float, teff: Any) -> Any:
    """Return π B (erg s-1 cm-2 AA-1) of temperatures (K)."""
    h, c, k = PLANCK_J_S, SPEED_OF_LIGHT_M_S, BOLTZMANN_J_K
    metre = wavelength_nm * 1e-9
    radiance = 2 * h * c**2 / metre**5 / np.expm1(h * c / (metre * k * teff))  # W m-3 sr-1
    return np.pi * radiance * 1e3 * 1e-10  # W m-2 is 1e3 erg s-1 cm-2; per m to per A
