"""Which blocks make a task: one, or as many consecutive ones as keep the tasks few enough."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from simlib.dataset.plan import MOST_TASKS, Block, Plan


@dataclass(frozen=True)
class Task:
    """Blocks of one split, by their first rows; the last of them ends before row `stop`."""

    split: str
    starts: tuple[int, ...]
    stop: int

    def key(self, verb: str, work: str) -> tuple[str, str, str]:
        """Return its name for Dask, whose dashboard groups by the first part.

        work: what no other build on the same scheduler is called.
        """
        return f"{verb} {self.split}", f"{self.starts[0]:08d}-{self.stop - 1:08d}", work


def tasks_of(plan: Plan, blocks: Iterable[Block]) -> list[Task]:
    """Return tasks for some of the plan's blocks, in order: at most MOST_TASKS.

    Which blocks can share a task depends on the plan alone.
    """
    size = blocks_a_task([math.ceil(rows / plan.block) for rows in plan.rows.values()])
    tasks = []
    for (split, _), some in groupby(blocks, lambda b: (b.split, b.start // plan.block // size)):
        together = list(some)
        tasks.append(Task(split, tuple(block.start for block in together), together[-1].stop))
    return tasks


def blocks_a_task(blocks: list[int], most: int = MOST_TASKS) -> int:
    """Return how many consecutive blocks make a task, no task spanning two splits.

    blocks: of each split.
    """
    size = max(1, math.ceil(sum(blocks) / most))
    while sum(math.ceil(count / size) for count in blocks) > most:
        size += 1
    return size


def block_at(plan: Plan, split: str, start: int) -> Block:
    """Return the plan's block that begins with this row."""
    return Block(split, start, min(start + plan.block, plan.rows[split]))
