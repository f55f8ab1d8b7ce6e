"""Small files of observed spectra in every format, written as the surveys' own pages describe them.

All but one pixel of a star is good: REJECTED is a cosmic ray, and a line of the sky is known at
LINE, which rejects nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO, StringIO

import numpy as np
from astropy import units
from astropy.io import fits
from astropy.table import Table

from simlib.air_wavelengths import vacuum_to_air
from simlib.spectra.observed import Stated

REJECTED, LINE = 17, 30
PLANES = {"BAD": 0, "CR": 5, "REFLINE": 9}  # other bits than those of the survey today
SAYS_NOTHING = Stated("relative", "nm", "vacuum")


@dataclass(frozen=True)
class Star:
    """wavelength: nm, vacuum, even. flux, sigma: in 1e-17 erg s-1 cm-2 AA-1."""

    wavelength: np.ndarray
    flux: np.ndarray
    sigma: np.ndarray

    @property
    def nano(self) -> np.ndarray:
        """Return what 1e-17 erg s-1 cm-2 AA-1 are in nJy."""
        one = 1e-17 * units.erg / units.s / units.cm**2 / units.AA
        return one.to_value(units.nJy, units.spectral_density(self.wavelength * units.nm))

    @property
    def bits(self) -> np.ndarray:
        bits = np.zeros(self.flux.size, np.int32)
        bits[REJECTED], bits[LINE] = 1 << PLANES["CR"], 1 << PLANES["REFLINE"]
        return bits


def star(pixels: int = 240, seed: int = 1, start: float = 800.0, pitch: float = 0.05) -> Star:
    draw = np.random.default_rng(seed)
    wavelength = start + pitch * np.arange(pixels)
    sigma = 0.1 * draw.uniform(0.8, 1.2, pixels)
    return Star(wavelength, 3.0 + np.cos(wavelength) + sigma * draw.normal(size=pixels), sigma)


def packed(*hdus: object) -> bytes:
    held = BytesIO()
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(held)
    return held.getvalue()


def _planes() -> fits.Header:
    return fits.Header([(f"HIERARCH MP_{name}", bit) for name, bit in PLANES.items()])


def _covariance(sigma: np.ndarray) -> np.ndarray:
    return np.stack([sigma**2, *np.zeros((2, sigma.size))]).astype(np.float32)


def _floats(values: np.ndarray, name: str, **cards: object) -> fits.ImageHDU:
    hdu = fits.ImageHDU(np.asarray(values, np.float32), name=name)
    hdu.header.update(cards)
    return hdu


def _visits(numbers: Sequence[int]) -> fits.BinTableHDU:
    return fits.BinTableHDU.from_columns(
        [fits.Column("visit", "J", array=list(numbers))], name="OBSERVATIONS"
    )


def pfs_object(made: Star, visits: Sequence[int] = (1, 2), kind: str = "array") -> bytes:
    """kind: array (WAVELENGTH), header (as the survey's program counts its pixels)."""
    step = made.wavelength[1] - made.wavelength[0]
    wcs = {"CTYPE1": "WAVE", "CUNIT1": "m", "CRPIX1": 2.0, "CRVAL1": 1e-9 * made.wavelength[0],
           "CDELT1": 1e-9 * step, "DAMD_VER": 2}  # fmt: skip
    cards = wcs if kind == "header" else {"DAMD_VER": 2}
    target = fits.BinTableHDU.from_columns(
        [fits.Column("filterName", "2A", array=["i2"])], name="TARGET",
        header=fits.Header([("CATID", 3), ("OBJID", 77)]),
    )  # fmt: skip
    mask = fits.CompImageHDU(made.bits, name="MASK")
    mask.header.update(_planes())
    parts = [
        _floats(made.flux * made.nano, "FLUX", **cards), mask, target,
        _floats(_covariance(made.sigma * made.nano), "COVAR", **cards), _visits(visits),
    ]  # fmt: skip
    if kind == "array":
        parts.append(fits.ImageHDU(made.wavelength, name="WAVELENGTH"))
    return packed(*parts)


def _variable(arrays: Sequence[np.ndarray], name: str, kind: str) -> fits.Column:
    held = np.empty(len(arrays), dtype=object)
    for place, one in enumerate(arrays):
        held[place] = one
    return fits.Column(name, f"Q{kind}()", array=held)


def pfs_bundle(stars: Sequence[Star], visits: Sequence[int] = (1, 1), extra: str = "") -> bytes:
    """Many stars: images where they have one length, else tables of arrays."""
    count = len(stars)
    number = np.arange(count)
    target = fits.BinTableHDU.from_columns([
        fits.Column("targetId", "I", array=number),
        fits.Column("catId", "J", array=np.full(count, 3)),
        fits.Column("objId", "K", array=77 + number),
    ], name="TARGET")  # fmt: skip
    text = "".join(f"MP_{name}: {bit}\n" for name, bit in PLANES.items()) + extra
    metadata = fits.BinTableHDU.from_columns([
        fits.Column("targetId", "I", array=number),
        fits.Column("metadata", "PA()", array=np.array([text] * count, dtype=object)),
    ], name="METADATA")  # fmt: skip
    target_flux = fits.BinTableHDU.from_columns(
        [fits.Column("targetId", "I", array=number)], name="TARGETFLUX"
    )
    flux = [(one.flux * one.nano).astype(np.float32) for one in stars]
    covar = [_covariance(one.sigma * one.nano) for one in stars]
    if len({one.flux.size for one in stars}) == 1:
        arrays = [
            fits.ImageHDU(np.stack([one.wavelength for one in stars]), name="WAVELENGTH"),
            fits.ImageHDU(np.stack(flux), name="FLUX"),
            fits.ImageHDU(np.stack([one.bits for one in stars]), name="MASK"),
            fits.ImageHDU(np.stack(covar), name="COVAR"),
        ]
    else:
        arrays = [
            fits.BinTableHDU.from_columns([_variable(values, "value", kind)], name=name)
            for name, values, kind in (
                ("WAVELENGTH", [one.wavelength for one in stars], "D"), ("FLUX", flux, "E"),
                ("MASK", [one.bits for one in stars], "J"),
            )
        ] + [fits.BinTableHDU.from_columns(
            [_variable([one[n] for one in covar], f"row_{n}", "E") for n in range(3)], name="COVAR"
        )]  # fmt: skip
    return packed(target, target_flux, _visits(visits), *arrays, metadata)


def pfs_fibers(stars: Sequence[Star], *, is_merged: bool, norm: float | None = 2.0) -> bytes:
    """All fibres, in electrons; norm: of the lamp, about; None: there is none."""
    count, pixels = len(stars), stars[0].flux.size
    lamp = np.ones(pixels) if norm is None else norm + np.sin(np.arange(pixels) / 50.0)
    wavelength = np.stack([one.wavelength + (0.0 if is_merged else 1e-6 * row)
                           for row, one in enumerate(stars)])  # fmt: skip
    parts = [
        fits.ImageHDU(np.arange(1, count + 1, dtype=np.int32), name="FIBERID"),
        fits.ImageHDU(wavelength[0] if is_merged else wavelength, name="WAVELENGTH"),
        _floats(np.stack([one.flux * lamp for one in stars]), "FLUX"),
        fits.ImageHDU(np.stack([one.bits for one in stars]).view(np.uint32), name="MASK"),
        _floats(np.stack([_covariance(one.sigma * lamp) for one in stars]), "COVAR"),
    ]
    if norm is not None:
        parts.append(_floats(np.stack([lamp] * count), "NORM"))
    held = BytesIO()
    whole = fits.HDUList([fits.PrimaryHDU(header=_planes()), *parts])
    whole.writeto(held)
    return held.getvalue()


def _ivar(made: Star) -> np.ndarray:
    return np.where(np.arange(made.flux.size) == REJECTED, 0.0, made.sigma**-2.0)


def sdss(made: Star, name: str = "COADD") -> bytes:
    columns = [
        fits.Column("flux", "E", array=made.flux),
        fits.Column("loglam", "D", array=np.log10(10.0 * made.wavelength)),
        fits.Column("ivar", "E", array=_ivar(made)),
        fits.Column("wdisp", "E", array=np.full(made.flux.size, 1.1)),
    ]
    return packed(fits.BinTableHDU.from_columns(columns, name=name))


def desi(made: Star) -> bytes:
    """Two cameras that share 40 pixels."""
    parts = []
    for camera, some in (("R", slice(0, 140)), ("Z", slice(100, None))):
        parts += [
            fits.ImageHDU(10.0 * made.wavelength[some], name=f"{camera}_WAVELENGTH"),
            _floats(made.flux[np.newaxis, some], f"{camera}_FLUX"),
            _floats(_ivar(made)[np.newaxis, some], f"{camera}_IVAR"),
        ]
    return packed(*parts)


def lamost(made: Star) -> bytes:
    bad = (np.arange(made.flux.size) == REJECTED).astype(float)
    rows = np.stack([made.flux, made.sigma**-2.0, 10.0 * made.wavelength, bad, bad])
    held = BytesIO()
    header = fits.Header([("TELESCOP", "LAMOST"), ("HELIO", True), ("OBSID", 12)])
    fits.PrimaryHDU(rows.astype(np.float64), header=header).writeto(held)
    return held.getvalue()


def lamost_table(made: Star) -> bytes:
    bad = (np.arange(made.flux.size) == REJECTED).astype(np.int32)
    width = made.flux.size
    columns = [
        fits.Column(name, f"{width}{kind}", array=values[np.newaxis])
        for name, kind, values in (
            ("FLUX", "E", made.flux), ("IVAR", "E", made.sigma**-2.0),
            ("WAVELENGTH", "D", 10.0 * made.wavelength), ("ANDMASK", "J", bad),
        )
    ]  # fmt: skip
    held = BytesIO()
    primary = fits.PrimaryHDU(header=fits.Header([("TELESCOP", "LAMOST")]))
    fits.HDUList([primary, fits.BinTableHDU.from_columns(columns)]).writeto(held)
    return held.getvalue()


def _linear(made: Star, kind: str) -> dict[str, object]:
    step = made.wavelength[1] - made.wavelength[0]
    return {"CTYPE1": kind, "CUNIT1": "Angstrom", "CRPIX1": 1.0,
            "CRVAL1": 10.0 * made.wavelength[0], "CDELT1": 10.0 * step}  # fmt: skip


def galah(made: Star) -> bytes:
    """Its pixels are even in air: the wavelengths of the star are taken as such."""
    cards = _linear(made, "LINEAR")
    clear = np.where(np.arange(made.flux.size) == REJECTED, 0.5, 1.0)
    return packed(
        _floats(made.flux, "normalized", **cards),
        _floats(made.sigma / made.flux, "relative_error", **cards),
        _floats(clear, "teluric", **cards),
        _floats(10.0 * made.wavelength / 22000.0, "resolution_profile", **cards),
    )


def image(made: Star, kind: str = "WAVE", **more: object) -> bytes:
    cards = _linear(made, kind) | {"BUNIT": "1e-17 erg/(s cm2 Angstrom)"} | more
    held = BytesIO()
    primary = fits.PrimaryHDU(made.flux.astype(np.float32))
    primary.header.update(cards)
    bad = fits.ImageHDU((np.arange(made.flux.size) == REJECTED).astype(np.int16), name="DQ")
    fits.HDUList([primary, _floats(made.sigma, "ERROR"), bad]).writeto(held)
    return held.getvalue()


def table(made: Star) -> bytes:
    """In air, falling, flux per frequency."""
    columns = [
        fits.Column("WAVE", "D", unit="um", array=1e-3 * vacuum_to_air(made.wavelength)[::-1]),
        fits.Column("flux", "D", unit="mJy", array=1e-6 * (made.flux * made.nano)[::-1]),
        fits.Column("error", "D", unit="mJy", array=1e-6 * (made.sigma * made.nano)[::-1]),
        fits.Column("mask", "J", array=(made.bits == 1 << PLANES["CR"])[::-1].astype(int)),
    ]
    header = fits.Header([("MEDIUM", "air")])
    return packed(fits.BinTableHDU.from_columns(columns, header=header))


def ecsv(made: Star) -> bytes:
    held = Table(
        {"wavelength": made.wavelength * 10.0, "flux": made.flux, "ivar": _ivar(made)},
        units={"wavelength": "Angstrom", "flux": "1e-17 erg / (s cm2 Angstrom)"},
        meta={"medium": "vacuum"},
    )
    text = StringIO()
    held.write(text, format="ascii.ecsv")
    return text.getvalue().encode()


def csv(made: Star) -> bytes:
    rows = zip(
        vacuum_to_air(made.wavelength), made.flux * made.nano, made.sigma * made.nano,
        made.bits == 1 << PLANES["CR"], strict=True,
    )  # fmt: skip
    lines = [f"{a!r},{b!r},{c!r},{int(d)}" for a, b, c, d in
             ((float(a), float(b), float(c), d) for a, b, c, d in rows)]  # fmt: skip
    head = ["# medium: air", "wavelength_nm, flux_nJy, flux_error, mask"]
    return "\n".join([*head, *lines, ""]).encode()


def npz(made: Star) -> bytes:
    held = BytesIO()
    np.savez(held, wavelength=made.wavelength, flux=made.flux, variance=1.0 / _ivar_of(made),
             flux_unit="1e-17 erg/(s cm2 Angstrom)", wavelength_unit="nm",
             medium="vacuum")  # fmt: skip
    return held.getvalue()


def _ivar_of(made: Star) -> np.ndarray:
    return np.maximum(_ivar(made), 1e-300)


# name -> product, what makes it
FORMATS: dict[str, tuple[str, Callable[[Star], bytes]]] = {
    "pfsObject": ("pfsObject", pfs_object),
    "pfsObject, header": ("pfsObject", lambda s: pfs_object(s, kind="header")),
    "pfsSingle": ("pfsSingle", lambda s: pfs_object(s, visits=(4,))),
    "pfsCalibrated": ("pfsCalibrated", lambda s: pfs_bundle([s, s])),
    "pfsCoadd": ("pfsCoadd", lambda s: pfs_bundle([s, cut(s)], visits=(1, 2))),
    "pfsMerged": ("pfsMerged", lambda s: pfs_fibers([s, s], is_merged=True)),
    "pfsArm": ("pfsArm", lambda s: pfs_fibers([s, s], is_merged=False)),
    "SDSS": ("SDSS", sdss),
    "DESI": ("DESI", desi),
    "LAMOST": ("LAMOST", lamost),
    "LAMOST, table": ("LAMOST", lamost_table),
    "GALAH": ("GALAH", galah),
    "image": ("image", image),
    "image, air": ("image", lambda s: image(s, kind="AWAV")),
    "table": ("table", table),
    "ECSV": ("ECSV", ecsv),
    "CSV": ("CSV", csv),
    "NPZ": ("NPZ", npz),
}


def cut(made: Star) -> Star:
    """Return a star of fewer pixels."""
    return Star(made.wavelength[:-7], made.flux[:-7], made.sigma[:-7])
