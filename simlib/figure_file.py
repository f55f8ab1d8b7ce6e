"""Write a figure as a file: whole or absent, as all that is written."""

from pathlib import Path

from matplotlib.figure import Figure

from simlib.artifact import replacing
from simlib.errors import InputError

_DOTS_PER_INCH = 130


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure in the format of the file's ending (.png, .pdf, .svg …); return where.

    Raises InputError for an ending that is no such format.
    """
    known = sorted(figure.canvas.get_supported_filetypes())
    ending = path.suffix.removeprefix(".").lower()
    if ending not in known:
        raise InputError(f"{path} ends in no format of figures; known: .{', .'.join(known)}")
    with replacing(path) as file:
        figure.savefig(file, format=ending, dpi=_DOTS_PER_INCH)
    return path
