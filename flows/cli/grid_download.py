"""The verb `grid download`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import JsonOption, limits


def download_release(
    name: Annotated[str, typer.Argument(metavar="RELEASE", help="bosz2017 or bosz2024.")],
    to: Annotated[Path, typer.Option(help="The folder for the files.")],
    resolution: Annotated[int, typer.Option(help="Of the files.")] = 20000,
    kind: Annotated[str | None, typer.Option(help="bosz2017: ascii or fits.")] = None,
    teff: Annotated[str, typer.Option(metavar="LOW,HIGH", help="K, ends included.")] = "3500,5000",
    logg: Annotated[str, typer.Option(metavar="LOW,HIGH", help="Ends included.")] = "0,5",
    feh: Annotated[str, typer.Option(metavar="LOW,HIGH", help="Ends included.")] = "-2.5,0.75",
    alpha: Annotated[str, typer.Option(metavar="LOW,HIGH", help="Ends included.")] = "-0.25,0.5",
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
    from flows.terminal.grid_text import print_download, text_of_estimate
    from flows.terminal.progress import item_progress
    from flows.terminal.streams import say
    from simlib.stellar.archive import download as downloads
    from simlib.stellar.archive.download_plan import estimate, plan_targets, remaining
    from simlib.stellar.archive.fetch import Policy
    from simlib.stellar.archive.releases import find_release

    release = find_release(name)
    given = {"teff": teff, "logg": logg, "feh": feh, "alpha": alpha}
    ranges = {name: limits(f"--{name}", text) for name, text in given.items()}
    targets = plan_targets(
        release, resolution=resolution, kind=kind, ranges=ranges, base_url=base_url
    )
    policy = Policy(connections=connections, attempts=attempts, back_off_s=back_off)
    missing = remaining(targets, to)
    expected = None
    if missing:
        with downloads.connections(policy) as http:
            expected = estimate(missing, release, resolution, http, connections)
        say(text_of_estimate(expected, len(targets)))
    if dry_run:
        if as_json:
            plan = {"files": len(targets), "there": len(targets) - len(missing)}
            to_fetch = asdict(expected) if expected else None
            urls = [target.url for target in missing]
            print(json.dumps({**plan, "to_fetch": to_fetch, "urls": urls}, indent=1))
        return
    with item_progress("downloading", "files", "bytes") as show:
        report = downloads.download(targets, to, policy, on_progress=show)
    if as_json:
        print(json.dumps(asdict(report), indent=1))
    else:
        print_download(report)
        print(f"records: {to / downloads.RECORDS}")
    if report.failed:
        raise typer.Exit(1)
