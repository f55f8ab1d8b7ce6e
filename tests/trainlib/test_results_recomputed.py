"""Every number of `results.zarr` and of the summary, made again from the stored spectra alone.

The baselines are written here as their definitions, dense and in float64; what a terminal shows of
a judgement is read back and compared with the same numbers.
"""

import json
import re
import shutil
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from scipy.ndimage import gaussian_filter1d
from scipy.signal import savgol_filter
from scipy.special import voigt_profile

from flows.cli import run_program
from simlib.errors import InputError
from simlib.rng import Purpose, Split
from tests.trainlib.judged_runs import AUGMENT, WELL, judged_well
from tests.trainlib.toy_dataset import toy_split, write_toy
from trainlib.evaluation.evaluate import evaluate
from trainlib.evaluation.judged import judge
from trainlib.evaluation.methods import METHODS
from trainlib.evaluation.metrics import MEASURES
from trainlib.evaluation.results import read_results
from trainlib.evaluation.trained import load_trained
from trainlib.training.augment import Augmenter
from trainlib.training.data import Spectra

EDGES = [(0, 5), (5, 7), (7, 10), (10, 14), (14, 20), (20, 40), (40, 80), (80, np.inf)]
NARROW = (9, 11)
# of the toy's ranges; -2.5 + 13 / 4 = 0.75
BINS = {
    "teff": [3500.0 + 250.0 * n for n in range(7)],
    "logg": [0.5 * n for n in range(11)],
    "feh": [-2.5 + 0.25 * n for n in range(14)],
    "alpha": [-0.25 + 0.125 * n for n in range(7)],
}
Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return judged_well(tmp_path_factory.mktemp("recomputed"))


def stored(run: Path, split: str) -> xr.Dataset:
    return xr.open_zarr(run.parent / "toy.zarr", group=split, chunks=None, consolidated=False)


def results_of(run: Path, group: str | None = None) -> xr.Dataset:
    place = run / "results.zarr"
    return xr.open_zarr(place, group=group, chunks=None, consolidated=False).load()


def tensors(spectra: xr.Dataset) -> tuple[torch.Tensor, torch.Tensor]:
    flux, variance = (torch.from_numpy(spectra[name].values) for name in ("flux", "variance"))
    return flux, variance.sqrt()


def frozen(split: str, is_on: bool) -> Augmenter:
    return Augmenter(AUGMENT, 128, WELL.seed, Split[split], Purpose.evaluation_noise, is_on)


def expected_spectra(run: Path, is_on: bool) -> tuple[np.ndarray, Arrays]:
    """Return the noiseless spectra, and what each method has to make of the noisy ones."""
    flux, sigma = tensors(stored(run, "validation").isel(spectrum=slice(WELL.spectra)))
    batch = frozen("validation", is_on)(flux, sigma, 0, 0)
    noisy, variance = batch.noisy.double().numpy(), batch.variance.double().numpy()

    clean, library_sigma = tensors(stored(run, "train"))
    library = frozen("train", True).target(clean, 0, 0)[0].double().numpy()
    mean = library.mean(axis=0)
    vectors = np.linalg.svd(library - mean, full_matrices=False)[2][:16]  # model.rank

    shares = library_sigma.double().numpy()
    shape = (shares / np.sort(shares, axis=1)[:, [63]]).mean(axis=0)  # torch's median: the lower
    _, singular, modes = np.linalg.svd((library - mean) / shape, full_matrices=False)
    basis = modes[: WELL.wiener_rank] * shape
    prior = np.diag(len(library) / singular[: WELL.wiener_rank] ** 2)
    filtered = np.empty_like(noisy)
    for row in range(len(noisy)):
        weighted = basis / variance[row]
        filtered[row] = mean + basis.T @ np.linalg.solve(
            prior + weighted @ basis.T, weighted @ (noisy[row] - mean)
        )

    training = frozen("train", True)(clean, library_sigma, 0, 0)
    windows = best_windows(*(x.double().numpy() for x in vars(training).values()))
    mine = windows[bins_of(noisy, variance)]

    width = {"sigma": WELL.smoothing_sigma, "mode": "constant", "axis": 1}
    weight = gaussian_filter1d(np.ones_like(noisy), **width)
    with torch.inference_mode():
        network = load_trained(run).model(batch.noisy, batch.variance).double().numpy()
    return batch.target.double().numpy(), {
        "none": noisy,
        "smoothing": gaussian_filter1d(noisy, **width) / weight,
        "savgol": np.stack([savgol_filter(row, window, 3)
                            for row, window in zip(noisy, mine, strict=True)]),
        "pca": mean + (noisy - mean) @ vectors.T @ vectors,
        "wiener": filtered,
        "dae": network,
    }  # fmt: skip


def bins_of(noisy: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Return the bins of S/N that noisy spectra seem to be in."""
    snr = np.sort(noisy / np.sqrt(variance), axis=1)[:, 63]
    return np.array([[low <= one < high or low == 0 > one for low, high in EDGES].index(True)
                     for one in snr])  # fmt: skip


def best_windows(target: np.ndarray, noisy: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Return the window with the least mean |R| in each bin, of the nearest where it is empty."""
    windows = np.array([5, 7, 9, 13, 17, 25, 35, 51])
    unit = np.maximum(target, floor_of(target))
    errors = np.array([np.abs((savgol_filter(noisy, one, 3) - target) / unit).mean(axis=1)
                       for one in windows])  # fmt: skip
    bins = bins_of(noisy, variance)
    filled = sorted(set(bins))
    best = {one: windows[errors[:, bins == one].mean(axis=1).argmin()] for one in filled}
    return np.array([best[min(filled, key=lambda at: abs(at - one))] for one in range(len(EDGES))])


def floor_of(target: np.ndarray) -> np.ndarray:
    return WELL.flux_floor * np.sort(target, axis=1)[:, [63]]


def measures_of(denoised: np.ndarray, target: np.ndarray) -> Arrays:
    error = denoised - target
    least = floor_of(target)
    relative = error / np.maximum(target, least)
    shares, others = (np.maximum(flux, np.maximum(least, 1e-6)) for flux in (target, denoised))
    shares = shares / shares.sum(axis=1, keepdims=True)
    others = others / others.sum(axis=1, keepdims=True)
    return {
        "mean_abs_relative_error": np.abs(relative).mean(axis=1),
        "max_abs_relative_error": np.abs(relative).max(axis=1),
        "mean_relative_error": relative.mean(axis=1),
        "mean_abs_error": np.abs(error).mean(axis=1),
        "max_abs_error": np.abs(error).max(axis=1),
        "mean_error": error.mean(axis=1),
        "kl_divergence": (shares * np.log(shares / others)).sum(axis=1),
        "abs_relative_error": np.percentile(np.abs(relative), [10, 50, 90, 99], axis=1).T,
        "abs_error": np.percentile(np.abs(error), [10, 50, 90, 99], axis=1).T,
    }


@pytest.mark.parametrize(("is_on", "group"), [(True, None), (False, "augmentation_off")])
def test_every_stored_measure_is_what_its_definition_gives(
    is_on: bool, group: str | None, run: Path
) -> None:
    found = results_of(run, group)
    target, denoised = expected_spectra(run, is_on)
    assert list(found["method"].values) == list(METHODS) == list(denoised)
    assert found.sizes == {"method": len(METHODS), "spectrum": WELL.spectra, "percentile": 4}
    for method, spectra in denoised.items():
        for name, expected in measures_of(spectra, target).items():
            is_ratio = "relative" in name or name == "kl_divergence"
            assert found[name].attrs["units"] == ("1" if is_ratio else "normalised flux")
            values = found[name].sel({"method": method}).values
            near = {"rtol": 2e-3, "atol": 3e-5}
            np.testing.assert_allclose(values, expected, **near, err_msg=f"{method} {name}")
    pixels = {
        "total": target.size,
        "below_floor": int((target < floor_of(target)).sum()),
        "beyond_one": int((target > 1.0).sum()),
    }
    assert found.attrs["pixels"] == pixels
    assert not is_on or 0 < pixels["beyond_one"] < pixels["below_floor"] < pixels["total"]


def test_every_stored_bin_is_what_its_spectra_give(run: Path) -> None:
    found, table = results_of(run), results_of(run, "binned")
    edges = {"snr": [*(low for low, _ in EDGES), np.inf]} | BINS
    wanted = [(axis, *pair) for axis, edge in edges.items() for pair in pairwise(edge)]
    assert list(zip(table["axis"].values, table["low"].values, table["high"].values,
                    strict=True)) == wanted  # fmt: skip
    assert list(table["statistic"].values) == ["mean", "max", "p10", "p50", "p90", "p99"]
    for number, (axis, low, high) in enumerate(wanted):
        inside = (found[axis].values >= low) & (found[axis].values < high)
        one = table.isel(bin=number)
        assert one["count"] == inside.sum()
        for name in MEASURES if inside.any() else ():
            values = found[name].values[:, inside]
            percentiles = np.percentile(values, [10, 50, 90, 99], axis=1)
            expected = np.stack([values.mean(axis=1), values.max(axis=1), *percentiles], axis=1)
            value = one["value"].sel({"measure": name}).values
            np.testing.assert_allclose(value, expected, rtol=1e-12, err_msg=name)
        known = inside & np.isfinite(found["floor"].values)
        floor = found["floor"].values[known]
        error = found["mean_abs_relative_error"].values[:, known]
        assert one["limit_count"] == known.sum()
        if known.any():
            np.testing.assert_allclose(one["floor"], floor.mean())
            np.testing.assert_allclose(one["eta"], error.mean(axis=1) / floor.mean())
        else:
            assert np.isnan(one["floor"]) and np.isnan(one["eta"].values).all()


def test_the_stored_examples_are_the_spectra_of_their_rows(run: Path) -> None:
    found, kept = results_of(run), results_of(run, "examples")
    target, denoised = expected_spectra(run, True)
    rows = kept["row"].values
    assert len(set(rows)) == len(rows) >= 40
    assert rows[0] == np.abs(found["snr"].values - WELL.example_snr).argmin()
    spectra = {str(name): kept["flux"].sel({"curve": name}).values for name in kept["curve"].values}
    for name, expected in (("target", target), ("noisy", denoised["none"]),
                           ("denoised", denoised["dae"])):  # fmt: skip
        np.testing.assert_allclose(spectra[name], expected[rows], rtol=1e-4, atol=1e-5)
    ratio = spectra["altered"] / spectra["target"]
    wavelength = 710.0 + 175.0 * np.arange(128) / 127
    redshift = found["redshift"].values[rows].astype(float)
    lines = 1.0 - sum(
        depth * voigt_profile(wavelength - line * (1 + redshift[:, None]), 0.06, 0.04)
        / voigt_profile(0.0, 0.06, 0.04)
        for line, depth in ((860.24, 0.4), (854.44, 0.3))
    )  # fmt: skip
    np.testing.assert_allclose(ratio, lines, rtol=1e-5)
    change = spectra["altered"] - spectra["target"]
    np.testing.assert_allclose(spectra["altered_noisy"] - spectra["noisy"], change, atol=1e-6)
    answer = spectra["altered_denoised"] - spectra["denoised"]
    is_new = wavelength > 857.0
    for name, some in (("new_line", is_new), ("deeper_line", ~is_new)):
        hit = np.abs(change[:, some]).max(axis=1) > 0.02
        assert np.isfinite(kept[name].values[hit]).all() and hit.any()
    alone = np.isnan(kept["new_line"].values) & np.isfinite(kept["deeper_line"].values)
    share = (answer * change).sum(axis=1) / (change**2).sum(axis=1)
    near = {"rtol": 0.05, "atol": 0.01}  # the other line's far wing is a part of the change
    np.testing.assert_allclose(kept["deeper_line"].values[alone], share[alone], **near)


@pytest.mark.parametrize("group", [None, "augmentation_off"])
def test_the_labels_of_a_result_are_those_of_its_spectrum(group: str | None, run: Path) -> None:
    found, spectra = results_of(run, group), stored(run, "validation")
    for name in ("snr", "teff", "logg", "feh", "alpha", "redshift", "magnitude"):
        assert np.array_equal(found[name].values, spectra[name].values[: WELL.spectra])


def test_spectra_that_are_not_finite_are_counted_and_their_method_named(run: Path) -> None:
    trained = load_trained(run)
    labels = stored(run, "validation")
    flux, sigma = tensors(labels)

    def broken(noisy: torch.Tensor, variance: torch.Tensor) -> torch.Tensor:
        bad = torch.zeros(len(noisy), 1)
        bad[:37] = torch.inf
        return noisy + bad

    methods = {"none": lambda noisy, variance: noisy, "odd": broken}
    with pytest.raises(
        InputError, match=f"^74 of 340 spectra that the method 'odd' gives for {run} are"
    ):
        judge(trained, methods, Spectra(flux, sigma), labels, is_on=True)


def test_a_run_is_judged_anew_on_another_dataset(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    before = read_results(copy).evaluation
    spectra = toy_split(13, 128, 5)
    other = tmp_path / "other.zarr"
    for split in ("train", "validation"):
        spectra.to_zarr(other, group=split, mode="a", consolidated=False)
    began, began_cpu = time.monotonic(), time.process_time()
    summary = evaluate(copy, dataset=other)
    after = read_results(copy).evaluation
    assert 0 < after.seconds <= time.monotonic() - began
    assert 0 < after.cpu_seconds <= time.process_time() - began_cpu
    assert before.fingerprint != after.fingerprint and before.dataset != after.dataset
    assert (before.spectra, after.spectra) == (WELL.spectra, 13)
    assert sum(part["count"] for part in summary["bins"]) == 13
    assert np.array_equal(results_of(copy)["snr"].values, spectra["snr"].values)


@pytest.mark.parametrize("pixels", [96, 160])
def test_a_run_is_not_judged_on_spectra_of_other_pixels(
    pixels: int, run: Path, tmp_path: Path
) -> None:
    other = write_toy(tmp_path, 13, 13, pixels)
    told = f"{other} holds spectra of {pixels} pixels, the network of {run} is for 128; give a"
    with pytest.raises(InputError, match=told):
        evaluate(run, dataset=other)


def expected_bin(
    found: xr.Dataset, low: float, high: float, axis: str = "snr"
) -> dict[str, object]:
    """Return one bin of the summary, from the stored measures with NumPy alone."""
    values = found[axis].values
    inside = np.flatnonzero((values >= low) & (values < high))

    def told(number: int) -> dict[str, object]:
        def over_spectra(name: str, average: Callable[[np.ndarray], float]) -> object:
            values = found[name].values[number, inside]
            return pytest.approx(average(values)) if inside.size else None

        return {
            "mean_abs_relative_error": over_spectra("mean_abs_relative_error", np.mean),
            "bias": over_spectra("mean_relative_error", np.mean),
            "max_abs_relative_error_median": over_spectra("max_abs_relative_error", np.median),
            **{
                f"mean_abs_relative_error_p{part}": over_spectra(
                    "mean_abs_relative_error", partial(np.percentile, q=part)
                )
                for part in (10, 50, 90, 99)
            },
        }

    edges = {"low": low, "high": None if high == np.inf else high}
    return {
        **({f"snr_{name}": edge for name, edge in edges.items()} if axis == "snr" else edges),
        "count": inside.size,
        **expected_limit(found, inside),
        "methods": {method: told(number) for number, method in enumerate(METHODS)},
    }


def expected_limit(found: xr.Dataset, inside: np.ndarray) -> dict[str, object]:
    known = inside[~np.isnan(found["floor"].values[inside])]
    names = ("floor", "floor_thread", "eta", "eta_error")
    if not known.size:
        return {"limit_count": 0, **dict.fromkeys(names)}
    floor = found["floor"].values[known]
    error = found["mean_abs_relative_error"].values[METHODS.index("dae"), known]
    ratio = error.mean() / floor.mean()
    rest = error - ratio * floor
    scatter = np.sqrt((rest**2).sum() / (known.size - 1) / known.size) if known.size > 1 else None
    values = (floor.mean(), found["floor_thread"].values[known].mean(), ratio,
              None if scatter is None else scatter / floor.mean())  # fmt: skip
    return {"limit_count": known.size} | {
        name: None if value is None else pytest.approx(value)
        for name, value in zip(names, values, strict=True)
    }


def expected_summary(run: Path, group: str | None) -> dict[str, object]:
    found = results_of(run, group)
    return {
        "augmentation": "off" if group else "on",
        "split": "validation",
        "pixels": found.attrs["pixels"],
        "bins": [expected_bin(found, *edges) for edges in EDGES],
        "snr_9_11": expected_bin(found, *NARROW),
    }


def test_the_json_object_is_what_the_stored_measures_say(
    run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_program(["evaluate", str(run), "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    off = told.pop("augmentation_off")
    along = told.pop("parameters")
    found = results_of(run)
    assert along == {
        axis: [expected_bin(found, *edges, axis=axis) for edges in pairwise(edge)]
        for axis, edge in BINS.items()
    }
    assert told == expected_summary(run, None)
    assert off == expected_summary(run, "augmentation_off")
    snr = results_of(run)["snr"].values  # else another narrow bin would say the same
    counts = [((snr >= low) & (snr < high)).sum() for low, high in ((8, 12), NARROW, (9.5, 10.5))]
    assert counts[0] > counts[1] > counts[2] > 0


def test_the_terminal_s_table_is_what_the_stored_measures_say(
    run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_program(["evaluate", str(run)]) == 0
    lines = capfd.readouterr().out.splitlines()
    found = results_of(run)
    assert len(lines) == len(EDGES)
    for line, (low, high) in zip(lines, EDGES, strict=True):
        numbers = re.findall(r"-?\d+\.?\d*", line)
        inside = (found["snr"].values >= low) & (found["snr"].values < high)
        mean = found["mean_abs_relative_error"].values[:, inside]
        errors = [] if not inside.any() else [f"{100 * row.mean():.2f}" for row in mean]
        edges = [low, -high] if high < np.inf else [low]
        known = inside & ~np.isnan(found["floor"].values)
        limit = [f"{100 * found['floor'].values[known].mean():.2f}"] if known.any() else []
        told = [*edges, inside.sum(), *map(float, [*errors, *limit])]
        assert [float(number) for number in numbers] == told
        assert re.findall("[a-z]+", line) == [*METHODS, *(["limit"] if limit else [])]
