"""The verb `ablate`."""

from typing import Annotated

import typer

from flows.cli.options import JsonOption, RootOption, RunArgument, StorageOption, storage_options


def ablate(
    run: RunArgument,
    minutes: Annotated[
        float, typer.Option("--minutes", min=0.01, help="Of one core, for each training.")
    ] = 10.0,
    spectra: Annotated[int, typer.Option("--spectra", min=1, help="Of every kind.")] = 512,
    root: RootOption = "./data",
    storage_option: StorageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a run's config with one thing otherwise each time, and test all on the same spectra.

    Another loss; cells, and threads, of the stellar grid withheld; the paper's network, narrower.
    Each is an ordinary run; the table is kept in the run, and gone on with where it was cut off.
    """
    from flows.terminal.ablation_text import print_ablation
    from simlib.location import Location
    from trainlib.named import run_named

    place = run_named(run, Location.of(root, storage_options(storage_option)))

    from flows.ablating import ablate as ablate_run  # torch and Dask, after a mistake

    found = ablate_run(place, minutes, spectra)
    if as_json:
        print(found.model_dump_json(indent=1))
    else:
        print_ablation(found.model_dump(mode="json"))
