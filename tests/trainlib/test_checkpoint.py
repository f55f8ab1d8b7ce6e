import errno
import hashlib
import io
import os
import pickle

import numpy as np
import pytest
import torch

from simlib import artifact
from simlib.errors import InputError
from trainlib.training.checkpoint import load_checkpoint, save_checkpoint
from trainlib.training.seal import MARK

CPU = torch.device("cpu")


class Harmful:
    def __reduce__(self):
        return os.system, ("touch harmed",)


def signed(data: bytes) -> bytes:
    return data + MARK + hashlib.sha256(data).hexdigest().encode()


def torch_bytes(value: object) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def test_a_checkpoint_reads_back_as_saved(tmp_path):
    path = tmp_path / "a" / "last.pt"
    save_checkpoint(path, {"weights": torch.arange(3.0), "epoch": 4, "name": "x"})
    state, digest = load_checkpoint(path, CPU)
    assert torch.equal(state["weights"], torch.arange(3.0))
    assert (state["epoch"], state["name"]) == (4, "x")
    assert path.read_bytes().endswith(digest.encode())
    assert torch.load(path, weights_only=True)["epoch"] == 4  # torch alone reads it too
    elsewhere, _ = load_checkpoint(path, torch.device("meta"))
    assert elsewhere["weights"].device.type == "meta"  # where it is asked for


def test_pickled_code_is_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "torch.pt").write_bytes(signed(torch_bytes({"x": Harmful()})))
    (tmp_path / "plain.pt").write_bytes(signed(pickle.dumps(Harmful(), protocol=2)))
    for name in ("torch.pt", "plain.pt"):
        with pytest.raises(InputError, match="should hold tensors and plain values alone"):
            load_checkpoint(tmp_path / name, CPU)
    assert not (tmp_path / "harmed").exists()


def test_every_flipped_bit_is_told(tmp_path):
    path = tmp_path / "last.pt"
    save_checkpoint(path, {"model": {"weights": torch.arange(500.0)}, "epoch": 4})
    good, draw = path.read_bytes(), np.random.default_rng(7)
    for position in draw.integers(len(good), size=200):
        bad = bytearray(good)
        bad[position] ^= 1 << draw.integers(8)
        path.write_bytes(bad)
        with pytest.raises(InputError, match="remove it and train again"):
            load_checkpoint(path, CPU)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "0 bytes that do not end with a digest"),
        (b"\0" * 4096, "4096 bytes that do not end with a digest"),
        (torch_bytes({"format_version": 1, "model": {}}), "is not a checkpoint of this version"),
        (MARK, "do not end with a digest"),
        (signed(b"text"), "should hold tensors and plain values alone"),
        (signed(torch_bytes([1, 2])), "holds list, no checkpoint of a run"),
    ],
)
def test_what_is_no_checkpoint_is_told(content, told, tmp_path):
    (tmp_path / "last.pt").write_bytes(content)
    with pytest.raises(InputError, match=told):
        load_checkpoint(tmp_path / "last.pt", CPU)


@pytest.mark.parametrize("kept", [1, 100, 2000, -1])
def test_a_torn_file_is_told(kept, tmp_path):
    path = tmp_path / "last.pt"
    save_checkpoint(path, {"weights": torch.zeros(1000)})
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match="not a checkpoint"):
        load_checkpoint(path, CPU)


def test_a_missing_checkpoint_says_train_first(tmp_path):
    with pytest.raises(InputError, match="train first"):
        load_checkpoint(tmp_path / "last.pt", CPU)
    (tmp_path / "folder.pt").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        load_checkpoint(tmp_path / "folder.pt", CPU)


@pytest.mark.parametrize(
    ("number", "kind", "told"),
    [
        (errno.ENOSPC, InputError, "no space left for the checkpoint .*last.pt"),
        (errno.EDQUOT, InputError, "no space left for the checkpoint .*last.pt"),
        (errno.EIO, OSError, "of another kind"),
    ],
)
def test_a_failed_write_leaves_the_checkpoint_before(number, kind, told, tmp_path, monkeypatch):
    path = tmp_path / "last.pt"
    save_checkpoint(path, {"epoch": 1})

    def full(*_: object) -> None:
        raise OSError(number, "of another kind")

    monkeypatch.setattr(artifact.os, "fsync", full)
    with pytest.raises(kind, match=told):
        save_checkpoint(path, {"epoch": 2})
    monkeypatch.undo()
    assert load_checkpoint(path, CPU)[0]["epoch"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]
