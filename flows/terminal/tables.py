"""How what a verb found is put into words: tables and lines on standard output."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

MOST_ROWS = 40


class Results(Console):
    """Standard output; who stops reading it is met as anywhere (rich would end with code 1)."""

    def on_broken_pipe(self) -> None:
        """Let the end of the program tell."""
        raise BrokenPipeError


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table."""
    table = Table(*columns, title=title)
    for row in rows:
        table.add_row(*row)
    Results().print(table)


def print_medians(summaries: list[dict[str, float]]) -> None:
    """Print what `summaries` of the calculator's terms returned."""
    heads = [
        name.removesuffix("_e").removesuffix("_e2").removeprefix("sky_") for name in summaries[0]
    ]
    rows = [
        [str(number), *(f"{value:.4g}" for value in summary.values())]
        for number, summary in enumerate(summaries[:MOST_ROWS], start=1)
    ]
    print_table("medians over pixels; counts of one exposure", ["row", *heads], rows)
    if len(summaries) > MOST_ROWS:
        print(f"… and {len(summaries) - MOST_ROWS} more rows")


def print_cache(description: Mapping[str, Any]) -> None:
    """Print what `simlib.cache.describe` returned."""
    rows = [
        [kind, str(totals["files"]), f"{totals['bytes'] / 1e6:.1f}"]
        for kind, totals in description["kinds"].items()
    ]
    print_table("", ("kind", "files", "MB"), rows)
    held, limit = description["bytes"] / 1e6, description["limit_bytes"] / 1e6
    print(f"{held:.1f} MB of at most {limit:.0f} MB (SPECDENOISE_CACHE_LIMIT)")
    print("\n".join(description["folders"]) or f"{description['folder']} (not made yet)")


def print_verification(result: Mapping[str, Any]) -> None:
    """Print what `simlib.dataset.verify` found of a dataset."""
    megabytes, seconds = result["bytes"] / 1e6, result["seconds"]
    print(f"dataset {result['dataset']}")
    print(
        f"{result['spectra']} spectra in {result['blocks']} blocks, {result['files']} files, "
        f"{megabytes:.1f} MB read in {seconds:.1f} s"
    )
    problems = result["problems"]
    print("\n".join(problems[:MOST_ROWS]) or "all is as it was written")
    if len(problems) > MOST_ROWS:
        print(f"… and {len(problems) - MOST_ROWS} more")
    if problems:
        print("run `specdenoise build CONFIG --repair`, which makes it good")


def print_evaluation(result: Mapping[str, Any]) -> None:
    """Print the mean errors of every method by S/N."""
    for interval in result["bins"]:
        methods = "  ".join(
            f"{name} {_percent(numbers['mean_abs_relative_error'])}"
            for name, numbers in interval["methods"].items()
        )
        low, high = interval["snr_low"], interval["snr_high"]
        limit = f"  limit {_percent(interval['floor'])}" if interval["limit_count"] else ""
        print(
            f"S/N {low:g}-{'…' if high is None else f'{high:g}'}: {interval['count']}  "
            f"{methods}{limit}"
        )

    if fit := result.get("fit"):
        print(f"fits of {fit['spectra']} spectra")
        for name, start in fit["starts"].items():
            low, high = start["wrong_95"]
            before = f"{start['templates']} templates, " if "templates" in start else ""
            print(
                f"from {name}: {before}{start['evaluations']:.1f} evaluations, "
                f"{start['ms']:.1f} ms, wrong {_percent(start['wrong'])} "
                f"({_percent(low)}-{_percent(high)})"
            )


def print_generalisation(found: Mapping[str, Any]) -> None:
    """Print what a network makes of spectra unlike its training set, a line a kind."""
    print(found["run"])
    for row in found["rows"]:
        print(f"{row['name']} ({row['text']}): {_tested(row)}")
    for row in found["lines"]:
        shares = {"new line": "new_line", "deeper line": "deeper_line",
                  "mean |R|": "error", "more off the lines": "penalty"}  # fmt: skip
        told = "  ".join(f"{name} {_percent(row[key])}" for name, key in shares.items())
        print(f"{row['name']}: {row['spectra']}  {told}")


def _tested(row: Mapping[str, Any]) -> str:
    if row["reason"]:
        return f"not tested, {row['reason']}"
    shares = {"noisy": "noisy", "mean |R|": "error", "limit": "floor", "bias": "bias"}
    told = "  ".join(f"{name} {_percent(row[key])}" for name, key in shares.items())
    scatter = "" if row["eta_error"] is None else f" ± {row['eta_error']:.2f}"
    return f"{row['spectra']}  S/N {row['snr'][1]:.1f}  {told}  η {row['eta']:.2f}{scatter}"


def _percent(share: float | None) -> str:
    return "—" if share is None else f"{100 * share:.2f} %"


def print_steps(
    scalars: Mapping[str, float], medians: Mapping[str, float], units: Mapping[str, str]
) -> None:
    """Print the numbers of a row made again, and the median of every step."""
    for name, value in scalars.items():
        print(f"{name:22s} {value:.8g}")
    for name, value in medians.items():
        print(f"{name:22s} {value:.8g}  (median; {units[name]})")
