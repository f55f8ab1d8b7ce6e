"""The residual network about a linear solution: what goes in, what comes out, and it in NumPy.

What goes in and comes out is computed alike on arrays of NumPy and of torch. Between them stand
layers that torch trains and this repeats; where a network is exported, the two are compared.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import erf

STARS = ("teff", "logg", "feh", "alpha")
BESIDE = 5  # inputs beside a solution: three functions of the noise level, two of the redshift
_TYPICAL = 0.05  # of a noise level: S/N 10
_TYPICAL_ERROR = 0.02  # relative, at that level; it goes with a power of the level
_POWER = 0.8
_EPSILON = 1e-5  # of layer norms, as torch has it
_LEAST_RANGE = 1e-5  # of redshifts
Array = Any  # of NumPy, or of torch


@dataclass(frozen=True, eq=False)
class Corrected:
    """What the network makes of a linear solution.

    coefficients: (rows, rank). stars: (rows, 4), in units of their spread. relative: (rows,) error
    that is expected, relative to the mean spectrum, root mean square.
    """

    coefficients: Array
    stars: Array
    relative: Array


def inputs_of(
    xp: Any, solution: Array, level: Array, redshift: Array, eigenvalues: Array, redshifts: Array
) -> Array:
    """Return (rows, rank + BESIDE), of order 1. xp: the module of the arrays, numpy or torch.

    solution: (rows, rank). level, redshift: (rows,). redshifts: the range, as two numbers.
    """
    low, high = redshifts
    scaled = (redshift - 0.5 * (low + high)) / max(0.5 * (high - low), _LEAST_RANGE)
    log = xp.log(level / _TYPICAL)
    beside = [0.5 * log, xp.tanh(log), xp.exp(-0.5 * log**2), scaled, scaled**2 - 1.0 / 3.0]
    return xp.concatenate([solution / xp.sqrt(eigenvalues), xp.stack(beside, 1)], 1)


def corrected(
    xp: Any, learnt: Array, solution: Array, level: Array, eigenvalues: Array
) -> Corrected:
    """Return what the last layer's (rows, rank + 5) say of solutions."""
    rank = solution.shape[1]
    width = level[:, None] * xp.sqrt(gain_of(eigenvalues, level))  # that the solution leaves
    return Corrected(
        coefficients=solution + width * learnt[:, :rank],
        stars=learnt[:, rank:-1],
        relative=usual_error(level) * xp.exp(xp.clip(learnt[:, -1], -5.0, 5.0)),
    )


def gain_of(eigenvalues: Array, level: Array) -> Array:
    """Return (rows, rank) share of a coefficient's variance that is signal at mean weights."""
    return eigenvalues / (eigenvalues + level[:, None] ** 2)


def usual_error(level: Array) -> Array:
    """Return (rows,) relative error that a spectrum is known to at a noise level, about."""
    return _TYPICAL_ERROR * (level / _TYPICAL) ** _POWER


class ArrayNetwork:
    """The layers, of the weights that torch has trained, by their names there."""

    def __init__(self, arrays: Mapping[str, np.ndarray], blocks: int, activation: str) -> None:
        self.weights = arrays
        self.blocks = blocks
        self.activation = {"gelu": gelu, "relu": relu}[activation]
        self.eigenvalues = arrays["eigenvalues"]
        self.redshifts = tuple(arrays["redshifts"].tolist())

    def __call__(self, solution: np.ndarray, level: np.ndarray, redshift: np.ndarray) -> Corrected:
        """Return what the network makes of linear solutions; all float32."""
        hidden = self._linear(
            "first", inputs_of(np, solution, level, redshift, self.eigenvalues, self.redshifts)
        )
        for number in range(self.blocks):
            block = f"blocks.{number}"
            both = self._linear(f"{block}.inner.1", self._norm(f"{block}.inner.0", hidden))
            gate, value = np.split(both, 2, axis=1)
            hidden += self._linear(f"{block}.outer", self.activation(gate) * value)
        learnt = self._linear("last", self._norm("norm", hidden))
        return corrected(np, learnt, solution, level, self.eigenvalues)

    def _linear(self, name: str, values: np.ndarray) -> np.ndarray:
        made = values @ self.weights[f"{name}.weight"].T
        made += self.weights[f"{name}.bias"]
        return np.asarray(made)

    def _norm(self, name: str, values: np.ndarray) -> np.ndarray:
        centred = values - values.mean(axis=1, keepdims=True)
        spread = np.square(centred).mean(axis=1, keepdims=True)
        centred /= np.sqrt(spread + np.float32(_EPSILON))
        centred *= self.weights[f"{name}.weight"]
        centred += self.weights[f"{name}.bias"]
        return np.asarray(centred)


def gelu(values: np.ndarray) -> np.ndarray:
    """Return x times the share of a normal distribution below x."""
    return np.asarray(0.5 * values * (1.0 + erf(values * np.float32(0.5**0.5))))


def relu(values: np.ndarray) -> np.ndarray:
    """Return x where it is positive, else 0."""
    return np.asarray(np.maximum(values, 0.0))
