"""The verb `etc-sky`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import FiguresOption, JsonOption, SetOption


def etc_sky(
    sky_tables: Annotated[Path, typer.Argument(metavar="DIR", help="CSV tables to compare with.")],
    figures: FiguresOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the embedded sky with tables: emission lines, absorption, total variance."""
    from flows.config import load_sky_section
    from flows.terminal.tables import print_table
    from simlib.etc.sky_comparison import compare_skies, draw_comparison

    comparison = compare_skies(load_sky_section(overrides or []), str(sky_tables))
    written = []
    if figures is not None:
        from simlib.figure_file import save_figure

        path = save_figure(draw_comparison(comparison), figures / "sky-comparison.png")
        written = [str(path)]
    if as_json:
        print(json.dumps(comparison.record() | {"figures": written}, indent=1))
        return
    title = f"embedded sky against {sky_tables}"
    print_table(title, ("quantity", "found", "bar"), list(comparison.lines()))
    print("\n".join(written))
