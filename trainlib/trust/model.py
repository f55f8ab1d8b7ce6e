"""How far a network's word is to be trusted: what its errors were on spectra of known truth.

**Errors.** Split-conformal prediction with normalised residuals (Lei, G'Sell, Rinaldo, Tibshirani
and Wasserman 2018, JASA 113, 1094, section 5.2), its quantiles by group (Mondrian; Vovk,
Gammerman and Shafer 2005, section 4.5). On rows that neither training nor judgement sees, |made -
true| / told is ranked: its 68 % quantile, by bins of the S/N and parts of the arm, is the factor on
the error that is told of a pixel. That 95 % of pixels lie within so many of these errors is ranked
again by S/N: a Gaussian would need 1.96, these have longer tails. Factors are interpolated in ln
S/N and along the arm. The same, without parts, is done for the redshift and for the star's
parameters, whose told error is one. The S/N is that of the denoised flux, which a real spectrum
has.

**Refusal.** Each measure of how odd a spectrum looks is told in units of its own spread at this
S/N, and over a limit that all but a few of the clean spectra keep: 1 and more is odd.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np

from simlib.artifact import Record
from simlib.simulation.compiled.median import middle_of_seen
from trainlib.trust.residuals import MEASURES

TRUST = "trust.json"
LEVELS = (0.68, 0.95)
FALSE_ALARMS = 0.003  # share of clean spectra that may look odd; an unsure redshift is beside
_LEAST_ROWS, _MOST_BINS = 100, 16  # of a bin of S/N; fewer rows in all are one bin
_PARTS = 16  # of the arm
_BEYOND = 0.99  # quantile that with the median tells the spread of a measure
_LEAST_SPREAD = np.array([0.005, 0.2, 0.2, 0.01])  # of the measures
_TINY = 1e-12

Rows = tuple[float, ...]
Table = tuple[Rows, ...]


class TrustRecord(Record):
    """What `trust.json` holds, see `Trust`. fingerprint: of all that it is made from."""

    remedy: ClassVar[str] = "remove it and run `specdenoise evaluate RUN` again: it is made anew"
    kind: Literal["trust"] = "trust"
    fingerprint: str
    rows: int
    snr: Rows
    pixel: Table
    pixel_95: Rows
    redshift: Rows
    redshift_95: Rows
    stars: Table
    stars_95: Table
    usual: Table
    spread: Table
    limit: Rows


@dataclass(frozen=True, eq=False)
class Told:
    """What a network tells of itself, brought to the size that it has; (rows,) unless said.

    pixel: (rows, pixels), factor of the error of a pixel; pixel_95: so many of these hold 95 %.
    redshift: factor of its error; redshift_95 as above. stars: (rows, 4), errors of teff, logg,
    feh, alpha; stars_95.
    """

    pixel: np.ndarray
    pixel_95: np.ndarray
    redshift: np.ndarray
    redshift_95: np.ndarray
    stars: np.ndarray
    stars_95: np.ndarray


@dataclass(frozen=True, eq=False)
class Tried:
    """What is known of rows whose truth is known. snr: as `observed_snr` says.

    off: (rows, pixels), |made - true| in errors as told. redshift: likewise, (rows,). stars:
    (rows, 4), |named - true|. measures: (rows, measures).
    """

    snr: np.ndarray
    off: np.ndarray
    redshift: np.ndarray
    stars: np.ndarray
    measures: np.ndarray


@dataclass(frozen=True, eq=False)
class Trust:
    """Factors and limits at some S/N (bins,), see the module.

    rows: that it was made of. pixel: (bins, parts). stars: (bins, 4). usual, spread: (bins,
    measures), median of a measure, and what it is told in units of. limit: (measures,).
    """

    rows: int
    snr: np.ndarray
    pixel: np.ndarray
    pixel_95: np.ndarray
    redshift: np.ndarray
    redshift_95: np.ndarray
    stars: np.ndarray
    stars_95: np.ndarray
    usual: np.ndarray
    spread: np.ndarray
    limit: np.ndarray

    @classmethod
    def of(cls, record: TrustRecord) -> "Trust":
        """Return what a record says."""
        arrays = {field.name: np.array(getattr(record, field.name)) for field in fields(cls)}
        return cls(**arrays | {"rows": record.rows})  # type: ignore[arg-type]

    def record(self, fingerprint: str) -> TrustRecord:
        """Return it as a record."""
        told = {field.name: _tuples(getattr(self, field.name)) for field in fields(self)}
        return TrustRecord.model_validate(told | {"fingerprint": fingerprint, "rows": self.rows})

    def told(self, snr: np.ndarray, pixels: int) -> Told:
        """Return factors and errors at observed S/N (rows,), for spectra of so many pixels."""
        at = self._at(snr)
        found = {field.name: at(getattr(self, field.name)) for field in fields(Told)}
        return Told(**found | {"pixel": found["pixel"] @ _hats(self.pixel.shape[1], pixels)})

    def odd(self, snr: np.ndarray, measures: np.ndarray, covered: np.ndarray) -> np.ndarray:
        """Return (rows, measures) how odd spectra look. covered: (rows,) share of pixels seen."""
        at = self._at(snr)
        found = (measures - at(self.usual)) / at(self.spread)
        found[:, MEASURES.index("misfit")] *= np.sqrt(covered)  # of fewer pixels it scatters more
        odd: np.ndarray = found / self.limit
        return odd

    def limit_of_features(self, snr: float) -> float:
        """Return the |S| of a run above which it is no chance."""
        at, one = self._at(np.array([snr])), MEASURES.index("features")
        usual, spread = (at(values)[0, one] for values in (self.usual, self.spread))
        return float(usual + spread * self.limit[one])

    def _at(self, snr: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        """Return what interpolates values (bins, ...) in ln S/N, as they are at the ends beyond."""
        place = np.interp(_log(snr), _log(self.snr), np.arange(len(self.snr)))
        low = np.minimum(place.astype(int), max(len(self.snr) - 2, 0))
        high = np.minimum(low + 1, len(self.snr) - 1)

        def at(values: np.ndarray) -> np.ndarray:
            share = (place - low).reshape(-1, *[1] * (values.ndim - 1))
            found: np.ndarray = values[low] * (1.0 - share) + values[high] * share
            return found

        return at


def make_trust(tried: Tried) -> Trust:
    """Return what is to be trusted of a network; of fewer than 200 rows, at any S/N the same."""
    order = np.argsort(tried.snr, kind="stable")
    count = int(np.clip(len(order) // _LEAST_ROWS, 1, _MOST_BINS))
    bins = np.array_split(order, count)
    pixels = tried.off.shape[1]
    parts = [part for part in np.array_split(np.arange(pixels), _PARTS) if part.size]
    pixel = np.array([
        [quantile(tried.off[rows][:, part], LEVELS[0]) for part in parts] for rows in bins
    ])  # fmt: skip
    hats = _hats(len(parts), pixels)
    redshift, redshift_95 = _levels(tried.redshift[:, np.newaxis], bins)
    stars, stars_95 = _levels(tried.stars, bins)
    usual, beyond = (
        np.array([np.quantile(tried.measures[rows], share, axis=0) for rows in bins])
        for share in (0.5, _BEYOND)
    )
    made = Trust(
        rows=len(order),
        snr=np.array([max(float(np.median(tried.snr[rows])), _TINY) for rows in bins]),
        pixel=pixel,
        pixel_95=np.array([
            quantile(tried.off[rows] / (factor @ hats), LEVELS[1])
            for rows, factor in zip(bins, pixel, strict=True)
        ]),
        redshift=redshift[:, 0],
        redshift_95=redshift_95[:, 0],
        stars=stars,
        stars_95=stars_95,
        usual=usual,
        spread=np.maximum(beyond - usual, _LEAST_SPREAD),
        limit=np.ones(len(MEASURES)),
    )  # fmt: skip
    return _limited(made, tried)


def _limited(trust: Trust, tried: Tried) -> Trust:
    """Return it with limits that all but `FALSE_ALARMS` of the rows keep, each as many."""
    odd = trust.odd(tried.snr, tried.measures, np.ones(len(tried.snr)))
    share = FALSE_ALARMS / len(MEASURES)
    each = np.array([quantile(column, 1.0 - share) for column in odd.T])
    each = np.maximum(each, 1.0)  # beyond what one in a hundred passes
    together = quantile((odd / each).max(axis=1), 1.0 - FALSE_ALARMS)
    values = {field.name: getattr(trust, field.name) for field in fields(trust)}
    return Trust(**values | {"limit": each * np.nextafter(together, np.inf)})


def observed_snr(made: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Return (rows,) median over the seen pixels of denoised flux over the noise's sigma."""
    seen = variance < np.inf
    over = made / np.sqrt(np.where(seen, variance, np.float32(1.0)))
    middles = middle_of_seen(np.where(seen, over, np.inf).astype(np.float32), np.nan)
    return np.asarray(middles.mean(axis=1, dtype=float))


def quantile(values: np.ndarray, level: float) -> float:
    """Return the conformal quantile: at least a share `level` of new values is not above it.

    Where so few values cannot tell, the largest.
    """
    flat = np.ravel(values)
    place = min(int(np.ceil(level * (flat.size + 1))), flat.size) - 1
    return float(np.partition(flat, place)[place])


def named_odd(odd: np.ndarray) -> Mapping[str, float]:
    """Return the oddness (measures,) of a spectrum by name."""
    return dict(zip(MEASURES, map(float, odd), strict=True))


def _levels(off: np.ndarray, bins: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return (bins, columns) what holds 68 % of values (rows, columns), and in units of it 95 %."""
    first, second = (
        np.array([[quantile(column, level) for column in off[rows].T] for rows in bins])
        for level in LEVELS
    )
    first = np.maximum(first, _TINY)
    return first, second / first


@lru_cache(maxsize=8)
def _hats(parts: int, pixels: int) -> np.ndarray:
    """Return (parts, pixels) weights that interpolate between the middles of parts."""
    middles = np.array([part.mean() for part in np.array_split(np.arange(pixels), parts)])
    return np.stack([np.interp(np.arange(pixels), middles, one) for one in np.eye(parts)])


def _log(snr: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.log(np.fmax(snr, _TINY))  # that of one that is none, too
    return found


def _tuples(values: np.ndarray | int) -> object:
    listed = np.asarray(values).tolist()
    if isinstance(listed, list):
        return tuple(tuple(one) if isinstance(one, list) else one for one in listed)
    return listed
