"""The program's own streams: present even where the caller closed them, and where logs go."""

import logging
import os
import sys


def keep_streams_open() -> None:
    """Put nothing in the place of a closed stdin, stdout or stderr.

    Else the next file that is opened would take its number, and what a library prints there would
    go into that file.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, this one
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def say(message: str) -> None:
    """Print a message for a person beside the results; a closed or full stream takes none."""
    try:
        print(message, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        return


def flush_results() -> None:
    """Write out what was printed. Raises OSError where its end cannot take it, which ends it."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else the interpreter tries again at its end
        raise


def log_to_terminal() -> None:
    """Show what our packages log: one line each.

    Of a store that is damaged in many files Zarr raises one error; asyncio would print the others.
    """
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    handler: logging.Handler
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.logging import RichHandler

        handler = RichHandler(console=Console(stderr=True), show_path=False, markup=False)
    else:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s  %(message)s", datefmt="%H:%M:%S"))
    for name in ("flows", "simlib", "trainlib"):
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
