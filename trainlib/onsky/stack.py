"""Visits of one star made one spectrum, pixel by pixel by inverse variance: nothing is resampled.

What n more exposures will bring follows from the stack's own variance. With N exposures so far it
is the inverse of the sum of their inverse variances; n more that are each as good as those were on
average make that sum (N + n) / N times larger, so that

    S/N (N + n) = S/N (N) sqrt((N + n) / N),      n = N ((target / S/N)^2 - 1) rounded up.

Errors that visits share (of the sky's subtraction, of the calibration) are in no pixel's variance
and do not average out: the forecast is what noise alone allows. At conditions that are given, it is
the calculator's: see `forecast`.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from simlib.errors import InputError
from simlib.fingerprint import quick_checksum
from simlib.spectra.observed import Observed
from simlib.spectra.units import FluxUnit

VISITS = ("pfsSingle", "pfsCalibrated")  # products whose spectra are one visit of a named star
_NO_STAR = "f" * 16  # the number of a fibre without a star
_SAME_PIXELS = 1e-3  # of a pixel


@dataclass(frozen=True, eq=False)
class Stack:
    """Sums over visits, (pixels,): weight of inverse variances, weighted of weight x flux.

    beside: (2, pixels) of weight x weight x covariance with the next two pixels. seen: digests of
    the visits. seconds: of all exposures, NaN where a file does not say it.
    """

    first: Observed
    weight: np.ndarray
    weighted: np.ndarray
    beside: np.ndarray
    seen: frozenset[str]
    exposures: int
    seconds: float

    @classmethod
    def of(cls, visit: Observed, seconds: float) -> "Stack":
        """Return the stack of one visit."""
        none = np.zeros(visit.flux.size)
        blank = cls(visit, none, none, np.zeros((2, none.size)), frozenset(), 0, 0.0)
        return blank.joined(visit, seconds)

    def joined(self, visit: Observed, seconds: float) -> "Stack":
        """Return the stack with one more visit; the same again is not counted twice.

        seconds: of its exposure. Raises InputError where it has other pixels or another unit.
        """
        self._refuse_other_pixels(visit)
        digest = quick_checksum(visit.flux)
        if digest in self.seen:
            return self
        good = visit.is_usable
        weight = np.where(good, 1.0 / np.where(good, visit.variance, 1.0), 0.0)
        return replace(
            self,
            weight=self.weight + weight,
            weighted=self.weighted + weight * np.where(good, visit.flux, 0.0),
            beside=self.beside + _shared(visit, weight),
            seen=self.seen | {digest},
            exposures=self.exposures + 1,
            seconds=self.seconds + seconds,
        )

    def spectrum(self) -> Observed:
        """Return the stack as a spectrum; masked where no visit has a good pixel."""
        good = self.weight > 0.0
        whole = np.where(good, self.weight, 1.0)
        beside = np.zeros_like(self.beside)
        for apart in (1, 2):
            if apart < whole.size:
                pair = whole[:-apart] * whole[apart:]
                beside[apart - 1, :-apart] = self.beside[apart - 1, :-apart] / pair
        return replace(
            self.first,
            product="stack",
            flux=np.where(good, self.weighted / whole, 0.0),
            variance=np.where(good, 1.0 / whole, np.inf),
            mask=~good,
            beside=beside if beside.any() else None,
            notes=(*self.first.notes, f"stack of {self.exposures} visits"),
        )

    def _refuse_other_pixels(self, visit: Observed) -> None:
        first: Observed = self.first
        unit: FluxUnit = first.unit
        if visit.unit != unit:
            raise InputError(
                f"a visit of {visit.name} is in {visit.unit.name}, the others in {unit.name}; "
                "they are not stacked"
            )
        if visit.wavelength.size == first.wavelength.size:
            pitch = np.abs(np.gradient(first.wavelength)) if first.wavelength.size > 1 else 1.0
            if np.all(np.abs(visit.wavelength - first.wavelength) < _SAME_PIXELS * pitch):
                return
        raise InputError(
            f"a visit of {visit.name} has other pixels than the others; they are not stacked, "
            "since nothing is resampled for that"
        )


def _shared(visit: Observed, weight: np.ndarray) -> np.ndarray:
    found = np.zeros((2, weight.size))
    for apart in () if visit.beside is None else (1, 2):
        if apart < weight.size:
            pair = weight[:-apart] * weight[apart:]
            held = np.nan_to_num(visit.beside[apart - 1, :-apart])  # type: ignore[index]
            found[apart - 1, :-apart] = pair * held
    return found


def star_of(visit: Observed) -> str | None:
    """Return the star that a spectrum is one visit of, None where its file does not say it."""
    is_star = visit.product in VISITS and "-" in visit.name and not visit.name.endswith(_NO_STAR)
    return visit.name if is_star else None


def snr_after(snr: float, exposures: int, more: int) -> float:
    """Return the S/N of a stack of `exposures` after some more that are as good."""
    return snr * math.sqrt((exposures + more) / exposures)


def exposures_to(target: float, snr: float, exposures: int) -> int | None:
    """Return how many more exposures reach a S/N, None where there is no S/N to go on from."""
    if not snr > 0.0:
        return None
    return max(0, math.ceil(exposures * ((target / snr) ** 2 - 1.0) - 1e-9))
