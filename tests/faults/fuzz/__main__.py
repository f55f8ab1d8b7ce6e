"""Make one input again and show what the program does with it: KIND NUMBER."""

import sys
import tempfile
from pathlib import Path

from tests.faults.fuzz.harness import limits, run_one
from tests.faults.fuzz.kinds import KINDS


def main() -> None:
    """Run the input in a folder that stays."""
    if len(sys.argv) != 3 or sys.argv[1] not in KINDS:
        sys.exit(f"usage: python -m tests.faults.fuzz KIND NUMBER; kinds: {', '.join(KINDS)}")
    name, number = sys.argv[1], int(sys.argv[2])
    folder = Path(tempfile.mkdtemp(prefix=f"fuzz-{name}-{number}-"))
    kind = KINDS[name]
    prepared = kind.prepare(folder)
    with limits():
        attempt, code = run_one(name, kind, number, prepared, folder)
    print(f"{attempt.note}\nexit code {code}; the input is in {folder}")


main()
