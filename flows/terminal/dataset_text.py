"""How the verbs of a dataset's life put what they found into words."""

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from flows.terminal.tables import print_table

if TYPE_CHECKING:
    from simlib.dataset.compare import DatasetDifference, MeanRatio, SplitDifference
    from simlib.dataset.lineage import Step
    from simlib.dataset.prune import Found, Pruning

_COMMIT_DIGITS = 10


def print_dataset_difference(found: "DatasetDifference") -> None:
    """Print how two datasets differ."""
    print(f"A {found.a}\nB {found.b}")
    for entry in found.entries:
        print(f"{entry.key}: {_value(entry.a)} | {_value(entry.b)}")
    for side, splits in (("A", found.only_in_a), ("B", found.only_in_b)):
        for split in splits:
            print(f"only {side} has the split {split}")
    for part in found.splits:
        _print_split(part)
    if found.is_same:
        print("no difference")
        return
    differing = [f"{p.split} {t.name}" for p in found.splits for t in p.parameters if t.differs]
    print(f"distributions differ: {', '.join(differing) or 'none'}")


def _value(value: Any) -> str:
    return "—" if value is None else value if isinstance(value, str) else json.dumps(value)


def _print_split(part: "SplitDifference") -> None:
    (rows_a, rows_b), (tested_a, tested_b) = part.rows, part.tested
    title = f"{part.split}: {tested_a} of {rows_a} rows of A, {tested_b} of {rows_b} of B, tested"
    rows = [
        [
            test.name,
            _number(test.statistic, ".4f"),
            _number(test.p_value, ".3g"),
            _number(test.p_corrected, ".3g"),
            "differs" if test.differs else "",
        ]
        for test in part.parameters
    ]
    print_table(title, ("parameter", "KS", "p", "p, Holm", ""), rows)
    if part.mean_ratio is not None:
        print(_ratio(part.mean_ratio))
    elif part.wavelengths == "same":
        print("mean flux of B is nowhere positive: no ratio of mean spectra")
    else:
        print(f"wavelengths differ, so that mean spectra have no ratio: {part.wavelengths}")


def _number(value: float | None, style: str) -> str:
    return "—" if value is None else format(value, style)


def _ratio(ratio: "MeanRatio") -> str:
    of = f"mean flux A / B of {ratio.spectra[0]} and {ratio.spectra[1]} spectra"
    if ratio.rms_from_one == 0.0:
        return f"{of}: 1 everywhere"
    return (
        f"{of}: {ratio.lowest:.5f} to {ratio.highest:.5f}, rms from 1 {ratio.rms_from_one:.2e}, "
        f"farthest at {ratio.largest_at_nm:.2f} nm ({ratio.largest:.5f})"
    )


def print_lineage(step: "Step") -> None:
    """Print a step and below it all that it was made from, a line a step, however long."""
    print(_line(step))
    _print_parents(step.parents, "")


def _print_parents(steps: "Sequence[Step]", before: str) -> None:
    for number, step in enumerate(steps, start=1):
        branch, below = ("└── ", "    ") if number == len(steps) else ("├── ", "│   ")
        print(f"{before}{branch}{_line(step)}")
        _print_parents(step.parents, before + below)


def _line(step: "Step") -> str:
    commit = step.commit and f"commit {step.commit[:_COMMIT_DIGITS]}"
    if commit and step.commit and step.commit.endswith("-dirty"):
        commit += " with changed files"
    by = ", ".join(filter(None, (step.version and f"specdenoise {step.version}", commit)))
    made = " ".join(filter(None, ("made", step.made, by and f"by {by}")))
    state = "" if step.state == "there" else step.state.upper()
    told = (step.place, step.fingerprint, state, made if made != "made" else "", step.note)
    return f"{step.kind}: " + " · ".join(filter(None, told))


def pruning_facts(found: "Pruning", removed: "list[Found] | None") -> dict[str, Any]:
    """Return what `prune` found and removed as plain data. removed: None where it only looked."""
    return {
        "is_dry_run": removed is None,
        "bytes": found.bytes,
        "goes": [_facts(one) for one in found.goes],
        "stays": [_facts(one) for one in found.stays],
        "removed": [str(one.place) for one in removed or []],
    }


def _facts(one: "Found") -> dict[str, Any]:
    return {
        "place": str(one.place), "kind": one.kind, "why": one.why, "bytes": one.bytes,
        "written": None if one.written is None else _at(one.written),
    }  # fmt: skip


def _at(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def print_pruning(found: "Pruning", removed: "list[Found] | None") -> None:
    """Print what `prune` found, and what it removed: None where it only looked."""
    now = time.time()
    for one in (*found.stays, *found.goes):
        verb = "stays" if one in found.stays else "goes"
        age = "age unknown" if one.written is None else f"written {_ago(now - one.written)} ago"
        print(f"{verb}  {one.place}  {one.kind}, {one.bytes / 1e6:.1f} MB, {age}: {one.why}")
    if not found.goes:
        print("nothing to prune")
    elif removed is None:
        count = len(found.goes)
        print(f"{count} to remove, {found.bytes / 1e6:.1f} MB; nothing was removed, --yes does it")
    else:
        size = sum(one.bytes for one in removed)
        print(f"{len(removed)} of {len(found.goes)} removed, {size / 1e6:.1f} MB")


def _ago(seconds: float) -> str:
    for unit, size in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{max(seconds, 0.0):.0f} s"
