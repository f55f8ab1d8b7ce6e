"""How far the word of a run's network is to be trusted: found on rows of their own, and kept.

The rows are those of the validation split from 2^30 on: drawn as all others are, and neither
trained, nor selected, nor judged on, however many a dataset holds. Augmentation is on.
"""

import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import torch

from simlib.artifact import read_record, write_record
from simlib.dataset.endless import EndlessSplit, open_endless
from simlib.errors import InputError
from simlib.fingerprint import fingerprint
from simlib.parameters import AXES
from simlib.rng import Purpose, Split
from trainlib.evaluation.trained import Trained
from trainlib.models.restframe import RestFrameNetwork
from trainlib.rest.denoiser import Known
from trainlib.training.augment import Augmenter, Batch
from trainlib.training.data import is_bare
from trainlib.trust.model import TRUST, Tried, TrustRecord, make_trust, observed_snr
from trainlib.trust.residuals import measured

# Raised by hand when the same network is trusted otherwise.
TRUST_VERSION = 1
_FIRST = 2**30  # row
_BATCH = 256

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Seen:
    """Noisy spectra, what a network tells of them, and how they look beside that.

    snr: (rows,), of what is denoised. looks: (rows, measures), see `trust.residuals`.
    """

    batch: Batch
    known: Known
    snr: np.ndarray
    looks: np.ndarray


def seen_by(network: RestFrameNetwork, batch: Batch) -> Seen:
    """Return what a network tells of noisy spectra."""
    with torch.inference_mode():
        known = network.denoise(batch.noisy, batch.variance)
    noisy, variance = batch.noisy.numpy(), batch.variance.numpy()
    looks = measured(noisy, variance, known.flux, known.error, known.distance)
    return Seen(batch, known, observed_snr(known.flux, variance), looks)


def trust_of(trained: Trained) -> TrustRecord:
    """Return how far a run's network is to be trusted, found and kept where it is not yet.

    Raises InputError for a network that tells no errors, and where no rows can be made.
    """
    section, place = trained.config.evaluate, trained.directory / TRUST
    network_of(trained)
    identity = fingerprint(
        TRUST_VERSION, trained.manifest.fingerprint, trained.checkpoint, section.seed,
        section.trust_spectra,
    )  # fmt: skip
    with suppress(InputError):  # damaged: made anew
        known = read_record(place, TrustRecord)
        if known is not None and known.fingerprint == identity:
            return known
    rows = rows_of(trained)
    log.info("errors and limits from %d spectra of their own", section.trust_spectra)
    made = make_trust(_tried(trained, rows, section.trust_spectra))
    if len(made.snr) == 1:
        log.warning("%d spectra are too few to tell errors by S/N: all are told alike; raise "
                    "evaluate.trust_spectra", made.rows)  # fmt: skip
    record = made.record(identity)
    write_record(place, record)
    return record


def network_of(trained: Trained) -> RestFrameNetwork:
    """Return a run's network; InputError where it is of a kind that tells no errors."""
    if isinstance(trained.model, RestFrameNetwork):
        return trained.model
    raise InputError(
        f"{trained.directory} is of recipe {trained.manifest.recipe}, whose network tells no "
        "errors; train with train.recipe = 'C'"
    )


def rows_of(trained: Trained) -> EndlessSplit:
    """Return what makes rows of the kind that a run learnt from; InputError where nothing does."""
    if is_bare(trained.dataset):
        raise InputError(
            f"{trained.dataset} is a store of spectra alone: no more can be made of its kind, to "
            "find how large errors are"
        )
    return open_endless(trained.dataset, "validation")


def frozen(trained: Trained, split: str) -> Augmenter:
    """Return the augmentation of an evaluation, which is on."""
    pixels = len(trained.model.noise_shape)  # type: ignore[arg-type]
    seed = trained.config.evaluate.seed
    return Augmenter(
        trained.config.augment, pixels, seed, Split[split], Purpose.evaluation_noise, True
    )


def _tried(trained: Trained, rows: EndlessSplit, count: int) -> Tried:
    parts = list(_tries(trained, rows, count))
    columns = zip(*(vars(part).values() for part in parts), strict=True)
    return Tried(*(np.concatenate(column) for column in columns))


def _tries(trained: Trained, rows: EndlessSplit, count: int) -> Iterator[Tried]:
    network, augmenter = network_of(trained), frozen(trained, "validation")
    for start in range(0, count, _BATCH):
        first, stop = _FIRST + start, _FIRST + min(start + _BATCH, count)
        made = rows.spectra(np.arange(first, stop))
        flux, variance = (torch.from_numpy(made[name].values) for name in ("flux", "variance"))
        seen = seen_by(network, augmenter(flux, variance.sqrt(), 0, first))
        stars = np.stack([made[axis].values for axis in AXES], axis=1)
        yield Tried(
            snr=seen.snr,
            off=off_by(seen).astype(np.float16),  # of which there are 100 MB in 12,288 rows
            redshift=redshift_off_by(seen, made["redshift"].values),
            stars=np.abs(seen.known.stars - stars),
            measures=seen.looks,
        )


def off_by(seen: Seen) -> np.ndarray:
    """Return (rows, pixels) how far the truth is from what is denoised, in errors as told."""
    return np.asarray(np.abs(seen.known.flux - seen.batch.target.numpy()) / seen.known.error)


def redshift_off_by(seen: Seen, true: np.ndarray) -> np.ndarray:
    """Return (rows,) the same of redshifts."""
    known = seen.known
    return np.asarray(np.abs(known.redshift - true) / known.redshift_error, dtype=np.float64)
