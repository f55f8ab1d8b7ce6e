"""The night sky's figures behind one interface: embedded, or a folder of tables.

`SkyModel` holds what the calculator needs from a sky, whatever it was made from.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from simlib.air_wavelengths import air_to_vacuum_edlen
from simlib.bounds import FRACTION, WAVELENGTH, Bound
from simlib.config import Sky
from simlib.errors import InputError, shown
from simlib.etc.shipped_tables import embedded
from simlib.etc.sky import oh, oxygen, telluric
from simlib.etc.sky.airglow import PHOTONS_PER_INTENSITY
from simlib.fingerprint import checksum as checksum_of
from simlib.fingerprint import fingerprint
from simlib.tables import Table, file_digests, read_curve, read_table

FINE_STEP_NM = 0.001  # of the computed telluric spectrum; its narrowest lines are 0.003 wide
SPAN_NM = (700.0, 895.0)
EXTINCTION = Bound(0.0, 100.0, "mag")
LINES = {
    "wavelength_air_nm": Bound(200.0, 1e5, "nm"),
    "intensity_1e-16_cgs": Bound(-1e9, 1e9),  # noise around zero is taken for zero
}
GALACTIC = {"wavelength_nm": WAVELENGTH, "A_over_EBV": EXTINCTION}
AIRMASS = Bound(0.1, 100.0)
FAINTEST_LINE = 1e-4  # of the brightest; fainter computed lines hold 1e-3 of the light


@dataclass(frozen=True, eq=False)
class SkyModel:
    """Everything about the air and the night sky that does not depend on the conditions."""

    source: str
    checksum: str
    extinction_wavelength_nm: np.ndarray
    extinction_mag: np.ndarray  # per airmass
    galactic_wavelength_nm: np.ndarray
    galactic_extinction: np.ndarray  # A / E(B-V)
    line_wavelength_nm: np.ndarray  # vacuum
    line_rate: np.ndarray  # photon s-1 m-2 arcsec-2 at airmass 1.1, above the absorbing air
    telluric_wavelength_nm: np.ndarray
    telluric_transmission: np.ndarray
    telluric_airmass: float | None  # at which the transmission holds; None: not stated
    continuum_wavelength_nm: np.ndarray | None  # None: the closed formula
    continuum_radiance: np.ndarray | None  # photon s-1 m-2 um-1 arcsec-2 at the ground, zenith
    continuum_scale: float
    solar_wavelength_nm: np.ndarray
    solar_flux: np.ndarray  # mean 1 over the table


def load_sky(config: Sky) -> SkyModel:
    """Return the embedded sky, or that of `config.tables`.

    Raises InputError for a folder or table that cannot be used, or for a figure of the config
    that has no effect on tables.
    """
    return _load(config, () if config.tables is None else file_digests(config.tables, "*.csv"))


@lru_cache(maxsize=8)
def _load(config: Sky, digests: tuple[tuple[str, str], ...]) -> SkyModel:
    """Return the sky; `digests` tell a changed table from the one that is in memory."""
    parts = _embedded(config) if config.tables is None else _from_folder(config)
    values = [
        v if v is None else checksum_of(v) if isinstance(v, np.ndarray) else v
        for key, v in sorted(parts.items())
        if key != "source"
    ]
    return SkyModel(checksum=fingerprint(values), **parts)  # type: ignore[arg-type]


def _embedded(config: Sky) -> dict[str, object]:
    wavelength = np.arange(SPAN_NM[0], SPAN_NM[1], FINE_STEP_NM)
    lines = (
        _bright(*oh.oh_lines(), scale=config.oh_scale),
        _bright(*oxygen.emission_lines(), scale=config.o2_scale),
    )
    return _common(config) | {
        "source": f"embedded, OH x {config.oh_scale:g}, O2 x {config.o2_scale:g}, "
        f"water {config.water_mm:g} mm, {_continuum_named(config)}",
        "line_wavelength_nm": np.concatenate([w for w, _ in lines]),
        "line_rate": np.concatenate([rate for _, rate in lines]),
        "telluric_wavelength_nm": wavelength,
        "telluric_transmission": np.exp(-telluric.optical_depth(wavelength, config.water_mm)),
        "telluric_airmass": 1.0,
    }


def _continuum_named(config: Sky) -> str:
    return f"continuum {config.continuum} x {config.continuum_scale:g}"


def _bright(
    wavelength: np.ndarray, rate: np.ndarray, scale: float
) -> tuple[np.ndarray, np.ndarray]:
    kept = rate > FAINTEST_LINE * rate.max()
    return wavelength[kept], scale * rate[kept]


def _common(config: Sky) -> dict[str, object]:
    """Return what an embedded sky has and a folder of tables may leave out."""
    extinction = embedded("extinction_maunakea.csv", "wavelength_nm", "k_mag_per_airmass")
    galactic = _galactic(embedded("galactic_extinction.csv", "wavelength_nm", "A_over_EBV"))
    solar = embedded("solar_spectrum.csv", "wavelength_nm", "flux_normalized")
    parts: dict[str, object] = {
        "extinction_wavelength_nm": extinction["wavelength_nm"],
        "extinction_mag": extinction["k_mag_per_airmass"],
        "solar_wavelength_nm": solar["wavelength_nm"],
        "solar_flux": solar["flux_normalized"] / solar["flux_normalized"].mean(),
        "continuum_wavelength_nm": None,
        "continuum_radiance": None,
        "continuum_scale": config.continuum_scale,
    }
    if config.continuum == "skycalc":
        table = embedded("sky_continuum_skycalc.csv", "wavelength_nm", "radiance")
        parts["continuum_wavelength_nm"] = table["wavelength_nm"]
        parts["continuum_radiance"] = table["radiance"]
    return parts | galactic


def _galactic(table: Table) -> dict[str, object]:
    order = np.argsort(table["wavelength_nm"])
    return {
        "galactic_wavelength_nm": table["wavelength_nm"][order],
        "galactic_extinction": table["A_over_EBV"][order],
    }


def _from_folder(config: Sky) -> dict[str, object]:
    """Read `telluric_*.csv` and `sky_lines_*.csv`, and the optional tables where they are."""
    default = Sky()
    for key in ("oh_scale", "o2_scale", "water_mm"):
        if getattr(config, key) != getattr(default, key):
            raise InputError(
                f"sky.{key} = {getattr(config, key):g} has no effect on the tables of "
                f"{config.tables}; it belongs to the embedded sky: leave out one of the two"
            )
    folder = Path(str(config.tables))
    if not folder.is_dir():
        raise InputError(f"no folder of sky tables at {str(folder)!r}")
    absorption = _covering(folder, "telluric_*.csv")
    airmass = absorption.stated("airmass")
    lines = read_table(_one(folder, "sky_lines_*.csv"), LINES)
    wavelength = air_to_vacuum_edlen(lines["wavelength_air_nm"])
    intensity = np.maximum(lines["intensity_1e-16_cgs"], 0.0)
    parts = _common(config) | {
        "source": f"tables {folder}, {_continuum_named(config)}",
        "line_wavelength_nm": wavelength,
        "line_rate": intensity * PHOTONS_PER_INTENSITY * wavelength,
        "telluric_wavelength_nm": absorption["wavelength_nm"],
        "telluric_transmission": absorption["transmission"],
        "telluric_airmass": None if airmass is None else _airmass(folder, airmass),
    }
    for path in sorted(folder.glob("extinction_*.csv"))[:1]:
        table = read_curve(path, "k_mag_per_airmass", EXTINCTION)
        parts["extinction_wavelength_nm"] = table["wavelength_nm"]
        parts["extinction_mag"] = table["k_mag_per_airmass"]
    for path in sorted(folder.glob("galactic_extinction*.csv"))[:1]:
        parts |= _galactic(read_table(path, GALACTIC))
    return parts


def _airmass(folder: Path, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not AIRMASS.holds(np.array(value)):
        raise InputError(
            f"{folder}: a telluric table states airmass {shown(text)}, not a number in {AIRMASS}"
        )
    return value


def _one(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise InputError(f"{folder}: one table {pattern} is needed, found {names}")
    return found[0]


def _covering(folder: Path, pattern: str) -> Table:
    """Return the one transmission table that covers the calculator's span."""
    paths = sorted(folder.glob(pattern))
    found = {path: read_curve(path, "transmission", FRACTION) for path in paths}
    covering = [
        table
        for table in found.values()
        if table["wavelength_nm"][0] <= SPAN_NM[0] and table["wavelength_nm"][-1] >= SPAN_NM[1]
    ]
    if len(covering) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise InputError(
            f"{folder}: one table {pattern} must cover {SPAN_NM[0]:g}-{SPAN_NM[1]:g} nm; "
            f"{len(covering)} of {names} do"
        )
    return covering[0]
