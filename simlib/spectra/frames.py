"""Frames of velocities, and the state of telluric lines: words that files and people have for them.

What a file says comes before what a person says; what neither says is not known, and is told so. A
redshift is brought to the barycentre of the solar system by

    1 + z_barycentric = (1 + z) (1 + v / c),

v the velocity of the observer towards the star, by astropy, where time, target and, for what was
not corrected at all, the place on Earth are known; in the middle of the exposure. Wavelengths stay
as they are.
"""

import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from simlib.units import SPEED_OF_LIGHT_M_S

BARYCENTRIC = "barycentric"
FRAMES = ("topocentric", BARYCENTRIC, "heliocentric", "rest")
TELLURIC = ("corrected", "uncorrected")
UNKNOWN = "unknown"
# of the standard's SPECSYS, and of our own pages
_OTHER_WORDS = {"topocent": "topocentric", "observed": "topocentric", "barycent": BARYCENTRIC,
                "heliocen": "heliocentric", "source": "rest"}  # fmt: skip
_TELLURIC_WORDS = {"true": TELLURIC[0], "false": TELLURIC[1]}  # and a header's T and F
_GEOCENTRIC = ("OBSGEO-X", "OBSGEO-Y", "OBSGEO-Z")  # of the standard, m
_EARTH_M = (6.2e6, 6.5e6)
_ANYWHERE_M = (6378137.0, 0.0, 0.0)  # from the Sun to the barycentre it does not matter where
CARDS = ("SPECSYS", "TELLURIC", "MJD-OBS", "DATE-OBS", "EXPTIME", "RA", "DEC", *_GEOCENTRIC)
_DAY_S = 86400.0
_MJD = (15020.0, 88069.0)  # 1900 to 2100


def as_frame(text: object) -> str:
    """Return the frame that a word means, in letters of any case; empty where it means none."""
    word = str(text or "").strip().lower()
    return word if word in FRAMES else _OTHER_WORDS.get(word, "")


def as_telluric(text: object) -> str:
    """Return whether telluric lines were corrected for, by a word; empty where it means nothing."""
    word = ("" if text is None else str(text)).strip().lower()
    return word if word in TELLURIC else _TELLURIC_WORDS.get(word, "")


def to_barycentre(frame: str, cards: Mapping[str, Any]) -> float:
    """Return the velocity that brings a frame to the barycentre, km/s; NaN where it is not known.

    cards: of a header, for time (MJD-OBS or DATE-OBS, EXPTIME), target (RA, DEC in degrees) and
    place (OBSGEO-X, -Y, -Z).
    """
    if frame == BARYCENTRIC:
        return 0.0
    site = _ANYWHERE_M if frame == "heliocentric" else _site(cards)
    if frame not in ("topocentric", "heliocentric") or site is None:
        return math.nan
    ra, dec, mjd = _number(cards, "RA"), _number(cards, "DEC"), _middle(cards)
    if not (0.0 <= ra <= 360.0 and -90.0 <= dec <= 90.0 and _MJD[0] <= mjd <= _MJD[1]):
        return math.nan
    return _correction(ra, dec, mjd, site, is_heliocentric=frame == "heliocentric")


def at_barycentre(redshift: float, velocity_km_s: float) -> float:
    """Return a redshift as the barycentre sees it; velocity: see `to_barycentre`."""
    return (1.0 + redshift) * (1.0 + velocity_km_s * 1e3 / SPEED_OF_LIGHT_M_S) - 1.0


def _number(cards: Mapping[str, Any], name: str) -> float:
    with suppress(TypeError, ValueError):
        return float(cards[name]) if name in cards else math.nan
    return math.nan


def _site(cards: Mapping[str, Any]) -> tuple[float, float, float] | None:
    x, y, z = (_number(cards, name) for name in _GEOCENTRIC)
    return (x, y, z) if _EARTH_M[0] < math.hypot(x, y, z) < _EARTH_M[1] else None


def _middle(cards: Mapping[str, Any]) -> float:
    """Return the MJD of the middle of the exposure; NaN where begin or length is not known."""
    seconds = _number(cards, "EXPTIME")
    begin = _number(cards, "MJD-OBS")
    if math.isnan(begin) and "DATE-OBS" in cards and "T" in str(cards["DATE-OBS"]):
        from astropy.time import Time  # noqa: PLC0415  (slow to load)

        with suppress(ValueError, TypeError):
            begin = float(Time(str(cards["DATE-OBS"])[:40], format="isot", scale="utc").mjd)
    return begin + 0.5 * seconds / _DAY_S


def _correction(
    ra: float, dec: float, mjd: float, site_m: tuple[float, float, float], *, is_heliocentric: bool
) -> float:
    from astropy import units  # noqa: PLC0415  (slow to load)
    from astropy.coordinates import EarthLocation, SkyCoord  # noqa: PLC0415
    from astropy.time import Time  # noqa: PLC0415
    from astropy.utils import iers  # noqa: PLC0415

    place = EarthLocation.from_geocentric(*site_m, unit=units.m)
    target = SkyCoord(ra, dec, unit=units.deg)
    # Where the Earth has turned is predicted to a second and better: 0.03 m/s, and nothing is
    # fetched for that.
    with (
        iers.conf.set_temp("auto_download", False),
        iers.conf.set_temp("iers_degraded_accuracy", "ignore"),
    ):
        time = Time(mjd, format="mjd", scale="utc")
        found, sun = (
            target.radial_velocity_correction(kind, obstime=time, location=place).to_value("km/s")
            for kind in ("barycentric", "heliocentric")
        )
    return float(found - sun if is_heliocentric else found)
