"""Observed spectra in every format that are damaged or odd, through reader, network and writer.

All inputs of a format are one batch: each is answered by a whole output, or by one message.
"""

import gzip
import signal
from functools import cache
from io import BytesIO
from random import Random

import numpy as np
from astropy.io import fits

from simlib.artifact import write_bytes
from simlib.location import Location
from simlib.spectra.observed import Stated
from tests.faults.fuzz.harness import SECONDS, TOO_LONG, VALID_EVERY
from tests.faults.fuzz.mutate import ODD_NUMBERS, damaged, recoded
from tests.simlib.spectra import made
from trainlib.onsky.batch import denoise
from trainlib.onsky.bundle import BundleManifest, Opened
from trainlib.onsky.denoise import Bundle
from trainlib.onsky.summary import FileDone
from trainlib.rest.denoiser import Known
from trainlib.trust.model import Trust
from trainlib.trust.residuals import MEASURES

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
        stars = np.ones((len(flux), 4))
        return Known(curve, 0.01 * curve, one, one + 1e-5, one, one + 9.0, stars, one)


def plain_trust() -> Trust:
    """Return that errors are told as they are, and nothing is odd."""
    one, some = np.ones(1), np.ones((1, len(MEASURES)))
    return Trust(
        rows=1, snr=10.0 * one, pixel=np.ones((1, 2)), pixel_95=1.96 * one, redshift=one,
        redshift_95=1.96 * one, stars=np.ones((1, 4)), stars_95=np.full((1, 4), 2.0),
        usual=some, spread=some, limit=1e9 * some[0],
    )  # fmt: skip


def smooth_bundle(place: Location) -> Bundle:
    manifest = BundleManifest(
        fingerprint="0" * 16, model={}, files={}, window_nm=(650.0, 950.0), median=0.5,
        resolution=5000.0, ranges={}, lineage={}, licence="", provenance={},
    )  # fmt: skip
    lsf_sigma = np.full(WAVELENGTH.size, 0.07)
    return Bundle(Opened(place, manifest, WAVELENGTH, lsf_sigma, Smooth(), plain_trust()))


@cache
def _good(name: str) -> tuple[bytes, bytes]:
    make = made.FORMATS[name][1]
    return make(made.star()), make(made.star(seed=9))


def made_again(name: str, number: int) -> tuple[bytes, str]:
    """Return an input and what it is, from the name of its format and its number alone."""
    good, other = _good(name)
    if number % VALID_EVERY == 0:
        return good, "as it is"
    return _broken(good, Random(f"{name} {number}"), other)


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


def complaints(name: str, numbers: range) -> list[str]:
    """Denoise inputs of a format as one batch; return what is wrong with the answers."""
    folder = Location.of("memory://fuzzed")
    folder.remove()
    inputs = {folder / f"in/{number}": made_again(name, number) for number in numbers}
    for place, (data, _) in inputs.items():
        write_bytes(place, data)
    told: list[FileDone] = []

    def tell(one: FileDone) -> None:
        told.append(one)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)  # for the next

    stated = Stated("relative", "nm", "vacuum")
    bundle = smooth_bundle(folder)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        denoise(bundle, inputs, folder / "out", stated, tell=tell)
    except Exception as error:
        return [f"{name} {numbers[len(told)]}: {type(error).__name__}: {error}"]
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
    written = set((folder / "out").names()) - {"summary.ecsv"}
    found = []
    for number, one in zip(numbers, told, strict=True):
        data, note = inputs[one.place]
        if wrong := _wrong(one, data, number, written):
            found.append(f"{name} {number}, {note}: {wrong}: {one.message[:300]}")
    return found


def _wrong(one: FileDone, data: bytes, number: int, written: set[str]) -> str:
    """Return what is wrong with an answer, empty where nothing is."""
    if one.place.read_bytes() != data:
        return "the original was changed"
    if one.message:
        if TOO_LONG in one.message:
            return "it took too long"
        if f"{number}.fits" in written:
            return "an output of a refused file"
        if number % VALID_EVERY == 0:
            return "a valid input was refused"
        is_short = len(one.message) < 1000 and "\n" not in one.message
        return "" if str(one.place) in one.message and is_short else "not one short message"
    whole = (Location.of("memory://fuzzed/out") / f"{number}.fits").read_bytes() or b""
    with fits.open(BytesIO(whole)) as hdus:
        is_whole = len(hdus["DENOISER"].data) == len(one.rows) and "DENOISED" in hdus
    return "" if is_whole else "an output that is not whole"
