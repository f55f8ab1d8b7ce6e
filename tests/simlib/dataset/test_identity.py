"""A dataset's fingerprint moves with all that shapes its spectra, and with nothing else."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from simlib.config import SimulationConfig, load_config
from simlib.dataset import manifest
from simlib.dataset.manifest import dataset_fingerprint
from simlib.parameters import COLUMN
from simlib.stellar import open_grid
from tests.simlib.etc.made import write_sky_tables
from tests.test_every_option_matters import MOVED, USUAL

SHAPING = MOVED | {
    "dataset.n_train": ["dataset.n_train=97"],
    "dataset.n_validation": ["dataset.n_validation=49"],
    "dataset.n_test": ["dataset.n_test=1"],
    "sky.tables": ["sky.tables=TABLES"],
}
# How spectra are kept and where, and what a grid of terms is refused for: not what they are.
KEEPING = {
    "storage.root": ["storage.root=/elsewhere"],
    "storage.codec": ["storage.codec=zstd"],
    "storage.options": ["storage.options={endpoint_url='http://x'}"],
    "terms.tolerance": ["terms.tolerance=0.004"],
    "dataset.name": ["dataset.name=other"],
    "dataset.block": ["dataset.block=64"],
    "dataset.chunk": ["dataset.chunk=8"],
    "dataset.mode": ["dataset.mode=endless"],
}


def identity(overrides: list[str]) -> str:
    config = load_config("tiny", [*USUAL, *overrides])
    return dataset_fingerprint(config, open_grid(config.stellar.grid))


@pytest.fixture(scope="module")
def usual() -> str:
    return identity([])


def test_every_leaf_of_the_config_is_tried() -> None:
    sections = {name: field.annotation for name, field in SimulationConfig.model_fields.items()}
    leaves = {f"{name}.{key}" for name, model in sections.items() for key in model.model_fields}  # type: ignore[union-attr]
    assert leaves == {*SHAPING, *KEEPING}
    assert not set(SHAPING) & set(KEEPING)


@pytest.mark.parametrize("leaf", SHAPING)
def test_what_shapes_the_spectra_moves_the_fingerprint(
    leaf: str, usual: str, tmp_path: Path
) -> None:
    tables = str(write_sky_tables(tmp_path))
    assert identity([text.replace("TABLES", tables) for text in SHAPING[leaf]]) != usual


@pytest.mark.parametrize("leaf", KEEPING)
def test_how_they_are_kept_does_not(leaf: str, usual: str) -> None:
    assert identity(KEEPING[leaf]) == usual


@pytest.mark.parametrize("name", ["wavelength_nm", "response"])
def test_another_filter_curve_of_the_same_name_moves_it(
    name: str, usual: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = manifest.load_band

    def changed(band: str) -> object:
        curve = getattr(good(band), name).copy()
        curve[curve.size // 2] *= 1.0 + 1e-9
        return replace(good(band), **{name: curve})

    monkeypatch.setattr(manifest, "load_band", changed)
    assert identity([]) != usual


@pytest.mark.parametrize("name", COLUMN)
def test_another_random_column_of_a_parameter_moves_it(
    name: str, usual: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "COLUMN", COLUMN | {name: 15})
    assert identity([]) != usual


@pytest.mark.parametrize("variable", ["flux_normalized", "continuum"])
def test_another_stellar_grid_of_the_same_name_moves_it(variable: str) -> None:
    config, grid = load_config("tiny"), open_grid("toy")
    before = dataset_fingerprint(config, grid)
    grid[variable].values[-1, -1, -1, -1, -1] *= np.float32(1.001)
    assert dataset_fingerprint(config, grid) != before


@pytest.mark.parametrize("name", ["FORMAT_VERSION", "PHYSICS_VERSION"])
def test_another_version_of_physics_or_format_moves_it(
    name: str, usual: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, name, getattr(manifest, name) + 1)
    assert identity([]) != usual
