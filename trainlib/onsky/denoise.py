"""Denoise observed spectra with a bundle: the one way of it, for the command and for Python alike.

A spectrum is brought to flux per wavelength on the network's pixels and to its scale; what comes
out is brought back to the pixels and the unit that the spectrum has.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
from scipy.interpolate import make_interp_spline

from simlib.errors import InputError
from simlib.fingerprint import quick_checksum
from simlib.location import Place
from simlib.spectra.arrays import marks, numbers
from simlib.spectra.observed import Observed, Stated
from simlib.spectra.pixels import OnPixels, Way, way_of
from simlib.spectra.units import RELATIVE
from trainlib.onsky.bundle import SHIPPED, Opened, open_bundle
from trainlib.onsky.flags import MASKED, OUTSIDE, SUSPECT, UNUSABLE
from trainlib.onsky.objects import observed_in
from trainlib.onsky.verdict import Measures, verdict
from trainlib.rest.axis import threads_of_products
from trainlib.rest.denoiser import Known
from trainlib.rest.network import STARS

_AT_ONCE = 256  # spectra that the network is given together
_MOST_WAYS = 64  # that are kept for the next spectrum of the same pixels
_WHOLE = 0.98  # share of the pixels from which on their own median is the scale
_SUSPECT_SIGMA = 5.0
_QUARTER = 0.6745  # of a Gaussian's sigma, within which half of it lies
_EDGE_PIXELS = 1.5
_DEGREE = 5  # of the spline through denoised pixels


@dataclass(frozen=True, eq=False)
class Denoised:
    """What is made of one spectrum. flux, error, flag: on its own pixels, in its own unit.

    flux and error are NaN beyond the network's pixels. error: sigma of the denoised flux. flag:
    bits of `flags`. redshift: Doppler, in the spectrum's own frame. second_redshift: of the next
    best peak, NaN where there is none; log_odds: of the first against it. snr: median of denoised
    flux over sigma on the network's pixels. covered: share of these that were seen. misfit: see
    `verdict.Measures`. suspects: number of pixels. shared: correlation of neighbours' noise that
    resampling made. teff, logg, feh, alpha: where to start a fit from, no measurement.
    """

    flux: np.ndarray
    error: np.ndarray
    flag: np.ndarray
    redshift: float
    redshift_error: float
    second_redshift: float
    log_odds: float
    snr: float
    covered: float
    misfit: float
    suspects: int
    shared: float
    teff: float
    logg: float
    feh: float
    alpha: float
    verdict: str


@dataclass(frozen=True, eq=False)
class _Ready:
    """A spectrum on the network's pixels; scale: of its flux there, over the normalised one."""

    observed: Observed
    way: Way
    seen: OnPixels
    scale: float


class Bundle:
    """A network that denoises observed spectra. Made by `load_bundle`."""

    def __init__(self, opened: Opened) -> None:
        self.manifest = opened.manifest
        self.place = opened.place
        self.wavelength = opened.wavelength
        self._network = opened.network
        low, high = opened.manifest.window_nm
        self._window = (self.wavelength >= low) & (self.wavelength <= high)
        self._typical = opened.network.typical
        # What is made once is made here, not by the threads that share it.
        self._network.denoise(self._typical[np.newaxis], np.ones((1, self._typical.size)))

    def denoise(
        self,
        wavelength: Any,
        flux: Any = None,
        variance: Any = None,
        mask: Any = None,
        *,
        stated: Stated | None = None,
    ) -> Denoised | list[Denoised | InputError]:
        """Return what is made of one spectrum (pixels,), or of each of several (rows, pixels).

        wavelength: nm, vacuum, (pixels,) or as the flux. flux: per wavelength, on any scale.
        variance: of it; not finite or not positive: the pixel is not used. mask: True or not 0
        where a pixel is rejected; so is what is masked in an array of numpy.ma. In the place of all
        four an object may be given, see `objects.observed_in`, and what it does not say as stated.
        Raises InputError for one that cannot be used; of several it is returned in the place of the
        answer.
        """
        if flux is None:
            spectra, is_several = observed_in(wavelength, stated or Stated())
            return self._each(spectra, is_several)
        values = numbers(flux, "flux")
        count = len(np.atleast_2d(values))
        spread = {
            "wavelength": numbers(wavelength, "wavelength"),
            "variance": numbers(variance, "variance"),
            "mask": np.zeros(values.shape, dtype=bool) if mask is None else marks(mask, "mask"),
        }
        for name, other in spread.items():
            if values.ndim not in (1, 2) or other.shape not in (values.shape, values.shape[-1:]):
                raise InputError(
                    f"{name} has the shape {other.shape}, flux {values.shape}; (pixels,) or "
                    "(rows, pixels) were expected"
                )
        wide = {name: np.broadcast_to(other, (count, other.shape[-1]))
                for name, other in spread.items()}  # fmt: skip
        rows = (
            Observed(
                name=f"row-{row}",
                product="arrays",
                wavelength=wide["wavelength"][row],
                flux=np.atleast_2d(values)[row],
                variance=wide["variance"][row],
                mask=wide["mask"][row],
                unit=RELATIVE,
            )
            for row in range(count)
        )
        return self._each(rows, values.ndim > 1)

    def _each(
        self, spectra: Iterable[Observed], is_several: bool
    ) -> Denoised | list[Denoised | InputError]:
        found = list(self.denoise_observed(spectra))
        if is_several:
            return found
        if isinstance(found[0], InputError):
            raise found[0]
        return found[0]

    def denoise_observed(self, spectra: Iterable[Observed]) -> Iterator[Denoised | InputError]:
        """Yield what is made of each spectrum, or why nothing is, in their order.

        Some are made at a time, on as many threads as products of matrices have.
        """
        waiting = iter(spectra)
        threads = threads_of_products()
        ahead: deque[Future[list[Denoised | InputError]]] = deque()
        with ThreadPoolExecutor(threads) as pool:
            while some := list(islice(waiting, _AT_ONCE)):
                ahead.append(pool.submit(self._denoised, some))
                if len(ahead) > threads:
                    yield from ahead.popleft().result()
            while ahead:
                yield from ahead.popleft().result()

    def _denoised(self, spectra: Sequence[Observed]) -> list[Denoised | InputError]:
        ways: dict[str, Way] = {}
        ready = [self._readied(one, ways) for one in spectra]
        usable = [one for one in ready if isinstance(one, _Ready)]
        answers = iter(self._answers(usable) if usable else ())
        return [one if isinstance(one, InputError) else next(answers) for one in ready]

    def _readied(self, observed: Observed, ways: dict[str, Way]) -> _Ready | InputError:
        key = quick_checksum(observed.wavelength)
        try:
            if key not in ways:
                if len(ways) >= _MOST_WAYS:  # of a file whose fibres have each their own pixels
                    ways.clear()
                ways[key] = way_of(observed, self.wavelength)
            way = ways[key]
            seen = way.bring(_per_wavelength(observed))
            seen = _held(observed, seen, self._scale(observed, seen))
            return _Ready(observed, way, seen, self._scale(observed, seen))
        except InputError as error:
            return error

    def _scale(self, observed: Observed, seen: OnPixels) -> float:
        """Return the flux of one, normalised.

        Where much of the arm is not seen, the median of the rest is compared with a typical star's.
        """
        here = self._window & np.isfinite(seen.variance)
        if not here.any():
            here = np.isfinite(seen.variance)
        middle = float(np.median(seen.flux[here]))
        is_whole = seen.covered >= _WHOLE
        usual = self.manifest.median if is_whole else float(np.median(self._typical[here]))
        scale = middle / usual
        if not scale > 0.0:
            raise InputError(
                f"spectrum {observed.name}: its median flux is {middle:.3g}; a positive one was "
                "expected: there is no star to be seen"
            )
        return scale

    def _answers(self, ready: Sequence[_Ready]) -> list[Denoised]:
        flux, variance = (
            np.stack(part)
            for part in zip(*(_single(one.seen, one.scale) for one in ready), strict=True)
        )
        known = self._network.denoise(flux, variance)
        return [self._answer(one, known, row) for row, one in enumerate(ready)]

    def _answer(self, ready: _Ready, known: Known, row: int) -> Denoised:
        """Bring a row of what the network made back to the spectrum's own pixels and unit."""
        observed, seen = ready.observed, ready.seen
        made = known.flux[row].astype(np.float64) * ready.scale
        sigma = known.error[row].astype(np.float64) * ready.scale
        unit = observed.unit.per_wavelength(observed.wavelength)
        flux, error = (self._back(curve, ready) / unit for curve in (made, sigma))
        flag, misfit, suspects = _judged(observed, flux, error)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            snr = float(np.median((made / np.sqrt(seen.variance))[np.isfinite(seen.variance)]))
        redshift, log_odds = float(known.redshift[row]), float(known.log_odds[row])
        count = int(np.count_nonzero(flag & (OUTSIDE | MASKED | UNUSABLE) == 0))
        measures = Measures(
            snr=snr,
            covered=seen.covered,
            misfit=misfit,
            suspects=suspects / max(count, 1),
            log_odds=log_odds,
            at_edge=self._is_at_edge(redshift),
            sharpness=(observed.resolution or self.manifest.resolution) / self.manifest.resolution,
        )
        return Denoised(
            flux=flux,
            error=error,
            flag=flag,
            redshift=redshift,
            redshift_error=float(known.redshift_error[row]),
            second_redshift=float(known.second_redshift[row]),
            log_odds=log_odds,
            snr=snr,
            covered=seen.covered,
            misfit=misfit,
            suspects=suspects,
            shared=seen.shared,
            **dict(zip(STARS, map(float, known.stars[row]), strict=True)),
            verdict=verdict(measures),
        )

    def _back(self, curve: np.ndarray, ready: _Ready) -> np.ndarray:
        """Return a curve on the network's pixels at those of the spectrum, NaN beyond them."""
        at = ready.observed.wavelength
        if ready.way.is_identity:
            curve = curve[ready.way.kept]
            return curve if at[0] < at[-1] else curve[::-1]
        half = 0.5 * (self.wavelength[1] - self.wavelength[0])
        inside = (at >= self.wavelength[0] - half) & (at <= self.wavelength[-1] + half)
        out = np.full(at.shape, np.nan)
        out[inside] = make_interp_spline(self.wavelength, curve, k=_DEGREE)(at[inside])
        return out

    def _is_at_edge(self, redshift: float) -> bool:
        low, high = self._network.frame.statistics.redshifts
        pixel = (self.wavelength[1] - self.wavelength[0]) / float(np.mean(self.wavelength))
        return not low - _EDGE_PIXELS * pixel < redshift < high + _EDGE_PIXELS * pixel


def load_bundle(place: Place | None = None) -> Bundle:
    """Return a bundle that `export` wrote, ready to denoise; None: the package's own.

    Raises InputError where there is none, or where a byte of it is not what was written.
    """
    if place is None and not SHIPPED.exists():
        raise InputError(
            "no bundle is in this package; make one with `export` and give --bundle, or its place "
            "to `load_bundle`"
        )
    return Bundle(open_bundle(SHIPPED if place is None else place))


def _single(seen: OnPixels, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Return normalised flux and its variance in single precision; infinite where it holds none."""
    with np.errstate(over="ignore", under="ignore"):
        flux = (seen.flux / scale).astype(np.float32)
        variance = (seen.variance / scale / scale).astype(np.float32)
    is_held = np.isfinite(flux) & (variance > 0.0)
    return np.where(is_held, flux, np.float32(0.0)), np.where(is_held, variance, np.float32(np.inf))


def _held(observed: Observed, seen: OnPixels, scale: float) -> OnPixels:
    """Return what is seen without the pixels that single precision cannot hold.

    They are masked before the scale is taken. Raises InputError where it can hold none.
    """
    is_held = np.isfinite(_single(seen, scale)[1])
    if np.array_equal(is_held, np.isfinite(seen.variance)):
        return seen
    if not is_held.any():
        raise InputError(
            f"spectrum {observed.name}: flux and variance are of so different sizes that single "
            "precision holds none of its pixels; are both in the same unit?"
        )
    return replace(
        seen,
        flux=np.where(is_held, seen.flux, 0.0),
        variance=np.where(is_held, seen.variance, np.inf),
        covered=float(is_held.mean()),
    )


def _per_wavelength(observed: Observed) -> Observed:
    """Return a spectrum as flux per wavelength."""
    factor = observed.unit.per_wavelength(observed.wavelength)
    beside = observed.beside
    return replace(
        observed,
        flux=observed.flux * factor,
        variance=observed.variance * factor**2,
        # the factor changes little from one pixel to the next
        beside=None if beside is None else beside * factor**2,
    )


def _judged(
    observed: Observed, flux: np.ndarray, error: np.ndarray
) -> tuple[np.ndarray, float, int]:
    """Return the flag of each pixel, the scatter about the denoised flux, and suspects."""
    flag = np.where(np.isfinite(flux), 0, OUTSIDE).astype(np.int32)
    flag |= np.where(observed.mask, MASKED, 0).astype(np.int32)
    flag |= np.where(observed.is_usable | observed.mask, 0, UNUSABLE).astype(np.int32)
    seen = flag == 0
    if not seen.any():
        return flag, float("nan"), 0
    with np.errstate(over="ignore"):  # then a pixel is as far off as can be
        width = np.hypot(np.sqrt(observed.variance[seen]), error[seen])
        pull = np.abs(observed.flux[seen] - flux[seen]) / width
    far = pull > _SUSPECT_SIGMA
    flag[np.flatnonzero(seen)[far]] |= SUSPECT
    return flag, float(np.median(pull)) / _QUARTER, int(np.count_nonzero(far))
