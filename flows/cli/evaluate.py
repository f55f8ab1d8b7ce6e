"""The verb `evaluate`."""

import json
from typing import Annotated

import typer

from flows.cli.options import JsonOption, RootOption, RunArgument, StorageOption, storage_options


def evaluate(
    run: RunArgument,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, help="Processes; by default this one alone."),
    ] = None,
    address: Annotated[str | None, typer.Option(help="A running Dask scheduler.")] = None,
    root: RootOption = "./data",
    storage_option: StorageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Judge the network of a run and the baselines, by S/N; run again, it does what is left."""
    from flows.terminal.tables import print_evaluation
    from simlib.location import Location
    from trainlib.named import run_named

    place = run_named(run, Location.of(root, storage_options(storage_option)))

    from flows.cluster_config import Cluster
    from flows.spreading import spread_over
    from flows.terminal.progress import item_progress
    from simlib.config import validate
    from trainlib.evaluation.evaluate import evaluate as evaluate_run  # torch, after a mistake

    given = {"workers": workers, "address": address}
    cluster = validate(Cluster, {key: one for key, one in given.items() if one is not None})
    with (
        spread_over(cluster, place) as spread,
        item_progress("judging", "parts", "spectra") as show,
    ):
        result = evaluate_run(place, spread=spread, progress=show)
    if as_json:
        print(json.dumps(result, indent=1))
    else:
        print_evaluation(result)
