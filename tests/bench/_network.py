"""How far from the information limit a run of recipe C is, on rows that it never saw.

`python -m tests.bench._network RUN --split test --rows 4096 [--begin ROW] [--masked] [--dataset
FOLDER]` prints, by S/N, with augmentation on: the floor, the network's error over it with its
standard error, the bias, how far off redshifts and told errors are, and the same for cool stars;
with --time, what a spectrum costs one core. --masked: 5 % of the pixels in runs and 3 struck ones
have no weight, for the floor too. Of a sample that is continuous in all four parameters, --dataset
names the folder (`specdenoise build survey --set dataset.mode=virtual --set
stellar.sampling=continuous`). --floors keeps the floors in a file, which another run is compared
with in a moment.
"""

import argparse
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from rich.console import Console
from rich.table import Table

from simlib.dataset.publish import published_dataset
from simlib.dataset.rows import recipe_of
from simlib.errors import InputError
from simlib.fingerprint import checksum, fingerprint
from simlib.location import Location
from trainlib.config import WHILE_TRAINING, Augment, Evaluate
from trainlib.evaluation.floor import information_floor
from trainlib.evaluation.metrics import SNR_EDGES, SNR_NARROW, measure, over_limit
from trainlib.evaluation.trained import Trained, augmenter_of, load_trained
from trainlib.training.data import open_split, read_spectra

SHARE, RUNS, STRUCK = 0.05, (5, 60), 3  # of pixels masked; pixels of a run; single ones
COOL, BRIGHT = 3750.0, 40.0
ROWS, CPU = 512, torch.device("cpu")
NAMES = ("error", "bias", "off", "told", "told_masked")
Rows = dict[str, np.ndarray]


def masks(rows: int, pixels: int) -> np.ndarray:
    """Return what is masked, (rows, pixels): runs until the share is reached, and single pixels."""
    draw = np.random.default_rng(13)
    found = np.zeros((rows, pixels), bool)
    for row in found:
        while row.mean() < SHARE:
            first = draw.integers(pixels)
            row[first : first + draw.integers(*RUNS)] = True
        row[draw.integers(pixels, size=STRUCK)] = True
    return found


def floors(rows: xr.Dataset, place: Location, augment: Augment, kept: Path | None) -> np.ndarray:
    """Return the information limit of rows, from the file if it is there and of these rows.

    Raises InputError for a file of others.
    """
    known = augment.model_dump(exclude=set(WHILE_TRAINING))
    of = fingerprint([checksum(rows[name].values) for name in ("flux", "variance")], known)
    if kept and kept.exists():
        with np.load(kept) as held:
            if str(held["of"]) == of:
                return np.asarray(held["floor"])
        raise InputError(f"{kept} holds the floors of other rows; give another --floors")
    recipe, _ = recipe_of(*published_dataset(place))
    found = information_floor(rows, recipe, augment, Evaluate().flux_floor)[0].whole
    if kept:
        with kept.open("wb") as file:
            np.savez(file, floor=found, of=of)
    return found


def judged(
    trained: Trained, rows: xr.Dataset, split: str, is_masked: np.ndarray, begin: int = 0
) -> Rows:
    """Return per spectrum: mean |R|, mean R, redshift off in pixels, |error| over what is told.

    begin: of the rows, in their split. The last also of masked pixels alone, 1 where told errors
    are true.
    """
    spectra = read_spectra(rows, 0, rows.sizes["spectrum"], CPU, ("redshift",))
    augmenter = augmenter_of(trained, split, is_on=True)
    axis = trained.model.frame.axis  # type: ignore[union-attr]
    found: dict[str, list[np.ndarray]] = {name: [] for name in NAMES}
    for first in range(0, len(spectra), ROWS):
        some = slice(first, first + ROWS)
        batch = augmenter(spectra.flux[some], spectra.sigma[some], 0, begin + first)
        hidden = torch.from_numpy(is_masked[some])
        noisy = batch.noisy.masked_fill(hidden, 1e3)
        with torch.inference_mode():
            made = trained.model.denoise(noisy, batch.variance.masked_fill(hidden, torch.inf))  # type: ignore[operator]
        told = measure(torch.from_numpy(made.flux), batch.target, Evaluate().flux_floor)
        off = np.abs(made.flux - batch.target.numpy()) / made.error / np.sqrt(2.0 / np.pi)
        shift = made.redshift - spectra.labels["redshift"][some].astype(float)
        parts = (
            told.mean_abs_relative_error,
            told.mean_relative_error,
            np.abs(shift) / axis.pixel_redshift,
            off.mean(axis=1),
            torch.from_numpy(off).where(hidden, torch.nan).nanmean(dim=1).numpy(),
        )
        for name, part in zip(NAMES, parts, strict=True):
            found[name].append(part)
    return {name: np.concatenate(parts) for name, parts in found.items()}


def figures_of(found: Rows) -> list[dict[str, Any]]:
    """Return the figures by S/N: shares of the flux, and shifts in pixels; None where none are."""
    snr, cool = found["snr"], found["teff"] < COOL
    bins = [(f"{a:g}-{b:g}", (snr >= a) & (snr < b)) for a, b in
            [*pairwise(SNR_EDGES), SNR_NARROW]]  # fmt: skip
    figures = []
    for name, inside in [*bins, (f"> {BRIGHT:g}, Teff < {COOL:g} K", (snr > BRIGHT) & cool)]:
        if inside.sum() < 2:
            continue
        part = {key: values[inside] for key, values in found.items()}
        eta, scatter = over_limit(part["error"], part["floor"])
        masked = part["told_masked"][np.isfinite(part["told_masked"])]
        figures.append({
            "snr": name, "count": int(inside.sum()), "floor": float(part["floor"].mean()),
            "error": float(part["error"].mean()), "eta": eta, "eta_error": scatter,
            "bias": float(part["bias"].mean()), "off": float((part["off"] > 1.0).mean()),
            "median_off": float(np.median(part["off"])), "told": float(part["told"].mean()),
            "told_masked": float(masked.mean()) if len(masked) else None,
        })  # fmt: skip
    return figures


def table_of(figures: list[dict[str, Any]]) -> Table:
    """Return the figures as a table, in per cent where nothing else is said."""
    table = Table("S/N", "n", "floor", "error", "η", "bias", "z off > 1 px", "median dz, px",
                  "error / told", "same, masked")  # fmt: skip
    for one in figures:
        masked = one["told_masked"]
        table.add_row(
            one["snr"], str(one["count"]), f"{100 * one['floor']:.4f}",
            f"{100 * one['error']:.4f}", f"{one['eta']:.3f} ± {one['eta_error']:.3f}",
            f"{100 * one['bias']:+.4f}", f"{100 * one['off']:.2f}", f"{one['median_off']:.4f}",
            f"{one['told']:.2f}", "" if masked is None else f"{masked:.2f}",
        )  # fmt: skip
    return table


def network_figures(
    run: Path, split: str, count: int, *, begin: int = 0, dataset: str | None = None,
    masked: bool = False, kept: Path | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """Return the figures of a run's network on rows of a split from `begin`; see `figures_of`."""
    trained = load_trained(run)
    rows = rows_of(trained, split, count, dataset, begin)
    is_masked = np.zeros(rows["flux"].shape, bool)
    if masked:
        is_masked = masks(*rows["flux"].shape)
    hidden = rows.assign(variance=rows["variance"].where(~is_masked, np.inf))
    floor = floors(hidden, Location.of(rows.encoding["source"]), trained.config.augment, kept)
    known = {name: rows[name].values for name in ("snr", "teff")}
    return figures_of(judged(trained, rows, split, is_masked, begin) | known | {"floor": floor})


def rows_of(
    trained: Trained, split: str, count: int, dataset: str | None, begin: int = 0
) -> xr.Dataset:
    """Return rows of a split from `begin`; dataset: another folder than that of the run's own."""
    place = Location.of(dataset) if dataset else trained.dataset
    rows = open_split(place, split).isel(spectrum=slice(begin, begin + count)).load()
    rows.encoding["source"] = place.url
    return rows


def time_of(trained: Trained, rows: xr.Dataset) -> str:
    """Return what one core takes for a spectrum, the best of five times."""
    torch.set_num_threads(1)
    spectra = read_spectra(rows, 0, min(ROWS, rows.sizes["spectrum"]), CPU)
    flux, variance = spectra.flux, spectra.sigma.square()
    taken = []
    with torch.inference_mode():
        for _ in range(6):
            begun = time.process_time()
            trained.model(flux, variance)
            taken.append((time.process_time() - begun) / len(spectra))
    return f"one core, {len(spectra)} spectra a call: {1e3 * min(taken[1:]):.3f} ms a spectrum"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench._network", description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--dataset", help="its folder; else the run's own")
    parser.add_argument("--split", choices=("validation", "test"), default="validation")
    parser.add_argument("--rows", type=int, default=4096)
    parser.add_argument("--begin", type=int, default=0, help="the first row")
    parser.add_argument("--masked", action="store_true")
    parser.add_argument("--time", action="store_true")
    parser.add_argument("--floors", type=Path)
    given = parser.parse_args()
    figures = network_figures(
        given.run, given.split, given.rows, begin=given.begin, dataset=given.dataset,
        masked=given.masked, kept=given.floors,
    )  # fmt: skip
    Console(width=140).print(table_of(figures))
    if given.time:
        trained = load_trained(given.run)
        print(time_of(trained, rows_of(trained, given.split, ROWS, given.dataset)))


if __name__ == "__main__":
    main()
