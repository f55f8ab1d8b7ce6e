"""Whether a dataset fits where it is to be: arithmetic, before anything of it is written."""

import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from distributed import Client

from simlib.config import SimulationConfig
from simlib.dataset.places import plan_in
from simlib.dataset.plan import Plan, cut_of
from simlib.dataset.store import readable
from simlib.errors import InputError
from simlib.instrument import load_instrument
from simlib.location import Location
from simlib.words import size_text, time_text

log = logging.getLogger(__name__)

# Of the bytes of float32: the least that spectra may take, and what the demo's were measured to.
_KEPT_SHARES = {"lz4": (0.55, 0.74), "zstd": (0.55, 0.7), "none": (1.0, 1.0)}
_SECONDS_A_VALUE = 2e-8  # one core, computing and writing
_SECONDS_A_BLOCK = 0.02  # beside its values
_VALUES_A_PIXEL, _BYTES_A_VALUE = 2, 4  # flux and variance, float32


@dataclass(frozen=True)
class Need:
    """What is left to do of a dataset; free: bytes there, None for a URL."""

    rows: int
    of_rows: int
    bytes: int
    least_bytes: int
    core_seconds: float
    free: int | None

    @property
    def fits(self) -> bool:
        """Whether it is not certain to be too large."""
        return self.free is None or self.least_bytes <= self.free


def require_space(config: SimulationConfig, folder: Location, client: Client) -> None:
    """Tell the size against the free space and about how long it takes.

    Raises InputError where what is left to do of the dataset cannot fit.
    """
    if config.dataset.mode != "stored":
        return
    need = need_of(config, folder)
    if not need.fits:
        raise InputError(
            f"{need.rows:,} spectra of {folder} need about {size_text(need.bytes)}, and "
            f"{size_text(need.free or 0)} are free there; free some space, set storage.root "
            "elsewhere, lower dataset.n_train, or set dataset.mode = 'virtual', which stores none"
        )
    if need.rows:
        workers = sum(client.nthreads().values())
        free = "" if need.free is None else f" of {size_text(need.free)} free"
        log.info(
            "%s of %s spectra to do: %s%s, about %s on %d workers",
            f"{need.rows:,}", f"{need.of_rows:,}", size_text(need.bytes), free,
            time_text(need.core_seconds / max(workers, 1)), workers,
        )  # fmt: skip


def need_of(config: SimulationConfig, folder: Location) -> Need:
    """Return what is left to do; blocks that have a record are done."""
    plan = readable(plan_in(folder), Plan)  # of a store that was begun, which rules
    counts, block = (plan.rows, plan.block) if plan else cut_of(config.dataset)
    of_rows, of_blocks = sum(counts.values()), sum(-(-count // block) for count in counts.values())
    there = set((folder / "parts").names()) if plan else set()
    done = [b for b in (plan.blocks() if plan else ()) if f"{b.name}.json" in there]
    rows = of_rows - sum(b.stop - b.start for b in done)
    codec = plan.codec if plan else config.storage.codec
    size, core_seconds = usual_need(config, rows, of_blocks - len(done), codec)
    return Need(
        rows=rows,
        of_rows=of_rows,
        bytes=size,
        least_bytes=round(size * _KEPT_SHARES[codec][0] / _KEPT_SHARES[codec][1]),
        core_seconds=core_seconds,
        free=free_bytes(folder) if folder.is_local else None,
    )


def usual_need(config: SimulationConfig, rows: int, blocks: int, codec: str) -> tuple[int, float]:
    """Return the bytes and the seconds of one core that spectra in blocks usually take."""
    values = rows * _VALUES_A_PIXEL * load_instrument(config.instrument.name).pixel_count
    return round(values * _BYTES_A_VALUE * _KEPT_SHARES[codec][1]), (
        values * _SECONDS_A_VALUE + blocks * _SECONDS_A_BLOCK
    )


def free_bytes(folder: Location) -> int:
    """Return the bytes that are free for a folder, which need not be there yet."""
    place = Path(folder.path)
    while not os.path.exists(place):
        place = place.parent
    return shutil.disk_usage(place).free
