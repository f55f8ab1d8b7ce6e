"""Verbs of the stellar grids: grid list, info, download, import, verify, diff."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from flows.cli.grid_download import download_release
from flows.cli.grid_progress import item_progress
from flows.cli.grid_text import MOST_LISTED, and_more, print_description, text_of
from flows.cli.options import JsonOption
from flows.cli.storage import StorageOption, explain_refusal, storage_options

if TYPE_CHECKING:
    from flows.config import Cluster
    from simlib.location import Place

HELP = "Stellar grids: the embedded one, and published ones to download and import."
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
        group.command(name)(explain_refusal(verb))
    app.add_typer(group, name="grid")


def list_grids(
    root: Annotated[str, typer.Option(help="Where stores are looked for, in grids/.")] = "./data",
    storage_option: StorageOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what `stellar.grid` may name, the stores that are there, and what can be downloaded."""
    from simlib.stellar.describe import stores_below
    from simlib.stellar.grid import KNOWN_GRIDS
    from simlib.stellar.releases import RELEASES

    known = {
        "embedded": list(KNOWN_GRIDS),
        "stores": [str(store) for store in stores_below(_place(root, storage_option))],
    }
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
    sanity: Annotated[
        bool, typer.Option("--sanity", help="Judge it by what is known of cool stars.")
    ] = False,
    storage_option: StorageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show axes, resolution, holes, size, provenance and interpolation error of a grid."""
    from simlib.stellar.describe import describe_grid
    from simlib.stellar.grid import open_grid

    place = _place(name, storage_option)
    grid = open_grid(place)
    description = describe_grid(grid, place, with_quality=quality, with_sanity=sanity)
    if figure is not None:
        from simlib.stellar.coverage_figure import draw_coverage

        draw_coverage(grid, figure)
        description["figure"] = str(figure)
    if as_json:
        print(json.dumps(description, indent=1))
    else:
        print_description(description)


def import_folder(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The folder of downloaded files.")],
    to: Annotated[str, typer.Option(help="The store: a path ending in .zarr, or a URL.")],
    resolution: Annotated[int | None, typer.Option(help="Where the folder holds several.")] = None,
    carbon: Annotated[float, typer.Option(help="[C/M] of the files to take.")] = 0.0,
    microturbulence: Annotated[float, typer.Option(help="km/s, of the files to take.")] = 2.0,
    window: Annotated[tuple[float, float], typer.Option(help="nm, vacuum.")] = (670.0, 920.0),
    workers: Annotated[int | None, typer.Option(help="Threads; by default one a core.")] = None,
    address: Annotated[str | None, typer.Option(help="A running Dask scheduler.")] = None,
    storage_option: StorageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Turn a folder of BOSZ files into a store; run again, it does what is left."""
    from flows.cluster import dask_client
    from simlib.stellar.import_plan import plan_import
    from simlib.stellar.importing import import_grid

    store = _place(to, storage_option)
    plan = plan_import(
        path,
        resolution=resolution,
        carbon=carbon,
        microturbulence=microturbulence,
        window=window,
    )
    with (
        dask_client(_cluster(workers, address)) as client,
        item_progress("importing", "files") as show,
    ):
        report = import_grid(plan, store, client, on_progress=show)
    if as_json:
        print(json.dumps(asdict(report), indent=1))
        return
    print(f"{report.nodes} nodes, {len(report.holes)} holes; {report.files_read} files read now")
    for hole in report.holes[:MOST_LISTED]:
        print(f"hole {text_of(hole)}: {hole['reason']}")
    print(and_more(len(report.holes)), end="")
    print(report.store)


def _place(name: str, options: list[str] | None) -> "Place":
    """Return a known grid's name as it is; all else is a path or URL."""
    from simlib.location import Location
    from simlib.stellar.grid import KNOWN_GRIDS

    return name if name in KNOWN_GRIDS else Location.of(name, storage_options(options))


def _cluster(workers: int | None, address: str | None) -> "Cluster":
    """Return the cluster at the address, or threads of this process.

    Threads: unpacking and parsing leave the interpreter's lock, and no process has to start.
    """
    from flows.config import Cluster

    if address is not None:
        return Cluster(address=address)
    return Cluster(kind="threads", workers=workers)


def verify(
    name: GridArgument, storage_option: StorageOption = None, as_json: JsonOption = False
) -> None:
    """Compare every node of a grid with its digest; exit code 1 where one differs."""
    from simlib.stellar.grid import open_grid
    from simlib.stellar.verify import verify_grid

    result = verify_grid(open_grid(_place(name, storage_option)))
    if as_json:
        print(json.dumps(asdict(result), indent=1))
    else:
        print(f"{result.nodes} nodes read, {len(result.damaged)} damaged")
        for node in result.damaged[:MOST_LISTED]:
            print(f"damaged {text_of(node)}")
        print(and_more(len(result.damaged)), end="")
        for problem in result.problems:
            print(problem)
    if result.damaged or result.problems:
        raise typer.Exit(1)


def diff(
    a: GridArgument,
    b: GridArgument,
    storage_option: StorageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two grids: axes, holes, attributes, rms of every common node."""
    from simlib.stellar.compare import compare_grids
    from simlib.stellar.grid import open_grid

    grids = (open_grid(_place(name, storage_option)) for name in (a, b))
    difference = compare_grids(*grids)
    if as_json:
        print(json.dumps(asdict(difference), indent=1))
        return
    print(f"A {a}\nB {b}\n{'same' if difference.is_same else 'different'} fingerprints")
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
    Console().print(table)
