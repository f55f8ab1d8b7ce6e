"""`python -m tests.bench [NAME …]`: time the parts, print a table, write bench.json.

A NAME is a module of this folder; without one all are run. Every ratio is measured in one run
against what its entry names. Each module has a process of its own, in which libraries of linear
algebra keep to one thread, but where the figures are of all cores: pools of threads that share a
core slow both sides of a ratio, and not alike.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

MODULES = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))
ALL_CORES = {"denoise", "device", "evaluate", "flow"}
RUN = """
import importlib, json, sys
entries = importlib.import_module(sys.argv[1]).run()
open(sys.argv[2], "w").write(json.dumps(entries))
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(MODULES)}")
    parser.add_argument("--out", type=Path, default=Path("bench.json"))
    options = parser.parse_args()
    if unknown := set(options.names) - set(MODULES):
        parser.error(f"unknown {', '.join(sorted(unknown))}; known: {', '.join(MODULES)}")
    entries = [entry for name in options.names or MODULES for entry in entries_of(name)]
    options.out.write_text(json.dumps(entries, indent=1) + "\n")
    table = Table("name", "value", "unit", "against")
    for entry in entries:
        table.add_row(entry["name"], str(entry["value"]), entry["unit"], entry["against"])
    Console().print(table)


def entries_of(name: str) -> list[dict[str, Any]]:
    """Return the entries of a module, run in a process of its own."""
    variables = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    if name not in ALL_CORES:
        variables["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "entries.json"
        words = [sys.executable, "-c", RUN, f"tests.bench.{name}", str(out)]
        subprocess.run(words, env=variables, check=True)
        entries: list[dict[str, Any]] = json.loads(out.read_text())
    return entries


if __name__ == "__main__":
    main()
