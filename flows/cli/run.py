"""Verbs on a finished run: evaluate, report."""

import json
from typing import Annotated

import typer

from flows.cli.options import JsonOption

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="A run's directory.")]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(evaluate)
    app.command()(report)


def evaluate(run: RunArgument, as_json: JsonOption = False) -> None:
    """Judge the network of a run and the baselines, by S/N."""
    from trainlib.evaluation.evaluate import evaluate as evaluate_run

    result = evaluate_run(run)
    if as_json:
        print(json.dumps(result, indent=1))
        return
    for interval in result["bins"]:
        methods = "  ".join(
            f"{name} {100 * numbers['mean_abs_relative_error']:.2f} %"
            for name, numbers in interval["methods"].items()
        )
        low, high = interval["snr_low"], interval["snr_high"]
        print(f"S/N {low}-{high if high is not None else '…'}: {interval['count']}  {methods}")


def report(
    runs: Annotated[list[str], typer.Argument(metavar="RUN …", help="Directories of runs.")],
) -> None:
    """Write one self-contained page about one run or several."""
    from trainlib.evaluation.report import write_report

    print(write_report(runs))
