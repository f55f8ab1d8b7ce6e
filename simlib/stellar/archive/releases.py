"""The published grids that can be downloaded and imported, as a table."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from simlib.errors import InputError
from simlib.stellar.archive import bosz2017, bosz2024
from simlib.stellar.archive.spectrum_files import ModelName, ModelSpectrum, Window


@dataclass(frozen=True)
class Release:
    """How one release names its files, where they are and how they are read."""

    name: str
    base_url: str
    box: Mapping[str, Sequence[float]]  # nodes inside this project's ranges
    suffixes: Mapping[str, str]  # kind of file → suffix, the preferred kind first
    relative_path: Callable[[ModelName], str]
    parse_path: Callable[[str | Path], ModelName | None]
    read_spectrum: Callable[[str, bytes, Window], ModelSpectrum]  # name and content of a file
    reader_version: int  # raised by hand when the reader gives other numbers for the same file
    encode_plus: bool  # whether the archive wants %2B for + in a path
    bytes_per_resolution: Mapping[str, float]  # size of a file / R, for an estimate offline
    source: str
    license: str


RELEASES = {
    "bosz2017": Release(
        name="bosz2017",
        base_url=bosz2017.BASE_URL,
        box=bosz2017.BOX,
        suffixes=bosz2017.SUFFIXES,
        relative_path=bosz2017.relative_path,
        parse_path=bosz2017.parse_path,
        read_spectrum=bosz2017.read_spectrum,
        reader_version=1,
        encode_plus=False,
        bytes_per_resolution={"asc.bz2": 100.0, "fits": 200.0},
        source="BOSZ 2017: Bohlin, Meszaros, Fleming et al. 2017, AJ 153, 234; MAST",
        license="see MAST; cite the paper",
    ),
    "bosz2024": Release(
        name="bosz2024",
        base_url=bosz2024.BASE_URL,
        box=bosz2024.BOX,
        suffixes=bosz2024.SUFFIXES,
        relative_path=bosz2024.relative_path,
        parse_path=bosz2024.parse_path,
        read_spectrum=bosz2024.read_spectrum,
        reader_version=1,
        encode_plus=True,
        bytes_per_resolution={"txt.gz": 75.0},
        source="BOSZ 2024: Meszaros, Bohlin, Allende Prieto et al. 2024, A&A 688, A197; "
        "doi:10.17909/T95G68",
        license="CC BY 4.0 (as reported; check with MAST)",
    ),
}


def find_release(name: str) -> Release:
    """Return a release by name; InputError lists the known ones."""
    if name not in RELEASES:
        raise InputError(f"no grid release {name!r}; known: {', '.join(RELEASES)}")
    return RELEASES[name]
