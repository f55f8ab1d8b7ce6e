"""The page of a report as a file: its template, and what it says of the results that it shows."""

from collections.abc import Sequence
from importlib import resources

from simlib.errors import InputError
from simlib.fingerprint import fingerprint
from simlib.location import Location, Place

PAGE = "report.html"
_HEAD = 2**12  # bytes of a page that hold its `meta`


def template_text() -> str:
    """Return the template, for jinja2."""
    return _text(PAGE)


def script_text() -> str:
    """Return what moves the page's explorer."""
    return _text("explorer.js")


def _text(name: str) -> str:
    return (resources.files("trainlib") / "evaluation" / name).read_text(encoding="utf-8")


def page_identity(results: Sequence[str]) -> str:
    """Return 16 hex digits of what a page shows: the fingerprints of results, and its template."""
    return fingerprint(template_text(), script_text(), list(results))


def shows(page: Place, results: Sequence[str]) -> bool:
    """Return whether a page is there and is of these results."""
    try:
        head = Location.of(page).read_bytes(0, _HEAD) or b""
    except (OSError, InputError):  # not to be read, or a folder
        return False
    return f'name="specdenoise-page" content="{page_identity(results)}"'.encode() in head
