"""The verb `etc-grid check`."""

import json
from typing import Annotated

import typer

from flows.cli.options import ConfigArgument, JsonOption, SetOption


def check(
    config: ConfigArgument,
    overrides: SetOption = None,
    rows: Annotated[int, typer.Option(min=1, help="Random conditions, beside the corners.")] = 2048,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    as_json: JsonOption = False,
) -> None:
    """Compare interpolated with direct terms at random conditions; refuse a grid that is off."""
    from flows.terminal.tables import print_table
    from simlib.config import load_config
    from simlib.etc.grid.check import refuse_a_bad_grid
    from simlib.etc.grid.store import check_and_record

    found, url, size = check_and_record(load_config(config, overrides or []), rows, seed)
    if as_json:
        print(json.dumps(found.record() | {"record": str(url), "grid_bytes": size}, indent=1))
    else:
        lines = [
            (name, f"{100 * error.largest:.4f} %", f"{100 * error.rms:.4f} %")
            for name, error in found.errors.items()
        ]
        print_table(f"{found.rows} conditions, relative errors", ("term", "largest", "rms"), lines)
        print(f"grid {size / 1e6:.2f} MB; {100 * found.tolerance:g} % allowed; record: {url}")
    refuse_a_bad_grid(found)
