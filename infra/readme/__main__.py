"""`python -m infra.readme [--survey RUN …]`: record runs and fill the README's figures in.

What is not given stays as it is recorded (`results.json`). `make results` makes the runs first.
"""

import argparse
import json
import sys
from pathlib import Path

from infra.readme import record
from infra.readme.fill import README, RECORDED, filled, recorded
from simlib.artifact import write_bytes
from simlib.errors import InputError
from simlib.location import Location
from trainlib import runs

# of `test`; its first 4,096 rows were looked at while redshifts were made better
_LIMIT_BEGIN, _LIMIT_ROWS = 4096, 8192
_DEMO_ROWS = 10_000


def main() -> None:
    """Record what is given, then fill in."""
    parser = argparse.ArgumentParser(prog="python -m infra.readme", description=__doc__)
    parser.add_argument("--survey", type=Path, help="a run of it, judged and generalised")
    parser.add_argument("--continuous", help="with it: a dataset continuous in all of a star")
    parser.add_argument("--demo", type=Path, help="with --survey: a run of it")
    parser.add_argument("--ablated", type=Path, help="a run that `specdenoise ablate` was asked of")
    parser.add_argument("--bench", type=Path, help="a bench.json that was made just now, here")
    given = parser.parse_args()
    if bool(given.survey) != bool(given.continuous) or (given.demo and not given.survey):
        parser.error("--survey and --continuous go together, and --demo needs them")
    parts = recorded() if RECORDED.exists() else {}
    if given.survey:
        parts["survey"] = record.survey_of(given.survey)
        parts["limit"] = record.limit_of(given.survey, _LIMIT_BEGIN, _LIMIT_ROWS, given.continuous)
    if given.demo:
        dataset = runs.dataset_of(given.survey, *runs.read_run(given.survey)).url
        parts["demo"] = record.demo_of(given.demo, dataset, _DEMO_ROWS)
    if given.ablated:
        parts["ablation"] = record.ablation_of(given.ablated)
    if given.bench:
        parts["bench"] = record.bench_of(json.loads(given.bench.read_text()))
    readme = filled(README.read_text(encoding="utf-8"), parts)
    lines = [f"{json.dumps(name)}: {json.dumps(parts[name])}" for name in sorted(parts)]
    write_bytes(Location.of(RECORDED), ("{\n" + ",\n".join(lines) + "\n}\n").encode())
    write_bytes(Location.of(README), readme.encode())


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
