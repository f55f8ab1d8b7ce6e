"""Observed spectra on a network's pixels and scale, and what is made of them on their own again.

Spectra of the same pixels, lines and unit go the way together, a few at a time: as many as stay in
the processor's cache.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from simlib.errors import InputError
from simlib.fingerprint import quick_checksum
from simlib.simulation.compiled.median import middle_of_seen
from simlib.spectra.convolution import kernel_sigma
from simlib.spectra.observed import Observed
from simlib.spectra.pixels import Way, nothing_seen, way_of
from trainlib.onsky.flags import SUSPECT, flagged, is_far

_TOGETHER = 16  # spectra
_WHOLE = 0.98  # share of the pixels from which on their own median is the scale
_EVERY = 64  # pixels of which a median tells the size of numbers
_MOST = 1e30  # in terms of that
_LARGEST = 1e9  # of normalised flux: that of a star is 1, of a cosmic ray some thousands
_DEGREE = 5  # of the spline through denoised pixels
_COLUMNS = ("scale", "covered", "shared", "own", "convolved_nm")


@dataclass(frozen=True, eq=False)
class Target:
    """What spectra are brought to.

    wavelength: (pixels,) nm, vacuum, even. lsf_sigma: (pixels,) nm, of its lines. window: (pixels,)
    bool, where the median of a normalised spectrum is `median`. typical: (pixels,), of a normalised
    star.
    """

    wavelength: np.ndarray
    lsf_sigma: np.ndarray
    window: np.ndarray
    median: float
    typical: np.ndarray


@dataclass(frozen=True, eq=False)
class Group:
    """Spectra that go the same way.

    rows: their places. factor: (their pixels,), from their unit to flux per wavelength.
    """

    rows: np.ndarray
    way: Way
    factor: np.ndarray


@dataclass(frozen=True, eq=False)
class Ready:
    """Spectra as a network takes them, (rows, pixels) float32.

    Where nothing is known the flux is 0, the variance infinite. scale: (rows,), of flux per
    wavelength over the normalised one. covered, shared, own: (rows,), see `pixels.OnPixels`.
    convolved_nm: (rows,), sigma in the middle that lines were convolved with, 0: none.
    """

    spectra: Sequence[Observed]
    groups: Sequence[Group]
    flux: np.ndarray
    variance: np.ndarray
    scale: np.ndarray
    covered: np.ndarray
    shared: np.ndarray
    own: np.ndarray
    convolved_nm: np.ndarray


@dataclass(frozen=True, eq=False)
class Own:
    """What was made of a spectrum on its own pixels, in its own unit, NaN beyond the network's.

    suspects: how many pixels are. seen: of how many that say something.
    """

    flux: np.ndarray
    error: np.ndarray
    flag: np.ndarray
    suspects: int
    seen: int


def make_ready(spectra: Sequence[Observed], target: Target) -> tuple[Ready, dict[int, InputError]]:
    """Return the spectra that can be used, in their order, and by its place why another cannot."""
    count = len(spectra)
    flux, variance = np.empty((2, count, target.wavelength.size), np.float32)
    columns = dict(zip(_COLUMNS, np.zeros((len(_COLUMNS), count)), strict=True))
    ready = Ready(spectra, [], flux, variance, **columns)
    refused: dict[int, InputError] = {}
    groups = []
    for rows, missing in _alike(spectra, target):
        try:
            way = way_of(spectra[rows[0]], target.wavelength, missing)
        except InputError:
            refused |= {row: _refusal(spectra[row], target.wavelength) for row in rows}
            continue
        one = spectra[rows[0]]
        group = Group(np.array(rows), way, one.unit.per_wavelength(one.wavelength))
        groups.append(group)
        ready.convolved_nm[group.rows] = 0.0 if missing is None else np.median(missing)
        for some in _split(group.rows):
            refused |= _fill(ready, some, group, target)
    if not refused and len(groups) == 1:
        return replace(ready, groups=groups), refused
    kept = np.array([row for row in range(len(spectra)) if row not in refused], dtype=int)
    groups = [replace(one, rows=np.flatnonzero(np.isin(kept, one.rows))) for one in groups]
    columns = {name: getattr(ready, name)[kept] for name in ("flux", "variance", *_COLUMNS)}
    return Ready([spectra[row] for row in kept], groups, **columns), refused


def _alike(
    spectra: Sequence[Observed], target: Target
) -> Iterator[tuple[list[int], np.ndarray | None]]:
    """Yield the places of spectra that share pixels, lines and unit, and what is missing to lines.

    That is None where they are as wide, whatever the resolution.
    """
    known: dict[int, str] = {}  # many spectra of a file hold one array
    missing: dict[float | None, np.ndarray | None] = {}
    found: dict[tuple[object, ...], list[int]] = {}
    for row, one in enumerate(spectra):
        if (key := known.get(id(one.wavelength))) is None:
            key = known[id(one.wavelength)] = quick_checksum(one.wavelength)
        if (sharp := one.resolution) not in missing:
            missing[sharp] = kernel_sigma(target.wavelength, target.lsf_sigma, sharp)
        lines = None if missing[sharp] is None else sharp
        found.setdefault((key, lines, one.unit, one.beside is None), []).append(row)
    for rows in found.values():
        yield rows, missing[spectra[rows[0]].resolution]


def _refusal(observed: Observed, wavelength: np.ndarray) -> InputError:
    try:
        way_of(observed, wavelength)
    except InputError as error:
        return error
    raise AssertionError(f"spectrum {observed.name} is not as the others of its wavelengths")


def _split(rows: np.ndarray) -> Iterator[np.ndarray]:
    for first in range(0, len(rows), _TOGETHER):
        yield rows[first : first + _TOGETHER]


def _stacked(spectra: Sequence[Observed], rows: np.ndarray, name: str) -> np.ndarray:
    kind = bool if name == "mask" else float
    return np.stack([getattr(spectra[row], name) for row in rows], dtype=kind)


def _fill(ready: Ready, rows: np.ndarray, group: Group, target: Target) -> dict[int, InputError]:
    """Put some spectra in their rows, and return why others cannot be used."""
    spectra, way, factor = ready.spectra, group.way, group.factor
    is_beside = spectra[rows[0]].beside is not None
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):  # of pixels not to be used
        seen = way.bring(
            spectra[rows[0]].wavelength,
            _stacked(spectra, rows, "flux") * factor,
            _stacked(spectra, rows, "variance") * factor**2,
            _stacked(spectra, rows, "mask"),
            # the factor changes little from one pixel to the next
            _stacked(spectra, rows, "beside") * factor**2 if is_beside else None,
        )
    refused = {row: nothing_seen(spectra[row], way) for row in rows[seen.covered == 0.0]}
    ready.covered[rows], ready.shared[rows], ready.own[rows] = seen.covered, seen.shared, seen.own
    flux, variance, is_first = seen.flux, seen.variance, True
    while rows.size:
        covered = ready.covered[rows]
        middle, scale = _scales(flux, variance, covered, target)
        for row, value in zip(rows[~(scale > 0.0)], middle[~(scale > 0.0)], strict=True):
            refused.setdefault(row, _no_star(spectra[row], value))
        normal, noise = _single(flux, variance, scale)
        ready.flux[rows], ready.variance[rows], ready.scale[rows] = normal, noise, scale
        # What single precision cannot hold is masked, and the scale taken again without it.
        is_held = np.isfinite(noise)
        again = (is_held != np.isfinite(variance)).any(axis=1) & (scale > 0.0)
        if not (is_first and again.any()):
            break
        rows, is_held, is_first = rows[again], is_held[again], False
        flux = np.where(is_held, flux[again], 0.0)
        variance = np.where(is_held, variance[again], np.inf)
        ready.covered[rows] = is_held.mean(axis=1)
        for row in rows[~is_held.any(axis=1)]:
            refused.setdefault(row, _not_held(spectra[row]))
    return refused


def _scales(
    flux: np.ndarray, variance: np.ndarray, covered: np.ndarray, target: Target
) -> tuple[np.ndarray, np.ndarray]:
    """Return medians (rows,) of what is seen, and those over the normalised ones.

    Where much of the arm is not seen, the median of the rest is compared with a typical star's.
    """
    is_seen = np.isfinite(variance)
    here = target.window & is_seen
    here = np.where(here.any(axis=1, keepdims=True), here, is_seen)
    size = np.median(np.abs(flux[:, ::_EVERY]), axis=1, keepdims=True)
    size = np.where(size > 0.0, size, np.abs(flux).max(axis=1, keepdims=True))
    size = np.where(size > 0.0, size, 1.0)
    values = np.clip(flux / size, -_MOST, _MOST)  # single precision holds these whatever the unit
    middle = size[:, 0] * _middle(np.where(here, values, np.inf))
    usual = np.full(len(flux), target.median)
    for row in np.flatnonzero(covered < _WHOLE):
        usual[row] = _middle(np.where(here[[row]], target.typical, np.inf))[0]
    return middle, middle / usual


def _middle(values: np.ndarray) -> np.ndarray:
    return np.asarray(middle_of_seen(values.astype(np.float32), np.nan).mean(axis=1, dtype=float))


def _single(
    flux: np.ndarray, variance: np.ndarray, scale: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return normalised flux and its variance in single precision; infinite where it holds none.

    Of the flux it is to hold squares too, summed and over variances: beyond that no star is seen.
    """
    unit = scale[:, np.newaxis]
    with np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore"):
        normal = (flux / unit).astype(np.float32)
        noise = (variance / unit / unit).astype(np.float32)
    is_held = (np.abs(normal) < _LARGEST) & (noise > 0.0)
    return np.where(is_held, normal, np.float32(0.0)), np.where(is_held, noise, np.float32(np.inf))


def _no_star(observed: Observed, middle: float) -> InputError:
    return InputError(
        f"spectrum {observed.name}: its median flux is {middle:.3g}; a positive one was expected: "
        "there is no star to be seen"
    )


def _not_held(observed: Observed) -> InputError:
    return InputError(
        f"spectrum {observed.name}: flux and variance are of so different sizes that single "
        "precision holds none of its pixels; are both in the same unit?"
    )


def brought_back(
    ready: Ready, wavelength: np.ndarray, flux: np.ndarray, error: np.ndarray, wanted: np.ndarray
) -> dict[int, Own]:
    """Return what normalised flux and error (rows, pixels) are to the spectra, by row.

    wavelength: of the network's pixels. wanted: (rows,), which rows are asked for. Where lines were
    convolved pixels are suspect as the network saw them.
    """
    found: dict[int, Own] = {}
    for group in ready.groups:
        for rows in _split(group.rows[wanted[group.rows]]):
            at = ready.spectra[rows[0]].wavelength
            unit = ready.scale[rows, np.newaxis]
            made, sigma = (_back(curves[rows] * unit, group.way, at, wavelength) / group.factor
                           for curves in (flux, error))  # fmt: skip
            data, variance, mask = (_stacked(ready.spectra, rows, name)
                                    for name in ("flux", "variance", "mask"))  # fmt: skip
            if group.way.sigma is None:
                far = is_far(data, variance, made, sigma)
            else:
                there = is_far(*(part[rows] for part in (ready.flux, ready.variance, flux, error)))
                with np.errstate(over="ignore", invalid="ignore"):
                    beyond = np.abs(data * group.factor) > _LARGEST * unit  # masked before it saw
                far = there[:, group.way.nearest(at)] | beyond
            flag = flagged(data, variance, mask, made, far)
            suspects = np.count_nonzero(flag & SUSPECT, axis=1).tolist()
            counts = np.count_nonzero(flag & ~SUSPECT == 0, axis=1).tolist()
            told = zip(made, sigma, flag, suspects, counts, strict=True)
            found |= {row: Own(*one) for row, one in zip(rows.tolist(), told, strict=True)}
    return found


def _back(curves: np.ndarray, way: Way, at: np.ndarray, wavelength: np.ndarray) -> np.ndarray:
    """Return curves (rows, pixels) at the wavelengths `at` of a spectrum, NaN beyond the pixels."""
    if way.is_identity:
        kept = curves if way.kept.size == curves.shape[1] else curves[:, way.kept]
        return kept if at[0] < at[-1] else kept[:, ::-1]
    from scipy.interpolate import make_interp_spline  # noqa: PLC0415  (slow to load)

    half = 0.5 * (wavelength[1] - wavelength[0])
    inside = (at >= wavelength[0] - half) & (at <= wavelength[-1] + half)
    out = np.full((len(curves), at.size), np.nan)
    out[:, inside] = make_interp_spline(wavelength, curves.T, k=_DEGREE)(at[inside]).T
    return out
