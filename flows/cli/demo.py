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
    from flows.pipeline import specdenoise

    where = [f"storage.root={str(out)!r}"] if out else []
    print(specdenoise("demo", [*where, *(overrides or [])]))
