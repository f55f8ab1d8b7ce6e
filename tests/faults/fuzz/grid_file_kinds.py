"""Files of the published stellar grids: bzip2, gzip and FITS, packed and what is packed in them."""

import bz2
import gzip
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from astropy.io import fits

from simlib.stellar import open_grid
from simlib.stellar.archive.import_plan import plan_import
from simlib.stellar.archive.spectrum_files import BadFileError
from tests.faults.fuzz.harness import Attempt, Kind
from tests.faults.fuzz.mutate import ODD_NUMBERS, damaged, with_odd_number
from tests.simlib.stellar.archive.bosz_files import (
    whole_native_wavelength,
    write_2017_fits,
    write_2017_text,
    write_2024,
)

WINDOW = (850.0, 860.0)
NODE = {"teff": 4000.0, "logg": 2.0, "feh": -0.5, "alpha": 0.25}
OTHER_NODE = NODE | {"teff": 4250.0}
RESOLUTION = 500  # of the 2024 files: the least rows
CARDS = ("BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "PCOUNT", "TFIELDS", "TFORM1", "TTYPE2", "XTENSION")
CARD_VALUES = ("0", "-1", "1", "2", "99999999999", "'D'", "'9999999E'", "'PD(5)'", "T", "1.5", "")


@dataclass(frozen=True)
class Good:
    """Two files of a release that are right, and how one of them is broken inside its packing."""

    paths: tuple[Path, Path]
    data: tuple[bytes, bytes]
    broken_inside: Callable[[bytes, Random], bytes]


def _prepare_bz2(folder: Path) -> Good:
    native = whole_native_wavelength(7)
    near = native[(native > 848) & (native < 862)]
    grid = open_grid()
    paths = [write_2017_text(folder, grid, node, near) for node in (NODE, OTHER_NODE)]
    return _good(paths, lambda data, draw: bz2.compress(_text(bz2.decompress(data), draw)))


def _prepare_gzip(folder: Path) -> Good:
    paths = [write_2024(folder, open_grid(), n, RESOLUTION) for n in (NODE, OTHER_NODE)]
    return _good(paths, lambda data, draw: gzip.compress(_text(gzip.decompress(data), draw), 1))


def _prepare_fits(folder: Path) -> Good:
    native = whole_native_wavelength(7)
    near = native[(native > 848) & (native < 862)]
    paths = [write_2017_fits(folder, open_grid(), node, near) for node in (NODE, OTHER_NODE)]
    return _good(paths, _broken_fits)


def _good(paths: list[Path], broken_inside: Callable[[bytes, Random], bytes]) -> Good:
    first, second = paths
    return Good((first, second), (first.read_bytes(), second.read_bytes()), broken_inside)


def _text(text: bytes, draw: Random) -> bytes:
    """Return a long table of numbers, wrong in a few lines."""
    lines = text.splitlines(keepends=True)
    start = draw.randrange(len(lines))
    few = b"".join(lines[start : start + 20])
    few = with_odd_number(few, draw) if draw.random() < 0.4 else damaged(few, draw, lines[0])
    return b"".join(lines[:start]) + few + b"".join(lines[start + 20 :])


def _broken_fits(data: bytes, draw: Random) -> bytes:
    match draw.randrange(3):
        case 0:
            return _with_odd_card(data, draw)
        case 1:
            return _with_odd_values(data, draw)
        case _:
            return _with_odd_columns(draw)


def _with_odd_card(data: bytes, draw: Random) -> bytes:
    places = [at for card in CARDS if (at := data.rfind(f"{card:8s}= ".encode())) >= 0]
    at = draw.choice(places)
    value = draw.choice((*CARD_VALUES, *ODD_NUMBERS))[:70].encode("ascii", "replace")
    return data[: at + 10] + value.ljust(70)[:70] + data[at + 80 :]


def _with_odd_values(data: bytes, draw: Random) -> bytes:
    with fits.open(io.BytesIO(data)) as units:
        table = units[1].copy()
    column = draw.choice(table.data.names)
    rows = draw.randrange(len(table.data)) if draw.random() < 0.5 else slice(None)
    table.data[column][rows] = draw.choice((np.nan, np.inf, -1.0, 0.0, 1e30, 8550.0))
    return _written(table)


def _with_odd_columns(draw: Random) -> bytes:
    names = draw.choice((("Wavelength",), ("Wavelength", "SpecificIntensity"), ("a", "b", "c"),
                         ("Wavelength", "SpecificIntensity", "Continuum")))  # fmt: skip
    form = draw.choice(("D", "20A", "3E", "L", "PE()", "K", "M"))
    rows = draw.choice((0, 1, 2, 50))
    columns = [fits.Column(name, form) for name in names]
    return _written(fits.BinTableHDU.from_columns(columns, nrows=rows))


def _written(table: fits.BinTableHDU) -> bytes:
    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(file)
    return file.getvalue()


def _attempt(good: Good, draw: Random, folder: Path, valid: bool) -> Attempt:
    """Break the first file of two, or of one; a file that cannot be used is a hole in a grid."""
    first, second = good.paths
    data, other = good.data
    inside = draw.random() < 0.6
    broken = good.broken_inside(data, draw) if inside else damaged(data, draw, other)
    first.write_bytes(data if valid else broken)
    if draw.random() < 0.5:
        second.write_bytes(other)
    else:
        second.unlink(missing_ok=True)
    note = f"{first.name}, {'inside' if inside else 'packed'}"
    return Attempt(lambda: _import(folder), note)


def _import(folder: Path) -> None:
    plan = plan_import(folder, window=WINDOW)
    for path in plan.files.values():
        try:
            spectrum = plan.release.read_spectrum(path.name, path.read_bytes(), WINDOW)
        except BadFileError:
            continue
        assert np.isfinite(spectrum.flux_normalized).all()
        assert (spectrum.continuum > 0).all()


KINDS = {
    "grid-bz2": Kind(100, _prepare_bz2, _attempt),
    "grid-gzip": Kind(80, _prepare_gzip, _attempt),
    "grid-fits": Kind(120, _prepare_fits, _attempt),
}
