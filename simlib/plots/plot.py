"""Find out what something is, make its picture, write it in the format of the file's ending."""

import os
from collections.abc import Sequence
from pathlib import Path

from simlib.artifact import write_bytes
from simlib.dataset.find import find_dataset
from simlib.dataset.manifest import Manifest
from simlib.dataset.open import open_dataset
from simlib.errors import InputError
from simlib.figure_file import save_figure
from simlib.location import Location, Place
from simlib.plots.picture import Picture
from simlib.plots.spectra import FLUXES, spectra_picture
from simlib.plots.stored import READERS, read_stored
from simlib.plots.terms import terms_picture

KINDS = (
    "a dataset (its folder or name), or a file of simulated or denoised spectra or of the "
    "calculator's terms (.zarr, .nc, .fits, .ecsv, .csv, .npz)"
)
_ENDINGS = (".html", ".pdf", ".png", ".svg")


def plot(
    place: Place,
    out: str | Path,
    *,
    split: str | None = None,
    rows: Sequence[int] = (),
    with_lines: bool = False,
) -> Path:
    """Draw what is at a place into a file: .png, .pdf, .svg, or .html to move about in.

    place: a dataset, spectra of `simulate`, terms of `etc`, or denoised spectra. split: of a
    dataset, by default "train". rows: spectra or conditions, by default the first. with_lines: mark
    the lines of cool stars. Returns the file. Raises InputError for what cannot be drawn.
    """
    file = check_picture_file(Path(out))
    return save_picture(picture_of(Location.of(place), split, rows, with_lines), file)


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
    place: Location, split: str | None, rows: Sequence[int] = (), with_lines: bool = False
) -> Picture:
    """Return the picture of what is at a place. split: of a dataset. rows: see `--row`.

    Raises InputError for what is not there, or is nothing that can be drawn, and for a split of
    what has none.
    """
    ending = Path(place.name).suffix.lower()
    if ending in READERS and place.name != "spectra.zarr":
        if split is not None:
            raise InputError(
                f"--split {split} acts only on a dataset; {place.name} is a file of spectra or "
                "terms, all of which are drawn from; leave it out"
            )
        return _of_file(place, ending, rows, with_lines)
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


def _of_file(place: Location, ending: str, rows: Sequence[int], with_lines: bool) -> Picture:
    if not place.exists():
        raise InputError(f"nothing is at {place}; give {KINDS}")
    with read_stored(place, ending) as held:
        if {"spectrum", "wavelength"} <= set(held.dims) and any(name in held for name in FLUXES):
            return spectra_picture(held, place.name, rows, with_lines)
        if {"condition", "wavelength"} <= set(held.dims) and "lsf_sigma" in held:
            return terms_picture(held, place.name, rows, with_lines)
        names = ", ".join(map(str, held.data_vars)) or "nothing"
    raise InputError(f"{place} is nothing that can be drawn: it holds {names}; give {KINDS}")


def save_picture(picture: Picture, path: Path) -> Path:
    """Write a picture in the format of the file's ending; return where."""
    if check_picture_file(path).suffix.lower() == ".html":
        from simlib.plots.page import page_of  # noqa: PLC0415  (loads bokeh)

        write_bytes(Location.of(path), page_of(picture).encode())
        return path
    from simlib.plots.figure import draw_picture  # noqa: PLC0415  (loads matplotlib)

    return save_figure(draw_picture(picture), path)
