"""The grid maker's steps, in order: sources, lists, run, pack, embed. See README.md."""

from multiprocessing import Pool
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import track

from infra.grids import embed as embedding
from infra.grids.line_lists import write_lists
from infra.grids.pack import pack as pack_nodes
from infra.grids.recipe import TEFF, Node, all_nodes
from infra.grids.sources import prepare_sources
from infra.grids.structures import read_structures
from infra.grids.synthesis import run_node

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
    work = work.resolve()
    (work / "nodes").mkdir(exist_ok=True)
    read_structures(work)  # once, before the processes are forked
    nodes = list(all_nodes(tuple(teff) if teff else TEFF))
    with Pool(jobs) as pool:
        done = pool.imap(_run, [(work, node) for node in nodes])
        for name in track(done, total=len(nodes), description="nodes"):
            typer.echo(name)


def _run(job: tuple[Path, Node]) -> str:
    return run_node(*job)


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
