"""The flows, each a paragraph."""

from collections.abc import Sequence
from pathlib import Path

from prefect import flow

from flows import stages
from flows.config import load_config


@flow(name="specdenoise")
def specdenoise(source: str = "demo", overrides: Sequence[str] = ()) -> Path:
    """Simulate, train, evaluate and report; return the report's path."""
    config = load_config(source, overrides)
    terms = stages.etc_grid(config)
    dataset = stages.build_dataset(config, terms)
    run = stages.train(config, dataset)
    stages.evaluate(config, run)
    return stages.report(config, run)


@flow(name="specdenoise-build")
def build(source: str, overrides: Sequence[str] = (), repair: bool = False) -> str:
    """Make the dataset of a config, or what of it is missing or damaged; return its folder."""
    config = load_config(source, overrides)
    terms = stages.etc_grid(config)
    return stages.build_dataset(config, terms, repair)


@flow(name="specdenoise-train")
def train(source: str, overrides: Sequence[str] = ()) -> str:
    """Make the dataset of a config where it is missing, and train on it; return the run."""
    config = load_config(source, overrides)
    terms = stages.etc_grid(config)
    dataset = stages.build_dataset(config, terms)
    return stages.train(config, dataset)
