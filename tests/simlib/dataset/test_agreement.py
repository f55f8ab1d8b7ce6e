"""Rows made elsewhere are the same bits where the arithmetic is the same, else the same to 1e-6."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from simlib.dataset import agreement, build, rows
from simlib.dataset.agreement import difference, difference_from, first_row_of, tolerance_to
from simlib.dataset.endless import open_endless
from simlib.dataset.open import open_dataset
from simlib.dataset.publish import published_dataset
from simlib.dataset.replay import replay
from simlib.errors import InputError
from simlib.location import Location
from simlib.provenance import arithmetic
from tests.simlib.dataset import toy_build

SMALL = ("dataset.n_train=20", "dataset.n_validation=5", "dataset.block=8", "dataset.chunk=4")
OTHER = "vax 00000000 numba 0 llvmlite 0 numpy 0"

Elsewhere = Callable[[float, str], Location]


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Elsewhere:
    """Return a builder on another machine, whose fluxes are off by a factor."""

    def make(factor: float, there: str) -> Location:
        good = rows.simulate

        def simulated(*arguments: object) -> xr.Dataset:
            made = good(*arguments)  # type: ignore[arg-type]
            return made.assign(flux=made["flux"] * np.float32(factor))

        with monkeypatch.context() as patch:
            patch.setattr(rows, "simulate", simulated)
            for module in (agreement, build, rows):
                patch.setattr(module, "arithmetic", lambda: there)
            return toy_build.build(tmp_path, *SMALL)

    return make


def damage(folder: Location) -> None:
    shard = folder.path / "spectra.zarr/train/flux/c/1/0"
    content = bytearray(shard.read_bytes())
    content[100] ^= 4
    shard.write_bytes(content)


def test_rows_made_on_another_machine_are_used_where_they_agree(elsewhere: Elsewhere) -> None:
    folder = elsewhere(1.0 + 4e-7, OTHER)
    kept, made = open_dataset(folder), open_dataset(folder, virtual=True)
    assert not np.array_equal(kept["flux"].values, made["flux"].values)
    assert difference(made["flux"].values, kept["flux"].values) < 1e-6
    assert open_endless(folder).rows == 20
    steps = replay(folder, "train", 3)
    assert 0 < float(steps["flux_off_again"]) < 1e-6
    assert steps.attrs["off_again_expected"] == 1e-6


def test_a_dataset_of_another_machine_is_gone_on_with_and_repaired(elsewhere: Elsewhere) -> None:
    folder = elsewhere(1.0 + 4e-7, OTHER)
    before = open_dataset(folder).load()
    assert published_dataset(folder)[1].arithmetic == (OTHER,)
    damage(folder)
    (folder.path / "parts/validation-00000000.json").unlink()
    toy_build.build(folder.path.parents[2], *SMALL, repair=True)
    after = open_dataset(folder).load()
    assert published_dataset(folder)[1].arithmetic == tuple(sorted((OTHER, arithmetic())))
    changed = (after["flux"].values != before["flux"].values).any(axis=1)
    assert changed[8:16].sum() > 0 and not changed[:8].any() and not changed[16:].any()
    assert difference(after["flux"].values, before["flux"].values) < 1e-6


@pytest.mark.parametrize(
    ("factor", "there"), [(1.0 + 5e-6, OTHER), (1.0 + 2e-7, arithmetic())], ids=["off", "bits"]
)
def test_rows_that_do_not_agree_are_refused(
    factor: float, there: str, elsewhere: Elsewhere
) -> None:
    """More than 1e-6 off on another machine; off at all on one like this."""
    folder = elsewhere(factor, there)
    assert open_dataset(folder).load().sizes["spectrum"] == 20  # what is stored is read
    with pytest.raises(InputError, match=f"made by {there}; its first row made here") as error:
        open_dataset(folder, virtual=True)
    here = f"made here, by {arithmetic()}, differs by "
    told = str(error.value).partition(here)[2]
    rounding = 1.2e-7  # of a float32
    assert float(told.partition(" (relative)")[0]) == pytest.approx(factor - 1.0, abs=rounding)
    assert str(error.value).startswith(f"{folder} was made by")
    with pytest.raises(InputError, match="cannot be made again here"):
        open_endless(folder)
    with pytest.raises(InputError, match="cannot be made again here"):
        replay(folder, "train", 3)
    damage(folder)
    with pytest.raises(InputError, match=f"was begun by {there}; its first row made here"):
        toy_build.build(folder.path.parents[2], *SMALL, repair=True)


def test_a_block_made_again_must_agree_with_what_is_left_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the first row agrees but the block does not."""
    folder = toy_build.build(tmp_path, *SMALL)
    damage(folder)
    good = rows.simulate

    def simulated(parameters: xr.Dataset, *arguments: object) -> xr.Dataset:
        made = good(parameters, *arguments)  # type: ignore[arg-type]
        is_first = int(parameters["spectrum"].values[0]) == 0
        return made if is_first else made.assign(variance=made["variance"] * np.float32(1.0001))

    monkeypatch.setattr(rows, "simulate", simulated)
    with pytest.raises(
        InputError, match=r"rows 8 to 15 of 'train' made again differ .*variance, by 5e-05"
    ) as error:
        toy_build.build(tmp_path, *SMALL, repair=True)
    assert str(error.value).startswith(f"{folder}: rows")
    assert f"they were made by {arithmetic()}; " in str(error.value)


@pytest.mark.parametrize(
    ("made", "kept", "off"),
    [([1.0, 2.0], [1.0, 2.0], 0.0), ([1.0, 2.2], [1.0, 2.0], 0.1), ([np.nan], [np.nan], 0.0),
     ([np.nan], [1.0], np.inf), ([1.0], [np.nan], np.inf), ([0.0], [0.0], 0.0),
     ([1e-9], [0.0], np.inf), ([1.0], [1.0, 2.0], np.inf), ([], [], 0.0)],
)  # fmt: skip
def test_a_difference_is_relative_and_never_hidden(
    made: list[float], kept: list[float], off: float
) -> None:
    assert difference(np.array(made), np.array(kept)) == pytest.approx(off)


def test_the_first_row_is_known_by_its_bits(tmp_path: Path) -> None:
    wide = ("spectrum", "wavelength")
    values = np.linspace(0.1, 1.0, 256, dtype=np.float32)[np.newaxis]
    spectra = xr.Dataset({"flux": (wide, values), "variance": (wide, values)})
    known = first_row_of(spectra)
    assert difference_from(known, spectra) == 0.0
    moved = spectra.copy(deep=True)
    moved["flux"][0, 64] = np.nextafter(moved["flux"][0, 64], np.float32(2.0))
    assert 0 < difference_from(known, moved) < 1e-6
    other = known.model_copy(update={"arithmetic": OTHER})
    assert difference_from(other, moved) == 0.0
    assert (tolerance_to(OTHER), tolerance_to(arithmetic())) == (1e-6, 0.0)


@pytest.mark.slow
def test_a_machine_without_special_instructions_makes_the_same_to_1e_6(tmp_path: Path) -> None:
    """25 % of the values differ between a generic CPU and this one."""
    code = (
        "from tests.simlib.dataset.toy_build import build\n"
        f"build({str(tmp_path)!r}, 'dataset.n_train=2000', 'dataset.block=1000', "
        "'dataset.chunk=100')"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"NUMBA_CPU_NAME": "generic"}, timeout=280, check=True,
    )  # fmt: skip
    folder, manifest = published_dataset(tmp_path / "datasets/tiny")
    assert manifest.arithmetic[0].startswith("generic ")
    kept, made = open_dataset(folder).load(), open_dataset(folder, virtual=True).load()
    shares = {name: (kept[name].values != made[name].values).mean() for name in kept}
    assert 0.05 < shares["flux"] < 0.6
    assert difference(made["flux"].values, kept["flux"].values) <= 1e-6
    roots = [np.sqrt(spectra["variance"].values) for spectra in (made, kept)]
    assert difference(*roots) <= 1e-6
    assert shares["teff"] == 0.0
