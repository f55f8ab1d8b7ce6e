"""The program `specdenoise`: one file a verb; what a verb does is a function elsewhere.

Exit code 0: done. 2: a person's mistake, told in one message. 1: our failure, with the log's place.
75: training was told to stop (SIGTERM), and goes on from that very step where it is started again.
130: interrupted. Nothing heavy is imported before a verb runs, so that `--help` answers at once.
"""

import sys
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from flows.circles import seek_circles_seldom
from flows.cli import (
    ablate,
    build,
    cache_clear,
    cache_info,
    config_diff,
    config_reference,
    config_show,
    dataset_info,
    dataset_list,
    demo,
    denoise,
    deploy,
    diff,
    etc,
    etc_grid_build,
    etc_grid_check,
    etc_official,
    etc_sky,
    evaluate,
    export,
    generalise,
    grid_diff,
    grid_download,
    grid_import,
    grid_info,
    grid_list,
    grid_verify,
    inspect,
    lineage,
    plan,
    plot,
    prune,
    refresh,
    replay,
    report,
    rollback,
    runs_list,
    serve,
    simulate,
    sweep,
    train,
    verify,
)
from flows.cli.examples import EXAMPLES
from flows.terminal.boundary import explain
from flows.terminal.interrupt import code_of, end_soon_when_interrupted
from flows.terminal.streams import flush_results, keep_streams_open, log_to_terminal, say

Verb = Callable[..., None]

NOT_READ = 141  # as a program that a closed pipe ends
_VERBS: dict[str, Verb] = {
    "demo": demo.demo,
    "plan": plan.plan,
    "build": build.build,
    "inspect": inspect.inspect,
    "plot": plot.plot,
    "train": train.train,
    "sweep": sweep.sweep,
    "evaluate": evaluate.evaluate,
    "generalise": generalise.generalise,
    "ablate": ablate.ablate,
    "report": report.report,
    "export": export.export,
    "denoise": denoise.denoise,
    "etc": etc.etc,
    "etc-sky": etc_sky.etc_sky,
    "etc-official": etc_official.etc_official,
    "simulate": simulate.simulate,
    "replay": replay.replay,
    "verify": verify.verify,
    "refresh": refresh.refresh,
    "rollback": rollback.rollback,
    "deploy": deploy.deploy,
    "serve": serve.serve,
    "diff": diff.diff,
    "lineage": lineage.lineage,
    "prune": prune.prune,
}
_GROUPS: dict[str, tuple[str, dict[str, Verb]]] = {
    "cache": (
        "What can always be made again: the expanded grid, set-ups, compiled loops, logs.",
        {"info": cache_info.info, "clear": cache_clear.clear},
    ),
    "config": (
        "What a config means, and what may stand in one.",
        {
            "show": config_show.show,
            "reference": config_reference.reference,
            "diff": config_diff.diff,
        },
    ),
    "dataset": (
        "Which datasets there are, and what is recorded of one.",
        {"list": dataset_list.list_all, "info": dataset_info.info},
    ),
    "etc-grid": (
        "The terms on a grid over observing conditions.",
        {"build": etc_grid_build.build, "check": etc_grid_check.check},
    ),
    "grid": (
        "Stellar grids: the embedded one, and published ones to download and import.",
        {
            "list": grid_list.list_grids,
            "info": grid_info.info,
            "download": grid_download.download_release,
            "import": grid_import.import_folder,
            "verify": grid_verify.verify,
            "diff": grid_diff.diff,
        },
    ),
    "runs": ("Which runs there are.", {"list": runs_list.list_runs}),
}

app = typer.Typer(
    name="specdenoise",
    help="Simulate observations of faint stars, train a denoiser on them, denoise spectra.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # boxes and colours would take half of the time that `--help` has
)


def _tell_version(is_asked: bool) -> None:
    if is_asked:
        from simlib.version import version

        print(f"specdenoise {version()}")
        raise typer.Exit


@app.callback()
def _before_any_verb(
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Show it.")
    ] = False,
) -> None: ...


def _add(group: typer.Typer, verbs: dict[str, Verb], before: str = "") -> None:
    for name, verb in verbs.items():
        short = (verb.__doc__ or "").partition("\n")[0]
        example = f"Example: {EXAMPLES[before + name]}"
        group.command(name, short_help=short, epilog=example)(_ending_where_nobody_reads(verb))


def _ending_where_nobody_reads(verb: Verb) -> Verb:
    @wraps(verb)
    def run(*given: Any, **options: Any) -> None:
        try:
            verb(*given, **options)
        except BrokenPipeError:  # typer's own answer is code 1, which is a failure of ours
            raise typer.Exit(NOT_READ) from None

    return run


_add(app, _VERBS)
for _name, (_help, _verbs) in _GROUPS.items():
    _group = typer.Typer(help=_help, no_args_is_help=True, rich_markup_mode=None)
    _add(_group, _verbs, f"{_name} ")
    app.add_typer(_group, name=_name, short_help=_help)


def main() -> None:
    """Run the program and exit with its code."""
    seek_circles_seldom()
    keep_streams_open()
    log_to_terminal()
    end_soon_when_interrupted()
    sys.exit(run_program(sys.argv[1:]))


def run_program(arguments: list[str]) -> int:
    """Return the exit code of the program with these arguments."""
    try:
        try:
            app(arguments)
        finally:
            flush_results()
    except SystemExit as done:  # how typer ends, a wrong option included
        return done.code if isinstance(done.code, int) else int(bool(done.code))
    except KeyboardInterrupt as asked:
        return code_of(asked)
    except BrokenPipeError:  # whoever reads the results has seen enough
        return NOT_READ
    except Exception as error:
        message, code = explain(error, arguments)
        say(f"error: {message}")
        return code
    return 0
