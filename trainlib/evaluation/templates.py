"""The best of a library of templates by chi²: every training star, at the redshift of the scan.

A template is multiplied by a polynomial of low degree along the arm, and a constant is added: four
unknowns, solved for by their normal equations. These are products of what a spectrum's pixels say
at rest with all templates at once; of a few that come out best they are then formed pixel by pixel,
with a fifth: what is left of the shift, to first order.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainlib.evaluation.at_rest import AtRest
from trainlib.rest.axis import COARSE, RestAxis, spline_samples
from trainlib.rest.noise import median_of_seen

_DEGREE = 2  # of the polynomial
_ROWS = 32  # spectra at a time
_STARS = 512  # of the library, likewise
_BEST = 32  # templates that are looked at pixel by pixel
_STEP = 0.1  # pixels, over which their slope is taken
_ROUNDING, _RIDGE, _NEVER = 1e-5, 1e-6, 1e-30  # of single precision, relative


@dataclass(frozen=True, eq=False)
class Templates:
    """Stars at rest: coefficients (stars, points); values, squares at every other point."""

    at_rest: AtRest
    coefficients: Tensor
    values: Tensor
    squares: Tensor

    def __len__(self) -> int:
        """Templates that a spectrum is compared with."""
        return len(self.coefficients)

    def __call__(self, flux_noisy: Tensor, variance: Tensor) -> Tensor:
        """Return the best templates as they are seen, (rows, pixels)."""
        squared = variance.numpy()
        redshift = self.at_rest.scan(flux_noisy.numpy(), squared).redshift
        weight = torch.from_numpy(median_of_seen(squared, 1.0)) / variance
        parts = [
            self._fitted(flux_noisy[n : n + _ROWS], weight[n : n + _ROWS], redshift[n : n + _ROWS])
            for n in range(0, len(flux_noisy), _ROWS)
        ]
        return torch.cat(parts) if parts else torch.empty_like(flux_noisy)

    def _fitted(self, flux: Tensor, weight: Tensor, redshift: np.ndarray) -> Tensor:
        axis, rows = self.at_rest.frame.axis, torch.arange(len(flux))
        gain = self._explained(flux, weight, redshift)
        best = gain.topk(min(_BEST, len(self)), dim=1).indices
        each = best.shape[1]
        chosen = self.coefficients[best.flatten()].numpy()
        middle = float(self.at_rest.frame.statistics.redshifts.mean())
        inwards = redshift + np.where(redshift > middle, -_STEP, _STEP) * axis.pixel_redshift
        seen, beside = (
            torch.from_numpy(axis.gather(chosen, z.repeat(each))).view(len(flux), each, -1)
            for z in (redshift, inwards)
        )
        columns = [*(seen * power for power in _powers(axis)), torch.ones_like(seen)]
        unknown = torch.stack([*columns, (beside - seen) / _STEP], dim=2)
        weighed = unknown * weight[:, None, None]
        gram = (weighed @ unknown.mT).double()
        right = (weighed @ flux[:, None, :, None]).double()
        largest = gram.diagonal(dim1=2, dim2=3).amax(dim=2)[..., None, None].clamp(min=_NEVER)
        unit = torch.eye(gram.shape[-1], dtype=torch.float64)
        solution = torch.linalg.solve(gram + _RIDGE * largest * unit, right)
        first = (solution * right).sum(dim=(2, 3)).argmax(dim=1)
        made: Tensor = (solution[rows, first].float().mT @ unknown[rows, first])[:, 0]
        return made

    def _explained(self, flux: Tensor, weight: Tensor, redshift: np.ndarray) -> Tensor:
        """Return (rows, templates): the chi² that a template takes away, nearly."""
        axis, powers = self.at_rest.frame.axis, _powers(self.at_rest.frame.axis)
        count = len(powers)
        weights = [weight * power for power in (*powers, *(powers[-1] * p for p in powers[1:]))]
        smooth = [axis.weigh(one.numpy(), redshift) for one in weights]
        values = [axis.scatter((one * flux).numpy(), redshift) for one in weights[:count]]
        squares = _products(smooth, self.squares)
        means = _products(smooth[:count], self.values)
        right = _products(values, self.coefficients)
        gram = [[squares[i + j] for j in range(count)] + [means[i]] for i in range(count)]
        gram.append([*means, weight.double().sum(dim=1, keepdim=True)])
        flat = (weight * flux).double().sum(dim=1, keepdim=True)
        return _eliminated(gram, [*right, flat])


def _products(rows: list[np.ndarray], templates: Tensor) -> list[Tensor]:
    """Return each of some (rows, points) times all templates, in one product of matrices."""
    product = torch.from_numpy(np.concatenate(rows)) @ templates.T
    return list(product.double().chunk(len(rows)))


def _powers(axis: RestAxis) -> list[Tensor]:
    along = torch.linspace(-1.0, 1.0, axis.pixels)
    return [along**n for n in range(_DEGREE + 1)]


def _eliminated(gram: list[list[Tensor]], right: list[Tensor]) -> Tensor:
    """Return r' A^-1 r of many small symmetric systems at once, an entry of all in a tensor."""
    total = torch.zeros(())
    least = [_ROUNDING * row[k] for k, row in enumerate(gram)]
    for k, row in enumerate(gram):
        # what the unknowns before it span already adds nothing
        inverse = torch.where(row[k] > least[k], 1.0 / row[k], 0.0)
        total = total + right[k].square() * inverse
        for i in range(k + 1, len(gram)):
            share = row[i] * inverse
            right[i] = right[i] - share * right[k]
            for j in range(i, len(gram)):
                gram[i][j] = gram[i][j] - share * row[j]
    return total


def library_of(at_rest: AtRest, coefficients: np.ndarray) -> Templates:
    """Return the library of stars that are known at rest, (stars, points), in any unit.

    The coefficients are changed: a worker's memory has no room for them twice.
    """
    coefficients /= np.median(coefficients, axis=1, keepdims=True)
    values = np.empty_like(coefficients[:, ::COARSE])
    for first in range(0, len(values), _STARS):
        some = slice(first, first + _STARS)
        values[some] = spline_samples(coefficients[some])[:, ::COARSE]
    return Templates(
        at_rest,
        torch.from_numpy(coefficients),
        torch.from_numpy(values),
        torch.from_numpy(np.square(values)),
    )
