"""The trainings that tell what the choices of a run are worth, each an ordinary run."""

import logging
from typing import Any

from flows import stages
from flows.config import Config
from simlib.config import validate
from simlib.errors import InputError
from simlib.location import Location
from trainlib.evaluation.ablation import Ablation
from trainlib.evaluation.ablation import ablate as ablate_run
from trainlib.runs import dataset_of, read_run
from trainlib.training.data import is_bare, open_split

log = logging.getLogger(__name__)


def ablate(run: Location, minutes: float, spectra: int) -> Ablation:
    """Train the variants of a run, each for so many minutes of one core at most, and compare them.

    What is done is not done again. Their runs and datasets are beside those of the run. Raises
    InputError where it was trained on a store of spectra alone.
    """
    config, manifest = read_run(run)
    dataset = dataset_of(run, config, manifest)
    if is_bare(dataset):
        raise InputError(
            f"{run} was trained on {dataset}, a store of spectra alone: none of another kind can "
            "be made; train on a dataset's folder"
        )
    pixels = open_split(dataset, "train").sizes["wavelength"]
    root = run.parent.parent if run.parent.name == "runs" else config.root

    def train(tables: dict[str, Any]) -> Location:
        one = validate(Config, tables, "a variant of the run's config")
        log.info("%s for at most %g min of one core", one.dataset.name, minutes)
        made = stages.build_dataset(one, stages.etc_grid(one))
        return one.place(stages.train(one, made))

    return ablate_run(run, config, pixels, minutes, spectra, root, train)
