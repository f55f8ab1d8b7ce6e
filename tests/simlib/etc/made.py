"""Conditions and tables that several tests of the calculator use."""

from pathlib import Path

import numpy as np
import xarray as xr

TYPICAL = {
    "seeing": 0.8,
    "zenith_angle": 30.0,
    "field_angle": 0.3,
    "moon_zenith_angle": 45.0,
    "moon_target_angle": 90.0,
    "moon_phase": 0.2,
}


def conditions(**changes) -> xr.Dataset:
    """Conditions as given, as many as the longest list, the rest typical."""
    values = TYPICAL | changes
    count = max(np.size(value) for value in values.values())
    return xr.Dataset(
        {
            name: ("condition", np.broadcast_to(v, (count,)).astype(float))
            for name, v in values.items()
        }
    )


def write_sky_tables(folder: Path, airmass: float | None = None, step_nm: float = 0.025) -> Path:
    """Write the smallest folder of sky tables: one emission line, one absorption line."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sky_lines_one.csv").write_text(
        "# one line\nwavelength_air_nm,intensity_1e-16_cgs\n800.00,1.0\n820.00,-3.0\n"
    )
    wavelength = np.arange(690.0, 905.0, step_nm)
    transmission = 1.0 - 0.5 * np.exp(-0.5 * ((wavelength - 760.0) / 0.2) ** 2)
    stated = "" if airmass is None else f"# airmass: {airmass}\n"
    rows = "".join(f"{w:.3f},{t:.6f}\n" for w, t in zip(wavelength, transmission, strict=True))
    (folder / "telluric_one.csv").write_text(f"{stated}wavelength_nm,transmission\n{rows}")
    return folder


def write_conditions(path: Path, *rows: str, header: str | None = None) -> Path:
    """Write a list of conditions as a person would."""
    default = (
        "seeing_arcsec,zenith_angle_deg,field_angle_deg,moon_zenith_angle_deg,"
        "moon_target_angle_deg,moon_phase,exposure_time_s,exposure_count"
    )
    path.write_text("\n".join([header or default, *rows]) + "\n")
    return path
