"""What is left of a block: whether it is what was written, and whether a new one agrees with it."""

import logging
from collections.abc import Mapping

import numpy as np

from simlib.dataset.agreement import difference, tolerance_to
from simlib.dataset.layout import PIXEL_VARIABLES, checksum_of, template_names
from simlib.dataset.places import arrays_in
from simlib.dataset.plan import BlockRecord
from simlib.dataset.stored import open_arrays, read_values
from simlib.errors import InputError
from simlib.location import Location

log = logging.getLogger(__name__)


def is_undamaged(folder: Location, record: BlockRecord) -> bool:
    """Return whether a block's values are those that were written."""
    left = _values_left(folder, record)
    is_readable = set(left) == set(PIXEL_VARIABLES)
    return is_readable and checksum_of(left | record.simulated()) == record.checksum


def require_agreement(
    folder: Location, record: BlockRecord, made: Mapping[str, np.ndarray]
) -> None:
    """Raise InputError where a block made again is not what can still be read of the old one.

    made: the values of every variable. Bit for bit where the arithmetic is the same, else to 1e-6.
    """
    for name, kept in (_values_left(folder, record) | record.simulated()).items():
        new, old = (np.sqrt(v) if name == "variance" else v for v in (made[name], kept))
        off = difference(new, old)
        if off > tolerance_to(record.arithmetic):
            raise InputError(
                f"{folder}: rows {record.start} to {record.stop - 1} of {record.split!r} made "
                f"again differ from those kept ({name}, by {off:.2g} relative): they were made by "
                f"{record.arithmetic}; remove the folder of this dataset and build it again"
            )


def _values_left(folder: Location, record: BlockRecord) -> dict[str, np.ndarray]:
    """Return flux and variance of a block, what cannot be read left out."""
    arrays = arrays_in(folder)
    opened = open_arrays(arrays, record.split, arrays.read_files(template_names(record.split)))
    left = {}
    for name in PIXEL_VARIABLES:
        try:
            left[name] = read_values(arrays, opened[name], slice(record.start, record.stop))
        except Exception as error:
            if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
                raise
            log.warning("%s/%s, rows %d on: %s", arrays, opened[name].path, record.start, error)
    return left
