"""Which tests run a line: found once, by running them all under coverage.

What runs at import, in a child process or as compiled code is seen by no test here.
"""

import ast
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path

from coverage import CoverageData

DATA, TIMES = "touched.coverage", "touched.xml"
MOST = 400  # tests of one line: the shortest
_MOST_S = 7200.0  # for all tests, on a busy machine


def measure(copy: Path, out: Path, environment: Mapping[str, str], marked: str) -> None:
    """Run all tests of a copy and keep which lines each of them runs, and how long it takes."""
    cores = str(len(os.sched_getaffinity(0)))
    packages = [f"--cov={name}" for name in ("simlib", "trainlib", "flows")]
    command = [sys.executable, "-m", "pytest", "-q", "-n", cores, "--dist", "loadfile", "-m",
               marked, "-p", "no:cacheprovider", *packages, "--cov-context=test", "--cov-report=",
               f"--junitxml={out / TIMES}", "-o", "junit_family=xunit1"]  # fmt: skip
    told = subprocess.run(
        command, cwd=copy, env={**environment, "COVERAGE_FILE": str(out / DATA)}, check=False,
        capture_output=True, text=True, timeout=_MOST_S,
    )  # fmt: skip
    if not (out / DATA).exists():
        raise RuntimeError(told.stdout[-2000:] + told.stderr[-2000:])
    print(told.stdout.strip().splitlines()[-1], flush=True)


def times(out: Path) -> dict[str, float]:
    """Return the seconds of each test, by the name that pytest takes."""
    found = {}
    for case in ET.parse(out / TIMES).iter("testcase"):
        found[f"{case.get('file')}::{case.get('name')}"] = float(case.get("time") or 0.0)
    return found


def touching(
    out: Path, module: Path, name: str, line: int, seconds: Mapping[str, float]
) -> list[str]:
    """Return the tests that run the statement at a line, the shortest first, each file together."""
    data = CoverageData(str(out / DATA))
    data.read()
    measured = [file for file in data.measured_files() if file.endswith(f"/{name}")]
    first, last = statement_at(module.read_text(encoding="utf-8"), line)
    names = {
        context.partition("|")[0]
        for file in measured
        for at, contexts in data.contexts_by_lineno(file).items()
        if first <= at <= last
        for context in contexts
    }
    known = sorted((seconds[test], test) for test in names if test in seconds)[:MOST]
    files = dict.fromkeys(test.partition("::")[0] for _, test in known)
    return [test for file in files for _, test in known if test.partition("::")[0] == file]


def statement_at(source: str, line: int) -> tuple[int, int]:
    """Return the first and last line of the innermost statement there, of its header if it has."""
    spans = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or line):
            body = getattr(node, "body", None)
            end = body[0].lineno - 1 if body and body[0].lineno > line else node.end_lineno
            spans.append((node.lineno, max(end or line, line)))
    return max(spans, default=(line, line))
