"""The verb `denoise`."""

import json
from typing import Annotated

import typer

from flows.cli.options import (
    JsonOption,
    MediumOption,
    StorageOption,
    WavelengthUnitOption,
    storage_options,
)


def denoise(
    files: Annotated[
        list[str], typer.Argument(metavar="FILES…", help="Observed spectra, in any known format.")
    ],
    out: Annotated[str, typer.Option("--out", metavar="DIR", help="The folder to write into.")],
    bundle: Annotated[
        str | None,
        typer.Option(
            "--bundle", metavar="BUNDLE", help="What `export` wrote.  [the package's own]"
        ),
    ] = None,
    flux_unit: Annotated[
        str | None, typer.Option(help="Of files that do not say it: nJy, … or relative")
    ] = None,
    wavelength_unit: WavelengthUnitOption = None,
    medium: MediumOption = None,
    reject: Annotated[
        str, typer.Option(help="Planes of the survey's masks that reject: usual, ga or coadd")
    ] = "usual",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace outputs that are there.")
    ] = False,
    storage_option: StorageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Denoise observed spectra: denoised flux, its error, redshift and a verdict on each."""
    from flows.terminal.onsky_text import as_plain, print_done, tell_refusal
    from simlib.location import Location
    from simlib.spectra.observed import Stated
    from trainlib.onsky.batch import denoise as denoise_files
    from trainlib.onsky.denoise import load_bundle

    stated = Stated(flux_unit, wavelength_unit, medium, reject)
    options = storage_options(storage_option)
    done = denoise_files(
        load_bundle(None if bundle is None else Location.of(bundle, options)),
        [Location.of(file, options) for file in files],
        Location.of(out, options),
        stated,
        overwrite=overwrite,
        tell=tell_refusal,
    )
    if as_json:
        print(json.dumps({"out": out, "files": as_plain(done)}, indent=1))
    else:
        print_done(done, out)
    if any(one.refusals for one in done):
        raise typer.Exit(1)
