"""The loss of the paper (equation 2): root mean square error per spectrum, then the mean.

Its section 3.4 names the mean absolute error as what it was chosen over.
"""

from torch import Tensor

_SMALLEST = 1e-16  # the root's slope is finite at a perfect spectrum


def rmse(squared_error: Tensor) -> Tensor:
    """Return (rows,) roots of the mean squared errors of spectra, (rows,)."""
    return (squared_error + _SMALLEST).sqrt()


def mae(error: Tensor) -> Tensor:
    """Return (rows,) mean absolute errors of spectra, (rows, pixels)."""
    return error.abs().mean(dim=1)
