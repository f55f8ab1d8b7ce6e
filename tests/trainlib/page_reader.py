"""What stands on a report's page, read back from its text."""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser


@dataclass
class Table:
    heading: str  # of the section, or of the details that it folds away
    rows: list[list[str]] = field(default_factory=list)
    best: list[list[bool]] = field(default_factory=list)


class Page(HTMLParser):
    """What stands on a page: tables, lists of terms, items, tiles, images and running text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.heading, self.term = "", ""
        self.tables: list[Table] = []
        self.terms: list[dict[str, str]] = []
        self.items: dict[str, list[str]] = {}
        self.tiles: list[str] = []
        self.is_tile = False
        self.texts: dict[str, list[str]] = {}
        self.figures: list[str] = []
        self.feed(text)
        for table in self.tables:
            table.rows = [[" ".join(cell.split()) for cell in row] for row in table.rows]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.open.append(tag)
        if tag == "table":
            self.tables.append(Table(self.heading))
        elif tag == "tr":
            self.tables[-1].rows.append([])
            self.tables[-1].best.append([])
        elif tag in ("td", "th"):
            self.tables[-1].rows[-1].append("")
            self.tables[-1].best[-1].append(given.get("class") == "best")
        elif tag == "dl":
            self.terms.append({})
        elif tag in ("h2", "summary"):
            self.heading = ""
        elif tag == "li":
            self.items.setdefault(self.heading, []).append("")
        elif tag == "p":
            self.texts.setdefault(self.heading, []).append("")
        elif tag == "dt":
            self.term = ""
        elif tag == "dd":
            self.terms[-1][self.term] = ""
        elif tag == "h3":
            self.figures.append("")
        self.meet_tile(tag, given.get("class"))
        if tag in ("meta", "link", "input"):
            self.open.pop()

    def meet_tile(self, tag: str, kind: str | None) -> None:
        if kind == "tile":
            self.tiles.append("")
        if kind == "tile" or tag == "section":
            self.is_tile = kind == "tile"

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        inside = set(self.open)
        if inside & {"td", "th"}:
            self.tables[-1].rows[-1][-1] += data
        elif inside & {"h2", "summary"}:
            self.heading += data
        elif "li" in inside:
            self.items[self.heading][-1] += data
        elif "dt" in inside:
            self.term += data
        elif "dd" in inside:
            self.terms[-1][self.term] += data
        elif "p" in inside:
            self.texts[self.heading][-1] += data
        elif "h3" in inside:
            self.figures[-1] += data
        elif self.is_tile:
            self.tiles[-1] += data


def numbers(text: str) -> list[float]:
    return [float(n.replace(",", "")) for n in re.findall(r"[-−]?\d[\d,]*\.?\d*", text)]
