"""The program `specdenoise`: verbs only; what they do is a function elsewhere.

Exit code 0: done. 2: a person's mistake, told in one message. 1: our failure, with the log's place.
130: interrupted.
"""

import errno
import logging
import sys
import traceback
from datetime import datetime

import typer
from rich.console import Console
from rich.logging import RichHandler

from flows.cli import etc, grid, run, simulate, workflow
from flows.cli.interrupt import INTERRUPTED, end_soon_when_interrupted
from simlib.errors import InputError
from simlib.simulation.prepare import cache_folder

app = typer.Typer(
    name="specdenoise",
    help="Simulate observations of faint stars, train a denoiser on them, denoise spectra.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for group in (workflow, run, etc, grid, simulate):
    group.register(app)

_OUT_OF_SPACE = {errno.ENOSPC, errno.EDQUOT}


def main() -> None:
    """Run the program and exit with its code."""
    _log_to_terminal()
    end_soon_when_interrupted()
    sys.exit(run_program(sys.argv[1:]))


def run_program(arguments: list[str]) -> int:
    """Return the exit code of the program with these arguments."""
    try:
        app(arguments)
    except SystemExit as done:  # how typer ends, a wrong option included
        return done.code if isinstance(done.code, int) else int(bool(done.code))
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        return _explain(error)
    return 0


def _explain(error: Exception) -> int:
    """Print what a person should know of an error; return the exit code."""
    if isinstance(error, InputError):
        return _say(str(error), 2)
    if isinstance(error, OSError) and error.errno in _OUT_OF_SPACE:
        return _say(
            f"no space left while writing ({error}); nothing was published. Free some space or set "
            "storage.root elsewhere, then run it again: it goes on with what is there",
            2,
        )
    folder = cache_folder() / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{datetime.now():%Y%m%d-%H%M%S-%f}.log"
    path.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    return _say(f"{type(error).__name__}: {error}\nThis is our fault; the log is {path}", 1)


def _say(message: str, code: int) -> int:
    Console(stderr=True, soft_wrap=True).print(f"error: {message}", markup=False, highlight=False)
    return code


def _log_to_terminal() -> None:
    console = Console(stderr=True)
    handler: logging.Handler
    if console.is_terminal:
        handler = RichHandler(console=console, show_path=False, markup=False)
    else:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s  %(message)s", datefmt="%H:%M:%S"))
    for name in ("flows", "simlib", "trainlib"):
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
