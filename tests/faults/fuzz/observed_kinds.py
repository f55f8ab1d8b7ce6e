"""Observed spectra in every format that are damaged or odd, through reader, network and writer."""

import gzip
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path
from random import Random

import numpy as np
from astropy.io import fits

from simlib.errors import InputError
from simlib.location import Location
from simlib.spectra.observed import Stated
from tests.faults.fuzz.harness import Attempt, Kind
from tests.faults.fuzz.mutate import ODD_NUMBERS, damaged, recoded
from tests.simlib.spectra import made
from trainlib.onsky.batch import denoise
from trainlib.onsky.bundle import BundleManifest, Opened
from trainlib.onsky.denoise import Bundle
from trainlib.onsky.network import Known

WAVELENGTH = 800.0 + 0.05 * np.arange(300)
_CARD = 80
ODD_VALUES = (
    *ODD_NUMBERS[:20], "T", "F", "'x'", "'", "-32", "64", "9999999999", "'2PE(9999999)'",
    "'999999999D'", "'P'", "'QD(4000000000)'", "'1E-17'", "'nm/0'", "'m**99999'",
)  # fmt: skip


class Smooth:
    """Stands for a network: whatever it is given, a flat star at rest."""

    redshifts = (-0.003, 0.003)
    typical = np.full(WAVELENGTH.size, 0.5)

    def denoise(self, flux: np.ndarray, variance: np.ndarray) -> Known:
        assert np.isfinite(flux).all() and not np.isnan(variance).any() and (variance > 0).all()
        one = np.zeros(len(flux))
        curve = np.full(flux.shape, 0.5, np.float32)
        return Known(curve, 0.01 * curve, one, one + 1e-5, one, one + 9.0, np.ones((len(flux), 4)))


def smooth_bundle(place: Location) -> Bundle:
    manifest = BundleManifest(
        fingerprint="0" * 16, model={}, files={}, window_nm=(650.0, 950.0), median=0.5,
        resolution=5000.0, ranges={}, lineage={}, licence="", provenance={},
    )  # fmt: skip
    return Bundle(Opened(place, manifest, WAVELENGTH, Smooth()))


def _prepare(make: Callable[[made.Star], bytes], folder: Path) -> tuple[Bundle, bytes, bytes]:
    bundle = smooth_bundle(Location.of(folder))
    return bundle, make(made.star()), make(made.star(seed=9))


def _attempt(
    prepared: tuple[Bundle, bytes, bytes], draw: Random, folder: Path, is_valid: bool
) -> Attempt:
    bundle, good, other = prepared
    data, note = (good, "as it is") if is_valid else _broken(good, draw, other)
    path = folder / "spectrum"
    path.write_bytes(data)
    return Attempt(partial(_denoised, bundle, path), note)


def _broken(data: bytes, draw: Random, other: bytes) -> tuple[bytes, str]:
    is_fits = data.startswith(b"SIMPLE")
    match draw.randrange(5):
        case 0 | 1 if is_fits:
            return with_odd_card(data, draw), "an odd card"
        case 2 if is_fits:
            return with_odd_values(data, draw), "odd values"
        case 0 if not data.startswith(b"PK"):
            return recoded(data, draw), "another encoding"
        case 3:
            return gzip.compress(damaged(data, draw, other), 1), "damaged, packed"
        case _:
            return damaged(data, draw, other), "damaged"


def with_odd_card(data: bytes, draw: Random) -> bytes:
    """Return a FITS file with the value of one or two of its cards replaced."""
    changed = bytearray(data)
    places = [at for at in range(0, len(data), _CARD) if data[at + 8 : at + 10] == b"= "]
    for at in draw.sample(places, min(len(places), draw.choice((1, 1, 2)))):
        value = draw.choice(ODD_VALUES)[:70].encode("ascii", "replace").rjust(20).ljust(70)[:70]
        changed[at + 10 : at + _CARD] = value
    return bytes(changed)


def with_odd_values(data: bytes, draw: Random) -> bytes:
    """Return a FITS file whose numbers are none, infinite, zero, negative or huge in one part."""
    with fits.open(BytesIO(data)) as hdus:
        images = [hdu for hdu in hdus if isinstance(hdu, fits.ImageHDU) and hdu.data is not None]
        if images:
            values = draw.choice(images).data
            odd = draw.choice((np.nan, np.inf, -np.inf, 0.0, -1.0, 1e30, 1e-30))
            where = np.random.default_rng(draw.randrange(10**6)).random(values.shape)
            if values.dtype.kind == "f":
                values[where < draw.choice((0.01, 0.5, 2.0))] = odd
        held = BytesIO()
        hdus.writeto(held, output_verify="ignore")
    return held.getvalue()


def _denoised(bundle: Bundle, path: Path) -> None:
    """Denoise the file; a refused one leaves no output, another a whole one, both a table."""
    out = Location.of("memory://fuzzed/out")
    out.remove()
    before = path.read_bytes()
    (done,) = denoise(bundle, [Location.of(path)], out, Stated("relative", "nm", "vacuum"))
    assert path.read_bytes() == before
    expected = ["summary.ecsv"] if done.message else ["spectrum.fits", "summary.ecsv"]
    assert out.names() == expected
    if done.message:
        assert str(path) in done.message
        raise InputError(done.message)
    with fits.open(BytesIO((out / "spectrum.fits").read_bytes() or b"")) as hdus:
        assert len(hdus["DENOISER"].data) == len(done.rows)
        assert "DENOISED" in hdus


def kinds(count: int) -> dict[str, Kind]:
    """Return a kind for each format, of so many inputs."""
    return {
        f"observed {name}": Kind(count, partial(_prepare, make), _attempt)
        for name, (_, make) in made.FORMATS.items()
    }


KINDS = kinds(40)
