"""`python -m tests.bench [NAME …]`: time the parts, print a table, write bench.json.

A NAME is a module of this folder; without one all are run. Every ratio is measured in one run
against what its entry names.
"""

import argparse
import importlib
import json
import os
from pathlib import Path

from rich.console import Console
from rich.table import Table

MODULES = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(MODULES)}")
    parser.add_argument("--out", type=Path, default=Path("bench.json"))
    options = parser.parse_args()
    if unknown := set(options.names) - set(MODULES):
        parser.error(f"unknown {', '.join(sorted(unknown))}; known: {', '.join(MODULES)}")
    cores, entries = os.sched_getaffinity(0), []
    for name in options.names or MODULES:
        entries += importlib.import_module(f"tests.bench.{name}").run()
        os.sched_setaffinity(0, cores)  # some keep to one core: not those that come after
    options.out.write_text(json.dumps(entries, indent=1) + "\n")
    table = Table("name", "value", "unit", "against")
    for entry in entries:
        table.add_row(entry["name"], str(entry["value"]), entry["unit"], entry["against"])
    Console().print(table)


if __name__ == "__main__":
    main()
