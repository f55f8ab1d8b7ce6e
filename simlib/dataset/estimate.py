"""What a build would take, from what one spectrum takes; what a finished one took."""

from dataclasses import dataclass

from simlib.dataset.layout import ROW_CHUNK, ROW_VARIABLES
from simlib.dataset.manifest import Manifest
from simlib.dataset.measure import Measured
from simlib.dataset.prices import Prices
from simlib.dataset.tasks import blocks_a_task
from simlib.location import Location

_RECORDS = 4  # plan, config, manifest, latest
_COPIES = 3  # of a block in memory: simulated, compressed, others on their way to the store
_BYTES_A_PIXEL = 8  # flux and variance


@dataclass(frozen=True)
class Estimate:
    """What a build of so many rows takes with so many workers, a core each.

    tasks: of `blocks_a_task` blocks. memory_bytes: of one worker. set_up_s: of each worker.
    """

    rows: int
    block: int
    blocks: int
    tasks: int
    objects: int
    bytes: int
    memory_bytes: int
    workers: int
    core_seconds: float
    set_up_s: float
    seconds: float

    @property
    def core_hours(self) -> float:
        """Return what is paid for: the workers' set-up is."""
        return (self.core_seconds + self.workers * self.set_up_s) / 3600.0


@dataclass(frozen=True)
class Cost:
    """What an estimate costs; keeping: for one month."""

    currency: str
    computing: float
    keeping_a_month: float
    writing: float

    @property
    def once(self) -> float:
        """Return what is paid once."""
        return self.computing + self.writing


@dataclass(frozen=True)
class Actual:
    """What a finished build took."""

    rows: int
    block: int
    blocks: int
    objects: int
    bytes: int
    seconds: float
    core_seconds: float


def estimate(rows: dict[str, int], block: int, workers: int, of_one: Measured) -> Estimate:
    """Return what it takes to build a store of these rows of each split in blocks of so many."""
    of_each = [-(-count // block) for count in rows.values()]
    total, blocks = sum(rows.values()), sum(of_each)
    each = blocks_a_task(of_each)
    tasks = sum(-(-some // each) for some in of_each)
    chunks = sum(-(-count // ROW_CHUNK) for count in rows.values())
    longest = min(max(rows.values()), block * each) * of_one.seconds
    longest += min(max(of_each), each) * of_one.block_s
    core_seconds = total * of_one.seconds + blocks * of_one.block_s
    templates = (of_one.template_files - 1) * len(rows) + 1  # the root's metadata is one file
    return Estimate(
        rows=total,
        block=block,
        blocks=blocks,
        tasks=tasks,
        objects=blocks * (of_one.block_files + 1)
        + chunks * len(ROW_VARIABLES) + templates + _RECORDS,
        bytes=round(total * of_one.bytes) + of_one.template_bytes * len(rows),
        memory_bytes=of_one.memory_bytes
        + _COPIES * min(block, max(rows.values())) * of_one.pixels * _BYTES_A_PIXEL,
        workers=workers,
        core_seconds=core_seconds,
        set_up_s=of_one.set_up_s,
        seconds=of_one.set_up_s
        + min(-(-tasks // workers) * longest, core_seconds / workers + longest),
    )  # fmt: skip


def cost_of(planned: Estimate, prices: Prices) -> Cost:
    """Return what an estimate costs at these prices."""
    return Cost(
        currency=prices.currency,
        computing=planned.core_hours * prices.core_hour,
        keeping_a_month=planned.bytes / 1e9 * prices.gb_month,
        writing=planned.objects / 1000.0 * prices.thousand_puts,
    )


def actual_of(folder: Location, manifest: Manifest) -> Actual:
    """Return what a finished dataset of stored spectra took, from its manifest and its files.

    The seconds are those of the run that finished it.
    """
    assert manifest.blocks is not None
    sizes = folder.sizes()
    return Actual(
        rows=manifest.rows,
        block=manifest.plan.block,
        blocks=len(list(manifest.plan.blocks())),
        objects=len(sizes) + 1,  # and `latest.json` beside
        bytes=sum(sizes.values()),
        seconds=manifest.seconds,
        core_seconds=manifest.blocks.core_seconds,
    )
