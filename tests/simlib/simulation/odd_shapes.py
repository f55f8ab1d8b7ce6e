"""Every compiled loop of the simulator on arrays of odd sizes, against plain NumPy.

`python -m tests.simlib.simulation.odd_shapes SHAPES GRIDS [SEED]`: see `tests.odd_loops`.
"""

import sys
from itertools import cycle, islice

import numpy as np

from simlib.fit import kernels as fit
from simlib.simulation.compiled import kernel
from simlib.simulation.compiled.matrix_products import combine, row_products
from simlib.simulation.compiled.median import middle_of_seen, two_middles
from simlib.simulation.compiled.taps import PAIRS, TAPS, WEIGHTS
from tests.odd_loops import CLOSE, compare, report, single, try_cases
from tests.simlib.simulation.odd_grids import Shape, largest_difference

NODES = ((3, 3, 3, 2), (3, 3, 3, 3), (1, 1, 1, 1), (2, 1, 3, 1), (1, 3, 1, 2), (5, 1, 1, 1))
PIXELS = (2, 3, 5, 33)


def observe_rows(rng: np.random.Generator) -> None:
    """Weighted rows of a table, sampled, dimmed, divided by their median: one row at a time."""
    spectra, places, pixels = (int(n) for n in rng.integers((0, 1, 1), (6, 12, 60)))
    redshift = rng.choice([0.0, 1e-15, -1e-15, 0.01, -0.01, 0.0013], spectra)
    first = TAPS + rng.choice([0.0, 0.5, 0.97, 1.0], spectra)
    last = float((first + 2.0 / (1.0 + redshift) * (pixels - 1)).max(initial=TAPS + 1.0))
    columns = 2 * (int(np.floor(last)) + TAPS + 2 >> 1)  # the least that is even and reaches
    table = single(rng, int(rng.integers(1, 10)), columns)
    numbers = rng.integers(0, len(table), (spectra, places))
    weights = rng.uniform(0.1, 1.0, (spectra, places)) * rng.integers(0, 2, (spectra, places))
    weights[:, 0] += 1.0
    ebv_factor = rng.choice([0.0, -0.05, -7.0], spectra)
    scale, shift, excess = rng.uniform(0.5, 1.5, (3, spectra)) * [[1.0], [0.1], [0.01]]
    widening, displacement = 0.1 * single(rng, 2, pixels), 0.1 * single(rng, pixels)
    curve = single(rng, pixels) - np.float32(1.0)
    window = np.sort(rng.choice(pixels + 1, 2, replace=False))
    flux, flux_scale = np.empty((spectra, pixels), np.float32), np.empty(spectra)
    kernel.observe_rows(
        table, kernel.in_fours(numbers), kernel.in_fours(weights.astype(np.float32)),
        rng.permutation(spectra), first, redshift, ebv_factor, scale, shift, excess,
        np.arange(pixels, dtype=np.float32), widening, displacement, curve,
        float(np.abs(curve).max()), window, 0.5, flux, flux_scale,
    )  # fmt: skip
    for row in range(spectra):
        halves = weights[row] @ table[numbers[row]]
        spectrum = np.stack(np.split(halves, 2), axis=1).ravel()  # even and odd points, in turn
        seen = _sampled(
            spectrum, first[row], redshift[row], shift[row] * displacement, excess[row], widening
        )
        seen = seen * np.exp(ebv_factor[row] * curve)
        unit = np.median(seen[window[0] : window[1]]) / 0.5
        compare("flux", flux[row], seen / unit)
        compare("flux scale", flux_scale[row], unit * scale[row])


def _sampled(
    spectrum: np.ndarray,
    first: float,
    redshift: float,
    displacement: np.ndarray,
    excess: float,
    widening: np.ndarray,
) -> np.ndarray:
    """Return the curve at every pixel's place, widened: the polynomial's mean over places."""
    power = np.arange(len(WEIGHTS))[:, np.newaxis]
    taps = np.concatenate([WEIGHTS, (-1.0) ** power * WEIGHTS[:, ::-1]], axis=1)
    out = np.empty(len(displacement))
    for pixel in range(len(out)):
        place = first + 2.0 / (1.0 + redshift) * pixel
        whole = int(np.floor(place))
        d = taps @ spectrum[whole - PAIRS + 1 : whole + PAIRS + 1]
        t = place - whole - 0.5 + displacement[pixel]
        second = redshift * (widening[0, pixel] + redshift * widening[1, pixel])
        fourth = excess + 3.0 * second**2
        mean = [
            d[0] + second * d[2] + fourth * d[4],
            d[1] + 3.0 * second * d[3] + 5.0 * fourth * d[5],
            d[2] + 6.0 * second * d[4],
            d[3] + 10.0 * second * d[5],
            d[4],
            d[5],
        ]
        out[pixel] = np.polynomial.polynomial.polyval(t, mean)
    return out


def noise_rows(rng: np.random.Generator) -> None:
    """The variance of a stack and its S/N."""
    spectra, pixels, paths, shares = (int(n) for n in rng.integers((0, 1, 2, 1), (6, 40, 5, 7)))
    flux, scale = single(rng, spectra, pixels), rng.uniform(0.5, 1.5, spectra)
    node = rng.integers(0, paths - 1, spectra)
    sky_weights, along = single(rng, spectra, 2, 4), single(rng, spectra, 2)
    skies, conversion = single(rng, 4, paths, pixels), single(rng, paths, pixels)
    share, aperture = single(rng, spectra, shares), single(rng, shares, pixels)
    electrons = single(rng, spectra, 6)
    variance, snr = np.empty((spectra, pixels), np.float32), np.empty(spectra)
    kernel.noise_rows(
        flux, scale, node, sky_weights, *skies, along, conversion, share, aperture, electrons,
        variance, snr,
    )  # fmt: skip
    for row in range(spectra):
        at = slice(node[row], node[row] + 2)
        sky = np.einsum("nk,knp->p", sky_weights[row], skies[:, at], dtype=float)
        beside = np.pad(sky, 1, mode="edge")
        largest = np.max([beside[:-2], beside[1:-1], beside[2:]], axis=0)
        per_unit = scale[row] * (along[row] @ conversion[at]) * (share[row] @ aperture)
        background, photons, read, subtraction, exposures, margin = electrons[row].astype(float)
        counts = photons * (per_unit * flux[row] + sky + background)
        expected = margin * (counts + read + subtraction * largest**2) / (exposures * per_unit) ** 2
        compare("variance", variance[row], expected)
        compare("snr", snr[row], np.median(flux[row] / np.sqrt(expected)))


def band_counts(rng: np.random.Generator) -> None:
    """Counts in the band of weighted nodes."""
    spectra, places, nodes, columns = (int(n) for n in rng.integers((0, 1, 1, 1), (6, 12, 9, 6)))
    first = rng.integers(0, 4, spectra)
    band = single(rng, nodes, columns + 3)  # the last that is begun at reaches the end
    numbers = rng.integers(0, nodes, (spectra, places))
    weights = rng.random((spectra, places)) * rng.integers(0, 2, (spectra, places))
    basis, out = rng.random((spectra, columns)), np.empty(spectra)
    kernel.band_counts(band, numbers, weights, first, basis, out)
    for row in range(spectra):
        some = band[numbers[row], first[row] : first[row] + columns]
        compare("band", out[row], weights[row] @ some @ basis[row], 1e-12)


def products(rng: np.random.Generator) -> None:
    """The product of matrices, and the product along a middle axis."""
    n, width, k = (int(size) for size in rng.integers((0, 0, 0), (5, 140, 6)))
    rows, columns, out = rng.random((n, width)), rng.random((width, k)), np.zeros((n, k))
    row_products(rows, columns, out)
    compare("rows", out, rows @ columns, 1e-12)
    outer, into, of, some = (int(size) for size in rng.integers((0, 1, 1, 0), (4, 5, 5, 140)))
    matrix, values = rng.random((into, of)), single(rng, outer, of, some)
    sums = np.empty((outer, into, some), np.float32)
    combine(matrix, values, sums)
    compare("sums", sums, np.einsum("ij,ojk->oik", matrix, values))


def medians(rng: np.random.Generator) -> None:
    """The two middle values of any number of values, ties among them."""
    count = int(rng.integers(1, 70))
    values = rng.choice([rng.normal(size=count), rng.integers(-2, 3, count)]).astype(np.float32)
    ordered = np.sort(values)
    low, high = two_middles(values, np.empty(min(count, 16), np.float32))
    assert (low, high) == (ordered[(count - 1) // 2], ordered[count // 2])


def medians_of_seen(rng: np.random.Generator) -> None:
    """The two middle values of those in a row that are seen, of none a given one."""
    rows, count = (int(n) for n in rng.integers(0, (5, 70)))
    values = single(rng, rows, count)
    values[rng.random((rows, count)) < rng.choice([0.0, 0.3, 0.95])] = rng.choice([np.inf, np.nan])
    found = middle_of_seen(values, 7.0)
    for row, (low, high) in zip(values, found, strict=True):
        seen = np.sort(row[row < np.inf])
        middles = (seen[(seen.size - 1) // 2], seen[seen.size // 2]) if seen.size else (7.0, 7.0)
        assert (low, high) == middles


def look_rows(rng: np.random.Generator) -> None:
    """Spectra of a fit and what they change by: along the grid, by redshift, by reddening."""
    rows, axes, pixels = (int(n) for n in rng.integers((0, 0, 1), (4, 4, 60)))
    directions = axes + 2 if rng.random() < 0.7 else 0
    redshift, step = rng.choice([0.0, 0.01, -0.01, 0.0013], rows), 0.003
    first = TAPS + rng.choice([0.0, 0.5, 0.97, 1.0], (rows, 3))
    last = float((first + 2.0 / (1.0 - 0.01 - step) * (pixels - 1)).max(initial=TAPS + 1.0))
    columns = 2 * (int(np.floor(last)) + TAPS + 2 >> 1)
    curves = single(rng, rows, 1 + axes, columns)
    shift, excess = rng.uniform(0.5, 1.5, (2, rows)) * [[0.1], [0.01]]
    widening, displacement = 0.1 * single(rng, 2, pixels), 0.1 * single(rng, pixels)
    curve, ebv = single(rng, pixels) - np.float32(1.0), rng.uniform(0.0, 0.3, rows)
    window = np.sort(rng.choice(pixels + 1, 2, replace=False))
    flux = np.empty((rows, pixels), np.float32)
    slopes = np.empty((rows, directions, pixels), np.float32)
    fit.look_rows(
        curves, first, redshift, step, shift, excess, np.arange(pixels, dtype=np.float32),
        widening, displacement, curve, float(np.abs(curve).max()), -0.9, ebv, window, 0.5, flux,
        slopes,
    )  # fmt: skip
    for row in range(rows):
        whole = np.stack(np.split(curves[row], 2, axis=1), axis=2).reshape(1 + axes, columns)
        beside = (shift[row] * displacement, excess[row], widening)
        seen = [_sampled(one, first[row, 0], redshift[row], *beside) for one in whole]
        below, above = (
            _sampled(whole[0], first[row, place], redshift[row] + change, *beside)
            for place, change in ((1, -step), (2, step))
        )
        dust = np.exp(-0.9 * ebv[row] * curve)
        values = seen[0] * dust
        middle = np.median(values[window[0] : window[1]])
        compare("flux", flux[row], values * 0.5 / middle)
        changes = [*(one * dust for one in seen[1:]), (above - below) / (2.0 * step) * dust,
                   -0.9 * curve * values][:directions]  # fmt: skip
        away = np.abs(values - middle) / (fit._NEAR_MEDIAN * abs(middle)) - 1.0
        if np.abs(away).min() < 1e-3:
            continue  # near enough to the edge for single precision to tell otherwise
        near = (away <= 0.0)[window[0] : window[1]]
        for number, change in enumerate(changes):
            of_median = (near * change[window[0] : window[1]]).sum() / (max(near.sum(), 1) * middle)
            taken, unit = of_median * values, 0.5 / middle
            # both may nearly cancel, and the redshift's is a difference over a step
            size = np.abs([change, taken, values * 0.01 / step]).max()
            np.testing.assert_allclose(
                slopes[row, number], unit * (change - taken), rtol=0.0, atol=CLOSE * unit * size
            )


def fit_rows(rng: np.random.Generator) -> None:
    """What is left of what was seen, and what it changes by, weighted."""
    rows, stars, modes, pixels = (int(n) for n in rng.integers((0, 0, 0, 1), (5, 7, 5, 40)))
    flux, added, noisy, inverse = (single(rng, rows, pixels) for _ in range(4))
    offset, smooth = single(rng, rows), added.copy()
    spectra, residual = np.empty((2, rows, pixels), np.float32)
    fit.residual_rows(flux, smooth, offset, noisy, inverse, spectra, residual)
    expected = flux * (1.0 + added) + offset[:, np.newaxis]
    compare("spectra", spectra, expected)
    compare("residual", residual, (noisy - expected) * inverse)
    slopes, units, curves = (
        single(rng, rows, stars, pixels),
        single(rng, stars),
        single(rng, modes, pixels),
    )
    places = rng.permutation(rows + 2)[:rows]
    directions = np.full((rows + 2, stars + modes + 1, pixels), np.float32(7.0))
    fit.direction_rows(
        flux, slopes, smooth, units, curves, np.float32(0.3), inverse, places, directions
    )
    for row, place in enumerate(places):
        compare(
            "directions",
            directions[place],
            np.concatenate([
                units[:, np.newaxis] * slopes[row] * smooth[row] * inverse[row],
                curves * flux[row] * inverse[row],
                [np.float32(0.3) * inverse[row]],
            ]),
        )  # fmt: skip
    assert (directions[np.setdiff1d(np.arange(rows + 2), places)] == 7.0).all()


CASES = (
    observe_rows, noise_rows, band_counts, products, medians, medians_of_seen, look_rows, fit_rows,
)  # fmt: skip


def main(shapes: int, grids: int, seed: int = 9) -> None:
    """Try so many shapes of the loops, and so many grids through the whole path."""
    try_cases(CASES, shapes, seed)
    pixels = cycle(PIXELS)
    for number, nodes in enumerate(islice(cycle(NODES), grids)):
        shape = Shape(nodes, next(pixels), 1 + number % 5)
        if not (off := largest_difference(shape, seed + number)) < 5e-6:
            raise SystemExit(f"{shape}, seed {seed + number}: compiled / reference is {off:g} off")
    report("simlib", shapes + grids)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
