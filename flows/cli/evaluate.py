"""The verb `evaluate`."""

import json

from flows.cli.options import JsonOption, RootOption, RunArgument, StorageOption, storage_options


def evaluate(
    run: RunArgument,
    root: RootOption = "./data",
    storage_option: StorageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Judge the network of a run and the baselines, by S/N."""
    from flows.terminal.tables import print_evaluation
    from simlib.location import Location
    from trainlib.named import run_named

    place = run_named(run, Location.of(root, storage_options(storage_option)))

    from trainlib.evaluation.evaluate import evaluate as evaluate_run  # torch, after a mistake

    result = evaluate_run(place)
    if as_json:
        print(json.dumps(result, indent=1))
    else:
        print_evaluation(result)
