"""An instrument: one spectrograph arm behind its telescope, as plain figures.

A TOML file names the figures and a CSV beside it holds the throughput; adding an instrument is
adding these two files. No physics here: see `simlib.etc`.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from simlib.errors import InputError
from simlib.etc.tables import file_stamps, read_curve
from simlib.fingerprint import fingerprint

FOLDER = Path(str(resources.files("simlib"))) / "instruments"
NUMBERS: dict[str, tuple[str, ...]] = {
    "telescope": ("outer_diameter_m", "central_obscuration"),
    "fiber": ("radius_um", "image_diameter_um", "trace_separation_um"),
    "spectrograph": (
        "wavelength_min_nm",
        "wavelength_max_nm",
        "grating_lines",
        "camera_focal_ratio",
        "camera_spot_rms_um",
    ),
    "detector": (
        "pixel_um",
        "silicon_thickness_um",
        "temperature_k",
        "dark_e_per_pixel_s",
        "read_noise_e",
        "sample_factor",
        "stray_light_fraction",
    ),
}
COUNTS = {"fiber": ("trace_width_pixels",), "spectrograph": ("pixel_count",)}
FEWEST = {"trace_width_pixels": 1, "pixel_count": 2}  # of two pixels one knows how wide they are
FIELD_LISTS = ("field_angle_deg", "focal_length_m", "spot_rms_um", "vignetting")
TABLE2 = (
    "wavelength_min_nm",
    "wavelength_max_nm",
    "pixel_nm",
    "resolution_nm",
    "velocity_resolution_km_s",
    "resolving_power",
)


@dataclass(frozen=True, eq=False)
class Instrument:
    """One arm. Lengths as named; lists over the field are linear between `field_angle_deg`."""

    name: str
    checksum: str  # of every figure, for fingerprints
    outer_diameter_m: float
    central_obscuration: float  # linear ratio
    field_angle_deg: np.ndarray
    focal_length_m: np.ndarray
    spot_rms_um: np.ndarray
    vignetting: np.ndarray
    radius_um: float
    image_diameter_um: float
    trace_separation_um: float
    trace_width_pixels: int
    wavelength_min_nm: float
    wavelength_max_nm: float
    pixel_count: int
    grating_lines: float
    camera_focal_ratio: float
    camera_spot_rms_um: float
    pixel_um: float
    silicon_thickness_um: float
    temperature_k: float
    dark_e_per_pixel_s: float
    read_noise_e: float
    sample_factor: float
    stray_light_fraction: float
    throughput_wavelength_nm: np.ndarray
    throughput: np.ndarray
    table2: Mapping[str, float]  # the figures that the paper prints for this arm

    @property
    def pixel_nm(self) -> float:
        """Width of one pixel, nm."""
        return (self.wavelength_max_nm - self.wavelength_min_nm) / self.pixel_count

    @property
    def wavelength_edges(self) -> np.ndarray:
        """Pixel edges, (pixel_count + 1,), nm, vacuum."""
        return self.wavelength_min_nm + self.pixel_nm * np.arange(self.pixel_count + 1)

    @property
    def wavelength(self) -> np.ndarray:
        """Pixel centres, (pixel_count,), nm, vacuum."""
        return self.wavelength_min_nm + self.pixel_nm * (np.arange(self.pixel_count) + 0.5)


def known_instruments() -> list[str]:
    """Return the names of the shipped instruments."""
    return sorted(Path(f.name).stem for f in FOLDER.iterdir() if f.name.endswith(".toml"))


def load_instrument(name_or_path: str) -> Instrument:
    """Return a shipped instrument by name, or one described by a TOML file.

    Raises InputError for an unknown name (the known ones are listed) or a figure that is missing,
    unknown or of the wrong kind.
    """
    path = Path(name_or_path)
    if name_or_path in known_instruments():
        return _load(FOLDER, f"{name_or_path}.toml", ())
    if path.suffix == ".toml" and path.is_file():
        return _load(path.parent, path.name, file_stamps(path.parent, "*"))
    raise InputError(
        f"unknown instrument {name_or_path!r}; known: {', '.join(known_instruments())}; "
        "or give the path of a .toml file"
    )


@cache
def _load(folder: Path, file: str, stamps: tuple[tuple[str, int, int], ...]) -> Instrument:
    """Return the instrument; `stamps` tell an edited file from the one that is in memory."""
    name = Path(file).stem
    try:
        tables = tomllib.loads((folder / file).read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"instrument {name}: not valid TOML: {error}") from None
    curve_file = tables.get("throughput")
    if not isinstance(curve_file, str):
        raise InputError(f"instrument {name}: throughput must name the CSV beside it")
    figures = _figures(name, tables)
    curve = read_curve(folder / curve_file, "throughput", curve_file)
    figures["throughput_wavelength_nm"] = curve["wavelength_nm"]
    figures["throughput"] = curve["throughput"]
    return Instrument(name=name, checksum=fingerprint(figures), **figures)


def _figures(name: str, tables: Mapping[str, Any]) -> dict[str, Any]:
    expected = {
        section: (*keys, *COUNTS.get(section, ()), *(FIELD_LISTS if section == "telescope" else ()))
        for section, keys in NUMBERS.items()
    } | {"table2": TABLE2}
    for section, keys in expected.items():
        found = tables.get(section, {})
        if set(found) != set(keys):
            raise InputError(
                f"instrument {name}, [{section}]: missing {sorted(set(keys) - set(found))}, "
                f"unknown {sorted(set(found) - set(keys))}"
            )
    figures: dict[str, Any] = {}
    for section, keys in NUMBERS.items():
        figures |= {key: _number(name, key, tables[section][key]) for key in keys}
    for section, keys in COUNTS.items():
        figures |= {key: int(_number(name, key, tables[section][key], FEWEST[key])) for key in keys}
    for key in FIELD_LISTS:
        figures[key] = np.array([_number(name, key, x) for x in tables["telescope"][key]])
    if len({figures[key].size for key in FIELD_LISTS}) != 1:
        raise InputError(f"instrument {name}: the lists over the field differ in length")
    figures["table2"] = {key: _number(name, key, tables["table2"][key]) for key in TABLE2}
    return figures


def _number(name: str, key: str, value: object, least: float = 0.0) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not np.isfinite(value):
        raise InputError(f"instrument {name}: {key} = {value!r} is not a number")
    if value < least:
        raise InputError(f"instrument {name}: {key} = {value!r} is less than {least:g}")
    return float(value)
