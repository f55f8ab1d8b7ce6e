"""What a network is told of its training set: mean, spread, noise shape and a principal basis.

The basis is that of whitened noiseless spectra, (flux - mean) / noise_shape, in which noise is
about white, so that a coefficient's variance against the noise level says what can be recovered.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

_OVERSAMPLING = 64  # columns of the randomised decomposition beyond those kept
_PASSES = 2  # over the data; Halko, Martinsson & Tropp (2011), algorithm 4.4
_SMALLEST_SPREAD = 1e-3  # of the mean spread, for pixels that hardly vary


@dataclass(frozen=True)
class Statistics:
    """Figures of a training set; float32, (pixels,) unless said.

    vectors: (rank, pixels), orthonormal rows in whitened space. eigenvalues: (rank,) variances of
    their coefficients, in flux squared. noise_shape: sigma of the noise over its median, the mean
    over spectra.
    """

    mean: Tensor
    spread: Tensor
    noise_shape: Tensor
    vectors: Tensor
    eigenvalues: Tensor


def training_statistics(target: Tensor, sigma: Tensor, rank: int, seed: int) -> Statistics:
    """Return the statistics of noiseless targets and noise, both (spectra, pixels).

    rank: components of the basis, at most the number of spectra; 0: none.
    """
    mean = target.mean(dim=0)
    spread = target.std(dim=0, correction=0)
    spread = spread.clamp(min=float(spread.mean()) * _SMALLEST_SPREAD + 1e-12)
    shape = (sigma / sigma.median(dim=1, keepdim=True).values).mean(dim=0)
    vectors, eigenvalues = principal_basis((target - mean) / shape, rank, seed)
    return Statistics(mean, spread, shape, vectors, eigenvalues)


def principal_basis(centred: Tensor, rank: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return the leading (rank, pixels) principal vectors and (rank,) variances of centred rows.

    A randomised subspace iteration; each vector's largest element is positive.
    """
    rows, pixels = centred.shape
    if rank == 0:
        return centred.new_empty(0, pixels), centred.new_empty(0)
    columns = min(rank + _OVERSAMPLING, rows, pixels)
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(pixels, columns, generator=generator).to(centred)
    subspace = orthonormal_rows((centred @ start).T)[0]
    for _ in range(_PASSES):
        within = orthonormal_rows(subspace @ centred)[0]
        subspace = orthonormal_rows(within @ centred.T)[0]
    small = subspace @ centred
    squares, turn = torch.linalg.eigh(_gram(small))
    squares, turn = squares.flip(0)[:rank].clamp(min=0.0), turn.flip(1)[:, :rank]
    vectors = orthonormal_rows(turn.T.to(small) @ small)[0]
    largest = vectors.gather(1, vectors.abs().argmax(dim=1, keepdim=True))
    # contiguous: a basis read from a checkpoint must give the same bits as this one
    return (vectors * largest.sign()).contiguous(), (squares / rows).to(centred)


def orthonormal_rows(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Return orthonormal rows of the same span, and the triangle that makes the matrix of them.

    matrix = triangle @ rows. By the Cholesky factor of the Gram matrix in double precision: all
    products, where a QR decomposition is bound by memory.
    """
    gram = _gram(matrix)
    tiny = 1e-13 * gram.diagonal().amax()
    triangle = torch.linalg.cholesky(gram + tiny * torch.eye(len(gram)).to(gram))
    rows = torch.linalg.solve_triangular(triangle, matrix.double(), upper=False)
    return rows.to(matrix).contiguous(), triangle.to(matrix).contiguous()


def _gram(matrix: Tensor) -> Tensor:
    double = matrix.double()
    return double @ double.T


def empty_statistics(pixels: int, rank: int) -> Statistics:
    """Return statistics of the right shapes, to be filled from a checkpoint."""
    return Statistics(
        mean=torch.zeros(pixels),
        spread=torch.ones(pixels),
        noise_shape=torch.ones(pixels),
        vectors=torch.eye(rank, pixels),
        eigenvalues=torch.ones(rank),
    )
