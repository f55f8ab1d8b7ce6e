"""How steep the loss is in the weights of the first layer of the paper's network (section 3.5)."""

import torch
from pydantic import BaseModel, ConfigDict
from torch import nn

from simlib.rng import Purpose, Split
from trainlib.config import HourglassModel, read_recipe
from trainlib.evaluation.trained import Trained
from trainlib.models import basis_rank, build_model, empty_statistics
from trainlib.models.hourglass import Hourglass
from trainlib.training.augment import Augmenter, Batch
from trainlib.training.data import open_split, read_spectra
from trainlib.training.examples import Objective

_CPU = torch.device("cpu")


class FirstLayer(BaseModel):
    """Mean |gradient| over the weights of the first layer, on one batch of training spectra.

    untrained, trained: of a run before its first step, and as it is. paper: of a network of the
    paper's widths before its first step. rate: learning rate that a step begins with.
    """

    model_config = ConfigDict(frozen=True, strict=True)
    untrained: float
    trained: float
    paper: float
    rate: float


def first_layer(trained: Trained) -> FirstLayer | None:
    """Return the gradients of a run's first layer; None where it is no such network."""
    if not isinstance(trained.config.model, HourglassModel):
        return None
    config, pixels = trained.config, trained.config.model.widths[0]
    layers = read_recipe("A")["model"]["widths"][1:]
    narrow, widths = trained.config.model, (pixels, *layers)
    section = config.train
    spectra = open_split(trained.dataset, "train")
    count = min(section.batch_size, spectra.sizes["spectrum"])
    rows = read_spectra(spectra, 0, count, _CPU)
    made = Augmenter(config.augment, pixels, section.seed, Split.train, Purpose.training_noise)
    batch = made(rows.flux, rows.sigma, 0, 0)

    def untrained(model: HourglassModel) -> float:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(section.seed)
            fresh = build_model(model, empty_statistics(pixels, basis_rank(model)))
        return _mean_gradient(fresh, batch, section.loss)

    return FirstLayer(
        untrained=untrained(narrow),
        trained=_mean_gradient(trained.model, batch, section.loss),
        paper=untrained(narrow.model_copy(update={"widths": widths})),
        rate=section.lr,
    )


def _mean_gradient(model: nn.Module, batch: Batch, loss: str) -> float:
    assert isinstance(model, Hourglass)
    first = next(model.layers.parameters())  # its weights come before its bias
    errors = Objective(model, loss)(batch.noisy, batch.variance, batch.target)
    (gradient,) = torch.autograd.grad(errors.mean(), [first])
    return float(gradient.abs().mean())
