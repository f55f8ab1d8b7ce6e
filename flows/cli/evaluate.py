"""The verb `evaluate`."""

import json

from flows.cli.options import JsonOption, RunArgument


def evaluate(run: RunArgument, as_json: JsonOption = False) -> None:
    """Judge the network of a run and the baselines, by S/N."""
    from flows.terminal.tables import print_evaluation
    from trainlib.evaluation.evaluate import evaluate as evaluate_run

    result = evaluate_run(run)
    if as_json:
        print(json.dumps(result, indent=1))
    else:
        print_evaluation(result)
