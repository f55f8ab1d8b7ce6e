"""The verb `plot`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import (
    JsonOption,
    MediumOption,
    RootOption,
    StorageOption,
    WavelengthUnitOption,
    complete_dataset,
    storage_options,
)


def plot(
    path: Annotated[
        str,
        typer.Argument(
            metavar="PATH",
            help="A dataset (folder or name), terms of `etc`, or simulated, observed or denoised "
            "spectra in any format that `denoise` reads.",
            autocompletion=complete_dataset,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="PNG, PDF, SVG or an interactive HTML page, by its end; "
            "else the name of PATH with .png, in this folder."
        ),
    ] = None,
    row: Annotated[
        list[int] | None,
        typer.Option("--row", metavar="N", help="Spectrum or condition, from 0; may be repeated."),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Of a dataset: train (if not said), validation, test.")
    ] = None,
    lines: Annotated[
        bool, typer.Option("--lines", help="Mark the lines of cool stars, at their redshift.")
    ] = False,
    wavelength_unit: WavelengthUnitOption = None,
    medium: MediumOption = None,
    root: RootOption = "./data",
    storage_option: StorageOption = None,
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Draw a dataset, simulated, observed or denoised stars, or the calculator's terms."""
    from simlib.dataset.named import dataset_named
    from simlib.location import Location
    from simlib.plots.plot import (
        check_picture_file,
        picture_of,
        save_picture,
        stated_of,
        unused_file,
    )

    stated = stated_of(wavelength_unit, medium)
    place = dataset_named(path, Location.of(root, storage_options(storage_option)))
    file = check_picture_file(out) if out is not None else unused_file(place)
    picture = picture_of(place, split, row or [], lines, stated)
    written = save_picture(picture, file)
    if as_json:
        panels = [panel.title for panel in picture.panels]
        print(json.dumps({"out": str(written), "title": picture.title, "panels": panels}, indent=1))
    else:
        print(written)
