"""The program's own streams: present even where the caller closed them, and where logs go.

Progress, logs and messages go through one console, which alone knows where a bar is on the screen.
"""

import codecs
import io
import logging
import os
import sys
import unicodedata
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

_PLAIN = {  # what Unicode itself knows no plain letters for
    "≥": ">=", "≤": "<=", "×": "x", "±": "+-", "—": "-", "–": "-", "′": "'", "°": "deg", "→": "->",
    "α": "alpha", "η": "eta", "λ": "lambda", "σ": "sigma", "└": "`", "├": "|", "│": "|", "─": "-",
}  # fmt: skip


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
    codecs.register_error("plain", _in_plain_letters)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="plain")


def _in_plain_letters(error: UnicodeError) -> tuple[str | bytes, int]:
    """Say what a stream cannot: in letters that are alike; a name's odd bytes as they are."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    if all("\udc80" <= letter <= "\udcff" for letter in text):
        return text.encode("ascii", "surrogateescape"), error.end
    return "".join(map(_plain, text)), error.end


def _plain(letter: str) -> str:
    parts = unicodedata.normalize("NFKD", letter)
    alike = "".join(_PLAIN.get(part, part) for part in parts)
    return alike.encode("ascii", "ignore").decode() or "?"


@cache
def terminal() -> "Console":
    """Return the console of standard error, one for all."""
    from rich.console import Console

    return Console(stderr=True)


def say(message: str) -> None:
    """Print a message for a person beside the results; a closed or full stream takes none.

    Also called by a signal's handler, in the midst of whatever: so it loads nothing, and gives up
    where the stream is being written to.
    """
    try:
        if terminal.cache_info().currsize and sys.stderr.isatty():  # above a bar that is there
            terminal().print(message, markup=False, highlight=False, soft_wrap=True)
        else:
            print(message, file=sys.stderr, flush=True)
    except (OSError, ValueError, RuntimeError):
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
        from rich.logging import RichHandler

        handler = RichHandler(console=terminal(), show_path=False, markup=False)
    else:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s  %(message)s", datefmt="%H:%M:%S"))
    for name in ("flows", "simlib", "trainlib"):
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
