"""ATLAS9 structures: read, interpolate linearly between models at fixed depth index, write.

A structure is an array of layers × (ln column mass, T, ln P, ln Ne, ln kappa).
"""

import gzip
from collections.abc import Sequence
from functools import cache
from itertools import pairwise, product
from pathlib import Path

import numpy as np
from astropy.table import Table

from infra.grids.recipe import SKIPPED_LAYERS, Node
from infra.grids.sources import structure_folder

LAYERS, COLUMNS = 72, 5
AXES = (
    np.arange(3500, 5001, 250.0),
    np.arange(0, 5.01, 0.5),
    np.array([-2.5, -2, -1.5, -1, -0.5, 0, 0.5]),
    np.array([0.0, 0.4]),
)


@cache
def read_structures(work: Path) -> np.ndarray:
    """Return the structures on AXES, (teff, logg, feh, alpha, layer, column)."""
    folder = structure_folder(work)
    index = Table.read(folder / "kurucz_index.fits")
    first = np.concatenate([[0], np.cumsum(index["nlines"])])
    with gzip.open(folder / "kurucz_data.txt.gz", "rt", encoding="utf-8") as stream:
        text = stream.read().split("\n")
    table = np.full([*(len(axis) for axis in AXES), LAYERS, COLUMNS], np.nan)
    places = _places(table.shape[:4])
    for row in index:
        key = (float(row["teff"]), round(float(row["logg"]), 2), row["filename"].strip())
        if key in places:
            block = text[first[row["index"]] : first[row["index"] + 1]]
            layers = read_layers(block)
            if layers is not None:
                table[places[key]] = layers
    return fill_missing(table)


def _places(shape: tuple[int, ...]) -> dict[tuple[float, float, str], tuple[int, ...]]:
    """Return where each model belongs: by temperature, gravity and its archive file's name."""
    return {
        (teff, logg, _file_name(feh, alpha)): at
        for at, (teff, logg, feh, alpha) in zip(np.ndindex(*shape), product(*AXES), strict=True)
    }


def _file_name(feh: float, alpha: float) -> str:
    sign = "m" if feh < 0 else "p"
    return f"a{sign}{round(abs(feh) * 10):02d}{'a' if alpha else ''}k2odfnew.dat"


def read_layers(block: Sequence[str]) -> np.ndarray | None:
    """Return the structure of one printed model; None where it is incomplete."""
    start = next(i for i, line in enumerate(block) if line.startswith("READ"))
    count = int(block[start].split()[2])
    lines = block[start + 1 : start + 1 + count][-LAYERS:]
    edges = [0, 15, *range(24, 75, 10)]
    fields = [[line[a:b] for a, b in pairwise(edges)] for line in lines]
    values = np.array(fields, dtype=float)
    if len(values) != LAYERS or not (values[:, [0, 2, 3, 4]] > 0).all():
        return None
    logs = np.log(values[:, [0, 2, 3, 4]])
    return np.column_stack([logs[:, 0], values[:, 1], logs[:, 1:]])


def fill_missing(table: np.ndarray) -> np.ndarray:
    """Return the table with a missing model as the mean of its neighbours in log g."""
    filled = table.copy()
    for i, j, k, m in np.argwhere(np.isnan(table[..., 0, 0])):
        filled[i, j, k, m] = 0.5 * (filled[i, j - 1, k, m] + filled[i, j + 1, k, m])
    return filled


def interpolate_structure(
    table: np.ndarray, axes: Sequence[np.ndarray], node: Sequence[float]
) -> np.ndarray:
    """Return the structure at a node, linear in every axis; the ends are carried on outside."""
    corners = []
    for x, axis in zip(node, axes, strict=True):
        i = int(np.clip(np.searchsorted(axis, x) - 1, 0, len(axis) - 2))
        share = (x - axis[i]) / (axis[i + 1] - axis[i])
        corners.append(((i, 1 - share), (i + 1, share)))
    result = np.zeros(table.shape[len(axes) :])
    for corner in product(*corners):
        weight = np.prod([w for _, w in corner])
        if abs(weight) > 1e-12:
            result = result + weight * table[tuple(i for i, _ in corner)]
    return result


def structure_of(work: Path, node: Node, alpha_share: float = 1.0) -> np.ndarray:
    """Return a node's structure without its outermost layers, its alpha scaled by a share."""
    at = (node.teff, node.logg, node.feh, alpha_share * node.alpha)
    return interpolate_structure(read_structures(work), AXES, at)[SKIPPED_LAYERS:]


def format_structure(node: Node, layers: np.ndarray) -> str:
    """Return the structure as the program reads it."""
    head = (
        f"TEFF {node.teff:6.0f}.  GRAVITY{node.logg:8.5f} LTE \nTITLE interp\n"
        f"READ DECK6 {len(layers):2d} RHOX,T,P,XNE,ABROSS,ACCRAD,VTURB\n"
    )
    rows = [
        f"{np.exp(row[0]):15.8E} {row[1]:9.1f} {np.exp(row[2]):10.3E} {np.exp(row[3]):10.3E} "
        f"{np.exp(row[4]):10.3E}\n"
        for row in layers
    ]
    return head + "".join(rows)
