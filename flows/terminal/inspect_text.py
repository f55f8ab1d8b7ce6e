"""How what was seen of a dataset is put into words."""

from collections.abc import Mapping
from typing import Any

from flows.terminal.tables import print_table
from simlib.words import size_text, time_text

_QUANTILES = ("least", "5 %", "25 %", "median", "75 %", "95 %", "largest")
_NODES = 5  # listed


def print_inspection(told: Mapping[str, Any]) -> None:
    """Print what `summary` of an inspection returned."""
    print(f"{told['folder']}  {'complete' if told['complete'] else 'still being written'}")
    if told["progress"]:
        _print_progress(told["progress"])
    rows = [
        [split, f"{count:,}", f"{told['looked_at'].get(split, 0):,}",
         *(f"{value:.2f}" for value in told["snr"].get(split, {}).values())]
        for split, count in told["rows"].items()
    ]  # fmt: skip
    print_table("S/N", ("split", "rows", "looked at", *_QUANTILES), rows)
    if told["ranges"]:
        ranges = [[n, f"{low:.6g}", f"{high:.6g}"] for n, (low, high) in told["ranges"].items()]
        print_table("", ("variable", "least", "largest"), ranges)
    _print_nodes(told["nodes"])
    share, bright = told["fraction_impossible_geometries"], told["pixels_above_one"]
    if share is not None:
        print(f"fraction_impossible_geometries {share:.4f}: rows whose moon no sky has, for its "
              "angles are drawn as the paper prints them (conditions.geometry)")  # fmt: skip
    if bright is not None:
        print(f"pixels_above_one {bright:,}")
    print(f"{size_text(told['bytes'])} in {told['files']:,} files; blocks of {told['block']:,} "
          f"rows, chunks of {told['chunk']:,}, {told['codec']}; {told['mode']}")  # fmt: skip
    print(f"checksum {told['checksum'] or 'not known yet'}")
    print("\n".join(told["written"]), end="\n" if told["written"] else "")


def _print_progress(progress: Mapping[str, Any]) -> None:
    print(f"{progress['blocks']:,} of {progress['of_blocks']:,} blocks, {progress['rows']:,} of "
          f"{progress['of_rows']:,} rows")  # fmt: skip
    if progress["rows_per_s"] is not None:
        print(f"{progress['rows_per_s']:,.0f} rows/s in the newest blocks; "
              f"{time_text(progress['seconds_left'])} left, until {progress['end']}; the newest "
              f"block is {time_text(progress['newest_block_s_ago'])} old")  # fmt: skip


def _print_nodes(nodes: Mapping[str, Any]) -> None:
    if "unknown" in nodes:
        print(f"use of the stellar grid not known: {nodes['unknown']}")
        return
    print(f"{nodes['never_used']:,} of {nodes['present']:,} nodes of the stellar grid are never "
          "used")  # fmt: skip
    for node in nodes["first_never_used"][:_NODES]:
        print("  " + "  ".join(f"{name} {value:g}" for name, value in node.items()))
