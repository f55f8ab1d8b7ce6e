"""Dask's own report of what its workers did, kept beside what they made."""

import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from distributed import Client, performance_report

from simlib.artifact import write_bytes
from simlib.location import Location

log = logging.getLogger(__name__)

NAME = "dask-report.html"


@contextmanager
def kept_report(client: Client, is_wanted: bool = True) -> Iterator[Callable[[Location], None]]:
    """Yield what keeps the report of the time from here on in a folder.

    It is a page that needs no network. The work that it is about never fails for it.
    """
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        page = Path(scratch) / NAME
        begun = False
        if is_wanted:
            try:
                with client.as_current():
                    stack.enter_context(performance_report(filename=str(page), mode="inline"))
                begun = True
            except Exception as error:
                log.warning("no Dask report: %s", error)

        def keep(folder: Location) -> None:
            nonlocal begun
            if not begun:
                return
            begun = False
            try:
                with client.as_current():
                    stack.close()
                write_bytes(folder / NAME, page.read_bytes())
                log.info("what the workers did: %s", folder / NAME)
            except Exception as error:
                log.warning("no Dask report: %s", error)

        try:
            yield keep
        finally:
            stack.pop_all()  # of a failure no report is asked, least of all of a lost scheduler
