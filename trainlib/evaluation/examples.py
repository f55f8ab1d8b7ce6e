"""The spectra that a page shows, kept with the results: input, truth, what the network makes of it.

Each is also denoised with lines that no star has: a new one, and one of the Ca II triplet made
deeper (paper, section 4.3), with the same noise.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
import xarray as xr
from scipy.special import voigt_profile
from torch import Tensor, nn

from simlib.parameters import AXES
from trainlib.evaluation.metrics import SNR_EDGES, divisor
from trainlib.training.augment import Augmenter, Batch
from trainlib.training.data import read_spectra

PAPER_STAR = {"teff": 4183.0, "logg": 2.0, "feh": -1.5, "alpha": 0.0}  # of its figure 1
NEW_LINE_NM, DEEPENED_NM = 860.24, 854.44  # vacuum, in the star's frame
_NEW_DEPTH, _DEEPENED_BY = 0.4, 0.3
_SIGMA_NM, _GAMMA_NM = 0.06, 0.04  # of the lines: about as wide as the instrument makes any
_SEEN = 0.015  # of the normalised flux, which a line changes in some pixel
_CPU = torch.device("cpu")
_SNR_BINS = (*SNR_EDGES[:-2], np.inf)


def example_rows(results: xr.Dataset, example_snr: float, count: int) -> list[int]:
    """Return the rows to keep: the one of the wanted S/N, the paper's star, then some of each S/N.

    Fewer than `count` where there are fewer rows.
    """
    snr = results["snr"].values
    rows = [int(np.abs(snr - example_snr).argmin()), nearest_star(results)]
    inside = [np.flatnonzero((snr >= low) & (snr < high)) for low, high in pairwise(_SNR_BINS)]
    filled = [some for some in inside if some.size]
    for part, some in enumerate(filled):
        share = (count - 2) // len(filled) + (part < (count - 2) % len(filled))
        by_teff = some[np.argsort(results["teff"].values[some], kind="stable")]
        rows += list(
            by_teff[np.linspace(0, len(some) - 1, min(share, len(some))).round().astype(int)]
        )
    return list(dict.fromkeys(map(int, rows)))[:count]


def nearest_star(results: xr.Dataset) -> int:
    """Return the row whose star is most like that of the paper's figure 1."""
    distance = np.zeros(results.sizes["spectrum"])
    for axis in AXES:
        values = results[axis].values.astype(float)
        spread = max(float(np.ptp(values)), 1e-6)
        distance += ((values - PAPER_STAR[axis]) / spread) ** 2
    return int(distance.argmin())


def make_examples(
    model: nn.Module,
    augmenter: Augmenter,
    spectra: xr.Dataset,
    rows: list[int],
    flux_floor: float,
) -> xr.Dataset:
    """Return spectra, `flux` of dims `curve`, `example` (`row` says which) and `wavelength`.

    spectra: the split of which the rows are.

    The curves are `target`, `noisy`, `denoised`, `sigma` of the noise, and, where the network tells
    it, `error` of what is denoised; `altered`, `altered_noisy`, `altered_denoised`: the same with
    both lines. `new_line`, `deeper_line`: share of each that is returned, NaN where it lies
    outside. `off_lines`: mean |R| away from them with the lines, less that without.
    """
    wavelength = spectra["wavelength"].values
    read = [read_spectra(spectra, row, row + 1, _CPU, ("redshift",)) for row in rows]
    with torch.inference_mode():
        batches = [augmenter(one.flux, one.sigma, 0, one.start) for one in read]
        batch = Batch(*(
            torch.cat([getattr(one, name) for one in batches])
            for name in ("target", "noisy", "variance")
        ))  # fmt: skip
        redshift = np.concatenate([one.labels["redshift"] for one in read]).astype(float)
        made = altered(model, batch, wavelength, redshift, flux_floor)
    curves = {
        "target": batch.target,
        "noisy": batch.noisy,
        "sigma": batch.variance.sqrt(),
        "denoised": made.denoised,
        "altered": batch.target + made.change,
        "altered_noisy": batch.noisy + made.change,
        "altered_denoised": made.with_lines,
    } | ({} if made.error is None else {"error": made.error})
    return xr.Dataset(
        {
            "flux": (
                ("curve", "example", "wavelength"),
                torch.stack(list(curves.values())).numpy(),
            ),
            "row": ("example", np.array(rows)),
            "new_line": ("example", made.new_line),
            "deeper_line": ("example", made.deeper_line),
            "off_lines": ("example", made.off_lines),
        },
        coords={
            "curve": np.array(list(curves), dtype=object),
            "wavelength": ("wavelength", wavelength, {"units": "nm", "medium": "vacuum"}),
        },
    )


@dataclass(frozen=True, eq=False)
class Altered:
    """What becomes of spectra with both lines: (rows, pixels), and numbers (rows,).

    change: what is given them. denoised, error: without the lines, the error where it is told.
    new_line, deeper_line: share of each alone that is returned, NaN where it lies outside.
    off_lines: mean |R| away from them with the lines, less that without.
    """

    change: Tensor
    denoised: Tensor
    error: Tensor | None
    with_lines: Tensor
    new_line: np.ndarray
    deeper_line: np.ndarray
    off_lines: np.ndarray


def altered(
    model: nn.Module, batch: Batch, wavelength: np.ndarray, redshift: np.ndarray, flux_floor: float
) -> Altered:
    """Return what a network makes of noisy spectra with lines that no star has."""
    target, noisy, variance = batch.target, batch.noisy, batch.variance
    denoised, error = _denoised(model, noisy, variance)
    new = -target * line_profile(wavelength, NEW_LINE_NM, redshift, _NEW_DEPTH)
    deeper = -target * line_profile(wavelength, DEEPENED_NM, redshift, _DEEPENED_BY)
    shares = [
        share_returned(model(noisy + change, variance) - denoised, change)
        for change in (new, deeper)
    ]
    both = new + deeper
    with_lines = model(noisy + both, variance)
    is_off = both.abs() < 1e-3 * target.abs()
    errors = [
        _mean_where(is_off, ((made - target) / divisor(target, flux_floor)).abs())
        for made in (denoised, with_lines)
    ]
    off_lines = errors[1] - errors[0]
    return Altered(both, denoised, error, with_lines, shares[0], shares[1], off_lines)


def curves_of(examples: xr.Dataset) -> dict[str, np.ndarray]:
    """Return the curves of examples by name, (example, wavelength)."""
    return dict(zip(map(str, examples["curve"].values), examples["flux"].values, strict=True))


def _denoised(model: nn.Module, noisy: Tensor, variance: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return what a network makes of spectra and, where it tells, the error of that."""
    if (tells := getattr(model, "denoise", None)) is None:
        return model(noisy, variance), None
    found = tells(noisy, variance)
    return torch.from_numpy(found.flux), torch.from_numpy(found.error)


def line_profile(
    wavelength: np.ndarray, line_nm: float, redshift: np.ndarray, depth: float
) -> Tensor:
    """Return (rows, pixels) of an absorption line, `depth` at its centre."""
    offset = wavelength - line_nm * (1.0 + redshift[:, np.newaxis])
    shape = voigt_profile(offset, _SIGMA_NM, _GAMMA_NM) / voigt_profile(0.0, _SIGMA_NM, _GAMMA_NM)
    return torch.from_numpy((depth * shape).astype(np.float32))


def share_returned(returned: Tensor, given: Tensor) -> np.ndarray:
    """Return (rows,) how much of a change comes back: its projection on what was changed."""
    returned, given = returned.double(), given.double()
    power = given.square().sum(dim=1)
    share = (returned * given).sum(dim=1) / power
    return share.where(given.abs().amax(dim=1) > _SEEN, torch.nan).numpy()


def _mean_where(is_used: Tensor, values: Tensor) -> np.ndarray:
    used = is_used.double()
    return ((values.double() * used).sum(dim=1) / used.sum(dim=1)).numpy()
