"""How ranks meet, what each has of a batch, and where it computes."""

import pytest
import torch

from simlib.errors import InputError
from tests.trainlib.forked_ranks import free_port
from trainlib.training.distributed import Ranks, choose_device, joined_ranks

CPU = torch.device("cpu")


@pytest.mark.parametrize("world", [1, 2, 3, 7])
@pytest.mark.parametrize("rows", [0, 1, 6, 31, 250])
def test_the_parts_of_the_ranks_are_a_whole_and_as_equal_as_can_be(world, rows):
    parts = [range(rows)[Ranks(rank, world, CPU).part(rows)] for rank in range(world)]
    assert [row for part in parts for row in part] == list(range(rows))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_process_that_torchrun_did_not_start_is_alone(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    for expected in (None, 1):
        with joined_ranks("cpu", 1.0, expected) as ranks:
            assert ranks == Ranks(0, 1, CPU) and ranks.is_first
            assert ranks.sum(1.5, 2.0) == [1.5, 2.0]


@pytest.mark.parametrize(
    ("rank", "world", "address", "told"),
    [
        (1, 2, {}, "rank 1 of 2 does not know where to meet"),
        (1, 2, {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "x"}, "rank 1 of 2 does not know"),
        (0, 2, {"MASTER_PORT": "5"}, "rank 0 of 2 does not know where to meet"),
        (2, 3, {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "{free}"},
         "rank 2 of 3 found nobody at 127.0.0.1:{free} within 0.2 s"),
        (0, 3, {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "{free}"},
         "1 of 3 ranks joined within 0.2 s: start the other 2 or set train.ranks=1"),
        (0, 2, {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "{free}"},
         "1 of 2 ranks joined within 0.2 s: start the other or set train.ranks=1"),
    ],
)  # fmt: skip
def test_a_rank_that_finds_no_others_is_told(rank, world, address, told, monkeypatch):
    free = free_port()
    for name in ("MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_USE_AGENT_STORE"):
        monkeypatch.delenv(name, raising=False)
    here = {"RANK": str(rank), "WORLD_SIZE": str(world), "LOCAL_RANK": "0", **address}
    for name, value in here.items():
        monkeypatch.setenv(name, value.format(free=free))
    with (
        pytest.raises(InputError, match=told.format(free=free)),
        joined_ranks("cpu", 0.2, world),
    ):
        pass


def test_each_rank_has_a_gpu_of_its_own_where_there_are_any(monkeypatch):
    taken = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    for name in ("auto", "cuda"):
        assert [choose_device(name, local) for local in (0, 1)] == [
            torch.device("cuda", 0),
            torch.device("cuda", 1),
        ]
        with pytest.raises(InputError, match="rank 2 has no GPU: 2 visible .* train.ranks = 2"):
            choose_device(name, 2)
    assert choose_device("cpu", 2) == CPU
    assert taken == [0, 1, 0, 1]


def test_without_a_gpu_only_one_asked_for_is_missed(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto", 5) == CPU == choose_device("cpu", 0)
    with pytest.raises(InputError, match="train.device = 'cuda' but no GPU is visible"):
        choose_device("cuda", 0)
