"""The network of a bundle, of arrays that nobody vouches for."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from simlib.errors import InputError
from trainlib.config import RestFrameModel
from trainlib.rest.denoiser import RestDenoiser
from trainlib.rest.frame import RestFrame
from trainlib.rest.network import BESIDE, STARS, ArrayNetwork
from trainlib.rest.scan import shifts_of
from trainlib.rest.statistics import statistics_in

_MOST_POINTS = 1_000_000  # of an axis
_DOUBLE = ("axis", "redshifts")


def network_of(model: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> RestDenoiser:
    """Return the denoiser that arrays hold; others among them are left alone.

    model: the section that made it. Raises InputError where an array is missing, or is not what the
    section says.
    """
    try:
        section = RestFrameModel.model_validate(dict(model))
        expected = _shapes(section, arrays["mean"].size, arrays["noise_shape"].size)
        for name, shape in expected.items():
            _refuse_other(name, arrays[name], shape)
        _refuse_odd(arrays)
        frame = RestFrame(statistics_in(arrays), section.steps)
        frame.axis.places(frame.statistics.redshifts)
        frame.axis.places(shifts_of(frame.statistics, frame.axis)[[0, -1]])
    except (KeyError, ValueError) as error:
        told = " ".join(str(error).split())[:200]
        raise InputError(f"it holds no network of this version ({told})") from None
    network = ArrayNetwork(arrays, section.blocks, section.activation)
    return RestDenoiser(frame, section.scan_rank, network)


def _shapes(section: RestFrameModel, points: int, pixels: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of every array that there must be."""
    if not 0 < pixels <= points <= _MOST_POINTS:
        raise ValueError(f"{pixels} pixels on an axis of {points} points")
    rank, hidden = section.rank, section.hidden
    inner = 3 * hidden // 2
    shapes: dict[str, tuple[int, ...]] = {
        "axis": (3,), "redshifts": (2,), "mean": (points,), "metric": (points,),
        "vectors": (rank, points), "eigenvalues": (rank,), "noise_shape": (pixels,),
        "stars": (2, len(STARS)),
    }  # fmt: skip
    layers = {"first": (hidden, rank + BESIDE), "norm": (hidden,),
              "last": (rank + len(STARS) + 1, hidden)}  # fmt: skip
    for number in range(section.blocks):
        layers |= {
            f"blocks.{number}.inner.0": (hidden,),
            f"blocks.{number}.inner.1": (2 * inner, hidden),
            f"blocks.{number}.outer": (hidden, inner),
        }
    for name, shape in layers.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    return shapes


def _refuse_odd(arrays: Mapping[str, np.ndarray]) -> None:
    """Raise ValueError for figures that are none of a training set."""
    for name in ("axis", "metric", "eigenvalues", "noise_shape"):
        if not (arrays[name] > 0.0).all():
            raise ValueError(f"{name} holds what is not positive")
    low, high = arrays["redshifts"].tolist()
    if not -1.0 < low <= high:
        raise ValueError(f"it is for redshifts from {low:g} to {high:g}")


def _refuse_other(name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    kind = np.float64 if name in _DOUBLE else np.float32
    if array.shape != shape or array.dtype != kind:
        raise ValueError(
            f"{name} is {array.dtype} {array.shape}, {np.dtype(kind)} {shape} was expected"
        )
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds what is no number")
