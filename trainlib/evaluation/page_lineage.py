"""What a report says, for programs, of the results that it shows: a line in the page's head."""

from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from simlib.errors import InputError
from simlib.location import Location
from simlib.provenance import provenance
from trainlib.evaluation.results import Evaluation
from trainlib.runs import real

NAME = "specdenoise-lineage"


class ShownResults(BaseModel):
    """A run of a page. way: from the page's folder to the run. fingerprint: of its results."""

    model_config = ConfigDict(frozen=True)
    way: str
    fingerprint: str


class PageLineage(BaseModel):
    """All runs of a page, and what made the page."""

    model_config = ConfigDict(frozen=True)
    runs: tuple[ShownResults, ...]
    provenance: dict[str, Any]

    @classmethod
    def of(cls, page: Location, evaluations: Mapping[Location, Evaluation]) -> "PageLineage":
        """Return it for a page that shows these evaluations, by the directory of their run."""
        folder = real(page.parent)
        runs = (
            ShownResults(way=real(run).relative_to(folder), fingerprint=found.fingerprint)
            for run, found in evaluations.items()
        )
        return cls(runs=tuple(runs), provenance=provenance())


def read_page_lineage(page: Location) -> PageLineage | None:
    """Return what a page says of its results, None where it says nothing.

    Raises InputError where what it says cannot be used.
    """
    head = _Head()
    text = (page.read_bytes() or b"").decode(errors="replace")
    head.feed(text.partition("</head>")[0])
    if head.content is None:
        return None
    try:
        return PageLineage.model_validate_json(head.content)
    except ValidationError as error:
        raise InputError(
            f"{page} does not say in a usable way what it shows ({error.errors()[0]['msg']}); "
            "write it again with `specdenoise report RUN`"
        ) from None


class _Head(HTMLParser):
    content: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "meta" and found.get("name") == NAME:
            self.content = found.get("content") or ""
