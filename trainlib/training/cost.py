"""What a training would take, before it begins: arithmetic from a few steps and a data sheet.

Of a network that needs to know nothing of the data but their width.
"""

import time
from dataclasses import dataclass

import torch

from simlib.processes import usable_cores
from simlib.rng import Purpose, Split
from trainlib.config import TrainingConfig
from trainlib.models import basis_rank, build_model, empty_statistics
from trainlib.training.augment import Augmenter
from trainlib.training.data import check_pixels
from trainlib.training.examples import Objective
from trainlib.training.meter import PEAKS, flops_a_spectrum
from trainlib.training.optimizer import build_optimizer

DEVICE = "H100"
SHARE = 0.4  # of its peak, which large products reach in practice
_STEPS = 3  # timed, after one that sets things up
_SIGMA = 0.05  # of the noise of the spectra that serve for it


@dataclass(frozen=True)
class TrainingCost:
    """What a training takes. flops: of the matrix products of all epochs, validations included.

    spectra_per_s: in steps of the config's batches on all cores here, were they free; augmentation
    included. seconds: so many here. device_peak: of one H100, in FLOP/s of float32;
    device_seconds: there, computing at its peak, and at `device_share` of it.
    """

    parameters: int
    flops_a_spectrum: float
    flops: float
    cores: int
    spectra_per_s: float
    seconds: float
    device_peak: float
    device_share: float
    device_seconds: tuple[float, float]


def training_cost(config: TrainingConfig, pixels: int, rows: int, held_out: int) -> TrainingCost:
    """Return what it takes to train an hourglass on rows of so many pixels.

    rows, held_out: of the training and of the validation split. Raises InputError where the
    network does not fit the pixels.
    """
    model, section = config.model, config.train
    check_pixels(pixels, model)
    objective = Objective(build_model(model, empty_statistics(pixels, basis_rank(model))))
    flux = torch.full((section.batch_size, pixels), 0.5)
    sigma = torch.full_like(flux, _SIGMA)
    augmenter = Augmenter(config.augment, pixels, section.seed, Split.train, Purpose.training_noise)
    optimizer = build_optimizer(section, objective)

    def step() -> float:
        begin = time.process_time()
        batch = augmenter(flux, sigma, 0, 0)
        optimizer.zero_grad(set_to_none=True)
        objective(batch.noisy, batch.variance, batch.target).mean().backward()
        optimizer.step()
        return time.process_time() - begin

    cores = usable_cores()
    seconds = min([step() for _ in range(1 + _STEPS)][1:])
    batch = augmenter(flux, sigma, 0, 0)
    inputs = (batch.noisy, batch.variance, batch.target)
    trained = flops_a_spectrum(objective, inputs)
    judged = flops_a_spectrum(objective, inputs, is_trained=False)
    seen = section.epochs * rows
    validations = section.epochs // section.interval * min(held_out, section.validation_spectra)
    flops = seen * trained + validations * judged
    peak, rate = PEAKS[DEVICE], cores * section.batch_size / seconds
    return TrainingCost(
        parameters=sum(p.numel() for p in objective.parameters()),
        flops_a_spectrum=trained,
        flops=flops,
        cores=cores,
        spectra_per_s=rate,
        seconds=flops / trained / rate,
        device_peak=peak,
        device_share=SHARE,
        device_seconds=(flops / peak, flops / peak / SHARE),
    )
