"""The simulator that a bundle's network learnt from, where what it needs is installed here.

A denoised spectrum is then made a star's: the most probable one of that simulator, from the
network's answer on (`simlib.fit.polish`), with the errors of its parameters.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import xarray as xr
from pydantic import Field, TypeAdapter, ValidationError

from simlib.config import SimulationConfig, validate
from simlib.errors import InputError
from simlib.fingerprint import plain
from simlib.fit.generator import Generator, generator_of
from simlib.fit.polish import polish
from simlib.fit.problem import Problem, problem_of
from simlib.instrument import load_instrument
from simlib.stellar.grid import grid_fingerprint, open_grid_kept
from trainlib.config import PlainAugment, WalkAugment
from trainlib.training.calibration import calibration_of

_SECTIONS = ("instrument", "conditions", "stellar", "normalize")  # that shape a noiseless spectrum
_AUGMENT: TypeAdapter[PlainAugment | WalkAugment] = TypeAdapter(
    Annotated[PlainAugment | WalkAugment, Field(discriminator="calibration")]
)
_SAME = 1e-6  # nm, between pixels


@dataclass(frozen=True, eq=False)
class Refined:
    """What fits make of spectra, by row; used where is_accepted.

    flux, error: (rows, pixels), normalised; error: NaN where not accepted. stars: (rows, 6) in the
    order of `simlib.fit.generator.STARS`, covariance: (rows, 6, 6) of them.
    """

    is_accepted: np.ndarray
    flux: np.ndarray
    error: np.ndarray
    stars: np.ndarray
    covariance: np.ndarray


@dataclass(frozen=True, eq=False)
class Simulator:
    """What spectra may be, with what is known of them beforehand."""

    problem: Problem

    def refined(
        self, flux: np.ndarray, variance: np.ndarray, denoised: np.ndarray, named: np.ndarray
    ) -> Refined:
        """Return what fits make of normalised spectra (rows, pixels).

        variance: infinite where a pixel is masked. denoised: by the network, which `named` (rows,
        5) teff, logg, feh, alpha and redshift. A fit is accepted where it is more probable.
        """
        unknown = np.full((len(named), 1), np.nan)  # the dust
        start = np.concatenate([named.astype(float), unknown], axis=1)
        unit = self._units(denoised)
        found = polish(
            self.problem, flux * unit, variance * unit * unit, denoised * unit, start, errors=True
        )
        is_accepted = found.is_accepted
        made, error = denoised.astype(np.float32), np.full(flux.shape, np.nan, np.float32)
        made[is_accepted] = (found.spectra / unit)[is_accepted]
        error[is_accepted] = (found.fit.errors / unit)[is_accepted]
        return Refined(is_accepted, made, error, found.stars, found.covariance)

    def _units(self, denoised: np.ndarray) -> np.ndarray:
        """Return (rows, 1) what brings spectra to the simulator's median.

        Theirs is that of the pixels that were seen; what was denoised has all of them.
        """
        generator = self.problem.generator
        middle = np.median(denoised[:, slice(*generator.window)], axis=1, keepdims=True)
        return np.asarray(np.where(middle > 0.0, generator.median / middle, 1.0))


def described_simulator(
    config: SimulationConfig, augment: PlainAugment | WalkAugment, grid: xr.Dataset
) -> dict[str, Any]:
    """Return what a bundle says of its simulator: plain data that `simulator_of` takes."""
    sections = {name: getattr(config, name) for name in _SECTIONS}
    told: dict[str, Any] = plain(
        {
            "sections": sections,
            "augment": augment,
            "convention": config.terms.convention,
            "stellar_grid": grid_fingerprint(grid),
        }
    )
    return told


def simulator_of(said: Mapping[str, Any] | None, wavelength: np.ndarray) -> Simulator:
    """Return the simulator that a bundle describes; wavelength: of the network's pixels.

    The first use of an instrument and grid prepares them, which the cache keeps. Raises InputError,
    which says what is missing, where the same spectra cannot be made here.
    """
    if said is None:
        raise InputError("the bundle says nothing of its simulator; export the run again")
    try:
        tables = {
            **said["sections"],
            "terms": {"source": "direct", "convention": said["convention"]},
        }
        augment = _AUGMENT.validate_python(said["augment"])
        wanted = said["stellar_grid"]
    except (KeyError, TypeError, ValidationError) as error:
        raise InputError(f"the bundle's simulator is of another version ({error})") from None
    config = validate(SimulationConfig, tables, "the bundle's simulator")
    generator = _generator(config, wanted)
    there = generator.templates.wavelength
    if there.shape != wavelength.shape or np.max(np.abs(there - wavelength)) > _SAME:
        raise InputError(
            f"instrument {config.instrument.name} has other pixels here than the bundle's network"
        )
    calibration = calibration_of(augment, generator.pixels)
    return Simulator(problem_of(generator, config.stellar, calibration))


def _generator(config: SimulationConfig, wanted: str) -> Generator:
    name = config.stellar.grid
    try:
        grid = open_grid_kept(config.grid)
    except (InputError, OSError) as error:
        raise InputError(f"stellar grid {name} is not installed ({error})") from None
    if (found := grid_fingerprint(grid)) != wanted:
        raise InputError(
            f"stellar grid {name} is not the one that the network learnt from: its fingerprint is "
            f"{found}, {wanted} was expected"
        )
    return generator_of(grid, load_instrument(config.instrument.name), config)
