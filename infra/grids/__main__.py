"""The grid maker's steps: sources, lists, run, pack, embed; and holdout. See README.md."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from infra.grids import embed as embedding
from infra.grids import holdout as held_out
from infra.grids.line_lists import write_lists
from infra.grids.pack import pack as pack_nodes
from infra.grids.recipe import TEFF, Node, all_nodes
from infra.grids.sources import prepare_sources
from infra.grids.structures import read_structures
from infra.grids.synthesis import GRID_FOLDER, run_node
from simlib.stellar import open_grid
from simlib.stellar.interpolate import THROUGH
from simlib.stellar.quality.leave_one_out import ARM

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)
WorkOption = Annotated[Path, typer.Option(help="Folder for packages, program, lists, nodes.")]
PACKAGE_DATA = Path(__file__).parents[2] / "simlib" / "stellar" / "data"


@app.command()
def sources(work: WorkOption) -> None:
    """Fetch and unpack the packages, compile the program."""
    work.mkdir(parents=True, exist_ok=True)
    prepare_sources(work.resolve())


@app.command()
def lists(work: WorkOption) -> None:
    """Write the line lists of the window."""
    write_lists(work.resolve())


@app.command()
def run(
    work: WorkOption,
    jobs: Annotated[int, typer.Option("-j", help="Nodes at once.")] = 2,
    teff: Annotated[list[float] | None, typer.Option(help="Only these; may be repeated.")] = None,
) -> None:
    """Compute the nodes that are not there: 5-15 s each on one core."""
    for name in _compute(work, list(all_nodes(tuple(teff) if teff else TEFF)), GRID_FOLDER, jobs):
        typer.echo(name)


@app.command()
def holdout(
    work: WorkOption,
    count: Annotated[int, typer.Option(min=1, help="How many stars.")] = 60,
    seed: Annotated[int, typer.Option(help="Of the stars' parameters.")] = 1,
    teff: Annotated[tuple[float, float], typer.Option(help="K.")] = held_out.ENDS["teff"],
    logg: Annotated[tuple[float, float], typer.Option(help="log g.")] = held_out.ENDS["logg"],
    feh: Annotated[tuple[float, float], typer.Option(help="Metallicity.")] = held_out.ENDS["feh"],
    alpha: Annotated[tuple[float, float], typer.Option(help="Alpha enhancement.")] = held_out.ENDS[
        "alpha"
    ],
    through: Annotated[str, typer.Option(help=f"One of {', '.join(THROUGH)}.")] = "flux",
    jobs: Annotated[int, typer.Option("-j", help="Stars at once.")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compute stars at random parameters, compare them with the grid's interpolation.

    Exit code 1 where a bar is missed.
    """
    ranges = {"teff": teff, "logg": logg, "feh": feh, "alpha": alpha}
    stars = held_out.draw_stars(count, seed, ranges)
    for _ in _compute(work, stars, held_out.FOLDER, jobs):
        pass
    errors = held_out.compare_stars(open_grid(), work.resolve(), stars, through)
    pools = held_out.pool_errors(errors)
    if as_json:
        entries = {name: asdict(pool) for name, pool in pools.items()}
        print(json.dumps({"pools": entries, "stars": [asdict(e) for e in errors]}, indent=1))
    else:
        _print_errors(errors, pools)
    if not all(pool.is_within_bar for pool in pools.values()):
        raise typer.Exit(1)


def _print_errors(errors: list[held_out.StarError], pools: dict[str, held_out.Pool]) -> None:
    low, high = ARM
    columns = ("Teff", "log g", "[M/H]", "alpha", "pool", "rms %", "largest %", "continuum %")
    title = f"interpolation - spectrum, R = {held_out.RESOLUTION:g}, {low:g}-{high:g} nm"
    table = Table(*columns, title=title)
    for error in errors:
        star = error.star
        place = (f"{star.teff:.0f}", f"{star.logg:.2f}", f"{star.feh:+.2f}", f"{star.alpha:+.2f}")
        sizes = (f"{100 * x:.3f}" for x in (error.rms, error.largest, error.continuum))
        table.add_row(*place, error.pool, *sizes)
    Console().print(table)
    for name, pool in pools.items():
        bar = "no bar" if pool.bar is None else f"bar {100 * pool.bar:g} %"
        stars = f"median star {100 * pool.median:.3f} %, worst {100 * pool.worst:.3f} %"
        print(f"{name}: {pool.stars} stars, rms {100 * pool.rms:.3f} % ({bar}), {stars}")


def _compute(work: Path, nodes: list[Node], folder: str, jobs: int) -> Iterator[str]:
    """Compute the nodes that are not in the folder; yield what was done for each."""
    work = work.resolve()
    (work / folder).mkdir(exist_ok=True)
    read_structures(work)  # once, not by each thread
    with ThreadPoolExecutor(jobs) as pool:  # it is a program of its own that computes
        done = pool.map(lambda node: run_node(work, node, folder), nodes)
        yield from track(done, total=len(nodes), description=folder, console=Console(stderr=True))


@app.command()
def pack(work: WorkOption, out: Annotated[Path, typer.Option(help="The source folder.")]) -> None:
    """Put the computed nodes into a source folder."""
    index = pack_nodes(work.resolve(), out)
    typer.echo(f"{index['present']} nodes in {out}")


@app.command()
def embed(
    source: Annotated[Path, typer.Argument(help="The source folder.")],
    out: Annotated[Path, typer.Option(help="Where the package data go.")] = PACKAGE_DATA,
) -> None:
    """Make the package data from a source folder."""
    index = embedding.embed(source, out)
    typer.echo(f"grid {index['attrs']['checksum']} in {out}")


if __name__ == "__main__":
    app()
