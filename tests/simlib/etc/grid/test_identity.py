"""The key of a grid of terms moves with all that shapes the terms, and with nothing else."""

import dataclasses
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w

from simlib.config import Conditions, Instrument, Sky, Terms, load_config
from simlib.etc.grid import build
from simlib.etc.grid.build import terms_fingerprint
from simlib.etc.sky import model
from simlib.etc.sky.model import SkyModel, load_sky
from simlib.instrument import FOLDER, load_instrument
from tests.simlib.dataset.test_identity import KEEPING, SHAPING
from tests.simlib.etc.made import write_sky_tables

NAME = "pfs-redmr-2016-02-29"
# What the calculator reads, but for what says how its terms are used afterwards.
READ = {"instrument": Instrument, "sky": Sky, "conditions": Conditions, "terms": Terms}
UNREAD = {"conditions.exposure_count", "conditions.geometry", "terms.source", "terms.tolerance"}
LEAVES = [f"{section}.{key}" for section, m in READ.items() for key in m.model_fields]


def identity(overrides: list[str]) -> str:
    return terms_fingerprint(load_config("tiny", overrides))


@pytest.mark.parametrize("leaf", [leaf for leaf in LEAVES if leaf not in UNREAD])
def test_each_leaf_that_the_calculator_reads_moves_it(leaf: str, tmp_path: Path) -> None:
    tables = str(write_sky_tables(tmp_path))
    assert identity([text.replace("TABLES", tables) for text in SHAPING[leaf]]) != identity([])


@pytest.mark.parametrize("leaf", sorted({*SHAPING, *KEEPING} - {*LEAVES} | UNREAD))
def test_no_other_leaf_does(leaf: str) -> None:
    assert identity((SHAPING | KEEPING)[leaf]) == identity([])


@pytest.mark.parametrize("name", ["FORMAT_VERSION", "PHYSICS_VERSION"])
def test_another_version_moves_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = identity([])
    monkeypatch.setattr(build, name, getattr(build, name) + 1)
    assert identity([]) != before


def figures(tables: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield every figure of an instrument's file: the table that it is in, and its key."""
    for section in tables.values():
        if isinstance(section, dict):
            yield from ((section, key) for key in section)


def test_each_figure_of_an_instrument_moves_it_and_its_name_and_place_do_not(
    tmp_path: Path,
) -> None:
    text = (FOLDER / f"{NAME}.toml").read_text()
    curve = (FOLDER / f"{NAME}.csv").read_text()
    (tmp_path / f"{NAME}.csv").write_text(curve)
    path = tmp_path / "mine.toml"

    def checksum(tables: dict[str, Any]) -> str:
        path.write_text(tomli_w.dumps(tables))
        return load_instrument(str(path)).checksum

    usual = load_instrument(NAME).checksum
    assert checksum(tomllib.loads(text)) == usual
    count = len(list(figures(tomllib.loads(text))))
    assert count > 20
    found = {usual}
    for number in range(count):
        tables = tomllib.loads(text)
        section, key = list(figures(tables))[number]
        value = section[key]
        if isinstance(value, list):
            section[key] = [*value[:-1], value[-1] * (1.0 - 1e-9)]
        else:
            section[key] = value + 1 if isinstance(value, int) else value * (1.0 - 1e-9)
        found.add(checksum(tables))
    rows = curve.splitlines()
    for column in range(2):
        values = rows[-1].split(",")
        values[column] = repr(float(values[column]) * (1.0 - 1e-9))
        (tmp_path / f"{NAME}.csv").write_text("\n".join([*rows[:-1], ",".join(values)]) + "\n")
        found.add(checksum(tomllib.loads(text)))
    assert len(found) == 1 + count + 2


@pytest.mark.parametrize(
    "name", [f.name for f in dataclasses.fields(SkyModel) if f.name not in ("source", "checksum")]
)
def test_each_figure_of_the_sky_moves_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = Sky(continuum="skycalc")
    before, parts = load_sky(config).checksum, model._embedded(config)
    value = parts[name]
    if isinstance(value, np.ndarray):
        value = value.copy()
        value[-1] = np.nextafter(value[-1], np.inf)
    else:
        value = np.nextafter(value, np.inf)
    for changed, is_same in ((parts | {"source": "another"}, True), (parts | {name: value}, False)):
        monkeypatch.setattr(model, "_embedded", lambda _, parts=changed: parts)
        model._load.cache_clear()
        assert (load_sky(config).checksum == before) == is_same
    model._load.cache_clear()
