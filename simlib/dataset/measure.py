"""What one spectrum of a config costs here: some are simulated, written aside, and removed."""

import resource
import sys
import tempfile
import time
from dataclasses import dataclass

from simlib.config import SimulationConfig
from simlib.dataset.agreement import first_row_of
from simlib.dataset.layout import ROW_VARIABLES, as_kept, row_files, template_files
from simlib.dataset.plan import Block, Plan, encoded
from simlib.dataset.rows import Recipe
from simlib.dataset.store import write_block
from simlib.etc.grid.store import terms_folder
from simlib.location import Location

SPECTRA = 256
_SPLIT = "train"
_TURNS = 5  # the least of them counts; a row costs what two of these times differ by


@dataclass(frozen=True)
class Measured:
    """Seconds and bytes of one spectrum on one core, and what there is once.

    set_up_s: until the first spectrum, less where caches are warm. block_s: of computing a block,
    whatever its rows; it and computing_s are processor time, which others at work here do not
    change. writing_s: to a folder for temporary files, read back. record_bytes: what of a block's
    record grows with its rows. memory_bytes: of a process that has simulated.
    """

    spectra: int
    pixels: int
    set_up_s: float
    block_s: float
    computing_s: float
    writing_s: float
    shard_bytes: float
    row_bytes: float
    record_bytes: float
    block_files: int
    template_files: int
    template_bytes: int
    memory_bytes: int

    @property
    def seconds(self) -> float:
        """Return the seconds of one spectrum more in a block, computed and written."""
        return self.computing_s + self.writing_s

    @property
    def bytes(self) -> float:
        """Return what one spectrum adds to a store."""
        return self.shard_bytes + self.row_bytes + self.record_bytes


def measure(config: SimulationConfig, spectra: int = SPECTRA) -> Measured:
    """Simulate and write a block of so many spectra of the config, as a worker would.

    The grid of terms is the published one where it is, else made for this. Nothing stays but what
    the cache keeps. Raises InputError for a config that cannot be simulated.
    """
    recipe = Recipe(config, terms_folder(config))
    chunk = min(config.dataset.chunk, spectra)
    one, block = Block(_SPLIT, 0, 1), Block(_SPLIT, 0, spectra // chunk * chunk)
    started = time.perf_counter()
    example = recipe.rows(one)
    set_up = time.perf_counter() - started
    rows = recipe.rows(block)  # and what only the first call of this size needs
    turns = [(_processor_s(recipe, one), _processor_s(recipe, block)) for _ in range(_TURNS)]
    least, computing = map(min, zip(*turns, strict=True))
    plan = Plan(
        rows={_SPLIT: block.stop}, block=block.stop, chunk=chunk, codec=config.storage.codec,
        first_row=first_row_of(example),
    )  # fmt: skip
    values = as_kept(rows)
    with tempfile.TemporaryDirectory(prefix="specdenoise-plan-") as folder:
        place = Location.of(folder)
        write_block(place / "first", plan, block, values)
        started = time.perf_counter()
        _, sizes = write_block(place / "timed", plan, block, values)
        writing = time.perf_counter() - started
    template = template_files(plan, example)
    kept_rows = row_files(plan, block, {name: values[name] for name in ROW_VARIABLES})
    return Measured(
        spectra=block.stop,
        pixels=example.sizes["wavelength"],
        set_up_s=set_up,
        block_s=min(least, computing),
        computing_s=max(computing - least, 0.0) / max(block.stop - 1, 1),
        writing_s=writing / block.stop,
        shard_bytes=sum(sizes.values()) / block.stop,
        row_bytes=sum(map(len, kept_rows.values())) / block.stop,
        record_bytes=2 * len(encoded(values["snr"])) / block.stop,
        block_files=len(sizes),
        template_files=len(template),
        template_bytes=sum(map(len, template.values())),
        memory_bytes=_most_memory(),
    )


def _processor_s(recipe: Recipe, block: Block) -> float:
    started = time.process_time()
    recipe.rows(block)
    return time.process_time() - started


def _most_memory() -> int:
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
