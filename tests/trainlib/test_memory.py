"""Training spectra are held once a host, or made again where they are too large for it."""

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from simlib.dataset.endless import open_endless
from simlib.errors import InputError
from simlib.location import Location
from tests.simlib.dataset.toy_build import build
from tests.trainlib.forked_ranks import free_port
from tests.trainlib.toy_dataset import write_toy
from tests.trainlib.training_runs import losses, toy_config, train_here
from trainlib import runs
from trainlib.training import shared
from trainlib.training.batches import Endless, Stored, open_source
from trainlib.training.distributed import Ranks

ALONE = Ranks(0, 1, torch.device("cpu"))
ROWS = 70


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    return str(build(tmp_path_factory.mktemp("stored"), f"dataset.n_train={ROWS}"))


def all_of(source, epochs):
    try:
        return [batch for number in epochs for batch in source.epoch(number)]
    finally:
        source.close()


@pytest.mark.parametrize("world", [1, 3])
def test_spectra_that_are_made_again_are_those_of_the_store_in_its_order(world, stored, tmp_path):
    config, place, names = toy_config(tmp_path, batch_size=16), Location.of(stored), ("redshift",)
    kept = all_of(open_source(config, place, ALONE, names), [0, 3])
    made = [
        all_of(Endless(open_endless(stored), 16, Ranks(n, world, ALONE.device), names,
                       again=config.train.seed), [0, 3])
        for n in range(world)
    ]  # fmt: skip
    for whole, *parts in zip(kept, *made, strict=True):
        assert torch.equal(whole.flux, torch.cat([part.flux for part in parts]))
        assert torch.equal(whole.sigma, torch.cat([part.sigma for part in parts]))
        ours = np.concatenate([part.labels["redshift"] for part in parts])
        assert np.array_equal(whole.labels["redshift"], ours)
        assert parts[0].place == whole.place


@pytest.mark.parametrize("mode", ["stored", "virtual"])
def test_a_set_too_large_for_memory_trains_the_same_run(mode, stored, tmp_path, caplog):
    size = ROWS * 4096 * 8 / 1e9
    curves = []
    for name, share in (("held", 1.001), ("made", 0.999)):
        config = toy_config(tmp_path, mode=mode, memory_gb=share * size)
        with caplog.at_level("INFO"):
            directory = train_here(config, stored, tmp_path / name)
        curves.append(losses(directory))
        told = [text for text in caplog.messages if "made again when it is needed" in text]
        assert len(told) == (name == "made")
    assert curves[0] == curves[1]
    assert len({runs.read_manifest(tmp_path / name).fingerprint for name in ("held", "made")}) == 1


def test_the_ranks_agree_whether_spectra_are_held(stored, tmp_path):
    """Each sees another amount of free memory: that of the one with the least counts."""

    class Crowded(Ranks):
        def least(self, value: float) -> float:
            return min(value, 1e-9)

    here = Location.of(stored)
    kinds = {ranks: type(open_source(toy_config(tmp_path), here, ranks(0, 1, ALONE.device)))
             for ranks in (Ranks, Crowded)}  # fmt: skip
    assert kinds == {Ranks: Stored, Crowded: Endless}


def test_a_bare_store_too_large_is_refused_with_the_way_out(tmp_path):
    url = write_toy(tmp_path, train=20, validation=8)
    config = toy_config(tmp_path, memory_gb=1e-5)
    with pytest.raises(InputError, match=r"take 2\.05e-05 GB .* more than 1e-05; set train\.mem"):
        train_here(config, url, tmp_path / "run")


RANK = """
import json, os, sys
import numpy as np, psutil
from trainlib.training.distributed import joined_ranks
from trainlib.training.shared import shared_arrays
shape = (int(sys.argv[1]), 4096)
before = psutil.Process().memory_full_info().pss
with joined_ranks("cpu", 60.0) as ranks:
    flux, sigma = shared_arrays(("flux", "sigma"), shape, ranks)
    assert flux.shape == sigma.shape == shape and not flux.any() and not sigma.any()
    ranks.wait()
    mine = ranks.part_here(shape[0])
    flux[mine], sigma[mine] = ranks.rank + 1, -ranks.rank - 1
    ranks.wait()
    total = float(flux.sum(dtype=float)), float(sigma.sum(dtype=float))
    ranks.wait()
    held = psutil.Process().memory_full_info().pss - before
    ranks.wait()
print(json.dumps([total, held]))
"""


def test_the_ranks_of_a_host_hold_one_copy_and_leave_nothing(tmp_path):
    rows, world, port = 4096, 3, free_port()
    scratch = {path for path in (shared._MEMORY, tmp_path) if path.is_dir()}
    before = {path for folder in scratch for path in folder.iterdir()}
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", RANK, str(rows)], stdout=subprocess.PIPE, text=True,
            env=os.environ | {
                "RANK": str(n), "LOCAL_RANK": str(n), "WORLD_SIZE": str(world),
                "LOCAL_WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo", "TMPDIR": str(tmp_path),
            },
        )
        for n in range(world)
    ]  # fmt: skip
    told = [json.loads(rank.communicate(timeout=120)[0]) for rank in ranks]
    sizes = [rows * (n + 1) // world - rows * n // world for n in range(world)]
    whole = 4096.0 * sum((n + 1) * size for n, size in enumerate(sizes))
    assert [total for total, _ in told] == [[whole, -whole]] * world
    size, held = 2 * 4 * 4096 * rows, sum(each for _, each in told)
    assert size < held < 1.15 * size + world * 40e6  # 40 MB: gloo and its threads
    after = {path for folder in scratch for path in folder.iterdir()}
    assert not {path for path in after - before if path.name.startswith("specdenoise-")}


class Apart(Ranks):
    """One of several that meets no other."""

    def wait(self) -> None:
        return


def test_what_killed_ranks_left_goes_at_the_next_start(tmp_path, monkeypatch):
    monkeypatch.setattr(shared, "_folder", lambda _: tmp_path)
    left, held = (tmp_path / f"{shared._prefix()}{name}" for name in ("left", "held"))
    left.write_bytes(b"x")
    with held.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # of a start under way
        (array,) = shared.shared_arrays(("flux",), (3, 5), Apart(0, 2, ALONE.device))
    assert array.shape == (3, 5) and not array.any()
    assert [path.name for path in tmp_path.iterdir()] == [held.name]


def test_where_there_is_no_room_that_is_told(monkeypatch):
    monkeypatch.setattr(shared, "_folder", lambda _: Path("/dev/full/none"))
    with pytest.raises(InputError, match=r"no room for the training spectra, 0\.001 GB, in /dev"):
        shared.shared_arrays(("flux",), (250_000,), Ranks(0, 2, ALONE.device))
