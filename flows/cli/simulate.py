"""The verb `simulate`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import (
    ExposureTimeOption,
    FieldAngleOption,
    JsonOption,
    MoonPhaseOption,
    MoonTargetAngleOption,
    MoonZenithAngleOption,
    SeeingOption,
    SetOption,
    ZenithAngleOption,
)


def simulate(
    targets: Annotated[
        Path, typer.Argument(metavar="TARGETS", help="A list, one row a star: see below.")
    ],
    config: Annotated[
        str | None,
        typer.Argument(
            metavar="CONFIG", help="A preset or a file; by default the newest instrument."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Ends in .zarr, .nc, .fits (pfsCoadd), .ecsv, .csv or .npz."),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option("--format", help="pfs: --out is a folder, of one noisy pfsObject a star."),
    ] = None,
    path: Annotated[str, typer.Option(help="reference (float64, slow) or compiled")] = "compiled",
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=COLUMN", help="What a column is; may be repeated."),
    ] = None,
    seeing: SeeingOption = None,
    zenith_angle: ZenithAngleOption = None,
    field_angle: FieldAngleOption = None,
    moon_zenith_angle: MoonZenithAngleOption = None,
    moon_target_angle: MoonTargetAngleOption = None,
    moon_phase: MoonPhaseOption = None,
    exposure_time: ExposureTimeOption = None,
    exposure_count: Annotated[float | None, typer.Option(help="Exposures in the stack")] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out rows that cannot be used; list them.")
    ] = False,
    template: Annotated[
        bool, typer.Option("--template", help="Write an example list to TARGETS, and end.")
    ] = False,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Simulate your own stars under your own observing conditions.

    TARGETS is CSV (commas, semicolons or tabs), ECSV, FITS or VOTable. It has to hold teff (K),
    logg, feh and magnitude (AB, in stellar.band). It may hold alpha, redshift or rv (km/s), ebv
    (each 0 where it is not there), seeing_arcsec, zenith_angle_deg, field_angle_deg,
    moon_zenith_angle_deg, moon_target_angle_deg, moon_phase, exposure_time_s, exposure_count
    (where it does not: the option, else conditions of the config, where a range is drawn from),
    fiber_offset_arcsec, r_eff_arcsec, interpolated_axis, object_id, catalogue_id, ra, dec, visit.
    Other usual names are understood (T_eff, [Fe/H], imag, exptime, RA), and all other columns
    are kept.
    """
    from flows.config import load_target_config
    from flows.terminal.streams import say
    from simlib.simulation.simulate import check_path
    from simlib.simulation.spectra_file import (
        check_output,
        check_targets,
        summaries,
        write_spectra,
    )
    from simlib.simulation.target_list import read_targets, told, write_template
    from simlib.simulation.targets import simulate_targets
    from simlib.stellar.grid import open_grid

    if template:
        write_template(targets)
        print(json.dumps({"template": str(targets)}) if as_json else targets)
        return
    place = check_output(out, form)
    settings = load_target_config(config, overrides or [])
    given = {
        "seeing": seeing,
        "zenith_angle": zenith_angle,
        "field_angle": field_angle,
        "moon_zenith_angle": moon_zenith_angle,
        "moon_target_angle": moon_target_angle,
        "moon_phase": moon_phase,
        "exposure_time_s": exposure_time,
        "exposure_count": exposure_count,
    }
    found = read_targets(
        targets,
        settings,
        columns=column or [],
        given=given,
        overrides=overrides or [],
        grid=open_grid(settings.grid),
        skip_bad=skip_bad,
    )
    for line in [*told(found), *check_targets(found.targets, place, form, settings)]:
        say(line)
    spectra = simulate_targets(found.targets, settings, check_path(path))
    write_spectra(spectra, place, form, settings)
    rows = summaries(spectra)
    if as_json:
        record = {
            "out": str(place),
            "columns": found.understood,
            "filled": found.filled,
            "skipped": found.skipped,
            "spectra": rows,
        }
        print(json.dumps(record, indent=1))
        return
    for number, row in zip(spectra["spectrum"].values + 1, rows, strict=True):
        texts = (
            f"{name} {value:.5g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in row.items()
        )
        print(f"row {number}: " + "  ".join(texts))
    print(place)
