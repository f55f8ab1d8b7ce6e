"""How the verbs of the stellar grids put a grid into words."""

from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from flows.terminal.tables import Results

if TYPE_CHECKING:
    from simlib.stellar.archive.download import DownloadReport
    from simlib.stellar.archive.download_plan import Estimate
    from simlib.stellar.archive.importing import ImportReport
    from simlib.stellar.quality.compare import GridDifference
    from simlib.stellar.quality.verify import Verification

MOST_LISTED = 10  # of anything; the rest is counted
UNBROKEN = 250  # columns of a wide table that goes to a file


def print_description(description: dict[str, Any]) -> None:
    """Print what `describe_grid` returned."""
    attrs, wavelength = description["attrs"], description["wavelength"]
    print(f"{attrs.get('name')} {attrs['version']}  fingerprint {description['fingerprint']}")
    for axis, nodes in description["axes"].items():
        print(f"{axis:6} {len(nodes):3}  {' '.join(f'{node:g}' for node in nodes)}")
    print(
        f"{wavelength['first_nm']:.2f}-{wavelength['last_nm']:.2f} nm ({attrs['medium']}), "
        f"{wavelength['points']} points, 1/{wavelength['points_per_unit_ln']} in ln wavelength, "
        f"R = {attrs['resolution']:g}"
    )
    reasons = {text_of(hole): hole["reason"] for hole in attrs.get("holes", [])}
    print(f"{description['nodes']} nodes, {len(description['missing'])} missing")
    for node in map(text_of, description["missing"][:MOST_LISTED]):
        print(f"missing {node}  {reasons.get(node, '')}")
    print(and_more(len(description["missing"])), end="")
    print(f"{description['bytes_in_memory'] / 1e6:.1f} MB in memory")
    for place, size in description["bytes_on_disk"].items():
        print(f"{size / 1e6:.1f} MB in {place}")
    for part in description.get("leave_one_out", []):
        _print_quality(part)
    if "sanity" in description:
        _print_sanity(description["sanity"])
    for key in sorted(attrs.keys() - {"name", "version", "medium", "resolution", "holes"}):
        print(f"{key}: {attrs[key]}")
    if "figure" in description:
        print(description["figure"])


def _print_quality(part: dict[str, Any]) -> None:
    low, high = part["window_nm"]
    title = f"left-out inner nodes, cubic, R = {part['resolution']:g}, {low:.0f}-{high:.0f} nm"
    table = Table("axis", "≥ 4000 K: nodes", "rms %", "largest %", "below: nodes", "rms %",
                  "largest %", title=title)  # fmt: skip
    for entry in part["axes"]:
        cells = [
            text
            for pool in (entry["warm"], entry["cool"])
            for text in (str(pool["nodes"]), _percent(pool["rms"]), _percent(pool["largest"]))
        ]
        table.add_row(entry["axis"], *cells)
    Results().print(table)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.3f}"


def _print_sanity(rows: list[dict[str, Any]]) -> None:
    open_ones = sum(bool(row["unexplained"]) for row in rows)
    but_for_known = sum(bool(row["failed"]) for row in rows) - open_ones
    title = (
        f"what is known of cool stars, {len(rows)} rules: {len(rows) - but_for_known - open_ones} "
        f"hold everywhere, {but_for_known} but for known exceptions, {open_ones} do not"
    )
    columns = ("rule", "bounds", "judged", "fail", "unexplained", "worst", "known exception")
    table = Table(*columns, title=title)
    for row in rows:
        low, high, worst = (row[key] for key in ("low", "high", "worst"))
        numbers = (str(row["judged"]), str(len(row["failed"])), str(len(row["unexplained"])))
        exception = row["exception"] if row["failed"] else ""
        size = "" if worst is None else f"{worst:.3g}"
        table.add_row(escape(row["check"]), _bounds(low, high), *numbers, size, escape(exception))
    Results(width=None if Results().is_terminal else UNBROKEN).print(table)
    for row in rows:
        for place in row["unexplained"][:MOST_LISTED]:
            at = " ".join(f"{name} {value}" for name, value in place.items())
            print(f"unexplained: {row['check']}: {at}")
        print(and_more(len(row["unexplained"])), end="")


def _bounds(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return f"< {high:g}" if low is None else f"> {low:g}"
    return f"{low:g} … {high:g}"


def print_import(report: "ImportReport") -> None:
    """Print how an import ended."""
    print(f"{report.nodes} nodes, {len(report.holes)} holes; {report.files_read} files read now")
    for hole in report.holes[:MOST_LISTED]:
        print(f"hole {text_of(hole)}: {hole['reason']}")
    print(and_more(len(report.holes)), end="")
    print(report.store)


def print_verification(result: "Verification") -> None:
    """Print which nodes are damaged."""
    print(f"{result.nodes} nodes read, {len(result.damaged)} damaged")
    for node in result.damaged[:MOST_LISTED]:
        print(f"damaged {text_of(node)}")
    print(and_more(len(result.damaged)), end="")
    for problem in result.problems:
        print(problem)


def print_difference(difference: "GridDifference") -> None:
    """Print how two grids differ."""
    print(f"{'same' if difference.is_same else 'different'} fingerprints")
    for axis, apart in difference.axes.items():
        print(f"{axis}: only in A {apart['only_in_a']}, only in B {apart['only_in_b']}")
    for side, nodes in (("A", difference.only_in_a), ("B", difference.only_in_b)):
        for node in nodes[:MOST_LISTED]:
            print(f"only {side} has {text_of(node)}")
        print(and_more(len(nodes)), end="")
    for key, (first, second) in difference.attrs.items():
        print(f"{key}: {first} | {second}")
    print(f"wavelengths: {difference.wavelengths}; {len(difference.nodes)} common nodes")
    table = Table("node", "rms", "largest", title="most different nodes, of the continuum")
    for entry in difference.nodes[:MOST_LISTED]:
        table.add_row(text_of(entry.node), f"{entry.rms:.2e}", f"{entry.largest:.2e}")
    Results().print(table)


def text_of_estimate(expected: "Estimate", total: int) -> str:
    """Return size and time of a download."""
    size = f"{expected.files} of {total} files to fetch, {expected.bytes / 1e9:.2f} GB"
    if expected.seconds is None or expected.bytes_per_s is None:
        return f"{size} ({expected.basis}); time unknown"
    return (
        f"{size} ({expected.basis}); {expected.seconds / 3600:.1f} h if every connection gets the "
        f"{expected.bytes_per_s / 1e6:.2f} MB/s that one had just now"
    )


def print_download(report: "DownloadReport") -> None:
    """Print how a download ended."""
    print(
        f"{report.fetched} files fetched ({report.bytes / 1e6:.1f} MB), {report.kept} there "
        f"before, {len(report.absent)} not in the archive, {len(report.failed)} failed"
    )
    for path in report.absent[:MOST_LISTED]:
        print(f"absent {path}")
    print(and_more(len(report.absent)), end="")
    for path, reason in list(report.failed.items())[:MOST_LISTED]:
        print(f"failed {path}: {reason}")
    print(and_more(len(report.failed)), end="")


def text_of(node: dict[str, Any]) -> str:
    """Return the parameters of a node."""
    return " ".join(f"{name} {node[name]:g}" for name in ("teff", "logg", "feh", "alpha"))


def and_more(count: int) -> str:
    """Return a line on those that are not listed, or nothing."""
    return f"… and {count - MOST_LISTED} more\n" if count > MOST_LISTED else ""
