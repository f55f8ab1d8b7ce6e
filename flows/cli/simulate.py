"""Verbs of the simulator: simulate, replay."""

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from flows.cli.options import JsonOption, SetOption
from flows.cli.storage import StorageOption, explain_refusal, storage_options
from simlib.errors import InputError

FORMATS = ("zarr", "pfs")


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command("simulate")(simulate)
    app.command("replay")(explain_refusal(replay))


def simulate(
    targets: Annotated[Path, typer.Argument(metavar="TARGETS.csv", help="One row a spectrum.")],
    out: Annotated[Path, typer.Option("--out", help="The Zarr store, or the folder, to write.")],
    config: Annotated[str, typer.Argument(metavar="[CONFIG]", help="A preset or a file.")] = "demo",
    format_: Annotated[
        str, typer.Option("--format", help="zarr, or pfs: one noisy pfsObject file a star")
    ] = "zarr",
    path: Annotated[str, typer.Option(help="reference (float64, slow) or compiled")] = "compiled",
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Simulate your own stars under your own observing conditions."""
    from flows.config import load_config
    from simlib.simulation.simulate import PATHS
    from simlib.simulation.targets import read_targets, simulate_targets

    if format_ not in FORMATS:
        raise InputError(f"unknown format {format_!r}; known: {', '.join(FORMATS)}")
    if path not in PATHS:
        raise InputError(f"unknown path {path!r}; known: {', '.join(PATHS)}")
    if out.exists():
        raise InputError(f"{out} exists; name another place with --out, or remove it")
    settings = load_config(config, overrides or [])
    spectra = simulate_targets(read_targets(targets), settings, path)  # type: ignore[arg-type]
    if format_ == "pfs":
        _write_pfs(spectra, out, settings)
    else:
        _write(spectra, out)
    summary = [
        {name: float(spectra[name][row]) for name in ("teff", "magnitude", "flux_scale", "snr")}
        for row in range(spectra.sizes["spectrum"])
    ]
    if as_json:
        print(json.dumps({"out": str(out), "spectra": summary}, indent=1))
        return
    for number, row in enumerate(summary, start=1):
        print(f"row {number}: " + "  ".join(f"{name} {value:.5g}" for name, value in row.items()))
    print(out)


def _write(spectra: Any, out: Path) -> None:
    """Write beside the place and rename, so that nothing half-written is left."""
    import shutil
    import tempfile

    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".writing-") as scratch:
        whole = Path(scratch) / "spectra.zarr"
        spectra.to_zarr(whole, zarr_format=3, consolidated=False)
        shutil.move(whole, out)


def _write_pfs(spectra: Any, out: Path, config: Any) -> None:
    from simlib.simulation.pfs_object import write_pfs_objects
    from simlib.simulation.targets import terms_of_targets

    write_pfs_objects(spectra, terms_of_targets(spectra, config), config, out)


def replay(
    store: Annotated[str, typer.Argument(metavar="STORE", help="A dataset's folder.")],
    split: Annotated[str, typer.Argument(metavar="SPLIT", help="train, validation or test")],
    index: Annotated[int, typer.Argument(metavar="INDEX", help="Number of the row, from 0.")],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the steps (.nc) and a figure (.png).")
    ] = None,
    storage_option: StorageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make one row of a dataset again, and show every step on the way."""
    from simlib.dataset.replay import replay as replay_row
    from simlib.location import Location

    steps = replay_row(Location.of(store, storage_options(storage_option)), split, index)
    written: list[str] = []
    if out is not None:
        from simlib.dataset.replay_figure import draw_replay

        out.mkdir(parents=True, exist_ok=True)
        name = f"{split}-{index:08d}"
        steps.to_netcdf(out / f"{name}.nc", engine="scipy")
        draw_replay(steps).savefig(out / f"{name}.png", dpi=130)
        written = [str(out / f"{name}.nc"), str(out / f"{name}.png")]
    scalars = {str(n): float(v) for n, v in steps.data_vars.items() if not v.dims}
    medians = {str(n): float(np.nanmedian(v)) for n, v in steps.data_vars.items() if v.dims}
    if as_json:
        print(json.dumps({"row": scalars, "medians": medians, "written": written}, indent=1))
        return
    for name, value in scalars.items():
        print(f"{name:22s} {value:.8g}")
    for name, value in medians.items():
        units = steps[name].attrs.get("units", "")
        print(f"{name:22s} {value:.8g}  (median; {units})")
    print("\n".join(written), end="\n" if written else "")
