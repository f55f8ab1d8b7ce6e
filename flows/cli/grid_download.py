"""The verb `grid download`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from flows.cli.grid_progress import item_progress
from flows.cli.grid_text import MOST_LISTED, and_more
from flows.cli.options import JsonOption

if TYPE_CHECKING:
    from simlib.stellar.download import DownloadReport
    from simlib.stellar.download_plan import Estimate


def download_release(
    name: Annotated[str, typer.Argument(metavar="RELEASE", help="bosz2017 or bosz2024.")],
    to: Annotated[Path, typer.Option(help="The folder for the files.")],
    resolution: Annotated[int, typer.Option(help="Of the files.")] = 20000,
    kind: Annotated[str | None, typer.Option(help="bosz2017: ascii or fits.")] = None,
    teff: Annotated[tuple[float, float], typer.Option(help="K, ends included.")] = (3500, 5000),
    logg: Annotated[tuple[float, float], typer.Option(help="Ends included.")] = (0, 5),
    feh: Annotated[tuple[float, float], typer.Option(help="Ends included.")] = (-2.5, 0.75),
    alpha: Annotated[tuple[float, float], typer.Option(help="Ends included.")] = (-0.25, 0.5),
    base_url: Annotated[str | None, typer.Option(help="A mirror of the archive.")] = None,
    connections: Annotated[int, typer.Option(min=1, max=8, help="At once.")] = 4,
    attempts: Annotated[int, typer.Option(min=1, help="In a row without a new byte.")] = 6,
    back_off: Annotated[float, typer.Option(min=0.0, help="s, doubles with each.")] = 1.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say size and time only.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Fetch the files of a published grid; run again, it fetches what is missing.

    Exit code 1 where files that the archive has did not come.
    """
    from simlib.stellar import download as downloads
    from simlib.stellar.download_plan import estimate, plan_targets, remaining
    from simlib.stellar.fetch import Policy
    from simlib.stellar.releases import find_release

    release = find_release(name)
    ranges = {"teff": teff, "logg": logg, "feh": feh, "alpha": alpha}
    targets = plan_targets(
        release, resolution=resolution, kind=kind, ranges=ranges, base_url=base_url
    )
    policy = Policy(connections=connections, attempts=attempts, back_off_s=back_off)
    missing = remaining(targets, to)
    expected = None
    if missing:
        with downloads.connections(policy) as http:
            expected = estimate(missing, release, resolution, http, connections)
        console = Console(stderr=True, soft_wrap=True)
        console.print(_told(expected, len(targets)), markup=False, highlight=False)
    if dry_run:
        if as_json:
            plan = {"files": len(targets), "there": len(targets) - len(missing)}
            to_fetch = asdict(expected) if expected else None
            urls = [target.url for target in missing]
            print(json.dumps({**plan, "to_fetch": to_fetch, "urls": urls}, indent=1))
        return
    with item_progress("downloading", "bytes") as show:
        report = downloads.download(targets, to, policy, on_progress=show)
    if as_json:
        print(json.dumps(asdict(report), indent=1))
    else:
        _print_report(report)
        print(f"records: {to / downloads.RECORDS}")
    if report.failed:
        raise typer.Exit(1)


def _told(expected: "Estimate", total: int) -> str:
    size = f"{expected.files} of {total} files to fetch, {expected.bytes / 1e9:.2f} GB"
    if expected.seconds is None or expected.bytes_per_s is None:
        return f"{size} ({expected.basis}); time unknown"
    return (
        f"{size} ({expected.basis}); {expected.seconds / 3600:.1f} h if every connection gets the "
        f"{expected.bytes_per_s / 1e6:.2f} MB/s that one had just now"
    )


def _print_report(report: "DownloadReport") -> None:
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
