"""Dask's own report of what its workers did, kept beside what they made."""

import logging
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from distributed import Client, performance_report

from simlib.artifact import write_bytes
from simlib.dataset.places import dask_report_in
from simlib.location import Location

log = logging.getLogger(__name__)

_ICON = re.compile(rb'<link rel="shortcut icon"[^>]*>')  # the one thing it would fetch


@contextmanager
def kept_report(client: Client, is_wanted: bool = True) -> Iterator[Callable[[Location], None]]:
    """Yield what keeps the report of the time from here on in a folder.

    It is a page that needs no network. The work that it is about never fails for it, and where the
    work fails no report is asked for.
    """
    with tempfile.TemporaryDirectory() as scratch:
        page = Path(scratch) / "report.html"
        report = _begun(client, page) if is_wanted else None

        def keep(folder: Location) -> None:
            if report is None:
                return
            kept = dask_report_in(folder)
            try:
                with client.as_current():
                    report.__exit__(None, None, None)
                write_bytes(kept, _ICON.sub(b"", page.read_bytes()))
                log.info("what the workers did: %s", kept)
            except Exception as error:
                log.warning("no Dask report: %s", error)

        yield keep


def _begun(client: Client, page: Path) -> performance_report | None:
    try:
        # It shows the code two frames up from where it is ended: that of who asked for it.
        report = performance_report(filename=str(page), mode="inline", stacklevel=2)
        with client.as_current():
            report.__enter__()
    except Exception as error:
        log.warning("no Dask report: %s", error)
        return None
    return report
