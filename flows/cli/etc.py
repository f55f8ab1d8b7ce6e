"""Verbs of the exposure time calculator: etc, etc-grid build, etc-grid check, etc-sky."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from flows.cli.options import ConfigArgument, JsonOption, SetOption
from simlib.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

    from simlib.config import SimulationConfig

GRID_HELP = "The terms on a grid over observing conditions."
FiguresOption = Annotated[
    Path | None, typer.Option("--figures", metavar="DIR", help="Write figures here, as PNG.")
]
MOST_FIGURES = 20  # conditions that get figures of their own


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command("etc")(etc)
    app.command("etc-sky")(etc_sky)
    group = typer.Typer(help=GRID_HELP, no_args_is_help=True)
    group.command("build")(build)
    group.command("check")(check)
    app.add_typer(group, name="etc-grid")


def etc(
    conditions: Annotated[Path, typer.Argument(metavar="CONDITIONS.csv", help="One row each.")],
    out: Annotated[Path, typer.Option("--out", help="Where to write: .zarr or .nc")],
    instrument: Annotated[
        str, typer.Option(help="A shipped instrument's name, or a .toml file.")
    ] = "pfs-redmr-2016-02-29",
    sky_tables: Annotated[
        Path | None, typer.Option(metavar="DIR", help="CSV tables instead of the embedded sky.")
    ] = None,
    convention: Annotated[str, typer.Option(help="centred, modified or upstream")] = "centred",
    quadrature: Annotated[str, typer.Option(help="converged or reference")] = "converged",
    lsf: Annotated[str, typer.Option(help="etc (optical model) or table2 (Gaussian)")] = "etc",
    line_extinction: Annotated[str, typer.Option(help="factorised or exact")] = "factorised",
    magnitude: Annotated[
        float | None, typer.Option(help="AB magnitude of a flat source: adds its S/N.")
    ] = None,
    spectrum: Annotated[
        Path | None,
        typer.Option(help="CSV of wavelength_nm, flux (1e-17 erg s-1 cm-2 AA-1): adds its S/N."),
    ] = None,
    figures: FiguresOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compute the exposure time calculator's separate terms for a list of conditions."""
    from simlib.etc.conditions_file import read_conditions
    from simlib.etc.signal import flat_ab_flux, read_spectrum, signal_to_noise
    from simlib.etc.sky import load_sky
    from simlib.etc.terms import run_etc
    from simlib.etc.terms_file import ROWS_AT_ONCE, check_output, write_terms
    from simlib.instrument import load_instrument

    check_output(out)
    table = read_conditions(conditions)
    arm, sky = load_instrument(instrument), load_sky(_sky_section(sky_tables, overrides or []))
    if magnitude is not None and spectrum is not None:
        raise InputError("give --magnitude or --spectrum, not both")
    flux = None
    if magnitude is not None:
        flux = flat_ab_flux(magnitude, arm.wavelength)
    elif spectrum is not None:
        flux = read_spectrum(spectrum, arm.wavelength)
    _warn_of_impossible_moons(table)

    def evaluate(some: "xr.Dataset") -> "xr.Dataset":
        terms = run_etc(
            some,
            arm,
            sky,
            convention=convention,
            quadrature=quadrature,
            lsf=lsf,
            line_extinction=line_extinction,
        )
        return terms if flux is None else terms.assign(snr=signal_to_noise(terms, flux))

    count = table.sizes["condition"]
    pieces = -(-count // ROWS_AT_ONCE)
    summaries: list[dict[str, float]] = []
    written: list[str] = []
    console = Console(stderr=True)
    progress = track(
        write_terms(out, table, evaluate),
        total=pieces,
        description="conditions",
        console=console,
        disable=not console.is_terminal,
    )
    for terms in progress:
        if figures is not None and not written:
            written = _draw(terms, figures)
        summaries += _summaries(terms)
    if figures is not None and count > MOST_FIGURES:
        console.print(f"figures of the first {MOST_FIGURES} of {count} conditions")
    if as_json:
        print(json.dumps({"out": str(out), "conditions": summaries, "figures": written}, indent=1))
        return
    _print_summaries(summaries)
    print("\n".join([*written, str(out)]))


def _sky_section(sky_tables: Path | None, overrides: list[str]) -> Any:
    from simlib.config import load_config, validate

    wrong = [text for text in overrides if not text.startswith("sky.")]
    if wrong:
        raise InputError(f"--set {wrong[0]!r}: `etc` takes keys of [sky] alone; see its options")
    sky = load_config("demo", overrides).sky  # the presets leave the sky as it is
    if sky_tables is None:
        return sky
    return validate(type(sky), sky.model_dump() | {"tables": str(sky_tables)})


def _warn_of_impossible_moons(table: "xr.Dataset") -> None:
    from simlib.etc.moon import impossible

    rows = np.flatnonzero(
        impossible(
            table["zenith_angle"].values,
            table["moon_zenith_angle"].values,
            table["moon_target_angle"].values,
        )
    )
    if rows.size:
        shown = ", ".join(str(row + 1) for row in rows[:10]) + (" …" if rows.size > 10 else "")
        Console(stderr=True, soft_wrap=True).print(
            f"warning: row {shown}: no sky has this moon ({rows.size} of "
            f"{table.sizes['condition']}): its distance from the target must lie between "
            "|z - z_moon| and z + z_moon; computed all the same",
            markup=False,
            highlight=False,
        )


def _draw(terms: "xr.Dataset", folder: Path) -> list[str]:
    from simlib.etc import figures

    paths = [figures.save(figures.draw_lsf(terms), folder / "lsf.png")]
    for row in range(min(terms.sizes["condition"], MOST_FIGURES)):
        one = terms.isel(condition=row)
        seeing, zenith, field, phase = (
            float(one[name]) for name in ("seeing", "zenith_angle", "field_angle", "moon_phase")
        )
        title = (
            f"row {row + 1}: seeing {seeing:.2f} arcsec, zenith angle {zenith:.0f}°, "
            f"field angle {field:.2f}°, moon phase {phase:.2f}"
        )
        drawn = {
            "noise-budget": figures.draw_noise_budget(one, title),
            "throughput": figures.draw_transmissions(one, title),
        }
        if "snr" in one:
            drawn["snr"] = figures.draw_signal_to_noise(one["snr"], title)
        paths += [
            figures.save(figure, folder / f"{name}-{row + 1:02d}.png")
            for name, figure in drawn.items()
        ]
    return [str(path) for path in paths]


def _summaries(terms: "xr.Dataset") -> list[dict[str, float]]:
    from simlib.etc.signal import variance

    medians = {
        "sky_continuum_e": terms["sky_continuum_e"].median("wavelength"),
        "sky_lines_e": terms["sky_lines_e"].median("wavelength"),
        "moon_e": terms["moon_e"].median("wavelength"),
        "stray_e": terms["stray_e"],
        "conversion_e": terms["conversion_e"].median("wavelength"),
        "variance_e2": variance(terms, 0.0).median("wavelength"),
    }
    if "snr" in terms:
        medians["snr"] = terms["snr"].median("wavelength")
    return [
        {name: float(values[row]) for name, values in medians.items()}
        for row in range(terms.sizes["condition"])
    ]


def _print_summaries(summaries: list[dict[str, float]], most: int = 40) -> None:
    heads = [
        name.removesuffix("_e").removesuffix("_e2").removeprefix("sky_") for name in summaries[0]
    ]
    table = Table("row", *heads, title="medians over pixels; counts of one exposure")
    for number, summary in enumerate(summaries[:most], start=1):
        table.add_row(str(number), *(f"{value:.4g}" for value in summary.values()))
    Console().print(table)
    if len(summaries) > most:
        print(f"… and {len(summaries) - most} more rows")


def build(config: ConfigArgument, overrides: SetOption = None, as_json: JsonOption = False) -> None:
    """Build and publish the config's grid of terms, unless it is there; print its place."""
    from simlib.etc.grid import ensure_terms_grid

    url = str(ensure_terms_grid(_config(config, overrides)))
    print(json.dumps({"url": url}) if as_json else url)


def check(
    config: ConfigArgument,
    overrides: SetOption = None,
    rows: Annotated[int, typer.Option(min=1, help="Random conditions, beside the corners.")] = 2048,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    as_json: JsonOption = False,
) -> None:
    """Compare interpolated with direct terms at random conditions; refuse a grid that is off."""
    from simlib.etc.grid_check import refuse_a_bad_grid
    from simlib.etc.terms_store import check_and_record

    settings = _config(config, overrides)
    found, url, size = check_and_record(settings, rows, seed)
    if as_json:
        print(json.dumps(found.record() | {"record": str(url), "grid_bytes": size}, indent=1))
    else:
        table = Table("term", "largest", "rms", title=f"{found.rows} conditions, relative errors")
        for name, error in found.errors.items():
            table.add_row(name, f"{100 * error.largest:.4f} %", f"{100 * error.rms:.4f} %")
        Console().print(table)
        print(f"grid {size / 1e6:.2f} MB; {100 * found.tolerance:g} % allowed; record: {url}")
    refuse_a_bad_grid(found)


def _config(source: str, overrides: list[str] | None) -> "SimulationConfig":
    from simlib.config import load_config

    return load_config(source, overrides or [])


def etc_sky(
    sky_tables: Annotated[Path, typer.Argument(metavar="DIR", help="CSV tables to compare with.")],
    figures: FiguresOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the embedded sky with tables: emission lines, absorption, total variance."""
    from simlib.etc.sky_comparison import compare_skies, draw_comparison

    comparison = compare_skies(_sky_section(None, overrides or []), str(sky_tables))
    written = []
    if figures is not None:
        from simlib.etc.figures import save

        written = [str(save(draw_comparison(comparison), figures / "sky-comparison.png"))]
    if as_json:
        print(json.dumps(comparison.record() | {"figures": written}, indent=1))
        return
    table = Table("quantity", "found", "bar", title=f"embedded sky against {sky_tables}")
    for name, found, bar in comparison.lines():
        table.add_row(name, found, bar)
    Console().print(table)
    print("\n".join(written))
