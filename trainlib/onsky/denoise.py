"""Denoise observed spectra with a bundle: the one way of it, for the command and for Python alike.

A spectrum is brought to flux per wavelength on the network's pixels and to its scale; what comes
out is brought back to the pixels and the unit that the spectrum has.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from simlib.cores import on_cores, threads
from simlib.errors import InputError
from simlib.location import Place
from simlib.spectra.arrays import marks, numbers
from simlib.spectra.observed import Observed, Stated
from simlib.spectra.units import RELATIVE
from trainlib.onsky.bundle import SHIPPED, Opened, open_bundle
from trainlib.onsky.objects import observed_in
from trainlib.onsky.ready import Own, Ready, Target, brought_back, make_ready
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
_LEAST = 16  # that are worth a thread
_NORMAL_95 = 1.96  # sigma that hold 95 % of a normal


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


class Bundle:
    """A network that denoises observed spectra. Made by `load_bundle`.

    unpolished: why its answers stay the network's own, empty where fits may replace them.
    """

    def __init__(self, opened: Opened, polish: bool = False) -> None:
        self.manifest = opened.manifest
        self.place = opened.place
        self.wavelength = opened.wavelength
        self.trust = opened.trust
        self._network = opened.network
        low, high = opened.manifest.window_nm
        window = (self.wavelength >= low) & (self.wavelength <= high)
        typical = opened.network.typical
        self._target = Target(
            self.wavelength, opened.lsf_sigma, window, opened.manifest.median, typical
        )
        # What is made once is made here, not by the threads that share it.
        noise = np.ones((1, typical.size))
        list(on_cores(lambda star: self._network.denoise(star, noise), [typical[np.newaxis]]))
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

        Some are made at a time, shared among the cores.
        """
        for some in on_cores(self._denoised, _shared(spectra)):
            yield from some

    def _denoised(self, spectra: Sequence[Observed]) -> list[Denoised | InputError]:
        ready, refused = make_ready(spectra, self._target)
        answers = iter(self._answers(ready) if ready.spectra else ())
        return [refused[row] if row in refused else next(answers) for row in range(len(spectra))]

    def _answers(self, ready: Ready) -> list[Denoised]:
        known = self._network.denoise(ready.flux, ready.variance)
        found = self._judged(ready, known)
        sigma = known.error * found.told.pixel
        everyone = np.ones(len(ready.spectra), dtype=bool)
        own = brought_back(ready, self.wavelength, known.flux, sigma, everyone)
        at_edge = is_at_edge(known.redshift, self._network.redshifts, self.wavelength)
        answers = [self._answer(ready, found, own[row], row, bool(at_edge[row]))
                   for row in range(len(own))]  # fmt: skip
        if self._simulator is None:
            return answers
        named = np.column_stack([known.stars, known.redshift])
        fits = self._simulator.refined(ready.flux, ready.variance, known.flux, named)
        better = brought_back(ready, self.wavelength, fits.flux, fits.error, fits.is_accepted)
        return [
            _refined(answer, better[row], fits, row) if row in better else answer
            for row, answer in enumerate(answers)
        ]

    def _judged(self, ready: Ready, known: Known) -> _Found:
        flux, variance = ready.flux, ready.variance
        snr = observed_snr(known.flux, variance)
        looks = measured(flux, variance, known.flux, known.error, known.distance, ready.shared)
        # Where neighbours share noise, pixels scatter less than the variance that counts it, and
        # fewer of them are as good as alone.
        looks[:, MEASURES.index("misfit")] /= np.sqrt(ready.own)
        odd = self.trust.odd(snr, looks, ready.covered * np.minimum(ready.own, 1.0))
        told = self.trust.told(snr, flux.shape[1])
        return _Found(flux, variance, known, told, snr, looks, odd)

    def _answer(self, ready: Ready, found: _Found, own: Own, row: int, at_edge: bool) -> Denoised:
        """Return all that is told of a row of what the network made."""
        known, told = found.known, found.told
        log_odds = float(known.log_odds[row])
        redshift_error = float(known.redshift_error[row] * told.redshift[row])
        odd = named_odd(found.odd[row])
        named = (*known.stars[row].tolist(), *told.stars[row].tolist())
        trained = self.manifest.resolution
        measures = Measures(
            snr=float(found.snr[row]),
            covered=float(ready.covered[row]),
            suspects=own.suspects / max(own.seen, 1),
            log_odds=log_odds,
            at_edge=at_edge,
            sharpness=(ready.spectra[row].resolution or trained) / trained,
            odd=odd,
        )
        return Denoised(
            flux=own.flux,
            error=own.error,
            flag=own.flag,
            error_95=float(told.pixel_95[row]),
            redshift=float(known.redshift[row]),
            redshift_error=redshift_error,
            redshift_error_95=redshift_error * float(told.redshift_95[row]),
            second_redshift=float(known.second_redshift[row]),
            log_odds=log_odds,
            snr=measures.snr,
            covered=measures.covered,
            misfit=float(found.looks[row, MEASURES.index("misfit")]),
            suspects=own.suspects,
            features=self._features(found, row) if not odd["features"] < 1.0 else (),
            shared=float(ready.shared[row]),
            convolved_nm=float(ready.convolved_nm[row]),
            **dict(zip((*STARS, *_STAR_ERRORS), named, strict=True)),
            verdict=verdict(measures),
        )

    def _features(self, found: _Found, row: int) -> tuple[Feature, ...]:
        one, known = slice(row, row + 1), found.known
        seen = residuals_of(found.flux[one], found.variance[one], known.flux[one], known.error[one])
        return features_in(seen, self.wavelength, self.trust.limit_of_features(found.snr[row]))


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


def _shared(spectra: Iterable[Observed]) -> Iterator[list[Observed]]:
    """Yield spectra in parts that keep all cores busy, few or many as there are."""
    waiting, cores = iter(spectra), threads()
    while some := list(islice(waiting, _AT_ONCE * cores)):
        each = max(-(-len(some) // cores), _LEAST)
        yield from (some[n : n + each] for n in range(0, len(some), each))


def _refined(answer: Denoised, own: Own, fits: "Refined", row: int) -> Denoised:
    """Return an answer with what a fit made of the spectrum in the place of the network's."""
    sigma = np.sqrt(np.diag(fits.covariance[row]))
    told: dict[str, Any] = {}
    for name, value, width in zip(FITTED, fits.stars[row], sigma, strict=True):
        told |= {name: float(value), f"{name}_error": float(width)}
    told["redshift_error_95"] = _NORMAL_95 * told["redshift_error"]
    return replace(
        answer,
        flux=own.flux,
        error=own.error,
        error_95=_NORMAL_95,
        flag=own.flag,
        suspects=own.suspects,
        source=POLISH,
        covariance=tuple(fits.covariance[row].ravel().tolist()),
        **told,
    )
