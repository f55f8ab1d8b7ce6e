"""Speed of the augmentation, one core: against the way NumPy and torch do it by themselves.

Both make the same spectra of the same random words (recipe C's augmentation, 4096 pixels): the
other takes the words from NumPy's Philox, makes normals of them by NumPy's functions and applies
the formula by torch's, a batch at a time. Then what share of a training's processor time it is,
where every epoch has fresh noise: recipe C on the embedded grid, clean spectra in memory.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from simlib.location import Location
from simlib.rng import Purpose, Split, stream_key
from tests.bench.simulate import best_seconds
from tests.simlib.dataset.toy_build import build
from tests.trainlib import plain_numbers
from trainlib.config import TrainingConfig
from trainlib.models import build_model
from trainlib.training import train
from trainlib.training.augment import Augmenter, Batch
from trainlib.training.batches import open_source
from trainlib.training.calibration import calibration_modes
from trainlib.training.data import Spectra
from trainlib.training.distributed import Ranks
from trainlib.training.optimizer import build_optimizer
from trainlib.training.truth import LABELS, truth_of

COMMAND = "python -m tests.bench augment"
ROWS, PIXELS, ROUNDS, SEED = 512, 4096, 5, 1
TRAINED = 2048  # spectra of the epoch that is timed
FORMER = 11_400  # spectra/s, when this was first asked for, on a busy core
# as the preset `demo`; the grid's own ranges, of which the toy dataset takes a corner
REAL = ("stellar.grid=default", "stellar.teff=[3500, 5000]", "stellar.logg=[0, 5]",
        "stellar.feh=[-2.5, 0.75]", "stellar.alpha=[-0.25, 0.5]", "dataset.mode=virtual",
        f"dataset.n_train={TRAINED}")  # fmt: skip


def run() -> list[dict[str, object]]:
    """Return one entry per figure: name, value, unit, against, command."""
    torch.set_num_threads(1)
    config = TrainingConfig.model_validate({"train": {"recipe": "C"}})
    ours = Augmenter(config.augment, PIXELS, SEED, Split.train, Purpose.training_noise)
    flux, sigma = torch.rand(ROWS, PIXELS), torch.full((ROWS, PIXELS), 0.1)
    made, expected = ours(flux, sigma, 3, 0), plain(ours, flux, sigma, 3)
    largest = max(float((getattr(made, name) - getattr(expected, name)).abs().max())
                  for name in ("target", "noisy", "variance"))  # fmt: skip
    if largest > 1e-5:
        raise AssertionError(f"the two differ by {largest:.2g}")
    quick, slow = in_turn(lambda: ours(flux, sigma, 3, 0), lambda: plain(ours, flux, sigma, 3))
    masked = Augmenter(
        config.augment.model_copy(update={"no_data": 0.1, "cr": 6, "bad_sky": 0.02}),
        PIXELS, SEED, Split.train, Purpose.training_noise,
    )  # fmt: skip
    with_masks = best_seconds(lambda: masked(flux, sigma, 3, 0), ROUNDS) / ROWS
    return [
        entry("augment.spectra_per_s_per_core", round(1.0 / quick), "spectra/s",
              f"{1e6 * quick:.1f} us a spectrum; {FORMER} when first asked for"),
        entry("augment.ratio_plain", round(slow / quick, 2), "ratio",
              f"the same by NumPy and torch: {1e6 * slow:.1f} us; they differ by {largest:.0e}"),
        entry("augment.ratio_masked", round(with_masks / quick, 2), "ratio",
              f"gaps, cosmic rays and sky masked too: {1e6 * with_masks:.1f} us"),
        *of_a_step(config, quick),
    ]  # fmt: skip


def plain(ours: Augmenter, flux: torch.Tensor, sigma: torch.Tensor, epoch: int) -> Batch:
    """Return what `Augmenter` does to a batch from place 0, a step after the other."""
    config, rows = ours.config, len(flux)
    modes = calibration_modes(PIXELS, config.calibration_width, True)  # type: ignore[union-attr]
    count = -(-(8 + 2 + len(modes)) // 8) * 8
    bits = plain_numbers.words(stream_key(SEED, Split.train, Purpose.augmentation), epoch, 0, rows,
                               count)  # fmt: skip
    drawn = plain_numbers.normals(bits[:, 8 : 8 + 2 * -(-(2 + len(modes)) // 2)])
    scale = torch.from_numpy(1.0 + config.scale_sigma * drawn[:, :1])
    offset = torch.from_numpy(config.offset_sigma * drawn[:, 1:2])
    amplitude = 0.02 * (bits[:, :1].astype(np.float32) * np.float32(2.0**-32) + np.float32(0.5))
    curves = torch.from_numpy(drawn[:, 2 : 2 + len(modes)] @ modes)
    error = torch.from_numpy(amplitude) * curves / curves.abs().amax(dim=1, keepdim=True)
    target = scale * flux * (1.0 + error) + offset
    normals = plain_numbers.normals(plain_numbers.words(
        stream_key(SEED, Split.train, Purpose.training_noise), epoch, 0, rows, PIXELS))  # fmt: skip
    noise = scale * sigma
    return Batch(target, target + noise * torch.from_numpy(normals), noise.square())


def in_turn(one: Callable[[], object], other: Callable[[], object]) -> tuple[float, float]:
    """Return the processor seconds a spectrum of two ways, timed in turn: the best of each."""
    taken = [[best_seconds(way, 1) / ROWS for way in (one, other)] for _ in range(ROUNDS)]
    return min(pair[0] for pair in taken), min(pair[1] for pair in taken)


def of_a_step(config: TrainingConfig, each: float) -> list[dict[str, object]]:
    """Return the share of the augmentation, each seconds a spectrum, in recipe C's training.

    An epoch is timed that is gone through once, and its preparation, clean spectra in memory.
    """
    ranks = Ranks(0, 1, torch.device("cpu"))
    with tempfile.TemporaryDirectory() as folder:
        place = build(Path(folder), *REAL)
        source = open_source(config, Location.of(place), ranks, LABELS)
        training = Augmenter(config.augment, source.pixels, SEED, Split.train,
                             Purpose.training_noise)  # fmt: skip
        truth = truth_of(Location.of(place))
        statistics = train.make_statistics(config, source, training, ranks, truth)
        model = build_model(config.model, statistics)
        none = Spectra(torch.empty(0, source.pixels), torch.empty(0, source.pixels))
        examples = train.make_examples(config, source, none, training, training, model, truth,
                                       ranks)  # fmt: skip
        objective, optimizer = examples.objective(model), build_optimizer(config.train, model)
        passes = config.model.passes  # type: ignore[union-attr]
        list(examples.epoch(0))  # a round before, which makes what is kept
        begun = time.process_time()
        batches = list(examples.epoch(passes))
        prepared = (time.process_time() - begun) / TRAINED
        begun = time.process_time()
        for inputs, rows in batches:
            optimizer.zero_grad(set_to_none=True)
            (objective(*inputs).sum() / rows).backward()
            optimizer.step()
        step = (time.process_time() - begun) / TRAINED
    told = (
        f"{1e6 * each:.0f} of {{:.0f}} us a spectrum, {1e6 * step:.0f} of them the network's step"
    )
    return [
        entry("augment.share_of_recipe_c", round(each / (prepared + step), 3), "share",
              told.format(1e6 * (prepared + step)) + "; fresh noise every epoch"),
        entry(f"augment.share_of_recipe_c_in_{passes}_passes",
              round(each / (prepared + passes * step), 3), "share",
              told.format(1e6 * (prepared / passes + step)) + "; as the recipe is"),
    ]  # fmt: skip


def entry(name: str, value: float, unit: str, against: str) -> dict[str, object]:
    """Return one line of bench.json."""
    return {"name": name, "value": value, "unit": unit, "against": against, "command": COMMAND}
