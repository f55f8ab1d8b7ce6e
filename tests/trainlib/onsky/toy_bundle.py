"""A bundle of 400 pixels (800-820 nm) that needs no training: its network is a linear solution."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from simlib.location import Location
from simlib.units import FWHM_PER_SIGMA
from tests.simlib.spectra.made import Star
from tests.trainlib.rest.toy_frame import AXIS, curves, observed, statistics
from trainlib.config import RestFrameModel
from trainlib.evaluation.trust import off_by, redshift_off_by, seen_by
from trainlib.models import build_model
from trainlib.models.restframe import RestFrameNetwork
from trainlib.onsky.export import write_bundle
from trainlib.training.augment import Batch
from trainlib.trust.model import Tried, TrustRecord, make_trust

WAVELENGTH = AXIS.observed + AXIS.pitch * np.arange(AXIS.pixels)
RANK = 12
MODEL = RestFrameModel(rank=RANK, hidden=8, blocks=1, scan_rank=4)
MEDIAN = float(np.median(curves(1000, 1)))
SCALE = 40.0  # 1e-17 erg s-1 cm-2 AA-1 in one unit of normalised flux
DESCRIBED: dict[str, Any] = {
    "model": MODEL.model_dump(),
    "window_nm": (650.0, 950.0),
    "median": MEDIAN,
    "resolution": float(810.0 / (FWHM_PER_SIGMA * 2.0 * AXIS.pitch)),
    "ranges": {"teff": (3500.0, 5000.0)},
    "lineage": {"run": "a" * 16, "checkpoint": "b" * 64, "dataset": "c" * 16},
    "licence": "Apache-2.0",
}


def toy_network() -> RestFrameNetwork:
    """Return a network that corrects what it is given, by a little."""
    torch.manual_seed(0)
    network = build_model(MODEL, statistics(RANK)).eval()
    assert isinstance(network, RestFrameNetwork)
    for layer in (network.last, network.blocks[0].outer):
        torch.nn.init.normal_(layer.weight, std=0.01)
    return network


@cache
def toy_trust() -> TrustRecord:
    """Return how far the network is to be trusted, from stars of S/N 5 to 100."""
    parts, network = [], toy_network()
    for number, level in enumerate(np.geomspace(0.005, 0.1, 8)):
        noisy, variance, flux, redshift = observed(150, float(level), 100 + number)
        scale = np.median(noisy, axis=1, keepdims=True) / MEDIAN  # as it is done on the sky
        parts_of_batch = (flux / scale, noisy / scale, variance / np.square(scale))
        batch = Batch(*(torch.from_numpy(part.astype(np.float32)) for part in parts_of_batch))
        seen = seen_by(network, batch)
        parts.append(Tried(seen.snr, off_by(seen), redshift_off_by(seen, redshift),
                           np.abs(seen.known.stars), seen.looks))  # fmt: skip
    columns = zip(*(vars(part).values() for part in parts), strict=True)
    return make_trust(Tried(*map(np.concatenate, columns))).record("d" * 16)


def write_toy_bundle(
    place: Path, beside: Mapping[str, np.ndarray] | None = None, **described: Any
) -> Path:
    """Write a bundle. beside: arrays beside the wavelengths. described: instead of `DESCRIBED`."""
    probes = observed(8, 0.02)[:2]
    described = DESCRIBED | described
    arrays = {"wavelength": WAVELENGTH, **(beside or {})}
    write_bundle(
        Location.of(place), toy_network(), arrays, described, "# toy\n", toy_trust(), probes
    )
    return place


def toy_stars(count: int, level: float, seed: int = 5) -> tuple[list[Star], np.ndarray]:
    """Return noisy stars, of 1 / level of signal to noise about, and their redshifts."""
    noisy, variance, _, redshift = observed(count, level, seed)
    stars = [
        Star(WAVELENGTH, SCALE * flux.astype(float), SCALE * noise.astype(float) ** 0.5)
        for flux, noise in zip(noisy, variance, strict=True)
    ]
    return stars, redshift
