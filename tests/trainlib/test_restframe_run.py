"""Recipe C from a dataset to a judged run: on the toy grid, small, on one rank and on several."""

import numpy as np
import pytest
import torch

from simlib.dataset.open import open_dataset
from simlib.errors import InputError
from tests.simlib.dataset.toy_build import build
from tests.trainlib.toy_dataset import write_toy
from tests.trainlib.training_runs import losses, prepare, toy_config, train_here, train_together
from trainlib import runs
from trainlib.evaluation.evaluate import evaluate
from trainlib.evaluation.trained import load_trained
from trainlib.training.batches import Stored
from trainlib.training.checkpoint import load_checkpoint
from trainlib.training.examples import RestExamples, student_4

CPU = torch.device("cpu")
MODEL = {"kind": "restframe", "rank": 16, "hidden": 16, "blocks": 1, "passes": 2}
ROWS = 70  # batches of 16 leave 6: of 7 ranks, one has none


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("virtual")
    rows = (f"dataset.n_train={ROWS}", "dataset.n_validation=40")
    return str(build(root, "dataset.mode=virtual", *rows))


def config_of(root, mode="stored", **train):
    return toy_config(root, MODEL, mode=mode, **{"recipe": "C", "batch_size": 16, **train})


@pytest.fixture(scope="module")
def trained(place, tmp_path_factory):
    root = tmp_path_factory.mktemp("trained")
    return train_here(config_of(root, epochs=10), place, root / "run")


def weights_of(directory):
    return load_checkpoint(directory / runs.CHECKPOINT, CPU)[0]["model"]


def test_it_learns_and_is_judged_better_than_the_linear_methods(trained):
    curve = losses(trained)
    assert curve[-1][0] < curve[0][0] and curve[-1][1] < 0.97 * curve[0][1]
    summary = evaluate(trained)
    assert sum(part["count"] for part in summary["bins"]) == 40
    for part in summary["bins"]:
        if part["count"] >= 5:
            error, linear = (part["methods"][name]["mean_abs_relative_error"]
                             for name in ("dae", "wiener"))  # fmt: skip
            assert error < 0.9 * linear


def test_a_run_opens_without_its_data_and_says_what_it_found(trained, place):
    spectra = open_dataset(place, "validation")
    flux, variance = (torch.from_numpy(spectra[name].values) for name in ("flux", "variance"))
    found = load_trained(trained).model.denoise(flux, variance)
    assert np.median(np.abs(found.redshift - spectra["redshift"].values)) < 1e-5
    assert abs(float(found.stars[:, 0].mean()) - spectra["teff"].values.mean()) < 100.0
    assert bool((found.error > 0).all())
    assert all(len(part) == 40 for part in vars(found).values())


@pytest.mark.parametrize("mode", [pytest.param("stored", marks=pytest.mark.slow), "endless"])
def test_a_run_that_broke_off_within_a_round_goes_on_as_if_it_had_not(
    mode, place, tmp_path, monkeypatch
):
    config = config_of(tmp_path, mode, epochs=4)
    whole = train_here(config, place, tmp_path / "whole")
    good = RestExamples.epoch

    def break_off(self, number):
        if number == 3:  # the second of its round
            raise ConnectionError("the machine went down")
        return good(self, number)

    with monkeypatch.context() as patch:
        patch.setattr(RestExamples, "epoch", break_off)
        with pytest.raises(ConnectionError):
            train_here(config, place, tmp_path / "broken")
    broken = train_here(config, place, tmp_path / "broken")
    assert losses(broken) == losses(whole)
    one, other = weights_of(whole), weights_of(broken)
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_several_ranks_train_as_one(place, tmp_path):
    alone = train_here(config_of(tmp_path, epochs=3), place, tmp_path / "alone")
    config = config_of(tmp_path, epochs=3, ranks=2)
    together = prepare(config, place, tmp_path / "together")
    train_together(together)
    assert np.allclose(losses(together), losses(alone), rtol=2e-3)  # short arithmetic inside
    one, other = weights_of(alone), weights_of(together)
    assert all(torch.allclose(one[name], other[name], atol=1e-4) for name in (
        "mean", "metric", "vectors", "eigenvalues", "noise_shape", "stars", "axis"))  # fmt: skip


def test_noise_is_new_every_round_and_batches_are_mixed_every_epoch(place, tmp_path, monkeypatch):
    seen, good = [], RestExamples.epoch

    def watch(self, number):
        seen.append([])
        for example in good(self, number):
            seen[-1].append(example.inputs[0])
            yield example

    reads, read = [], Stored.epoch
    monkeypatch.setattr(RestExamples, "epoch", watch)
    monkeypatch.setattr(Stored, "epoch", lambda self, n: (reads.append(n), read(self, n))[1])
    train_here(config_of(tmp_path, epochs=4), place, tmp_path / "run")
    assert reads == [0, 1]
    first, again, new, _ = (torch.cat(epoch) for epoch in seen)
    assert not torch.equal(first, again)
    assert torch.equal(*(rows[rows[:, 0].argsort()] for rows in (first, again)))
    assert not bool((new[:, :1] == first[:, 0]).any())


def test_the_error_of_redshifts_that_it_trains_with_is_students():
    p = np.array([0.5, 0.75, 0.9, 0.025, 0.995])
    assert np.allclose(student_4(p), [0.0, 0.740697, 1.533206, -2.776445, 4.604095], atol=1e-5)
    assert np.isfinite(student_4(np.array([0.0, 1.0]))).all()


def test_a_store_of_spectra_alone_is_refused_with_the_way_out(tmp_path):
    url = write_toy(tmp_path, train=20, validation=8)
    with pytest.raises(InputError, match="store of spectra alone.*train.recipe = 'B'"):
        train_here(config_of(tmp_path), url, tmp_path / "run")
