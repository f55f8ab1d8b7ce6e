"""What a training spectrum is in the rest frame, margins included: known from the star it is of."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from simlib.dataset.publish import published_dataset
from simlib.dataset.rows import recipe_of
from simlib.errors import InputError
from simlib.location import Location
from simlib.parameters import AXES, as_table
from simlib.simulation.rest_frame import RestSpectra, rest_spectra
from trainlib.rest.axis import RestAxis, spline_coefficients
from trainlib.training.data import is_bare

LABELS = ("redshift", *AXES, "interpolated_axis")  # of a spectrum, that its truth follows from
_ROWS = 512  # of the table at a time


@dataclass(frozen=True)
class Truth:
    """The nodes of a stellar grid as splines on the rest axis, (rows, points) float32.

    redshifts: the range that training spectra are drawn from.
    """

    axis: RestAxis
    redshifts: tuple[float, float]
    spectra: RestSpectra
    nodes: np.ndarray

    def coefficients(
        self,
        labels: Mapping[str, np.ndarray],
        target: np.ndarray,
        offset: np.ndarray,
        frame: np.ndarray,
    ) -> np.ndarray:
        """Return the coefficients (rows, points) of target spectra in the frames of redshifts.

        target: noiseless, augmented (rows, pixels). offset: what of it was added (rows, 1). frame:
        (rows,) the redshift that is taken for the star's own, within about a pixel. What is no star
        in the target, the calibration, the dust and the scale, is smooth, and known beyond the arm
        as at its ends.
        """
        redshift = labels["redshift"].astype(float)
        star = self.stars(labels)
        smooth = (target - offset) / self.axis.gather(star, redshift)
        moved = self.axis.move(star, (1.0 + frame) / (1.0 + redshift) - 1.0)
        moved *= self.axis.at_rest(smooth, frame)
        moved += offset
        return moved

    def stars(self, labels: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the coefficients (rows, points) of the stars alone, whose scale is arbitrary."""
        return np.asarray(self._mixture(labels) @ self.nodes)

    def _mixture(self, labels: Mapping[str, np.ndarray]) -> csr_array:
        axis = labels["interpolated_axis"]
        columns = {name: labels[name].astype(float) for name in AXES}
        table = as_table(columns | {"interpolated_axis": axis}, index=np.arange(len(axis)))
        return self.spectra.mixture(table)


def truth_of(dataset: Location) -> Truth:
    """Return the truth about a dataset's spectra.

    Raises InputError where its rows cannot be made again here.
    """
    if is_bare(dataset):
        raise InputError(
            f"model.kind = 'restframe' learns from the stars that spectra are of, but {dataset} is "
            "a store of spectra alone, without the config that made them; give a dataset's folder "
            "or set train.recipe = 'B'"
        )
    recipe, example = recipe_of(*published_dataset(dataset))
    spectra = rest_spectra(recipe.grid, recipe.named_terms, recipe.config)
    pixels, rest = example["wavelength"].values, spectra.wavelength
    axis = RestAxis(
        observed=float(pixels[0]),
        rest=float(rest[0]),
        pitch=float((pixels[-1] - pixels[0]) / (len(pixels) - 1)),
        pixels=len(pixels),
        points=len(rest),
    )
    nodes = np.empty(spectra.table.shape, np.float32)
    for first in range(0, len(nodes), _ROWS):
        some = slice(first, first + _ROWS)
        nodes[some] = spline_coefficients(spectra.table[some])
    return Truth(axis, recipe.config.stellar.redshift, spectra, nodes)
