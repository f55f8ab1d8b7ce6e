"""A trained network, from its run directory."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import nn

from simlib.location import Location, Place
from simlib.rng import Purpose, Split
from trainlib import runs
from trainlib.config import Evaluate, TrainingConfig
from trainlib.evaluation.parts import BATCH
from trainlib.runs import RunManifest, State
from trainlib.training.augment import Augmenter
from trainlib.training.data import Spectra
from trainlib.training.state import blank_network, load_state, restore


@dataclass(frozen=True)
class Trained:
    """A run: its records, and its network, which is in evaluation mode on the CPU.

    state: how far it was trained. checkpoint: digest of the file that the network is from.
    """

    directory: Location
    config: TrainingConfig
    manifest: RunManifest
    state: State
    model: nn.Module
    checkpoint: str

    @property
    def pixels(self) -> int:
        """Return the number of pixels that the network is for."""
        return len(self.model.noise_shape)  # type: ignore[arg-type]

    @property
    def dataset(self) -> Location:
        """Return the dataset that the network learnt from."""
        return runs.dataset_of(self.directory, self.config, self.manifest)


def load_trained(run_directory: Place, section: Evaluate | None = None) -> Trained:
    """Return a run's network, which a checkpoint holds; InputError where there is none.

    section: says which checkpoint; None for what the run's config says. Options of the run
    directory's location are those of its dataset's URL, beside what the config says of them.
    """
    directory = Location.of(run_directory)
    config, manifest = runs.read_run(directory)
    options = config.storage.options | directory.options
    storage = config.storage.model_copy(update={"options": options})
    config = config.model_copy(update={"storage": storage})
    checkpoint = directory / runs.JUDGED[(section or config.evaluate).checkpoint]
    saved = load_state(checkpoint, manifest.fingerprint, torch.device("cpu"))
    model = blank_network(saved, config.model)
    restore(saved, model)
    model.eval()
    return Trained(directory, config, manifest, saved.state, model, saved.digest)


def judged_by(trained: Trained, section: Evaluate) -> Trained:
    """Return a run whose config says that it is judged so."""
    return replace(trained, config=trained.config.model_copy(update={"evaluate": section}))


def augmenter_of(trained: Trained, split: str, *, is_on: bool = True) -> Augmenter:
    """Return the frozen augmentation of an evaluation."""
    config, seed = trained.config.augment, trained.config.evaluate.seed
    return Augmenter(config, trained.pixels, seed, Split[split], Purpose.evaluation_noise, is_on)


def batches_of(spectra: Spectra) -> Iterator[tuple[slice, int]]:
    """Yield rows that are judged together, and the split's number of the first of them."""
    for start in range(0, len(spectra), BATCH):
        yield slice(start, min(start + BATCH, len(spectra))), spectra.start + start
