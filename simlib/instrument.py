"""An instrument: one spectrograph arm behind its telescope, as plain figures.

A TOML file names the figures and a CSV beside it holds the throughput; adding an instrument is
adding these two files. No physics here: see `simlib.etc`.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import AfterValidator, Field, StringConstraints, model_validator

from simlib.bounds import FRACTION
from simlib.config import Section, validate
from simlib.errors import InputError, shown
from simlib.fingerprint import fingerprint
from simlib.tables import read_curve
from simlib.text_files import read_toml

FOLDER = Path(str(resources.files("simlib"))) / "instruments"


def _increasing(values: tuple[float, ...]) -> tuple[float, ...]:
    if any(after <= before for before, after in pairwise(values)):
        raise ValueError("they do not increase")
    return values


# Numbers, and nothing that could be taken for one. Limits: wider than any telescope's, narrow
# enough for what is computed from them to stay finite.
Metre = Annotated[float, Field(strict=True, ge=0.01, le=1e3)]
Micron = Annotated[float, Field(strict=True, ge=0.1, le=1e4)]
Nanometre = Annotated[float, Field(strict=True, ge=1e-4, le=1e5)]
Share = Annotated[float, Field(strict=True, ge=0.0, le=1.0)]
Angle = Annotated[float, Field(strict=True, ge=0.0, le=90.0)]
Positive = Annotated[float, Field(strict=True, ge=0.01, le=1e8)]
NotNegative = Annotated[float, Field(strict=True, ge=0.0, le=1e4)]
Count = Annotated[int, Field(strict=True, ge=1, le=100_000)]
Nodes = Field(min_length=1, max_length=1000)


class _Telescope(Section):
    outer_diameter_m: Metre
    central_obscuration: Annotated[Share, Field(le=0.99)]
    field_angle_deg: Annotated[tuple[Angle, ...], Nodes, AfterValidator(_increasing)]
    focal_length_m: Annotated[tuple[Metre, ...], Nodes]
    spot_rms_um: Annotated[tuple[Micron, ...], Nodes]
    vignetting: Annotated[tuple[Share, ...], Nodes]

    @model_validator(mode="after")
    def _one_value_a_node(self) -> "_Telescope":
        nodes = len(self.field_angle_deg)
        for name in ("focal_length_m", "spot_rms_um", "vignetting"):
            if len(getattr(self, name)) != nodes:
                raise ValueError(f"{name} has not as many values as field_angle_deg, {nodes}")
        return self


class _Fiber(Section):
    radius_um: Micron
    image_diameter_um: Micron
    trace_separation_um: Micron
    trace_width_pixels: Annotated[Count, Field(le=100)]


class _Spectrograph(Section):
    wavelength_min_nm: Nanometre
    wavelength_max_nm: Nanometre
    pixel_count: Annotated[Count, Field(ge=2)]  # of two pixels one knows how wide they are
    grating_lines: Positive
    camera_focal_ratio: Positive
    camera_spot_rms_um: Micron

    @model_validator(mode="after")
    def _has_a_range(self) -> "_Spectrograph":
        if self.wavelength_min_nm >= self.wavelength_max_nm:
            raise ValueError("wavelength_min_nm is not below wavelength_max_nm")
        return self


class _Detector(Section):
    pixel_um: Micron
    silicon_thickness_um: Micron
    temperature_k: Annotated[Positive, Field(ge=1.0, le=1e3)]
    dark_e_per_pixel_s: NotNegative
    read_noise_e: NotNegative
    sample_factor: Positive
    stray_light_fraction: Share


class _Table2(Section):
    wavelength_min_nm: Nanometre
    wavelength_max_nm: Nanometre
    pixel_nm: Nanometre
    resolution_nm: Nanometre
    velocity_resolution_km_s: Positive
    resolving_power: Positive


class _InstrumentFile(Section):
    """What the TOML file of an instrument holds."""

    throughput: Annotated[str, StringConstraints(min_length=1)]  # the CSV beside it
    telescope: _Telescope
    fiber: _Fiber
    spectrograph: _Spectrograph
    detector: _Detector
    table2: _Table2


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
    unknown, of the wrong kind or out of its bounds.
    """
    is_known = name_or_path in known_instruments()
    path = FOLDER / f"{name_or_path}.toml" if is_known else Path(name_or_path)
    if path.suffix != ".toml" or not os.path.lexists(path):
        raise InputError(
            f"unknown instrument {shown(name_or_path)}; known: {', '.join(known_instruments())}; "
            "or give the path of a .toml file"
        )
    file = _read(path)
    curve = read_curve(
        path.parent / file.throughput, "throughput", FRACTION, f"throughput of {path.name}"
    )
    columns = (tuple(curve[name].tolist()) for name in ("wavelength_nm", "throughput"))
    return _made(path.stem, file, *columns)


def files_of(path: Path) -> list[Path]:
    """Return the files that describe an instrument. Raises InputError for one of no use."""
    return [path, path.parent / _read(path).throughput]


def _read(path: Path) -> _InstrumentFile:
    return validate(_InstrumentFile, read_toml(path, "instrument"), f"instrument {path}")


@lru_cache(maxsize=16)
def _made(
    name: str, file: _InstrumentFile, wavelength: tuple[float, ...], throughput: tuple[float, ...]
) -> Instrument:
    """Return the instrument; the same one for the same figures, since much is kept beside it."""
    sections = (file.telescope, file.fiber, file.spectrograph, file.detector)
    figures = {key: value for section in sections for key, value in section}
    figures |= {"throughput_wavelength_nm": wavelength, "throughput": throughput}
    figures = {k: np.array(v) if isinstance(v, tuple) else v for k, v in figures.items()}
    figures["table2"] = file.table2.model_dump()
    return Instrument(name=name, checksum=fingerprint(figures), **figures)
