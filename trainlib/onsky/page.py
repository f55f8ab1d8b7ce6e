"""One page over all spectra of a batch: a table to sort and filter, a click for a picture.

It opens anywhere, also offline. What comes from files is text wherever it stands.
"""

import base64
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup, escape

from simlib.units import SPEED_OF_LIGHT_M_S
from trainlib.onsky.answers import COLUMNS

_DIGITS = 6  # of a number that is told in full
_KM_S = 1e-3 * SPEED_OF_LIGHT_M_S
_STARS = (("teff", 0), ("logg", 2), ("feh", 2), ("alpha", 2))  # with digits


@dataclass(frozen=True)
class _Column:
    label: str
    meaning: str
    is_text: bool = False
    is_more: bool = False  # left out where the screen is narrow


def _column(name: str, label: str, **kind: bool) -> _Column:
    return _Column(label, COLUMNS[name][1], **kind)


_SHOWN = (
    _column("spectrum", "spectrum", is_text=True),
    _Column("file", "as it was given", is_text=True, is_more=True),
    _column("snr", "S/N"),
    _column("redshift", "velocity [km/s]"),
    _column("verdict", "verdict", is_text=True),
    _column("teff", "Teff [K]", is_more=True),
    _column("logg", "log g", is_more=True),
    _column("feh", "[Fe/H]", is_more=True),
    _column("alpha", "[α/Fe]", is_more=True),
    _column("source", "from", is_text=True, is_more=True),
)


def batch_page(
    rows: Sequence[Mapping[str, Any]],
    pictures: Mapping[str, bytes],
    *,
    title: str,
    lead: str,
    refresh_s: int | None = None,
) -> str:
    """Return the page of rows of the table over all files.

    pictures: PNG by the name in a row's `plot`; one that is not among them is linked beside the
    page. refresh_s: after which the page loads itself again, None where it is final.
    """
    kinds = Counter(kind for row in rows for kind in str(row["verdict"]).split(", "))
    names = [str(row["plot"]) for row in rows if row["plot"]]
    return _template().render(
        title=title,
        lead=lead,
        foot="Denoising adds no information: where a fit starts is no measurement.",
        count=len(rows),
        lines=Markup("".join(map(_line, rows))),
        kinds=dict(kinds.most_common()),
        columns=_SHOWN,
        has_pictures=bool(names),
        refresh_s=refresh_s,
        data=_json(
            {
                "columns": {
                    name: _told([row[name] for row in rows]) for name in (rows[0] if rows else ())
                },
                "pictures": {name: _source(name, pictures) for name in names},
            }
        ),
    )


@cache
def _template() -> jinja2.Template:
    text = (resources.files("trainlib") / "onsky" / "page.html").read_text(encoding="utf-8")
    return jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).from_string(text)


def _line(row: Mapping[str, Any]) -> str:
    """Return a row of the table, a cell for each of `_SHOWN`; a template would take longer."""
    spectrum, file, verdict, source = (
        escape(row[name]) for name in ("spectrum", "file", "verdict", "source")
    )
    is_good, is_refused = verdict == "good", verdict == "refused"
    stars = "".join(
        f'<td class="more" data-v="{row[name]}">{_spread(row[name], row[f"{name}_error"], digits)}'
        "</td>\n"
        for name, digits in _STARS
    )
    velocity = _spread(_KM_S * row["redshift"], _KM_S * row["redshift_error"], 1)
    return f"""<tr>
<td class="text" data-v="{spectrum}"><button>{spectrum or file}</button></td>
<td class="text more" data-v="{file}">{file}</td>
<td data-v="{row["snr"]}">{_number(row["snr"], 1)}</td>
<td data-v="{row["redshift"]}">{velocity}</td>
<td class="text" data-v="{verdict}"><span class="mark {"good" if is_good else "bad"}">\
{"✓" if is_good else "✗" if is_refused else "!"} {verdict}</span></td>
{stars}<td class="word more" data-v="{source}">{source}</td>
</tr>
"""


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "–"


def _spread(value: float, error: float, digits: int) -> str:
    """Return a number with its error, where that is known."""
    beside = f" <small>± {_number(error, digits)}</small>" if math.isfinite(error) else ""
    return f"{_number(value, digits)}{beside}"


def _told(values: list[Any]) -> list[Any]:
    """Return what the page's program is told of values of one type: no number is null."""
    if isinstance(values[0], float):
        return [float(f"{one:.{_DIGITS}g}") if math.isfinite(one) else None for one in values]
    return values if isinstance(values[0], str | int) else [None] * len(values)


def _source(name: str, pictures: Mapping[str, bytes]) -> str:
    if name not in pictures:
        return quote(name)
    return f"data:image/png;base64,{base64.b64encode(pictures[name]).decode()}"


def _json(value: Any) -> Markup:
    """Return JSON that no text in it can end early."""
    told = json.dumps(value, allow_nan=False, separators=(",", ":"))
    for letter in "<>&":
        told = told.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(told)  # nothing of it is markup any more
