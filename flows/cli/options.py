"""Options that several verbs share."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from simlib.errors import InputError
from simlib.secrets import refuse_secrets


def complete_config(incomplete: str) -> Iterator[str]:
    """Yield presets and files of the working folder that may be meant, for the shell."""
    from simlib.config import presets

    yield from (name for name in sorted(presets()) if name.startswith(incomplete))
    yield from (path for path in _paths(incomplete) if path.endswith((".toml", "/")))


def complete_dataset(incomplete: str) -> Iterator[str]:
    """Yield names below ./data and paths that may be meant, for the shell."""
    return _named("datasets", incomplete)


def complete_run(incomplete: str) -> Iterator[str]:
    """Yield names below ./data and paths that may be meant, for the shell."""
    return _named("runs", incomplete)


def _named(kind: str, incomplete: str) -> Iterator[str]:
    known = _paths(f"./data/{kind}/{incomplete}") if "/" not in incomplete else []
    yield from (path.split("/")[-2] for path in known if path.endswith("/"))
    yield from _paths(incomplete)


def _paths(incomplete: str) -> list[str]:
    """Return what is in a folder and begins so; a folder ends in a stroke."""
    folder, _, start = incomplete.rpartition("/")
    where = folder or ("/" if incomplete.startswith("/") else ".")
    try:
        entries = sorted(os.scandir(os.path.expanduser(where)), key=lambda entry: entry.name)
    except OSError:
        return []
    before = incomplete.removesuffix(start)
    return [
        before + entry.name + ("/" if entry.is_dir() else "")
        for entry in entries
        if entry.name.startswith(start) and (start or not entry.name.startswith("."))
    ]


ConfigArgument = Annotated[
    str,
    typer.Argument(
        metavar="CONFIG",
        help="A preset (tiny, demo, survey, paper) or a file.",
        autocompletion=complete_config,
    ),
]


def _dataset(metavar: str) -> Any:
    return typer.Argument(
        metavar=metavar,
        help="A dataset: its name, its folder, or that of one version.",
        autocompletion=complete_dataset,
    )


def _grid(metavar: str) -> Any:
    return typer.Argument(metavar=metavar, help="default, or a store's path.")


DatasetArgument = Annotated[str, _dataset("STORE")]
DatasetA = Annotated[str, _dataset("A")]
DatasetB = Annotated[str, _dataset("B")]
GridArgument = Annotated[str, _grid("GRID")]
GridA = Annotated[str, _grid("A")]
GridB = Annotated[str, _grid("B")]
RunArgument = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="A run: its directory, its name, or that of the dataset it was trained on.",
        autocompletion=complete_run,
    ),
]
RunsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="RUN …", help="Directories or names of runs.", autocompletion=complete_run
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Change one value; may be repeated."),
]
StorageOption = Annotated[
    list[str] | None,
    typer.Option(
        "--storage-option",
        metavar="KEY=VALUE",
        help="For the file system of a URL, as storage.options of a config; may be repeated.",
    ),
]
RootOption = Annotated[
    str, typer.Option("--root", metavar="ROOT", help="Where names are looked for.")
]
WavelengthUnitOption = Annotated[
    str | None,
    typer.Option("--wavelength-unit", help="Of files that do not say it: nm, Angstrom, …"),
]
MediumOption = Annotated[
    str | None,
    typer.Option("--medium", help="Of wavelengths in files that do not say it: vacuum or air"),
]
SeeingOption = Annotated[float | None, typer.Option(help="arcsec, FWHM at 800 nm")]
ZenithAngleOption = Annotated[float | None, typer.Option(help="deg")]
FieldAngleOption = Annotated[float | None, typer.Option(help="deg")]
MoonZenithAngleOption = Annotated[float | None, typer.Option(help="deg")]
MoonTargetAngleOption = Annotated[float | None, typer.Option(help="deg")]
MoonPhaseOption = Annotated[float | None, typer.Option(help="0 new, 0.5 full")]
ExposureTimeOption = Annotated[float | None, typer.Option(help="s, of one exposure")]
FiguresOption = Annotated[
    Path | None, typer.Option("--figures", metavar="DIR", help="Write figures here, as PNG.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def limits(option: str, text: str) -> tuple[float, float]:
    """Return the range that an option gives as LOW,HIGH or as one number; InputError otherwise."""
    from simlib.text_files import number

    try:
        low, high = [number(part.strip()) for part in text.split(",")] * (1 if "," in text else 2)
    except ValueError:
        raise InputError(f"{option} {text!r}: write LOW,HIGH, for example 3500,7000") from None
    if not low <= high:
        raise InputError(f"{option} {text!r}: the first is the lower one")
    return low, high


def storage_options(given: list[str] | None) -> dict[str, Any]:
    """Return options for fsspec; a value is JSON (true, 5, {…}) or else text.

    Raises InputError, without the value, for what is no KEY=VALUE, and for a secret.
    """
    options = {}
    for number, text in enumerate(given or [], start=1):
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise InputError(
                f"--storage-option number {number} has no KEY=VALUE; write for example "
                "--storage-option endpoint_url=https://…"
            )
        try:
            options[key] = json.loads(value)
        except ValueError:
            options[key] = value
    return refuse_secrets(options)
