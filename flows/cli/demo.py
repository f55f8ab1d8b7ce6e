"""The verb `demo`."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import SetOption


def demo(
    out: Annotated[
        Path | None, typer.Option("--out", help="Where to keep everything (default ./data).")
    ] = None,
    overrides: SetOption = None,
) -> None:
    """Run the whole workflow, small: simulate, train, evaluate, report.

    Uses the embedded figures only. Run again, it goes on where it stopped.
    """
    from flows.config import load_config

    where = [f"storage.root={str(out)!r}"] if out else []
    changes = [*where, *(overrides or [])]
    load_config("demo", changes)  # a mistake is told before torch and Prefect are loaded

    from flows.due import standing_report

    if (page := standing_report("demo", changes)) is not None:
        print(page)
        return

    from flows.pipeline import specdenoise

    print(specdenoise("demo", changes))
