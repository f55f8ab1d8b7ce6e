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
from trainlib.evaluation.parts import BATCH
from trainlib.evaluation.trained import Trained, augmenter_of
from trainlib.models.restframe import RestFrameNetwork
from trainlib.rest.denoiser import Known
from trainlib.training.augment import Batch
from trainlib.training.data import is_bare
from trainlib.trust.model import TRUST, Tried, TrustRecord, make_trust, observed_snr
from trainlib.trust.residuals import measured

# Raised by hand when the same network is trusted otherwise.
TRUST_VERSION = 1
_FIRST = 2**30  # row

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
    network_of(trained)
    if (known := known_trust(trained)) is not None:
        return known
    rows, count = rows_of(trained), trained.config.evaluate.trust_spectra
    log.info("errors and limits from %d spectra of their own", count)
    return keep_trust(trained, tried(trained, rows, 0, count))


def known_trust(trained: Trained) -> TrustRecord | None:
    """Return what was found and kept; None where nothing was, for another network or otherwise."""
    with suppress(InputError):  # damaged: made anew
        known = read_record(trained.directory / TRUST, TrustRecord)
        if known is not None and known.fingerprint == _identity(trained):
            return known
    return None


def keep_trust(trained: Trained, tries: Tried) -> TrustRecord:
    """Return what follows from tries of the network, and keep it."""
    made = make_trust(tries)
    if len(made.snr) == 1:
        log.warning("%d spectra are too few to tell errors by S/N: all are told alike; raise "
                    "evaluate.trust_spectra", made.rows)  # fmt: skip
    record = made.record(_identity(trained))
    write_record(trained.directory / TRUST, record)
    return record


def _identity(trained: Trained) -> str:
    section = trained.config.evaluate
    return fingerprint(
        TRUST_VERSION, trained.manifest.fingerprint, trained.checkpoint, section.seed,
        section.trust_spectra,
    )  # fmt: skip


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


def tried(trained: Trained, rows: EndlessSplit, first: int, stop: int) -> Tried:
    """Return what came of some of the rows, which begin with 0 here."""
    parts = list(_tries(trained, rows, first, stop))
    columns = zip(*(vars(part).values() for part in parts), strict=True)
    return Tried(*(np.concatenate(column) for column in columns))


def _tries(trained: Trained, rows: EndlessSplit, begin: int, end: int) -> Iterator[Tried]:
    network, augmenter = network_of(trained), augmenter_of(trained, "validation")
    for start in range(begin, end, BATCH):
        first, stop = _FIRST + start, _FIRST + min(start + BATCH, end)
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
