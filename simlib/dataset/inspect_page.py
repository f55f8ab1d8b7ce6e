"""One self-contained page about a dataset that was looked at: it opens anywhere, also offline."""

import base64
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import jinja2

from simlib.artifact import write_bytes
from simlib.dataset.inspect import Inspection, summary
from simlib.dataset.inspect_figure import overview, pictures
from simlib.location import Location
from simlib.words import size_text, time_text

_ALTS = {
    "distributions": "Histograms of S/N and of every parameter, by split",
    "coverage": "Number of draws at the nodes of each pair of the stellar grid's axes",
    "spectra": "Nine spectra with their noise and the noiseless truth",
}


def save_inspection(seen: Inspection, folder: Path) -> list[Path]:
    """Write `inspect.png` and `inspect.html` into a folder; return both."""
    drawn = pictures(seen)
    folder.mkdir(parents=True, exist_ok=True)
    files = {"inspect.png": overview(drawn.values()), "inspect.html": page(seen, drawn).encode()}
    for name, data in files.items():
        write_bytes(Location.of(folder / name), data)
    return [folder / name for name in files]


def save_page(seen: Inspection, path: Path) -> Path:
    """Write the page, in place of the one that is there; return where."""
    write_bytes(Location.of(path), page(seen, pictures(seen)).encode())
    return path


def page(seen: Inspection, drawn: Mapping[str, bytes]) -> str:
    """Return the page, the pictures inside it."""
    template = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).from_string(
        (resources.files("simlib") / "dataset" / "inspect.html").read_text(encoding="utf-8")
    )
    told = summary(seen)
    return template.render(
        told=told,
        name=f"{seen.folder.parent.name}/{seen.folder.name}",
        images={
            name: f"data:image/png;base64,{base64.b64encode(data).decode()}"
            for name, data in drawn.items()
        },
        alts=_ALTS,
        progress=told["progress"],
        written=seen.manifest.provenance.get("written", "") if seen.manifest else "",
        size=size_text,
        time=time_text,
    )
