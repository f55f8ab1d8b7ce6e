"""The verb `evaluate`."""

import json

from flows.cli.options import JsonOption, RunArgument, StorageOption, storage_options


def evaluate(
    run: RunArgument, storage_option: StorageOption = None, as_json: JsonOption = False
) -> None:
    """Judge the network of a run and the baselines, by S/N."""
    from flows.terminal.tables import print_evaluation
    from simlib.location import Location
    from trainlib.evaluation.evaluate import evaluate as evaluate_run

    result = evaluate_run(Location.of(run, storage_options(storage_option)))
    if as_json:
        print(json.dumps(result, indent=1))
    else:
        print_evaluation(result)
