"""Every compiled loop of the training on arrays of odd sizes, against plain NumPy and SciPy.

`python -m tests.trainlib.odd_shapes SHAPES [SEED]`: see `tests.odd_loops`.
"""

import sys

import numpy as np
from numpy.random import Philox
from scipy.interpolate import BSpline

from tests.odd_loops import compare, report, single, try_cases
from tests.trainlib.plain_numbers import normals
from trainlib.rest import kernels as rest
from trainlib.training import kernels as training
from trainlib.trust import kernels as trust

AFTER = 5  # points from the last pixel's on: the fewest that `RestAxis.places` lets through
STEPS = (1.0, 1.0 + 1e-15, 1.0 - 1e-9, 0.999, 1.0013, 0.9, 1.3, 0.5, 2.0)
WAYS = (0.0, 0.5, 0.97, 1.0 - 1e-9, 1.0)
PLANES = (0, 1, 2, 5)  # at most so many runs of a kind
EDGES = np.array([0, 1, -1, 2**31 - 1, -(2**31)], np.int32)  # numbers at the ends of what there is


def drawn_places(
    rng: np.random.Generator, least: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Return first and step (rows,), places (rows, pixels), and the points of the least axis."""
    rows, pixels = (int(n) for n in rng.integers((0, least), (5, 60)))
    first, step = 2.0 + rng.choice(WAYS, rows), rng.choice(STEPS, rows)
    places = first[:, np.newaxis] + step[:, np.newaxis] * np.arange(pixels)
    return first, step, places, int(places.max(initial=2.0)) + AFTER


def masked(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Return which pixels are seen: all, none, or some."""
    return np.asarray(rng.random(shape) < rng.choice([0.0, 0.1, 0.6, 0.95, 1.0]))


def splines(rng: np.random.Generator) -> None:
    """Values of splines at the pixels, and what pixels add to their coefficients."""
    first, step, places, points = drawn_places(rng)
    coefficients = single(rng, 1 if rng.random() < 0.3 else len(first), points)
    seen = np.full(places.shape, np.nan, np.float32)
    rest.gather_rows(coefficients, first, step, seen)
    values, before = single(rng, *places.shape) - np.float32(1.0), single(rng, len(first), points)
    after = before.copy()
    rest.scatter_rows(values, first, step, after)
    shares = BSpline(np.arange(points + 6) - 3.0, np.eye(points), 5)
    for row, share in enumerate(map(shares, places)):
        compare("seen", seen[row], share @ coefficients[row % len(coefficients)], 2e-6)
        compare("added", after[row], before[row] + values[row] @ share, 2e-6)


def weights(rng: np.random.Generator) -> None:
    """Weights of pixels, brought to every other point."""
    first, step, places, points = drawn_places(rng)
    values = single(rng, *places.shape) * masked(rng, *places.shape)
    before = single(rng, len(first), -(-points // 2))
    after = before.copy()
    rest.weigh_rows(values, first, step, after)
    away = np.abs(0.5 * places[:, :, np.newaxis] - np.arange(before.shape[1]))
    shares = np.einsum("np,npk->nk", values, np.maximum(1.0 - away, 0.0))
    compare("weights", after, before + shares, 2e-6)


def moved_curves(rng: np.random.Generator) -> None:
    """Coefficients of curves at places x (1 + change), by a polynomial through six."""
    rows, points = (int(n) for n in rng.integers((0, 1), (5, 40)))
    start = float(rng.choice([0.0, 3.75, 14_000.0]))
    shift = rng.choice([0.0, 0.3, -0.3, 1.0, -1.0, 2.6, -40.0], rows)  # of the middle, in points
    change, values = shift / (start + 0.5 * points), single(rng, rows, points)
    out = np.full(values.shape, np.nan, np.float32)
    rest.move_rows(values, start, change, out)
    six = np.arange(-2, 4)
    for row, curve in enumerate(values):
        expected = curve.astype(float)
        for point in range(points):
            shift = change[row] * (start + point)
            place = point + int(np.floor(shift))
            if 2 <= place <= points - 4:
                t = shift - np.floor(shift)
                shares = [np.prod([(t - m) / (k - m) for m in six if m != k]) for k in six]
                expected[point] = np.dot(shares, curve[place + six])
        compare("moved", out[row], expected, 5e-6)


def smooth_curves(rng: np.random.Generator) -> None:
    """Curves known at the pixels, at the points of an axis that reaches beyond them."""
    first, step, places, points = drawn_places(rng, least=1)
    values = single(rng, *places.shape)
    out = np.full((len(first), points), np.nan, np.float32)
    rest.rest_rows(values, first, step, out)
    for row, curve in enumerate(values):
        compare("at rest", out[row], np.interp(np.arange(points), places[row], curve), 5e-6)


def evidence(rng: np.random.Generator) -> None:
    """The evidence of spectra of which some pixels are seen, by the covariance of these."""
    rows, pixels, more, shifts = (int(n) for n in rng.integers((0, 1, 0, 1), (4, 30, 10, 5)))
    pairs = -(-pixels // 2)
    of_pixels, of_pairs = (
        rng.normal(size=(n, 1 + more, shifts)).astype(np.float32) for n in (pixels, pairs)
    )
    whole = np.einsum("pas,pbs->abs", of_pairs, of_pairs, dtype=float)
    squares, squared = rng.uniform(0.1, 2.0, (more, shifts)), rng.uniform(0.2, 2.0, rows)
    is_seen = masked(rng, rows, pixels)
    seen = rng.normal(size=(rows, pixels)).astype(np.float32) * is_seen
    is_pair = np.array([
        [bool(row[2 * n : 2 * n + 2].all()) for n in range(pairs)] for row in is_seen
    ], np.bool_).reshape(rows, pairs)  # fmt: skip
    is_alone = np.array([
        [bool(row[n] and not both[n // 2]) for n in range(pixels)]
        for row, both in zip(is_seen, is_pair, strict=True)
    ], np.bool_).reshape(rows, pixels)  # fmt: skip
    sums = rng.normal(size=(rows, pairs)) * is_pair
    along = np.einsum("np,pas->nas", sums, of_pairs)
    out = np.full((rows, shifts), np.nan)
    rest.evidence_rows(
        along, seen, is_alone, is_pair, of_pairs, of_pixels, whole, squares, squared, out
    )
    for row in range(rows):
        data = np.concatenate([sums[row, is_pair[row]], seen[row, is_alone[row]]])
        bank = np.concatenate([of_pairs[is_pair[row]], of_pixels[is_alone[row]]]).astype(float)
        noise = squared[row] * np.eye(len(data))
        constant = data @ data / squared[row] + np.linalg.slogdet(noise)[1]
        for shift in range(shifts):
            mean, directions = bank[:, 0, shift], bank[:, 1:, shift]
            covariance = noise + directions * squares[:, shift] @ directions.T
            off = data - mean
            misfit = off @ np.linalg.solve(covariance, off)
            expected = -0.5 * (misfit + np.linalg.slogdet(covariance)[1] - constant)
            size = (mean @ mean + data @ data) / squared[row] + abs(expected)  # of what cancels
            assert abs(out[row, shift] - expected) <= 1e-6 * size, "evidence"


def drawn_stream(rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Return a key of two, a first step and an epoch."""
    key = rng.choice([0, 1, 2**31, 2**63 - 1])
    return int(key), int(rng.integers(0, 40)), int(rng.choice([0, 5, 2**33])), int(rng.integers(9))


def plain_words(stream: tuple[int, int, int, int], count: int) -> np.ndarray:
    """Return so many words of NumPy's Philox."""
    key, other_key, first, epoch = stream
    return Philox(key=[key, other_key], counter=[first, epoch, 0, 0]).random_raw(count)


def words(rng: np.random.Generator) -> None:
    """Words of the stream; what fills no whole step of four is left alone."""
    stream, count = drawn_stream(rng), int(rng.integers(0, 40))
    out = np.full(count, 7, np.uint64)
    training.fill_words(*stream, out)
    filled = count - count % 4
    assert (out[:filled] == plain_words(stream, filled)).all() and (out[filled:] == 7).all()


def normal_numbers(rng: np.random.Generator) -> None:
    """Normals made of whole numbers, those at the ends among them; and of a stream."""
    rows, half, most = int(rng.integers(0, 4)), int(rng.choice([0, 1, 5, 511, 512, 513, 1100])), 9
    bits = rng.integers(-(2**31), 2**31, (rows, 2 * half), dtype=np.int32)
    at = rng.integers(0, max(bits.size, 1), min(most, bits.size))
    bits.flat[at] = rng.choice(EDGES, len(at))
    out = np.full(bits.shape, np.nan, np.float32)
    training.normal_rows(bits, out)
    np.testing.assert_allclose(out, normals(bits), rtol=0.0, atol=5e-6)
    stream, pixels = drawn_stream(rng), int(rng.integers(0, 60))
    steps = -(-pixels // 8) + int(rng.integers(0, 2))
    noise = np.full((rows, pixels), np.nan, np.float32)
    training.noise_rows(*stream, steps, noise)
    np.testing.assert_allclose(noise, _noise(stream, rows, steps, pixels), rtol=0.0, atol=5e-6)


def _noise(stream: tuple[int, int, int, int], rows: int, steps: int, pixels: int) -> np.ndarray:
    bits = plain_words(stream, 4 * rows * steps).view(np.int32).reshape(rows, 8 * steps)
    return normals(bits)[:, :pixels]


def augmented(rng: np.random.Generator) -> None:
    """Augmented flux, the same with noise, and its variance, with errors of calibration or none."""
    rows, pixels = (int(n) for n in rng.integers((0, 0), (5, 60)))
    stream, steps = drawn_stream(rng), -(-pixels // 8) + int(rng.integers(0, 2))
    curves = single(rng, rows if rng.random() < 0.5 else 0, pixels)
    columns, flux, sigma = (
        single(rng, rows, 3),
        single(rng, rows, pixels),
        single(rng, rows, pixels),
    )
    target, noisy, variance = np.full((3, rows, pixels), np.nan, np.float32)
    training.augmented_rows(*stream, steps, curves, columns, flux, sigma, target, noisy, variance)
    scale, offset, size = columns.T[:, :, np.newaxis].astype(float)
    wanted = flux * (scale + size * curves if len(curves) else scale) + offset
    compare("target", target, wanted, 2e-6)
    compare("noisy", noisy, wanted + sigma * scale * _noise(stream, rows, steps, pixels), 5e-6)
    compare("variance", variance, (sigma * scale) ** 2, 2e-6)


def masks(rng: np.random.Generator) -> None:
    """Pixels of gaps and rays, also where a run is longer than what is left, or than all."""
    rows, pixels, first = (int(n) for n in rng.integers((0, 0, 2), (6, 50, 9)))
    gaps, rays = (int(n) for n in rng.choice(PLANES, 2))
    drawn = rng.integers(0, 2**32, (rows, first + 2 * (gaps + rays)), dtype=np.uint32)
    at = rng.random(drawn.shape) < 0.2
    drawn[at] = rng.choice(EDGES.view(np.uint32), int(at.sum()))
    lengths = {"gaps": (5, 60), "rays": (1, 3)}
    out = np.zeros((rows, pixels), np.bool_)
    training.masked_rows(drawn, first, gaps, rays, lengths["gaps"], lengths["rays"], out)
    for row, words in enumerate(drawn.tolist()):
        expected, begin = [False] * pixels, first
        for word, most, (least, longest) in zip(
            words[:2], (gaps, rays), lengths.values(), strict=True
        ):
            some = 1 + (word % 2**31) * most // 2**31 if word >= 2**31 and most else 0
            for run in range(some):
                place, size = words[begin + 2 * run : begin + 2 * run + 2]
                start = place * pixels // 2**32
                for pixel in range(start, start + least + size * (longest - least + 1) // 2**32):
                    if pixel < pixels:
                        expected[pixel] = True
            begin += 2 * most
        assert out[row].tolist() == expected, "masks"


def residuals(rng: np.random.Generator) -> None:
    """Sums of residuals from the first pixel on, their scatter, and the largest of runs."""
    rows, pixels = (int(n) for n in rng.integers((0, 0), (5, 40)))
    flux, made, error = single(rng, 3, rows, pixels)
    variance = np.where(masked(rng, rows, pixels), 0.1 * single(rng, rows, pixels), np.inf)
    variance = variance.astype(np.float32)
    if flux.size:
        far = rng.integers(0, flux.size, 3)  # the first with a neighbour, which makes it no ray
        flux.flat[np.append(far, far[0] + 1) % flux.size] += np.float32(9.0)
    usual, rules = rng.uniform(0.05, 0.5, rows), (5.0, 0.4, 5.0)
    misfit, sums = np.full(rows, 7.0), np.full((3, rows, pixels + 1), 7.0)
    trust.sum_rows(flux, variance, made, error, usual, rules, misfit, *sums)
    for row in range(rows):
        seen = variance[row] < np.inf
        noise = np.where(seen, variance[row], 1.0).astype(float)
        off = np.where(seen, flux[row] - made[row], np.float32(0.0)).astype(float)
        wrong = error[row].astype(float)
        pull = np.pad(np.abs(off) / np.sqrt(noise), 1)
        alone = [max(pull[i], pull[i + 2]) < 0.4 * pull[i + 1] for i in range(pixels)]
        used = seen & ~((pull[1:-1] > 5.0) & np.array(alone, np.bool_))
        weight = np.where(used, np.minimum(1.0 / noise, 5.0 / usual[row]), 0.0)
        terms = (weight * off, weight, weight * wrong)
        for one, term in zip(sums[:, row], terms, strict=True):
            compare("sums", one, np.cumsum([0.0, *term]), 1e-12)
        squares = [min(25.0, one) for one in (off**2 / (noise + wrong**2))[used]]
        compare("misfit", misfit[row], np.sqrt(np.mean(squares)) if squares else np.nan, 1e-12)
    run = int(rng.choice([1, pixels, rng.integers(1, pixels + 1)])) if pixels else 1
    is_narrow, shared = bool(rng.random() < 0.5), np.broadcast_to(rng.uniform(0, 0.4, rows), rows)
    before = rng.choice([0.0, 1e9, 1.0, np.nan], rows)
    largest = before.copy()
    trust.largest_rows(*sums, shared, run, is_narrow, largest) if run <= pixels else None
    for row in range(rows):
        found = [before[row]]
        for start in range(pixels - run + 1):
            top, weight, wrong = sums[:, row, start + run] - sums[:, row, start]
            squared = max(weight, 0.0) + (wrong**2 if is_narrow else 0.0)
            squared *= 1.0 + 2.0 * shared[row] * (1.0 - 1.0 / run)
            found.append(top**2 / squared if squared > 0.0 else 0.0)
        compare("largest", largest[row], np.max(found), 1e-9)


def seen_pixels(rng: np.random.Generator) -> None:
    """Pixels less the mean, cut and weighed down, and their sums of two where both are seen."""
    rows, pixels = (int(n) for n in rng.integers((0, 1), (4, 30)))
    flux, level = single(rng, rows, pixels), rng.uniform(0.01, 1.0, rows).astype(np.float32)
    centre, shape = single(rng, pixels), rng.uniform(0.5, 2.0, pixels).astype(np.float32)
    is_seen = masked(rng, rows, pixels)
    noise = np.where(is_seen, rng.uniform(0.01, 3.0, (rows, pixels)), np.inf).astype(np.float32)
    pairs = -(-pixels // 2)
    seen, sums = np.full((rows, pixels), np.nan, np.float32), np.full((rows, pairs), np.float32(7))
    is_alone, is_pair = (rng.random((rows, n)) < 0.5 for n in (pixels, pairs))
    rest.seen_rows(flux, noise, shape, centre, level, seen, is_alone, sums, is_pair)
    for row in range(rows):
        far = 1.0 + 8.0 * level[row]
        share = np.minimum(2.0 * level[row] / noise[row], 1.0)
        compare("seen", seen[row], np.clip(flux[row] / shape - centre, -far, far) * share**2, 1e-5)
        for pair in range(pairs):
            both = slice(2 * pair, 2 * pair + 2)
            whole = bool(is_seen[row, both].all())
            assert is_pair[row, pair] == whole, "pairs"
            assert (is_alone[row, both] == (is_seen[row, both] & (not whole))).all(), "alone"
            compare("sums", sums[row, pair], whole * 0.5**0.5 * seen[row, both].sum(), 1e-5)


CASES = (
    splines, weights, moved_curves, smooth_curves, seen_pixels, evidence, words, normal_numbers,
    augmented, masks, residuals,
)  # fmt: skip


def main(shapes: int, seed: int = 9) -> None:
    """Try so many shapes of the loops."""
    try_cases(CASES, shapes, seed)
    report("trainlib", shapes)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
