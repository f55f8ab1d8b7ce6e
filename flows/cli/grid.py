"""Verbs of the stellar grids: grid list, info, download, import, verify, diff."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from flows.cli.grid_progress import item_progress
from flows.cli.options import JsonOption

if TYPE_CHECKING:
    from distributed import Client

    from simlib.stellar.download_plan import Estimate

HELP = "Stellar grids: the embedded one, and published ones to download and import."
MOST_LISTED = 10
GridArgument = Annotated[str, typer.Argument(metavar="GRID", help="default, or a store's path.")]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    group = typer.Typer(help=HELP, no_args_is_help=True)
    for name, verb in (
        ("list", list_grids),
        ("info", info),
        ("download", download_release),
        ("import", import_folder),
        ("verify", verify),
        ("diff", diff),
    ):
        group.command(name)(verb)
    app.add_typer(group, name="grid")


def list_grids(
    root: Annotated[str, typer.Option(help="Where stores are looked for, in grids/.")] = "./data",
    as_json: JsonOption = False,
) -> None:
    """List what `stellar.grid` may name, the stores that are there, and what can be downloaded."""
    from simlib.stellar.describe import stores_below
    from simlib.stellar.grid import KNOWN_GRIDS
    from simlib.stellar.releases import RELEASES

    known = {"embedded": list(KNOWN_GRIDS), "stores": stores_below(root)}
    releases = {name: release.source for name, release in RELEASES.items()}
    if as_json:
        print(json.dumps({**known, "releases": releases}, indent=1))
        return
    for kind, names in known.items():
        print(f"{kind}: {', '.join(names) or f'none in {root}/grids'}")
    for name, source in releases.items():
        print(f"to download: {name} ({source})")


def info(
    name: GridArgument,
    figure: Annotated[Path | None, typer.Option(help="Draw the coverage: PNG, PDF, SVG.")] = None,
    quality: Annotated[
        bool, typer.Option(help="Predict left-out nodes; reads the whole grid.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Show axes, resolution, holes, size, provenance and interpolation error of a grid."""
    from simlib.stellar.describe import describe_grid
    from simlib.stellar.grid import open_grid

    grid = open_grid(name)
    description = describe_grid(grid, name, with_quality=quality)
    if figure is not None:
        from simlib.stellar.coverage_figure import draw_coverage

        draw_coverage(grid, figure)
        description["figure"] = str(figure)
    if as_json:
        print(json.dumps(description, indent=1))
    else:
        _print_description(description)


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
        print(
            f"{report.fetched} files fetched ({report.bytes / 1e6:.1f} MB), {report.kept} there "
            f"before, {len(report.absent)} not in the archive, {len(report.failed)} failed"
        )
        for path in report.absent[:MOST_LISTED]:
            print(f"absent {path}")
        print(_and_more(len(report.absent)), end="")
        for path, reason in list(report.failed.items())[:MOST_LISTED]:
            print(f"failed {path}: {reason}")
        print(_and_more(len(report.failed)), end="")
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


def import_folder(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The folder of downloaded files.")],
    to: Annotated[str, typer.Option(help="The store: a path ending in .zarr, or a URL.")],
    resolution: Annotated[int | None, typer.Option(help="Where the folder holds several.")] = None,
    carbon: Annotated[float, typer.Option(help="[C/M] of the files to take.")] = 0.0,
    microturbulence: Annotated[float, typer.Option(help="km/s, of the files to take.")] = 2.0,
    window: Annotated[tuple[float, float], typer.Option(help="nm, vacuum.")] = (670.0, 920.0),
    workers: Annotated[int | None, typer.Option(help="Threads; by default one a core.")] = None,
    address: Annotated[str | None, typer.Option(help="A running Dask scheduler.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Turn a folder of BOSZ files into a store; run again, it does what is left."""
    from simlib.stellar.import_plan import plan_import
    from simlib.stellar.importing import import_grid

    plan = plan_import(
        path,
        resolution=resolution,
        carbon=carbon,
        microturbulence=microturbulence,
        window=window,
    )
    with _client(workers, address) as client, item_progress("importing", "files") as show:
        report = import_grid(plan, to, client, on_progress=show)
    if as_json:
        print(json.dumps(asdict(report), indent=1))
        return
    print(f"{report.nodes} nodes, {len(report.holes)} holes; {report.files_read} files read now")
    for hole in report.holes[:MOST_LISTED]:
        print(f"hole {_node(hole)}: {hole['reason']}")
    print(_and_more(len(report.holes)), end="")
    print(report.store)


@contextmanager
def _client(workers: int | None, address: str | None) -> "Iterator[Client]":
    """Yield a client of the scheduler at the address, or of threads in this process.

    Threads: unpacking and parsing leave the interpreter's lock, and no process has to start.
    """
    from distributed import Client, LocalCluster

    if address is not None:
        from flows.cluster import dask_client
        from flows.config import Cluster

        with dask_client(Cluster(address=address)) as client:
            yield client
        return
    threads = workers or len(os.sched_getaffinity(0))
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=threads, processes=False, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def verify(name: GridArgument, as_json: JsonOption = False) -> None:
    """Compare every node of a grid with its digest; exit code 1 where one differs."""
    from simlib.stellar.grid import open_grid
    from simlib.stellar.verify import verify_grid

    result = verify_grid(open_grid(name))
    if as_json:
        print(json.dumps(asdict(result), indent=1))
    else:
        print(f"{result.nodes} nodes read, {len(result.damaged)} damaged")
        for node in result.damaged[:MOST_LISTED]:
            print(f"damaged {_node(node)}")
        print(_and_more(len(result.damaged)), end="")
        for problem in result.problems:
            print(problem)
    if result.damaged or result.problems:
        raise typer.Exit(1)


def diff(a: GridArgument, b: GridArgument, as_json: JsonOption = False) -> None:
    """Compare two grids: axes, holes, attributes, rms of every common node."""
    from simlib.stellar.compare import compare_grids
    from simlib.stellar.grid import open_grid

    difference = compare_grids(open_grid(a), open_grid(b))
    if as_json:
        print(json.dumps(asdict(difference), indent=1))
        return
    print(f"A {a}\nB {b}\n{'same' if difference.is_same else 'different'} fingerprints")
    for axis, apart in difference.axes.items():
        print(f"{axis}: only in A {apart['only_in_a']}, only in B {apart['only_in_b']}")
    for side, nodes in (("A", difference.only_in_a), ("B", difference.only_in_b)):
        for node in nodes[:MOST_LISTED]:
            print(f"only {side} has {_node(node)}")
        print(_and_more(len(nodes)), end="")
    for key, (first, second) in difference.attrs.items():
        print(f"{key}: {first} | {second}")
    print(f"wavelengths: {difference.wavelengths}; {len(difference.nodes)} common nodes")
    table = Table("node", "rms", "largest", title="most different nodes, of the continuum")
    for entry in difference.nodes[:MOST_LISTED]:
        table.add_row(_node(entry.node), f"{entry.rms:.2e}", f"{entry.largest:.2e}")
    Console().print(table)


def _print_description(description: dict[str, Any]) -> None:
    attrs, wavelength = description["attrs"], description["wavelength"]
    print(f"{attrs.get('name')} {attrs['version']}  fingerprint {description['fingerprint']}")
    for axis, nodes in description["axes"].items():
        print(f"{axis:6} {len(nodes):3}  {' '.join(f'{node:g}' for node in nodes)}")
    print(
        f"{wavelength['first_nm']:.2f}-{wavelength['last_nm']:.2f} nm ({attrs['medium']}), "
        f"{wavelength['points']} points, 1/{wavelength['points_per_unit_ln']} in ln wavelength, "
        f"R = {attrs['resolution']:g}"
    )
    reasons = {_node(hole): hole["reason"] for hole in attrs.get("holes", [])}
    print(f"{description['nodes']} nodes, {len(description['missing'])} missing")
    for node in map(_node, description["missing"][:MOST_LISTED]):
        print(f"missing {node}  {reasons.get(node, '')}")
    print(_and_more(len(description["missing"])), end="")
    print(f"{description['bytes_in_memory'] / 1e6:.1f} MB in memory")
    for place, size in description["bytes_on_disk"].items():
        print(f"{size / 1e6:.1f} MB in {place}")
    for part in description.get("leave_one_out", []):
        _print_quality(part)
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
            for text in (
                str(pool["nodes"]), f"{100 * pool['rms']:.3f}", f"{100 * pool['largest']:.2f}"
            )
        ]  # fmt: skip
        table.add_row(entry["axis"], *cells)
    Console().print(table)


def _node(node: dict[str, Any]) -> str:
    return " ".join(f"{name} {node[name]:g}" for name in ("teff", "logg", "feh", "alpha"))


def _and_more(count: int) -> str:
    return f"… and {count - MOST_LISTED} more\n" if count > MOST_LISTED else ""
