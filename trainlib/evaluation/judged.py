"""What all methods make of the same noisy spectra, measured."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import torch
import xarray as xr

from simlib.errors import InputError
from trainlib.evaluation.fits import timed
from trainlib.evaluation.methods import Method
from trainlib.evaluation.metrics import MEASURES, PERCENTILES, SPREADS, floored_pixels, measure
from trainlib.evaluation.parts import SUM, Arrays
from trainlib.evaluation.trained import Trained, augmenter_of, batches_of
from trainlib.training.data import Spectra, read_rows

_PIXELS = ("total", "below_floor", "beyond_one")
_LABELS = ("snr", "teff", "logg", "feh", "alpha", "redshift", "magnitude")
_MORE_LABELS = ("interpolated_axis", "ebv", "seeing", "moon_phase")  # a bare store may lack them


def judge(
    trained: Trained,
    methods: Mapping[str, Method],
    spectra: Spectra,
    labels: xr.Dataset,
    *,
    is_on: bool,
) -> xr.Dataset:
    """Return the measures, dims (method, spectrum), of every method on the same noisy spectra.

    labels: the split that the spectra are the first rows of. Raises InputError where a method
    gives values that are not finite.
    """
    found = judged(trained, methods, spectra, is_on)
    return measures_of(trained, list(methods), found, labels, "on" if is_on else "off")


def judged(
    trained: Trained, methods: Mapping[str, Method], spectra: Spectra, is_on: bool
) -> Arrays:
    """Return the measures of every method on the same noisy spectra, (rows, methods, …).

    Beside them the seconds of processor time by method, and how many pixels there are.
    """
    section = trained.config.evaluate
    augmenter = augmenter_of(trained, section.split, is_on=is_on)
    parts: dict[str, list[np.ndarray]] = {name: [] for name in (*MEASURES, *SPREADS)}
    pixels, seconds = np.zeros(len(_PIXELS), np.int64), np.zeros(len(methods))
    with torch.inference_mode():
        for some, first in batches_of(spectra):
            batch = augmenter(spectra.flux[some], spectra.sigma[some], 0, first)
            floored = floored_pixels(batch.target, section.flux_floor)
            pixels += batch.target.numel(), floored, int((batch.target > 1.0).sum())
            made = []
            for number, denoise in enumerate(methods.values()):
                denoised, spent = timed(partial(denoise, batch.noisy, batch.variance))
                seconds[number] += spent
                made.append(measure(denoised, batch.target, section.flux_floor))
            for name, some_made in parts.items():
                some_made.append(np.stack([getattr(one, name) for one in made], axis=1))
    found = {name: np.concatenate(made) for name, made in parts.items()}
    return found | {f"pixels{SUM}": pixels, f"seconds{SUM}": seconds}


def measures_of(
    trained: Trained, methods: Sequence[str], found: Arrays, labels: xr.Dataset, word: str
) -> xr.Dataset:
    """Return the measures, dims (method, spectrum), and what the spectra are.

    found: what `judged` returns of the first rows of the split, whose labels these are. word: `on`
    or `off`. Raises InputError where a method gives values that are not finite.
    """
    rows = len(found[MEASURES[0]])
    dims = ("method", "spectrum", "percentile")
    results = xr.Dataset(
        {
            name: (dims[: found[name].ndim], np.swapaxes(found[name], 0, 1))
            for name in (*MEASURES, *SPREADS)
        }
        | {
            "cpu_ms": (
                "method", 1e3 * found[f"seconds{SUM}"] / rows, {"units": "ms", "per": "spectrum"},
            )
        },
        coords={"method": np.array(methods, dtype=object), "percentile": np.array(PERCENTILES)},
        attrs={
            "augmentation": word,
            "split": trained.config.evaluate.split,
            "flux_floor": trained.config.evaluate.flux_floor,
            "pixels": dict(zip(_PIXELS, map(int, found[f"pixels{SUM}"]), strict=True)),
            "fingerprint": trained.manifest.fingerprint,
        },
    )  # fmt: skip
    for name in (*MEASURES, *SPREADS):
        is_ratio = "relative" in name or name == "kl_divergence"
        results[name].attrs["units"] = "1" if is_ratio else "normalised flux"
    for name in MEASURES:
        bad = np.count_nonzero(~np.isfinite(results[name].values), axis=1)
        for method, count in zip(methods, bad, strict=True):
            if count:
                raise InputError(
                    f"{count} of {rows} spectra that the method {method!r} gives for "
                    f"{trained.directory} are not finite: it cannot be judged; train again"
                )
    for name in (*_LABELS, *(name for name in _MORE_LABELS if name in labels)):
        values = read_rows(labels, name, slice(0, rows))
        kind = np.int8 if name == "interpolated_axis" else np.float32
        results[name] = ("spectrum", values.astype(kind))
    return results
