"""The verb `simulate`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import JsonOption, SetOption


def simulate(
    targets: Annotated[Path, typer.Argument(metavar="TARGETS.csv", help="One row a spectrum.")],
    out: Annotated[Path, typer.Option("--out", help="The Zarr store, or the folder, to write.")],
    config: Annotated[str, typer.Argument(metavar="[CONFIG]", help="A preset or a file.")] = "demo",
    form: Annotated[
        str, typer.Option("--format", help="zarr, or pfs: one noisy pfsObject file a star")
    ] = "zarr",
    path: Annotated[str, typer.Option(help="reference (float64, slow) or compiled")] = "compiled",
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Simulate your own stars under your own observing conditions."""
    from flows.config import load_config
    from simlib.simulation.simulate import check_path
    from simlib.simulation.spectra_file import check_output, summaries, write_spectra
    from simlib.simulation.targets import read_targets, simulate_targets

    check_output(out, form)
    settings = load_config(config, overrides or [])
    spectra = simulate_targets(read_targets(targets), settings, check_path(path))
    write_spectra(spectra, out, form, settings)
    rows = summaries(spectra)
    if as_json:
        print(json.dumps({"out": str(out), "spectra": rows}, indent=1))
        return
    for number, row in enumerate(rows, start=1):
        print(f"row {number}: " + "  ".join(f"{name} {value:.5g}" for name, value in row.items()))
    print(out)
