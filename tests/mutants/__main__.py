"""`python -m tests.mutants PACKAGE`: try changes in a copy, print what nobody noticed."""

import difflib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from typing import Annotated

import typer

from tests.mutants import touched
from tests.mutants.mutations import Mutation, means_something, mutations_of
from tests.mutants.nearest import nearest_tests

ROOT = Path(__file__).resolve().parents[2]
EQUIVALENT = Path(__file__).with_name("equivalent.toml")
OUT = ROOT / ".mutants"
BATCHES = (6, 12, 24)  # nearest test files a pytest process: the first are likely to notice
PLACE = ("path", "line", "before", "after")  # of an equivalent one
MARKED = "not slow and not browser and not gpu"


@dataclass(frozen=True)
class Mutant:
    """A change of one file, and what came of it."""

    path: str
    mutation: Mutation
    verdict: str = ""  # killed, lived, equivalent; unsound: by a test that fails anyway
    by: str = ""
    seconds: float = 0.0

    @property
    def place(self) -> tuple[str, str, str, str]:
        """Tells it from all others, for as long as its line stays as it is."""
        source = (ROOT / self.path).read_text(encoding="utf-8").splitlines()
        line = source[self.mutation.line - 1].strip()
        return self.path, line, self.mutation.before, self.mutation.after

    @property
    def key(self) -> str:
        """The place in short."""
        return hashlib.sha256("\0".join(self.place).encode()).hexdigest()[:16]

    def diff(self) -> str:
        """Return the change as a reader of code sees it."""
        source = (ROOT / self.path).read_text(encoding="utf-8")
        lines = difflib.unified_diff(
            source.splitlines(), self.mutation.applied(source).splitlines(), lineterm="", n=1
        )
        return "\n".join(list(lines)[2:])


def picked(package: str, count: int, seed: int) -> list[Mutant]:
    """Return `count` mutants: that many lines of the package by lot, one change of each by lot."""
    lines: dict[tuple[str, int], list[Mutation]] = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        for mutation in mutations_of(path.read_text(encoding="utf-8")):
            lines.setdefault((name, mutation.line), []).append(mutation)
    lot = random.Random(f"{package} {seed}")
    chosen: list[Mutant] = []
    for name, line in lot.sample(sorted(lines), len(lines)):
        if len(chosen) == count:
            break
        source = (ROOT / name).read_text(encoding="utf-8")
        mutation = lot.choice(lines[name, line])
        if means_something(source, mutation):
            chosen.append(Mutant(name, mutation))
    return chosen


def copied(to: Path) -> Path:
    """Copy what Git would carry, changes not yet committed included, with a history of its own."""
    shutil.rmtree(to, ignore_errors=True)
    subprocess.run(["git", "clone", "--quiet", "--shared", ROOT, to], check=True, timeout=300)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True, timeout=60,
    ).stdout  # fmt: skip
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)
        else:
            (to / name).unlink(missing_ok=True)
    return to


def environment_of(copy: Path, cache: Path) -> dict[str, str]:
    """Return the variables with which the tests of a copy run."""
    environment = {
        **os.environ, "PYTHONPATH": str(copy), "SPECDENOISE_CACHE": str(cache),
        "COLUMNS": "240", "OMP_NUM_THREADS": "1", "NUMBA_CACHE_DIR": str(cache / "numba"),
    }  # fmt: skip
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # each of many processes would compile all
    environment.pop("PYTEST_ADDOPTS", None)  # of who runs this, with plugins that a copy lacks
    reference = ROOT.parent / "shared" / "reference"
    if reference.is_dir():
        environment.setdefault("SPECDENOISE_REFERENCE", str(reference))
    return environment


def put(path: Path, source: str) -> None:
    """Change a file so that what Python compiled of it before is not taken for it.

    Python compares sizes and whole seconds.
    """
    seconds = int(path.stat().st_mtime) + 2
    path.write_text(source, encoding="utf-8")
    os.utime(path, (seconds, seconds))


def ran(copy: Path, tests: list[str], cache: Path, seconds: float) -> tuple[str, str]:
    """Run tests in a copy until one fails. Return ("passed" | "failed" | "late", the test)."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--no-header",
               "--tb=line", "-rfE", "-m", MARKED, *tests]  # fmt: skip
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            command, cwd=copy, env=environment_of(copy, cache), stdout=said,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            return "late", ""
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        said.seek(0)
        text = said.read()
    if code in (0, 5):  # passed, or all of them are for another run
        return "passed", ""
    failed = [line for line in text.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return "failed", failed[0].split(" - ")[0].split(" ", 1)[1] if failed else text[-300:]


def judged(
    mutant: Mutant, copy: Path, cache: Path, seconds: float, sound: set[str], touching: list[str]
) -> Mutant:
    """Try one mutant: the tests that run its line, then the nearest, until one fails or time ends.

    A test that fails for the first time must pass without the change; `sound` keeps those that did.
    """
    started = time.monotonic()
    original = (copy / mutant.path).read_text(encoding="utf-8")
    tests = [path.relative_to(ROOT).as_posix() for path in nearest_tests(ROOT, ROOT / mutant.path)]
    forget(mutant, cache)
    put(copy / mutant.path, mutant.mutation.applied(original))
    verdict, by = "lived", ""
    try:
        for batch in (*([touching] if touching else []), *batches(tests)):
            left = seconds - (time.monotonic() - started)
            what, test = ran(copy, batch, cache, left) if left > 0 else ("late", "")
            if what == "failed":
                verdict, by = "killed", test
            if what == "late":
                by = "not all of its tests ran: the time was over"
            if what != "passed":
                break
    finally:
        put(copy / mutant.path, original)
        forget(mutant, cache)
    if verdict == "killed" and by not in sound:
        what, _ = ran(copy, [by], cache, 600.0)
        verdict = "killed" if what == "passed" else "unsound"
        sound |= {by} if what == "passed" else set()
    return replace(mutant, verdict=verdict, by=by, seconds=round(time.monotonic() - started, 1))


def forget(mutant: Mutant, cache: Path) -> None:
    """Clear what the simulator keeps: made before the change it would hide it, after it lie."""
    if mutant.path.startswith("simlib/") and cache.is_dir():
        for kept in cache.iterdir():
            if "compiled" in mutant.path or kept.name != "numba":
                shutil.rmtree(kept, ignore_errors=True) if kept.is_dir() else kept.unlink()


def batches(tests: list[str]) -> Iterator[list[str]]:
    """Cut the list into a few processes, each with more files than the one before."""
    start = 0
    for size in (*BATCHES, len(tests)):
        if tests[start : start + size]:
            yield tests[start : start + size]
        start += size


def main(
    package: Annotated[str, typer.Argument(help="simlib, trainlib or flows")],
    count: Annotated[int, typer.Option(help="how many mutants")] = 60,
    seed: Annotated[int, typer.Option(help="another seed picks others")] = 0,
    seconds: Annotated[float, typer.Option(help="time for one mutant's tests")] = 240.0,
    workers: Annotated[int, typer.Option(help="how many at once, each in its own copy")] = 2,
    again: Annotated[bool, typer.Option(help="try those that lived once more")] = False,
) -> None:
    """Pick mutants of a package, try each against its nearest tests, print those that lived."""
    record = OUT / f"{package}-{seed}.jsonl"
    OUT.mkdir(exist_ok=True)
    known = (
        [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []
    )
    verdicts = {one["key"]: one for one in known if not (again and one["verdict"] == "lived")}
    reasons = tomllib.loads(EQUIVALENT.read_text(encoding="utf-8")).get("equivalent", [])
    excused = {tuple(one[key] for key in PLACE): one["reason"] for one in reasons}
    mutants = picked(package, count, seed)
    lanes: SimpleQueue[tuple[Path, Path]] = SimpleQueue()
    writing, sound = Lock(), set[str]()

    def verdict_on(mutant: Mutant) -> Mutant:
        reason = excused.get(mutant.place)
        if reason:
            return replace(mutant, verdict="equivalent", by=reason)
        if mutant.key in verdicts:
            one = verdicts[mutant.key]
            return replace(mutant, verdict=one["verdict"], by=one["by"], seconds=one["seconds"])
        touching = touched.touching(
            OUT, ROOT / mutant.path, mutant.path, mutant.mutation.line, durations
        )
        lane = lanes.get()
        try:
            mutant = judged(mutant, *lane, seconds, sound, touching)
        finally:
            lanes.put(lane)
        with writing, record.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"key": mutant.key, **asdict(mutant)}) + "\n")
        print(f"{mutant.verdict:7} {mutant.seconds:6.1f} s  {mutant.path}:{mutant.mutation.line}"
              f"  {mutant.mutation.kind}  {mutant.by}", flush=True)  # fmt: skip
        return mutant

    with tempfile.TemporaryDirectory(prefix="specdenoise-mutants-") as folder:
        if not (OUT / touched.TIMES).exists():
            print("finding out which tests run which line: all of them, once", flush=True)
            copy = copied(Path(folder) / "copy-0")
            touched.measure(copy, OUT, environment_of(copy, Path(folder) / "cache-0"), MARKED)
        durations = touched.times(OUT)
        for lane in range(workers):
            copy = copied(Path(folder) / f"copy-{lane}")
            lanes.put((copy, Path(folder) / f"cache-{lane}"))
        with ThreadPoolExecutor(workers) as pool:
            results = list(pool.map(verdict_on, mutants))

    lived = [one for one in results if one.verdict == "lived"]
    count_of = Counter(one.verdict for one in results)
    judged_ones = count_of["killed"] + count_of["lived"]
    for one in lived:
        print(f"\n{one.path}:{one.mutation.line}  {one.mutation.kind}  {one.by}\n{one.diff()}")
    print(
        f"\n{package}, seed {seed}: {count_of['killed']} of {judged_ones} noticed"
        f" ({count_of['killed'] / max(1, judged_ones):.0%}); {count_of['equivalent']} equivalent,"
        f" {count_of['unsound']} left out since their test fails without them"
    )


if __name__ == "__main__":
    typer.run(main)
