"""How often a process looks for things that hold each other, and that nothing else holds.

Seldom: nearly all that is made is loaded once and stays. And not in the end, in what ends with the
process: that alone took a second. Dask loads this where it starts the process of a worker.
"""

import atexit
import gc

_NEW = 50_000  # things that were made and not freed, until they are looked at


def seek_circles_seldom() -> None:
    """Let this process do so from here on."""
    gc.set_threshold(_NEW)
    atexit.register(gc.freeze)


def dask_setup(worker: object) -> None:
    """Do so in a worker's process; called by Dask."""
    seek_circles_seldom()
