"""Spectra unlike those that a network was trained on, each in one way (paper, section 4.3)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from simlib.config import SimulationConfig
from simlib.fingerprint import fingerprint
from simlib.parameters import ALL_AXES
from trainlib.config import Augment, PlainAugment, WalkAugment
from trainlib.evaluation.examples import PAPER_STAR
from trainlib.training.augment import Batch

AS_TRAINED = "as trained"
_MASKED, _RUNS = 0.05, (5, 60)  # share of pixels; pixels of a run
_STRUCK, _HIT = 3, (5.0, 50.0)  # pixels; what is added to them, in sigma of their noise
_DARK_HALF = 0.5  # phase of the full moon
_FAINTEST, _HOURS = 22.5, 3.0  # of the paper's abstract
_CALIBRATION = (0.0, 0.01, 0.05)  # largest relative errors
_SEED = 13
Spoil = Callable[[Batch], Batch]


@dataclass(frozen=True)
class Circumstance:
    """A way to be unlike, and what is told of it.

    changes: of the config that simulates, by `section.key`. columns: of the drawn parameters, that
    are so for all. calibration: largest error of it, None for what was trained on. spoil: what is
    done to noisy spectra.
    """

    name: str
    text: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    columns: Mapping[str, float] = field(default_factory=dict)
    calibration: float | None = None
    spoil: Spoil | None = None

    @property
    def identity(self) -> str:
        """Return 16 hex digits of all that shapes the spectra."""
        spoil = self.spoil.__name__ if self.spoil else ""
        return fingerprint(self.name, self.text, dict(self.changes), dict(self.columns),
                           self.calibration, spoil)  # fmt: skip

    def config(self, config: SimulationConfig) -> SimulationConfig:
        """Return the config that simulates such spectra."""
        for name, value in self.changes.items():
            section, key = name.split(".")
            moved = getattr(config, section).model_copy(update={key: value})
            config = config.model_copy(update={section: moved})
        return config

    def augment(self, augment: Augment) -> Augment:
        """Return the augmentation of such spectra."""
        if self.calibration is None:
            return augment
        common = augment.model_dump(include={"scale_sigma", "offset_sigma", "target"})
        if not self.calibration:
            return PlainAugment(**common)
        walk = augment if isinstance(augment, WalkAugment) else WalkAugment(**common)
        return walk.model_copy(update={"calibration_max": self.calibration})


def circumstances(config: SimulationConfig) -> list[Circumstance]:
    """Return all that a network is tested on; config: of what it was trained on, which comes first.

    What is drawn beyond the trained range begins where that ends.
    """
    stellar, conditions = config.stellar, config.conditions
    count = conditions.exposure_count
    other = "continuous" if stellar.sampling == "threads" else "threads"
    told = {"continuous": "between nodes of the grid in all four parameters",
            "threads": "between nodes of the grid in one parameter only"}  # fmt: skip
    width = "table2" if config.instrument.lsf != "table2" else "etc"
    found = [
        Circumstance(AS_TRAINED, "other stars and conditions, drawn as those"),
        Circumstance(other, told[other], {"stellar.sampling": other}),
        _range("worse seeing", "seeing {} arcsec", "conditions.seeing", conditions.seeing, 1.0),
        _range("brighter moon", "moon phase {}, 0.5 is full", "conditions.moon_phase",
               conditions.moon_phase, _DARK_HALF - conditions.moon_phase[1]),
        _range("fainter stars", "magnitude {}", "stellar.magnitude", stellar.magnitude, 1.5),
        *(
            Circumstance(f"{kind} exposures", f"{n} exposures, trained on {count}",
                         {"conditions.exposure_count": n})
            for kind, n in (("fewer", max(1, count // 4)), ("more", 4 * count))
        ),
        *(
            Circumstance(f"calibration {most:.0%}", f"error of the calibration up to {most:.0%}",
                         calibration=most)
            for most in _CALIBRATION
        ),
        Circumstance("masked", f"{_MASKED:.0%} of the pixels masked, in runs", spoil=mask_runs),
        Circumstance("cosmic rays", f"{_STRUCK} pixels struck by {_HIT[0]:g} to {_HIT[1]:g} sigma, "
                     "not masked", spoil=strike),
        Circumstance("other lines", f"the instrument's line width as {width!r}",
                     {"instrument.lsf": width, "terms.source": "direct"}),
        Circumstance("the paper's star", "Teff 4183 K, log g 2, [Fe/H] -1.5, [α/Fe] 0",
                     columns=PAPER_STAR | {"interpolated_axis": ALL_AXES}),
        Circumstance("faintest", f"magnitude {_FAINTEST} in {_HOURS:g} hours",
                     {"conditions.exposure_count":
                      max(1, round(3600.0 * _HOURS / conditions.exposure_time_s))},
                     {"magnitude": _FAINTEST}),
    ]  # fmt: skip
    return [one for one in found if one is not None]


def _range(
    name: str, text: str, leaf: str, trained: tuple[float, float], more: float
) -> Circumstance | None:
    """Return what lies beyond the upper end of a range; None where there is nothing more."""
    if more <= 0.0:
        return None
    low, high = trained[1], trained[1] + more
    changes: dict[str, Any] = {leaf: (low, high)}
    if leaf.startswith("conditions."):
        changes["terms.source"] = "direct"  # the stored grid of terms ends where the range does
    return Circumstance(name, text.format(f"{low:g} to {high:g}"), changes)


def mask_runs(batch: Batch) -> Batch:
    """Return spectra of which runs of pixels are masked: zero with infinite variance."""
    dice = np.random.default_rng(_SEED)
    rows, pixels = batch.noisy.shape
    hidden = np.zeros((rows, pixels), bool)
    for row in hidden:
        while row.mean() < _MASKED:
            first = dice.integers(pixels)
            row[first : first + dice.integers(*_RUNS)] = True
    where = torch.from_numpy(hidden)
    return replace(
        batch,
        noisy=batch.noisy.masked_fill(where, 0.0),
        variance=batch.variance.masked_fill(where, torch.inf),
    )


def strike(batch: Batch) -> Batch:
    """Return spectra with some pixels far too bright that no mask names."""
    dice = np.random.default_rng(_SEED)
    rows, pixels = batch.noisy.shape
    where = torch.from_numpy(dice.integers(pixels, size=(rows, _STRUCK)))
    hit = torch.from_numpy(dice.uniform(*_HIT, (rows, _STRUCK)).astype(np.float32))
    added = hit * batch.variance.sqrt().gather(1, where)
    return replace(batch, noisy=batch.noisy.scatter_add(1, where, added))
