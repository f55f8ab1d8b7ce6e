"""Find out what something is, make its picture, write it in the format of the file's ending."""

import os
from collections.abc import Sequence
from pathlib import Path

import xarray as xr

from simlib.artifact import write_bytes
from simlib.dataset.find import find_dataset
from simlib.dataset.manifest import Manifest
from simlib.dataset.open import open_dataset
from simlib.errors import InputError
from simlib.figure_file import save_figure
from simlib.location import Location, Place
from simlib.plots.picture import Picture
from simlib.plots.spectra import FLUXES, spectra_picture
from simlib.plots.terms import terms_picture
from simlib.spectra.observed import Stated

KINDS = (
    "a dataset (its folder or name), or a file of simulated, observed or denoised spectra or of "
    "the calculator's terms"
)
_ENDINGS = (".html", ".pdf", ".png", ".svg")


def plot(
    place: Place,
    out: str | Path,
    *,
    split: str | None = None,
    rows: Sequence[int] = (),
    with_lines: bool = False,
    wavelength_unit: str | None = None,
    medium: str | None = None,
) -> Path:
    """Draw what is at a place into a file: .png, .pdf, .svg, or .html to move about in.

    place: a dataset, spectra of `simulate`, terms of `etc`, or observed or denoised spectra in any
    format that `denoise` reads. split: of a dataset, by default "train". rows: spectra or
    conditions, by default the first. with_lines: mark the lines of cool stars. wavelength_unit,
    medium: of observed spectra that do not say them. Returns the file. Raises InputError for what
    cannot be drawn.
    """
    file = check_picture_file(Path(out))
    stated = stated_of(wavelength_unit, medium)
    return save_picture(picture_of(Location.of(place), split, rows, with_lines, stated), file)


def stated_of(wavelength_unit: str | None = None, medium: str | None = None) -> Stated:
    """Return what is said of files that do not say it; their flux is drawn as it is.

    Raises InputError, naming the flag, for a word that means nothing.
    """
    return Stated("relative", wavelength_unit, medium)


def check_picture_file(path: Path) -> Path:
    """Return where to write; InputError for an ending of no known format."""
    if path.suffix.lower() not in _ENDINGS:
        raise InputError(f"--out {path}: end it in one of {', '.join(_ENDINGS)}")
    return path


def unused_file(place: Location) -> Path:
    """Return the name of a place with .png, in the working folder; InputError where it is taken."""
    path = Path(f"{place.name.partition('.')[0]}.png")
    if os.path.lexists(path):
        raise InputError(f"{path} is there already; say with --out what to write")
    return path


def picture_of(
    place: Location,
    split: str | None,
    rows: Sequence[int] = (),
    with_lines: bool = False,
    stated: Stated | None = None,
) -> Picture:
    """Return the picture of what is at a place. split: of a dataset. rows: see `--row`.

    stated: see `stated_of`. Raises InputError for what is not there, or is nothing that can be
    drawn, and for a split of what has none.
    """
    is_stored = place.name.endswith(".zarr") and place.name != "spectra.zarr"
    if split is not None and (is_stored or place.is_file()):
        raise InputError(
            f"--split {split} acts only on a dataset; {place.name} is a file of spectra or "
            "terms, all of which are drawn from; leave it out"
        )
    if is_stored:
        return _of_zarr(place, rows, with_lines)
    if place.is_file():
        return _of_file(place, rows, with_lines, stated or stated_of())
    folder, manifest = _dataset(place)
    if manifest is None:
        raise InputError(f"{folder} is still being written; `inspect` shows it as it is")
    split = split or "train"
    title = f"{folder.parent.name}/{folder.name}, {split}"
    return spectra_picture(open_dataset(folder, split), title, rows, with_lines)


def _dataset(place: Location) -> tuple[Location, Manifest | None]:
    if not place.exists():
        raise InputError(f"nothing is at {place}; give {KINDS}")
    try:
        return find_dataset(place)
    except InputError as error:
        raise InputError(f"{error}, or give {KINDS}") from None


def _of_zarr(place: Location, rows: Sequence[int], with_lines: bool) -> Picture:
    from simlib.plots.stored import open_zarr  # noqa: PLC0415  (loads astropy)

    if not place.exists():
        raise InputError(f"nothing is at {place}; give {KINDS}")
    with open_zarr(place) as held:
        try:
            return _of_stored(held, place.name, rows, with_lines)
        except InputError as error:
            raise InputError(f"{place}: {error}") from None


def _of_file(place: Location, rows: Sequence[int], with_lines: bool, stated: Stated) -> Picture:
    from simlib.plots.observed import observed_picture  # noqa: PLC0415  (loads astropy)
    from simlib.plots.stored import parse_stored  # noqa: PLC0415
    from simlib.spectra.read import parse_observed, parsing, read_whole, unpacked  # noqa: PLC0415

    data = read_whole(place)
    with parsing(str(place)):
        if (held := parse_stored(unpacked(data))) is not None:
            return _of_stored(held, place.name, rows, with_lines)
    contents = parse_observed(data, str(place), stated)
    with parsing(str(place)):
        return observed_picture(contents, place.name, rows, with_lines)


def _of_stored(held: xr.Dataset, title: str, rows: Sequence[int], with_lines: bool) -> Picture:
    if {"spectrum", "wavelength"} <= set(held.dims) and any(name in held for name in FLUXES):
        return spectra_picture(held, title, rows, with_lines)
    if {"condition", "wavelength"} <= set(held.dims) and "lsf_sigma" in held:
        return terms_picture(held, title, rows, with_lines)
    names = ", ".join(map(str, held.data_vars)) or "nothing"
    raise InputError(f"it is nothing that can be drawn: it holds {names}; give {KINDS}")


def save_picture(picture: Picture, path: Path) -> Path:
    """Write a picture in the format of the file's ending; return where."""
    if check_picture_file(path).suffix.lower() == ".html":
        from simlib.plots.page import page_of  # noqa: PLC0415  (loads bokeh)

        write_bytes(Location.of(path), page_of(picture).encode())
        return path
    from simlib.plots.figure import draw_picture  # noqa: PLC0415  (loads matplotlib)

    return save_figure(draw_picture(picture), path)
