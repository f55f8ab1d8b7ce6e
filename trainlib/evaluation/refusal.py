"""What a network tells of itself, judged: errors against the truth, verdicts against strangers.

The judged rows are none of those that errors and limits were found on.
"""

import logging
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
import xarray as xr

from simlib.parameters import AXES
from trainlib.evaluation.examples import share_returned
from trainlib.evaluation.parts import Arrays
from trainlib.evaluation.strangers import KINDS, LINES, SKY, Places, places, stranger
from trainlib.evaluation.trained import Trained, augmenter_of, batches_of
from trainlib.evaluation.trust import (
    Seen,
    network_of,
    off_by,
    redshift_off_by,
    rows_of,
    seen_by,
    trust_of,
)
from trainlib.training.augment import Batch
from trainlib.training.data import Spectra
from trainlib.trust.model import Trust, named_odd
from trainlib.trust.residuals import MEASURES, features_in, residuals_of
from trainlib.trust.verdict import Measures, is_at_edge, suspicion

STAGES = ("told", "calibrated")
LEVELS = np.array([68, 95])  # per cent
_AS_TOLD = (1.0, 1.96)  # errors of a Gaussian that hold them
_NEAR_NM = 0.3  # of a line, that it counts as found
_DIMS = {
    "within": ("stage", "level", "spectrum"),
    "redshift_within": ("stage", "level", "spectrum"),
    "star_within": ("level", "axis", "spectrum"),
    "observed_snr": ("spectrum",),
    "odd": ("measure", "spectrum"),
    "suspicion": ("spectrum",),
    "strange": ("kind", "stranger"),
    "found": ("kind", "stranger"),
    "returned": ("kind", "stranger"),
}

log = logging.getLogger(__name__)


def judge_trust(judged: Arrays, strange: Arrays, trust: Trust) -> xr.Dataset:
    """Return what is true of the errors and verdicts of the network on judged spectra.

    judged, strange: what `judge_errors` and `judge_strangers` return. `within` (stage, level,
    spectrum): share of pixels whose truth is within the error, `redshift_within` and `star_within`
    (with axis) whether it is. `suspicion` (spectrum) and `odd` (measure, spectrum), see
    `trust.verdict` and `trust.model`; 1 and more is refused. Of strangers, in the place of the
    first `evaluate.stranger_spectra`: `strange` (kind, stranger) their suspicion, `found` whether
    the line is among the suspected features, `returned` how much of it is in what is denoised.
    """
    told = {name: (_DIMS[name], np.moveaxis(array, 0, -1))
            for name, array in (judged | strange).items()}  # fmt: skip
    return xr.Dataset(
        told,
        coords={
            "stage": np.array(STAGES, dtype=object),
            "level": LEVELS,
            "axis": np.array(AXES, dtype=object),
            "measure": np.array(MEASURES, dtype=object),
            **({"kind": np.array(KINDS, dtype=object)} if strange else {}),
        },
        attrs={"rows": trust.rows, "bins": len(trust.snr)},
    )


def with_errors(examples: xr.Dataset, trained: Trained, judged: xr.Dataset) -> xr.Dataset:
    """Return examples whose errors hold 68 %; judged: what `judge_trust` returned."""
    trust, flux = Trust.of(trust_of(trained)), examples["flux"].copy()
    snr = judged["observed_snr"].values[examples["row"].values]
    flux.loc[{"curve": "error"}] *= trust.told(snr, flux.sizes["wavelength"]).pixel
    return examples.assign(flux=flux)


def judge_errors(
    trained: Trained, trust: Trust, spectra: Spectra, wavelength: np.ndarray
) -> Arrays:
    """Return what is true of errors and verdicts on spectra with their labels, rows first."""
    parts = list(_judged(trained, trust, spectra, wavelength))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _judged(
    trained: Trained, trust: Trust, spectra: Spectra, wavelength: np.ndarray
) -> Iterator[Arrays]:
    network, augmenter = network_of(trained), augmenter_of(trained, trained.config.evaluate.split)
    for some, first in batches_of(spectra):
        seen = seen_by(network, augmenter(spectra.flux[some], spectra.sigma[some], 0, first))
        told = trust.told(seen.snr, seen.batch.noisy.shape[1])
        off, off_redshift = off_by(seen), redshift_off_by(seen, spectra.labels["redshift"][some])
        true = np.stack([spectra.labels[axis][some] for axis in AXES])
        off_stars = np.abs(seen.known.stars.T - true) / told.stars.T
        wide = [np.ones_like(told.pixel_95), told.pixel_95]
        within = [
            [np.mean(off <= one, axis=1) for one in _AS_TOLD],
            [np.mean(off <= told.pixel * one[:, np.newaxis], axis=1) for one in wide],
        ]
        wide = [told.redshift, told.redshift * told.redshift_95]
        redshift = [
            [off_redshift <= one for one in _AS_TOLD],
            [off_redshift <= one for one in wide],
        ]
        stars = [[off_stars <= 1.0], [off_stars <= told.stars_95.T]]
        odd, doubts = _doubts(trained, trust, seen, wavelength)
        rows_last: Arrays = {
            "within": np.array(within, np.float32),
            "redshift_within": np.array(redshift, np.int8),
            "star_within": np.concatenate(stars).astype(np.int8),
            "observed_snr": seen.snr.astype(np.float32),
            "odd": odd.T.astype(np.float32),
            "suspicion": doubts.astype(np.float32),
        }
        yield {name: np.moveaxis(array, -1, 0) for name, array in rows_last.items()}


def _doubts(
    trained: Trained, trust: Trust, seen: Seen, wavelength: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return how odd spectra look (rows, measures), and how much speaks against them (rows,)."""
    low, high = network_of(trained).redshifts.tolist()
    odd = trust.odd(seen.snr, seen.looks, np.ones(len(seen.snr)))
    variance = seen.batch.variance.numpy() + np.square(seen.known.error)
    pull = np.abs(seen.batch.noisy.numpy() - seen.known.flux) / np.sqrt(variance)
    suspects = np.mean(pull > 5.0, axis=1)
    doubts = np.array([
        suspicion(Measures(
            snr=float(seen.snr[row]),
            covered=1.0,
            suspects=float(suspects[row]),
            log_odds=float(seen.known.log_odds[row]),
            at_edge=is_at_edge(float(seen.known.redshift[row]), (low, high), wavelength),
            sharpness=1.0,
            odd=named_odd(odd[row]),
        ))
        for row in range(len(odd))
    ])  # fmt: skip
    return odd, doubts


def judge_strangers(
    trained: Trained, trust: Trust, spectra: Spectra, wavelength: np.ndarray
) -> Arrays:
    """Return what is made of strangers in the place of spectra, (rows, kinds)."""
    shape = (len(KINDS), len(spectra))
    strange, found = np.full(shape, np.inf, np.float32), np.zeros(shape, np.int8)
    returned = np.full(shape, np.nan, np.float32)
    network, augmenter = network_of(trained), augmenter_of(trained, trained.config.evaluate.split)
    grid = rows_of(trained).recipe.grid
    for some, first in batches_of(spectra):
        redshift = spectra.labels["redshift"][some].astype(float)
        flux, sigma = spectra.flux[some], spectra.sigma[some]
        here = places(flux.numpy(), wavelength, redshift, grid)
        clean = augmenter(flux, sigma, 0, first)
        plain = seen_by(network, clean).known.flux
        for number, kind in enumerate(KINDS):
            other = torch.from_numpy(stranger(kind, here, first))
            batch = augmenter(other, sigma, 0, first)
            if kind == SKY:
                batch, usable = _scaled(batch)
            else:
                usable = np.ones(len(flux), bool)
            if not usable.any():
                continue
            seen = seen_by(network, batch)
            odd, doubts = _doubts(trained, trust, seen, wavelength)
            strange[number, some][usable] = doubts
            if kind in LINES:
                change = batch.target - clean.target
                made = torch.from_numpy(seen.known.flux - plain)
                returned[number, some] = share_returned(made, change)
                found[number, some] = _is_found(trust, seen, odd, here, LINES[kind][0])
    return {"strange": strange.T, "found": found.T, "returned": returned.T}


def _scaled(batch: Batch) -> tuple[Batch, np.ndarray]:
    """Return noise alone, brought to the median of a star as it is on the sky, and which could be.

    Where the median is not positive there is nothing to be denoised.
    """
    noise = batch.noisy - batch.target
    scale = noise.median(dim=1, keepdim=True).values / 0.5
    usable = scale[:, 0] > 0.0
    noise, scale, variance = noise[usable], scale[usable], batch.variance[usable]
    scaled = replace(
        batch, noisy=noise / scale, variance=variance / scale.square(),
        target=torch.zeros_like(noise),
    )  # fmt: skip
    return scaled, usable.numpy()


def _is_found(trust: Trust, seen: Seen, odd: np.ndarray, here: Places, line: float) -> np.ndarray:
    """Return (rows,) whether a line is among the features that are suspected."""
    found, place = np.zeros(len(odd), bool), line * (1.0 + here.redshift)
    noisy, variance = seen.batch.noisy.numpy(), seen.batch.variance.numpy()
    made, error = seen.known.flux, seen.known.error
    for row in np.flatnonzero(odd[:, MEASURES.index("features")] >= 1.0):
        one = slice(row, row + 1)
        residuals = residuals_of(noisy[one], variance[one], made[one], error[one])
        least = trust.limit_of_features(float(seen.snr[row]))
        listed = features_in(residuals, here.wavelength, least)
        found[row] = any(abs(one.wavelength - place[row]) <= _NEAR_NM for one in listed)
    return found
