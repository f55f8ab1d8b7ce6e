"""Denoise observed spectra with a bundle: the one way of it, for the command and for Python alike.

A spectrum is brought to flux per wavelength on the network's pixels and to its scale; what comes
out is brought back to the pixels and the unit that the spectrum has.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.interpolate import make_interp_spline

from simlib.errors import InputError
from simlib.fingerprint import quick_checksum
from simlib.location import Place
from simlib.spectra.arrays import marks, numbers
from simlib.spectra.convolution import kernel_sigma
from simlib.spectra.observed import Observed, Stated
from simlib.spectra.pixels import OnPixels, Way, way_of
from simlib.spectra.units import RELATIVE
from trainlib.onsky.bundle import SHIPPED, Opened, open_bundle
from trainlib.onsky.flags import SUSPECT, flagged, is_far
from trainlib.onsky.objects import observed_in
from trainlib.rest.axis import threads_of_products
from trainlib.rest.denoiser import Known
from trainlib.rest.network import STARS
from trainlib.trust.model import Told, named_odd, observed_snr
from trainlib.trust.residuals import MEASURES, Feature, features_in, measured, residuals_of
from trainlib.trust.verdict import Measures, is_at_edge, verdict

if TYPE_CHECKING:
    from trainlib.onsky.simulator import Refined, Simulator

_STAR_ERRORS = tuple(f"{name}_error" for name in STARS)
FITTED = (*STARS, "redshift", "ebv")
NETWORK, POLISH = "network", "polish"
UNKNOWN = (float("nan"),) * 36  # a covariance
_AT_ONCE = 256  # spectra that the network is given together
_MOST_WAYS = 64  # that are kept for the next spectrum of the same pixels
_WHOLE = 0.98  # share of the pixels from which on their own median is the scale
_NORMAL_95 = 1.96  # sigma that hold 95 % of a normal
_DEGREE = 5  # of the spline through denoised pixels


@dataclass(frozen=True, eq=False)
class Denoised:
    """What is made of one spectrum. flux, error, flag: on its own pixels, in its own unit.

    flux and error are NaN beyond the network's pixels. error: of the denoised flux, 68 % of pixels
    are within it and 95 % within error_95 of it; so is the redshift within redshift_error and
    redshift_error_95; all as `trust` says. flag: bits of `flags`. redshift: Doppler, in the
    spectrum's own frame. second_redshift: of the next best peak, NaN where there is none; log_odds:
    of the first against it. snr: median of denoised flux over sigma on the network's pixels.
    covered: share of these that were seen. misfit: scatter of these in units of their errors.
    suspects: number of pixels. features: runs of pixels that no training star has. shared:
    correlation of neighbours' noise that resampling made. convolved_nm: sigma in the middle of the
    arm of the Gaussian that brought finer lines to the network's, 0 where none did; what is made of
    such a spectrum has the network's resolution. teff, logg, feh, alpha: where to start a
    fit from, no measurement, with the errors that hold 68 %. source: `network`, or `polish` where a
    fit of the simulator is more probable: flux, error, redshift and star are its own then, with
    ebv, and the covariance of all six (row by row, in the order of `simlib.fit.generator.STARS`);
    the verdict is on the network's answer all the same.
    """

    flux: np.ndarray
    error: np.ndarray
    flag: np.ndarray
    error_95: float
    redshift: float
    redshift_error: float
    redshift_error_95: float
    second_redshift: float
    log_odds: float
    snr: float
    covered: float
    misfit: float
    suspects: int
    features: tuple[Feature, ...]
    shared: float
    convolved_nm: float
    teff: float
    logg: float
    feh: float
    alpha: float
    teff_error: float
    logg_error: float
    feh_error: float
    alpha_error: float
    verdict: str
    source: str = NETWORK
    ebv: float = float("nan")
    ebv_error: float = float("nan")
    covariance: tuple[float, ...] = UNKNOWN


@dataclass(frozen=True, eq=False)
class _Found:
    """What is made of several spectra on the network's pixels, normalised.

    flux, variance: (rows, pixels), as the network was given them. told: errors, as large as they
    are. snr: (rows,). looks, odd: (rows, measures), see `trust.residuals` and `trust.model`.
    """

    flux: np.ndarray
    variance: np.ndarray
    known: Known
    told: Told
    snr: np.ndarray
    looks: np.ndarray
    odd: np.ndarray


@dataclass(frozen=True, eq=False)
class _Ready:
    """A spectrum on the network's pixels; scale: of its flux there, over the normalised one."""

    observed: Observed
    way: Way
    seen: OnPixels
    scale: float


class Bundle:
    """A network that denoises observed spectra. Made by `load_bundle`.

    unpolished: why its answers stay the network's own, empty where fits may replace them.
    """

    def __init__(self, opened: Opened, polish: bool = False) -> None:
        self.manifest = opened.manifest
        self.place = opened.place
        self.wavelength = opened.wavelength
        self._lsf_sigma = opened.lsf_sigma
        self.trust = opened.trust
        self._network = opened.network
        low, high = opened.manifest.window_nm
        self._window = (self.wavelength >= low) & (self.wavelength <= high)
        self._typical = opened.network.typical
        # What is made once is made here, not by the threads that share it.
        self._network.denoise(self._typical[np.newaxis], np.ones((1, self._typical.size)))
        self._simulator: Simulator | None = None
        self.unpolished = "" if polish else "it was not asked for"
        if polish:
            from trainlib.onsky.simulator import simulator_of  # noqa: PLC0415  (slow to load)

            try:
                self._simulator = simulator_of(opened.manifest.simulator, self.wavelength)
            except InputError as error:
                self.unpolished = str(error)

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
        answer. stated: of arrays, their resolution, frame and telluric state alone.
        """
        if flux is None:
            if variance is not None or mask is not None:
                raise InputError(
                    "variance or mask were given without flux; give wavelength, flux and variance, "
                    "or one object that holds them all"
                )
            spectra, is_several = observed_in(wavelength, stated or Stated())
            return self._each(spectra, is_several)
        if stated is not None and stated.is_of_units:
            raise InputError(
                "units and medium are stated of an object alone; arrays are in nm, vacuum, and per "
                "wavelength: convert them, and leave these out"
            )
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
            ).completed({}, stated or Stated())
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
        ways: dict[tuple[str, float | None], Way] = {}
        ready = [self._readied(one, ways) for one in spectra]
        usable = [one for one in ready if isinstance(one, _Ready)]
        answers = iter(self._answers(usable) if usable else ())
        return [one if isinstance(one, InputError) else next(answers) for one in ready]

    def _readied(
        self, observed: Observed, ways: dict[tuple[str, float | None], Way]
    ) -> _Ready | InputError:
        key = quick_checksum(observed.wavelength), observed.resolution
        try:
            if key not in ways:
                if len(ways) >= _MOST_WAYS:  # of a file whose fibres have each their own pixels
                    ways.clear()
                missing = kernel_sigma(self.wavelength, self._lsf_sigma, observed.resolution)
                ways[key] = way_of(observed, self.wavelength, missing)
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
        found = self._judged(flux, variance, known, ready)
        answers = [self._answer(one, found, row) for row, one in enumerate(ready)]
        if self._simulator is None:
            return answers
        named = np.column_stack([known.stars, known.redshift])
        fits = self._simulator.refined(flux, variance, known.flux, named)
        return [
            self._refined(answers[row], one, fits, row) if fits.is_accepted[row] else answers[row]
            for row, one in enumerate(ready)
        ]

    def _judged(
        self, flux: np.ndarray, variance: np.ndarray, known: Known, ready: Sequence[_Ready]
    ) -> _Found:
        snr = observed_snr(known.flux, variance)
        shared = np.array([one.seen.shared for one in ready])
        looks = measured(flux, variance, known.flux, known.error, known.distance, shared)
        # Where neighbours share noise, pixels scatter less than the variance that counts it, and
        # fewer of them are as good as alone.
        own = np.array([one.seen.own for one in ready])
        looks[:, MEASURES.index("misfit")] /= np.sqrt(own)
        covered = np.array([one.seen.covered for one in ready])
        odd = self.trust.odd(snr, looks, covered * np.minimum(own, 1.0))
        told = self.trust.told(snr, flux.shape[1])
        return _Found(flux, variance, known, told, snr, looks, odd)

    def _answer(self, ready: _Ready, found: _Found, row: int) -> Denoised:
        """Bring a row of what the network made back to the spectrum's own pixels and unit."""
        observed, seen, known, told = ready.observed, ready.seen, found.known, found.told
        made = known.flux[row].astype(np.float64) * ready.scale
        sigma = known.error[row] * told.pixel[row] * ready.scale
        flux, error, flag, suspects = self._told_on_own_pixels(ready, made, sigma)
        redshift, log_odds = float(known.redshift[row]), float(known.log_odds[row])
        redshift_error = float(known.redshift_error[row] * told.redshift[row])
        count = int(np.count_nonzero(flag & ~SUSPECT == 0))
        odd = named_odd(found.odd[row])
        named = (*known.stars[row], *told.stars[row])
        star: dict[str, Any] = dict(zip((*STARS, *_STAR_ERRORS), map(float, named), strict=True))
        measures = Measures(
            snr=float(found.snr[row]),
            covered=seen.covered,
            suspects=suspects / max(count, 1),
            log_odds=log_odds,
            at_edge=is_at_edge(redshift, self._network.redshifts, self.wavelength),
            sharpness=(observed.resolution or self.manifest.resolution) / self.manifest.resolution,
            odd=odd,
        )
        return Denoised(
            flux=flux,
            error=error,
            flag=flag,
            error_95=float(told.pixel_95[row]),
            redshift=redshift,
            redshift_error=redshift_error,
            redshift_error_95=redshift_error * float(told.redshift_95[row]),
            second_redshift=float(known.second_redshift[row]),
            log_odds=log_odds,
            snr=measures.snr,
            covered=seen.covered,
            misfit=float(found.looks[row, MEASURES.index("misfit")]),
            suspects=suspects,
            features=self._features(found, row) if not odd["features"] < 1.0 else (),
            shared=seen.shared,
            convolved_nm=0.0 if ready.way.sigma is None else float(np.median(ready.way.sigma)),
            **star,
            verdict=verdict(measures),
        )

    def _features(self, found: _Found, row: int) -> tuple[Feature, ...]:
        one, known = slice(row, row + 1), found.known
        seen = residuals_of(found.flux[one], found.variance[one], known.flux[one], known.error[one])
        return features_in(seen, self.wavelength, self.trust.limit_of_features(found.snr[row]))

    def _refined(self, answer: Denoised, ready: _Ready, fits: "Refined", row: int) -> Denoised:
        """Return an answer with what a fit made of the spectrum in the place of the network's."""
        made, spread = (curve[row].astype(np.float64) * ready.scale
                       for curve in (fits.flux, fits.error))  # fmt: skip
        flux, error, flag, suspects = self._told_on_own_pixels(ready, made, spread)
        sigma = np.sqrt(np.diag(fits.covariance[row]))
        told: dict[str, Any] = {}
        for name, value, width in zip(FITTED, fits.stars[row], sigma, strict=True):
            told |= {name: float(value), f"{name}_error": float(width)}
        told["redshift_error_95"] = _NORMAL_95 * told["redshift_error"]
        return replace(
            answer,
            flux=flux,
            error=error,
            error_95=_NORMAL_95,
            flag=flag,
            suspects=suspects,
            source=POLISH,
            covariance=tuple(fits.covariance[row].ravel().tolist()),
            **told,
        )

    def _told_on_own_pixels(
        self, ready: _Ready, made: np.ndarray, error: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
        """Return what was made on the network's pixels, and its error, on the spectrum's own.

        Flags are beside, and how many pixels are suspect: where lines were convolved, as the
        network saw them.
        """
        observed, seen = ready.observed, ready.seen
        unit = observed.unit.per_wavelength(observed.wavelength)
        flux, sigma = self._back(made, ready) / unit, self._back(error, ready) / unit
        if ready.way.sigma is None:
            far = is_far(observed.flux, observed.variance, flux, sigma)
        else:
            far = is_far(seen.flux, seen.variance, made, error)[ready.way.nearest(observed)]
        flag = flagged(observed, flux, far)
        return flux, sigma, flag, int(np.count_nonzero(flag & SUSPECT))

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


def load_bundle(place: Place | None = None, *, polish: bool = True) -> Bundle:
    """Return a bundle that `export` wrote, ready to denoise; None: the package's own.

    polish: exchange what the network makes for the fit of a star where that is more probable; not
    done where the simulator's stellar grid is not installed (`Bundle.unpolished` says why). Raises
    InputError where there is no bundle, or where a byte of it is not what was written.
    """
    if place is None and not SHIPPED.exists():
        raise InputError(
            "no bundle is in this package; make one with `export` and give --bundle, or its place "
            "to `load_bundle`"
        )
    return Bundle(open_bundle(SHIPPED if place is None else place), polish)


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
    with np.errstate(over="ignore", invalid="ignore"):  # of pixels that cannot be used
        return replace(
            observed,
            flux=observed.flux * factor,
            variance=observed.variance * factor**2,
            # the factor changes little from one pixel to the next
            beside=None if beside is None else beside * factor**2,
        )
