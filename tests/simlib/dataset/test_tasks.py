"""Blocks made into tasks: few enough for any size, and none lost or done twice."""

import math
from collections.abc import Iterator

import pytest
from dask.utils import key_split
from distributed.utils import key_split_group

from simlib.dataset.plan import MOST_TASKS, Block, Plan
from simlib.dataset.tasks import Task, block_at, blocks_a_task, tasks_of


def plan_of(block: int, **rows: int) -> Plan:
    return Plan.model_construct(rows=rows, block=block)


def blocks_of(tasks: list[Task], plan: Plan) -> Iterator[Block]:
    return (block_at(plan, task.split, start) for task in tasks for start in task.starts)


def test_a_block_is_a_task_as_long_as_there_are_not_too_many() -> None:
    plan = plan_of(1024, train=10_000, validation=1024, test=3)
    tasks = tasks_of(plan, plan.blocks())
    assert [len(task.starts) for task in tasks] == [1] * 12
    assert [(t.split, t.starts[0], t.stop) for t in tasks[-3:]] == [
        ("train", 9216, 10_000), ("validation", 0, 1024), ("test", 0, 3)
    ]  # fmt: skip


@pytest.mark.parametrize(
    "rows",
    [{"train": 20_000}, {"train": 20_001}, {"train": 20_000, "validation": 1, "test": 1},
     {"train": 100_003, "validation": 5_001}],
)  # fmt: skip
def test_every_block_is_in_one_task_and_the_tasks_are_at_most_as_many(rows: dict[str, int]) -> None:
    plan = plan_of(1, **rows)
    tasks = tasks_of(plan, plan.blocks())
    assert len(tasks) <= MOST_TASKS
    assert list(blocks_of(tasks, plan)) == list(plan.blocks())
    assert len(tasks) > MOST_TASKS / 2.5 or sum(rows.values()) <= MOST_TASKS


@pytest.mark.parametrize("blocks", [[1], [7], [7, 7, 1], [100, 1, 1], [10**6, 10**6], [5, 5, 5]])
def test_as_few_blocks_share_a_task_as_the_limit_allows(blocks: list[int]) -> None:
    most = 7
    size = blocks_a_task(blocks, most)
    assert sum(math.ceil(count / size) for count in blocks) <= most
    if size > 1:
        assert sum(math.ceil(count / (size - 1)) for count in blocks) > most


def test_of_a_store_with_holes_only_the_holes_are_in_tasks() -> None:
    plan = plan_of(1, train=50_000, validation=9)  # three blocks a task
    holes = [b for b in plan.blocks() if b.start % 7 == 0 or b.split == "validation"]
    tasks = tasks_of(plan, holes)
    assert list(blocks_of(tasks, plan)) == holes
    assert {len(task.starts) for task in tasks} <= {1, 2, 3}
    assert all(task.stop - task.starts[0] <= 3 for task in tasks)
    assert tasks_of(plan, []) == []


def test_a_task_is_named_by_its_rows_and_grouped_by_what_it_does() -> None:
    plan = plan_of(512, train=20_000)
    key = tasks_of(plan, [Block("train", 12288, 12800)])[0].key("simulate", "demo-0123")
    assert key == ("simulate train", "00012288-00012799", "demo-0123")
    assert key_split(key) == key_split_group(key) == "simulate train"
    last = tasks_of(plan, list(plan.blocks())[-1:])[0]
    assert last.key("check", "x")[:2] == ("check train", "00019968-00019999")
