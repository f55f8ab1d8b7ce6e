"""The verb `etc`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import FiguresOption, JsonOption, SetOption


def etc(
    conditions: Annotated[
        Path, typer.Argument(metavar="CONDITIONS", help="A list, one row each: see below.")
    ],
    out: Annotated[
        Path, typer.Option("--out", help="Ends in .zarr, .nc, .fits, .ecsv, .csv or .npz.")
    ],
    instrument: Annotated[
        str, typer.Option(help="A shipped instrument's name, or a .toml file.")
    ] = "pfs-redmr-2024-07-14",
    sky_tables: Annotated[
        Path | None, typer.Option(metavar="DIR", help="CSV tables instead of the embedded sky.")
    ] = None,
    convention: Annotated[
        str,
        typer.Option(
            help="centred (best physics), modified (as the paper's tool) or upstream (as the "
            "official calculator)"
        ),
    ] = "centred",
    quadrature: Annotated[str, typer.Option(help="converged or reference")] = "converged",
    lsf: Annotated[str, typer.Option(help="etc (optical model) or table2 (Gaussian)")] = "etc",
    line_extinction: Annotated[str, typer.Option(help="factorised or exact")] = "factorised",
    magnitude: Annotated[
        float | None, typer.Option(help="AB magnitude of a flat source: adds its S/N.")
    ] = None,
    spectrum: Annotated[
        Path | None,
        typer.Option(help="CSV of wavelength_nm, flux (1e-17 erg s-1 cm-2 AA-1): adds its S/N."),
    ] = None,
    figures: FiguresOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compute the exposure time calculator's separate terms for a list of conditions.

    CONDITIONS is CSV (commas, semicolons or tabs), ECSV, FITS or VOTable. Columns: seeing_arcsec,
    zenith_angle_deg, field_angle_deg, moon_zenith_angle_deg, moon_target_angle_deg, moon_phase,
    exposure_time_s, exposure_count; optionally ebv, fiber_offset_arcsec, r_eff_arcsec.
    """
    from functools import partial

    from flows.config import load_sky_section
    from flows.terminal.progress import item_progress
    from flows.terminal.streams import say
    from flows.terminal.tables import print_medians
    from simlib.etc.conditions_file import read_conditions
    from simlib.etc.conditions_list import evaluate_list, impossible_moons, source_flux
    from simlib.etc.sky.model import load_sky
    from simlib.etc.terms import run_etc
    from simlib.etc.terms_file import check_output
    from simlib.instrument import load_instrument

    check_output(out)
    table = read_conditions(conditions)
    arm, sky = load_instrument(instrument), load_sky(load_sky_section(overrides or [], sky_tables))
    flux = source_flux(arm, magnitude, spectrum, lsf)
    if told := impossible_moons(table):
        say(f"warning: {told}")
    evaluate = partial(
        run_etc,
        instrument=arm,
        sky=sky,
        convention=convention,
        quadrature=quadrature,
        lsf=lsf,
        line_extinction=line_extinction,
    )
    draw = None
    if figures is not None:
        from simlib.etc.figures import MOST_CONDITIONS, draw_conditions

        if table.sizes["condition"] > MOST_CONDITIONS:
            say(f"figures of the first {MOST_CONDITIONS} of {table.sizes['condition']} conditions")
        draw = partial(draw_conditions, folder=figures)
    with item_progress("computing", "pieces", "conditions") as show:
        medians, drawn = evaluate_list(table, out, evaluate, flux, draw, show)
    if as_json:
        print(json.dumps({"out": str(out), "conditions": medians, "figures": drawn}, indent=1))
        return
    print_medians(medians)
    print("\n".join([*drawn, str(out)]))
