import os
import pickle

import pytest
import torch

from simlib.errors import InputError
from trainlib.training import checkpoint
from trainlib.training.checkpoint import load_checkpoint, save_checkpoint

CPU = torch.device("cpu")


class Harmful:
    def __reduce__(self):
        return os.system, ("touch harmed",)


def test_a_checkpoint_reads_back_as_saved(tmp_path):
    path = tmp_path / "a" / "last.pt"
    save_checkpoint(path, {"weights": torch.arange(3.0), "epoch": 4, "name": "x"})
    state = load_checkpoint(path, CPU)
    assert torch.equal(state["weights"], torch.arange(3.0))
    assert (state["epoch"], state["name"]) == (4, "x")


def test_pickled_code_is_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"format_version": 1, "x": Harmful()}, tmp_path / "torch.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Harmful()))
    for name in ("torch.pt", "plain.pt"):
        with pytest.raises(InputError, match="not a checkpoint of tensors and plain values"):
            load_checkpoint(tmp_path / name, CPU)
    assert not (tmp_path / "harmed").exists()


def test_a_torn_file_is_told(tmp_path):
    path = tmp_path / "last.pt"
    save_checkpoint(path, {"weights": torch.zeros(1000)})
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match="not a checkpoint"):
        load_checkpoint(path, CPU)


def test_a_missing_checkpoint_says_train_first(tmp_path):
    with pytest.raises(InputError, match="train first"):
        load_checkpoint(tmp_path / "last.pt", CPU)


def test_another_format_is_refused(tmp_path):
    torch.save({"format_version": 99}, tmp_path / "last.pt")
    with pytest.raises(InputError, match="format 99, this version reads 1"):
        load_checkpoint(tmp_path / "last.pt", CPU)


def test_a_failed_write_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    path = tmp_path / "last.pt"
    save_checkpoint(path, {"epoch": 1})

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.os, "fsync", full)
    with pytest.raises(InputError, match="no space left for the checkpoint"):
        save_checkpoint(path, {"epoch": 2})
    assert load_checkpoint(path, CPU)["epoch"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]
