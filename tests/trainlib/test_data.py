"""What a run reads of its dataset: told apart by all of it, and refused where it is damaged."""

import shutil

import numpy as np
import pytest
import torch
import xarray as xr
import zarr

from simlib.errors import InputError
from simlib.location import Location
from tests.simlib.dataset.toy_build import build
from tests.trainlib.toy_dataset import toy_split, write_toy
from tests.trainlib.training_runs import toy_config, train_here
from trainlib.evaluation.evaluate import evaluate
from trainlib.evaluation.results import read_results
from trainlib.training import launch
from trainlib.training.data import dataset_identity, open_split, read_spectra

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write_toy(tmp_path_factory.mktemp("toy"), train=48, validation=24)


@pytest.fixture
def toy(written, tmp_path):
    return str(shutil.copytree(written, tmp_path / "toy.zarr"))


def change(store: str, name: str) -> None:
    array = zarr.open_group(store, mode="r+")[name]
    array[(-1,) * array.ndim] += 1e-3


def identity_of(store: str) -> str:
    return dataset_identity(Location.of(store))


@pytest.mark.parametrize("split", ["train", "validation"])
@pytest.mark.parametrize("name", ["flux", "variance", "wavelength", "snr", "teff"])
def test_every_number_that_a_run_reads_is_part_of_a_bare_stores_identity(split, name, toy):
    before = identity_of(toy)
    change(toy, f"{split}/{name}")
    assert identity_of(toy) != before


def test_how_a_bare_store_is_cut_and_where_it_is_make_no_other_identity(toy, tmp_path):
    for split in ("train", "validation"):
        spectra = xr.open_zarr(toy, group=split, chunks=None, consolidated=False).load()
        for variable in spectra.variables.values():
            variable.encoding.clear()
        chunks = {"flux": {"chunks": (7, 5)}}
        spectra.to_zarr(tmp_path / "other.zarr", group=split, mode="a", encoding=chunks,
                        consolidated=False)  # fmt: skip
    assert identity_of(str(tmp_path / "other.zarr")) == identity_of(toy)


def test_spectra_that_changed_make_another_run_and_are_not_judged_on_by_default(toy, tmp_path):
    run = train_here(toy_config(tmp_path, epochs=1), toy, tmp_path / "run")
    before = evaluate(run)
    change(toy, "validation/flux")
    with pytest.raises(InputError, match="is not the dataset any more that .* was trained on"):
        evaluate(run)
    with pytest.raises(InputError, match="give another directory"):
        launch.train(toy_config(tmp_path, epochs=1), toy, run)
    assert evaluate(run, toy) != before  # asked for, it is judged on them
    known = read_results(run).evaluation
    change(toy, "train/variance")  # of the spectra that the baselines learn from
    evaluate(run, toy)
    assert read_results(run).evaluation.fingerprint != known.fingerprint


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda store: shutil.rmtree(store / "train"), "should hold a group 'train'"),
        (lambda store: (store / "train" / "zarr.json").write_bytes(b""), "group 'train'"),
        (lambda store: shutil.rmtree(store / "train" / "flux"), "flux"),
        (lambda store: next((store / "train" / "flux" / "c").rglob("*/0")).write_bytes(b"x"),
         r"toy\.zarr .*is damaged .* write the store again"),
        (lambda store: shutil.rmtree(store / "train" / "variance" / "c"),
         r"spectrum 0 of .*toy\.zarr holds .* variance that is not positive"),
    ],
)  # fmt: skip
def test_a_damaged_bare_store_is_told(damage, told, toy, tmp_path):
    damage(tmp_path / "toy.zarr")
    with pytest.raises(InputError, match=told):
        read_spectra(open_split(Location.of(toy), "train"), 0, 48, CPU)


@pytest.mark.parametrize(
    ("name", "value"),
    [("flux", np.nan), ("flux", np.inf), ("variance", 0.0), ("variance", -1.0),
     ("variance", np.inf), ("variance", np.nan)],
)  # fmt: skip
def test_a_value_that_cannot_be_used_is_told_with_the_number_of_its_spectrum(name, value):
    spectra = toy_split(1100, 16, seed=0)
    spectra[name][[1060, 1071], 3] = value  # of more than are read at once
    with pytest.raises(InputError, match="^spectrum 1060 of "):
        read_spectra(spectra, 30, 1100, CPU)
    kept = read_spectra(spectra, 30, 1060, CPU)
    assert np.array_equal(kept.flux, spectra["flux"][30:1060])
    assert np.allclose(kept.sigma**2, spectra["variance"][30:1060], rtol=1e-6)
    assert (len(kept), kept.start) == (1030, 30)


def test_a_damaged_dataset_is_told_with_advice_that_helps(tmp_path):
    folder = build(tmp_path, "dataset.n_train=20", "dataset.n_validation=8")
    shard = next(path for path in (folder.path / "spectra.zarr/train/flux/c").rglob("*/0"))
    shard.unlink()
    config = toy_config(tmp_path, epochs=1)
    with pytest.raises(InputError, match="build CONFIG --repair"):
        train_here(config, str(folder), tmp_path / "run")
    build(tmp_path, "dataset.n_train=20", "dataset.n_validation=8", repair=True)
    train_here(config, str(folder), tmp_path / "run")
