"""From a spectrum's own pixels to those of a network, with what that does to its errors.

Where the grids agree nothing is done. Pixels that are much finer are averaged over each new one;
others are interpolated at its centre by a cubic, so that lines are not smeared by a second box.
A spectrum of finer lines than the network's is convolved with what is missing on the way.
Pixels that were left out of a spectrum count as rejected ones: nothing is seen across a hole.
Neighbours then share noise. The variance that is given is that of a mean over many pixels, per
pixel: it counts what neighbours share, so that no information is made up by a finer grid.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.sparse import csr_array

from simlib.errors import InputError
from simlib.spectra.convolution import REACH, convolution, cubics
from simlib.spectra.observed import Observed, usable_pixels

_SAME = 1e-3  # of a pixel: grids that differ by less are one
_FINE = 0.6  # pixels narrower than this, of a new one, are averaged
_FOREIGN = 0.1  # share of rejected pixels in a new one at which it is rejected
_LEFT_OUT = 1.7  # of the usual step: where one is wider, pixels were left out
_AROUND = 8  # steps on either side whose median is the usual one
_MOST_BACK = 200_000  # pixels that are put back into all holes together; at their ends alone, then


@dataclass(frozen=True, eq=False)
class OnPixels:
    """Spectra on the network's pixels, (rows, pixels) float64, in the unit that they had.

    variance: infinite where nothing is known; the flux is 0 there. covered: (rows,), share of the
    pixels where something is. shared: (rows,), correlation of the noise of neighbours, 0 where
    grids agree. own: (rows,), mean of a pixel's own variance over the one given, which counts what
    neighbours share.
    """

    flux: np.ndarray
    variance: np.ndarray
    covered: np.ndarray
    shared: np.ndarray
    own: np.ndarray


@dataclass(frozen=True, eq=False)
class Way:
    """The way from pixels at `old` wavelengths to even ones at `new`, nm, both increasing.

    kept: the places among the old pixels of those that the spectrum has; the others were left out.
    sigma: (new,), nm, of the Gaussian that finer lines are convolved with; None: as they are.
    """

    old: np.ndarray
    new: np.ndarray
    kept: np.ndarray
    sigma: np.ndarray | None = None

    @cached_property
    def is_identity(self) -> bool:
        """Return whether the grids are the same, and the lines."""
        if self.sigma is not None or self.old.size != self.new.size:
            return False
        pitch = (self.new[-1] - self.new[0]) / (self.new.size - 1)
        return bool(np.all(np.abs(self.old - self.new) < _SAME * pitch))

    @cached_property
    def _inside(self) -> np.ndarray:
        """Return which new pixels lie within the old ones."""
        half = 0.5 * (self.new[1] - self.new[0])
        low, high = self.old[0], self.old[-1]
        if self.sigma is not None:
            reach = REACH * self.sigma
            return np.asarray((self.new - reach >= low) & (self.new + reach <= high))
        if self._is_fine:
            return np.asarray((self.new - half >= low) & (self.new + half <= high))
        return np.asarray((self.new >= low) & (self.new <= high))

    @cached_property
    def _is_fine(self) -> bool:
        within = (self.old >= self.new[0]) & (self.old <= self.new[-1])
        steps = np.diff(self.old[within])
        pitch = (self.new[-1] - self.new[0]) / (self.new.size - 1)
        return bool(steps.size and np.median(steps) < _FINE * pitch)

    def nearest(self, wavelength: np.ndarray) -> np.ndarray:
        """Return the new pixel that is nearest to each of a spectrum, (pixels,)."""
        pitch = (self.new[-1] - self.new[0]) / (self.new.size - 1)
        place = np.round((wavelength - self.new[0]) / pitch)
        return np.asarray(np.clip(place, 0, self.new.size - 1).astype(int))

    @cached_property
    def matrix(self) -> csr_array:
        """Return (new, old) shares of old pixels in new ones; a row sums to 1, or to 0."""
        if self.sigma is not None:
            return convolution(self.old, self.new, self.sigma, self._inside)
        return self._averages() if self._is_fine else self._cubics()

    def _averages(self) -> csr_array:
        """Average straight lines between old pixels over each new one."""
        pitch = self.new[1] - self.new[0]
        edges = np.append(self.new - 0.5 * pitch, self.new[-1] + 0.5 * pitch)
        cuts = np.unique(np.concatenate([edges, self.old]))
        cuts = cuts[(cuts >= max(edges[0], self.old[0])) & (cuts <= min(edges[-1], self.old[-1]))]
        middle, width = 0.5 * (cuts[1:] + cuts[:-1]), np.diff(cuts)
        left = np.clip(np.searchsorted(self.old, middle) - 1, 0, self.old.size - 2)
        along = (middle - self.old[left]) / (self.old[left + 1] - self.old[left])
        row = np.clip(np.searchsorted(edges, middle) - 1, 0, self.new.size - 1)
        is_in = self._inside[row]
        share = width / pitch
        return csr_array(
            (
                np.concatenate([(share * (1.0 - along))[is_in], (share * along)[is_in]]),
                (
                    np.concatenate([row[is_in], row[is_in]]),
                    np.concatenate([left[is_in], left[is_in] + 1]),
                ),
            ),
            shape=(self.new.size, self.old.size),
        )

    def _cubics(self) -> csr_array:
        """Interpolate by a polynomial through the four old pixels around each new centre."""
        rows = np.flatnonzero(self._inside)
        shares = cubics(self.old, self.new[rows]).tocoo()
        return csr_array(
            (shares.data, (rows[shares.row], shares.col)), shape=(self.new.size, self.old.size)
        )

    def bring(
        self,
        wavelength: np.ndarray,
        flux: np.ndarray,
        variance: np.ndarray,
        mask: np.ndarray,
        beside: np.ndarray | None,
    ) -> OnPixels:
        """Return spectra (rows, pixels) on the new pixels; see `Observed` for what they are.

        wavelength: (pixels,), those of `old`, or fall. beside: (rows, 2, pixels), or None.
        """
        falls = bool(wavelength[0] > wavelength[-1])
        order = slice(None, None, -1 if falls else 1)
        usable = self._spread(usable_pixels(flux, variance, mask)[:, order])
        flux, variance = (self._spread(values[:, order]) for values in (flux, variance))
        bands = self._beside(beside, usable, falls)
        shared = np.zeros(len(flux))
        if self.is_identity:
            seen, own = usable, variance
            variance = _times(variance, bands, np.ones(self.new.size)) if bands else own
        else:
            rows = [
                self._brought(flux[row], variance[row], usable[row], [band[row] for band in bands])
                for row in range(len(flux))
            ]
            columns = [np.array(column) for column in zip(*rows, strict=True)]
            flux, variance, own, seen, shared = columns
        with np.errstate(invalid="ignore"):
            seen = seen & (variance > 0.0) & (variance < np.inf) & np.isfinite(flux)
        return OnPixels(
            flux=np.where(seen, flux, 0.0),
            variance=np.where(seen, variance, np.inf),
            covered=seen.mean(axis=1),
            shared=shared,
            own=_share(own, variance, seen),
        )

    def _spread(self, values: np.ndarray) -> np.ndarray:
        """Return values of the pixels that a spectrum has at their places; 0 between them."""
        if self.kept.size == self.old.size:
            return values
        spread = np.zeros((*values.shape[:-1], self.old.size), dtype=values.dtype)
        spread[..., self.kept] = values
        return spread

    def _beside(
        self, beside: np.ndarray | None, usable: np.ndarray, falls: bool
    ) -> list[np.ndarray]:
        """Return covariances of pairs of usable pixels, a band for each distance between them."""
        bands = []
        for apart in () if beside is None else (1, 2):
            band = np.asarray(beside)[:, apart - 1]
            # A pixel's is that with one further on in the file: turned round, with one before it.
            pairs = band[:, :-apart][:, :: -1 if falls else 1]
            if self.kept.size != self.old.size:
                pairs = self._spread(np.pad(pairs, ((0, 0), (0, band.shape[1] - pairs.shape[1]))))
                pairs = pairs[:, :-apart]
            bands.append(np.where(usable[:, :-apart] & usable[:, apart:], pairs, 0.0))
        return bands

    def _brought(
        self, flux: np.ndarray, variance: np.ndarray, usable: np.ndarray, bands: list[np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, float]:
        """Return flux, variance, a pixel's own, what is seen, and what is shared, of a spectrum."""
        if not usable.any():
            none = np.zeros(self.new.size)
            return none, none, none, none > 0.0, 0.0
        flux, variance = (_filled(values, usable) for values in (flux, variance))
        matrix = self.matrix
        foreign = abs(matrix) @ (~usable).astype(float)
        seen = self._inside & (foreign < _FOREIGN)
        own = matrix.multiply(matrix) @ variance
        whole = matrix @ _times(variance, bands, matrix.T @ np.ones(self.new.size))
        together = _shared(matrix, variance, own, seen)
        return matrix @ flux, np.maximum(whole, own), own, seen, together


def nothing_seen(observed: Observed, way: Way) -> InputError:
    """Return what is told of a spectrum of which no pixel can be used."""
    return InputError(
        f"spectrum {observed.name}: none of its {observed.flux.size} pixels "
        f"({way.old[0]:.1f}-{way.old[-1]:.1f} nm) can be used between {way.new[0]:.1f} and "
        f"{way.new[-1]:.1f} nm: masked, without a variance, or elsewhere"
    )


def way_of(observed: Observed, new: np.ndarray, sigma: np.ndarray | None = None) -> Way:
    """Return the way from a spectrum's pixels to new ones; InputError for odd wavelengths.

    sigma: see `Way`.
    """
    observed.refuse_wavelengths()
    falls = observed.wavelength[0] > observed.wavelength[-1]
    rising = observed.wavelength[::-1] if falls else observed.wavelength
    old, kept = _with_left_out(rising)
    return Way(old, new, kept, sigma)


def _with_left_out(wavelength: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return wavelengths with those of pixels that were left out, and the places of the first.

    Of a very wide hole only its two ends are filled: nothing is seen between them either way.
    """
    steps = np.diff(wavelength)
    if not steps.size:
        return wavelength, np.zeros(1, dtype=int)
    if steps.max() <= _LEFT_OUT * steps.min():  # what is usual anywhere is no less than that
        return wavelength, np.arange(wavelength.size)
    runs = sliding_window_view(np.pad(steps, _AROUND, mode="reflect"), _AROUND)
    middle = np.median(runs, axis=1)
    # Where one grid follows another the wider steps are no holes.
    usual = np.maximum(middle[: steps.size], middle[_AROUND + 1 :])
    lost = np.where(steps > _LEFT_OUT * usual, np.round(steps / usual) - 1.0, 0.0)
    half = max(_MOST_BACK // (2 * max(int(np.count_nonzero(lost)), 1)), _AROUND)
    wide = np.flatnonzero(lost > 2 * half)
    kept = np.append(0, np.cumsum(1 + np.minimum(lost, 2 * half).astype(int)))
    known = np.concatenate([kept, kept[wide] + half, kept[wide + 1] - half])
    ends = half * usual[wide]
    at = np.concatenate([wavelength, wavelength[wide] + ends, wavelength[wide + 1] - ends])
    order = np.argsort(known)
    return np.interp(np.arange(kept[-1] + 1), known[order], at[order]), kept


def _filled(values: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Return values, a straight line between their neighbours where they cannot be used."""
    if usable.all():
        return values
    filled, (lost,), (known,) = values.copy(), np.nonzero(~usable), np.nonzero(usable)
    filled[lost] = np.interp(lost, known, values[known])
    return filled


def _times(variance: np.ndarray, bands: list[np.ndarray], vector: np.ndarray) -> np.ndarray:
    """Return covariance × vector (…, pixels), of a covariance that is known by its bands."""
    product = variance * vector
    for apart, band in enumerate(bands, start=1):
        product[..., :-apart] += band * vector[apart:]
        product[..., apart:] += band * vector[:-apart]
    return np.asarray(product)


def _share(own: np.ndarray, variance: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return (rows,) mean of own over given variance, of the seen pixels; 1 where they are one."""
    found = np.ones(len(own))
    if own is variance:
        return found
    with np.errstate(all="ignore"):  # of what is not seen
        share = np.where(seen, own / variance, 0.0).sum(axis=1) / seen.sum(axis=1)
    is_any = seen.any(axis=1)
    found[is_any] = share[is_any]
    return found


def _shared(matrix: csr_array, variance: np.ndarray, own: np.ndarray, seen: np.ndarray) -> float:
    """Return the median correlation of a new pixel's noise with the next one's."""
    both = (matrix[:-1].multiply(matrix[1:])) @ variance
    is_pair = seen[:-1] & seen[1:]
    if not is_pair.any():
        return 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        found = both[is_pair] / np.sqrt(own[:-1][is_pair] * own[1:][is_pair])
    return float(np.nan_to_num(np.median(found)))
