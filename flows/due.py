"""What is to be done for a config, stage by stage; found without loading torch, Dask or Prefect."""

import logging
from collections.abc import Sequence
from dataclasses import replace

from flows.config import Config, load_config
from simlib.dataset.changes import Due, dataset_due, terms_due
from simlib.dataset.publish import folder_of
from trainlib.evaluation.due import evaluation_due, release_due, report_due, training_due

log = logging.getLogger(__name__)


def dues(config: Config) -> list[Due]:
    """Return every stage of the workflow, in order, and whether anything of it is to be done.

    A stage is also due where one is that it follows from; the terms only where the dataset is.
    """
    folder, terms, dataset = folder_of(config), terms_due(config), dataset_due(config)
    if terms.is_due and not dataset.is_due:
        terms = replace(terms, is_due=False, reason="is not there, nor needed any more", changes=())
    return [
        terms,
        dataset,
        training_due(config, folder),
        evaluation_due(config, folder),
        report_due(config, folder),
    ]


def refresh_dues(config: Config) -> list[Due]:
    """Return what is due of a refresh: every stage of the workflow, and the release."""
    return [*dues(config), release_due(config, config.gate, folder_of(config))]


def standing_dataset(source: str, overrides: Sequence[str]) -> str | None:
    """Return the folder of a config's dataset where nothing of it is to be done."""
    due = dataset_due(load_config(source, overrides))
    return standing([due])


def standing_run(source: str, overrides: Sequence[str]) -> str | None:
    """Return a config's run where nothing of it, or of its dataset, is to be done."""
    config = load_config(source, overrides)
    return standing([dataset_due(config), training_due(config, folder_of(config))])


def standing_report(source: str, overrides: Sequence[str]) -> str | None:
    """Return a config's page where no stage has anything to do."""
    return standing(dues(load_config(source, overrides)))


def standing(stages: Sequence[Due]) -> str | None:
    """Return where the result of the last of these stages is, None where one is to be done."""
    if any(due.is_due for due in stages):
        return None
    for due in stages:
        log.info("%s  %s  %s", due.stage, due.place, due.reason)
    return stages[-1].place
