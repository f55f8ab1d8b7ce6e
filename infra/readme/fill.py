"""Fill the README's figures in: `blocks.md` says how each block reads, `results.json` has them."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from simlib.errors import InputError

README = Path(__file__).parents[2] / "README.md"
RECORDED = Path(__file__).with_name("results.json")
_TEXTS = Path(__file__).with_name("blocks.md")
_MARKER = re.compile(r"<!-- results: (.*?) -->")
_BLOCK = re.compile(rf"({_MARKER.pattern}\n).*?(<!-- end of results -->)", re.DOTALL)


def recorded() -> dict[str, Any]:
    """Return what is recorded of runs, by part."""
    found: dict[str, Any] = json.loads(RECORDED.read_text(encoding="utf-8"))
    return found


def filled(readme: str, parts: dict[str, Any]) -> str:
    """Return a README whose blocks read as what is recorded says.

    Raises InputError where it has a block that is unknown, or lacks one or its end, and where
    something is not recorded that a block tells.
    """
    blocks = _blocks(parts)
    begun, whole = _MARKER.findall(readme), [found[2] for found in _BLOCK.finditer(readme)]
    if begun != whole or sorted(begun) != sorted(blocks):
        raise InputError(
            f"{README.name} has the blocks {', '.join(begun)}, with an end {', '.join(whole)}; "
            f"each of {', '.join(sorted(blocks))} has to be there once, and no other: "
            f"<!-- results: NAME --> … <!-- end of results -->, as {_TEXTS.name} names them"
        )
    return _BLOCK.sub(lambda found: found[1] + blocks[found[2]] + found[3], readme)


def _blocks(parts: dict[str, Any]) -> dict[str, str]:
    template = _template()
    try:
        return {
            name: "".join(block(template.new_context(parts)))
            for name, block in template.blocks.items()
        }
    except jinja2.UndefinedError as error:
        raise InputError(f"{RECORDED.name} lacks what {_TEXTS.name} tells: {error}") from None


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=False,
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters.update(
        per_cent=lambda share, digits=1: f"{100 * share:.{digits}f}",
        signed=lambda share, digits=3: f"{round(100 * share, digits) + 0.0:+.{digits}f}",
        fixed=lambda value, digits=2: f"{value:.{digits}f}",
        thousands="{:,}".format,
        eta=lambda row, digits=2: f"{row['eta']:.{digits}f} ± {row['eta_error']:.{digits}f}",
        edges=lambda row: f"{row['snr_low']:g}-{row['snr_high']:g}",
    )
    environment.globals["row"] = lambda *cells: f"| {' | '.join(map(str, _flat(cells)))} |"
    return environment.from_string(_TEXTS.read_text(encoding="utf-8"))


def _flat(cells: Any) -> list[Any]:
    return [
        one for cell in cells for one in ([cell] if isinstance(cell, str | int) else list(cell))
    ]
