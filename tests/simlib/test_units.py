"""Constants are those of CODATA, and are written down once."""

import ast
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from simlib import units

ROOT = Path(__file__).resolve().parents[2]
KNOWN = {
    "speed of light": 299792458.0, "Planck": 6.62607015e-34, "Boltzmann": 1.380649e-23,
    "atomic mass": 1.66053906660e-27, "h c / k": 1.438776877, "FWHM per sigma": 2.354820045,
    "arcsec per radian": 206264.806247, "0.4 ln 10": 0.921034037, "photons per erg nm": 503411657.0,
    "AB zero point": 3.631e-20,
}  # fmt: skip


@pytest.mark.parametrize(
    ("found", "known", "digits"),
    [
        (units.SECOND_RADIATION_CM_K, KNOWN["h c / k"], 1e-9),
        (units.PHOTONS_PER_ERG_NM, KNOWN["photons per erg nm"], 1e-8),
        (units.MICRORADIAN_ARCSEC, 1e-6 * KNOWN["arcsec per radian"], 1e-11),
        (units.ATOMIC_MASS_KG, KNOWN["atomic mass"], 1e-8),
        (units.SPEED_OF_LIGHT_ANGSTROM_S, 1e10 * KNOWN["speed of light"], 1e-15),
        (units.AB_ZERO_POINT, 10.0 ** (-0.4 * 48.6), 1e-4),  # kept as it is usually rounded
    ],
)
def test_derived_constants_are_those_of_the_tables(
    found: float, known: float, digits: float
) -> None:
    assert found == pytest.approx(known, rel=digits)


def test_a_source_of_magnitude_zero_has_3631_jansky_whatever_its_unit() -> None:
    wavelength = np.array([700.0, 850.0])
    flux = units.ab_flux(0.0, wavelength)
    assert units.nanojansky(flux, wavelength) == pytest.approx(3631e9, rel=1e-12)


def literals(path: Path) -> Iterator[tuple[str, float]]:
    """Yield the numbers of a file that are written with five digits or more."""
    source = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, float) and node.value > 0.0:
            text = ast.get_source_segment(source, node) or ""
            digits = text.lower().split("e")[0].replace(".", "").replace("_", "").strip("0")
            if len(digits) >= 5:
                yield text, node.value


def mantissa(value: float) -> float:
    return float(value / 10.0 ** np.floor(np.log10(value)))


@pytest.mark.parametrize("package", ["simlib", "trainlib", "flows"])
def test_no_constant_is_written_down_a_second_time(package: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}: {text} is {name}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for text, value in literals(path)
        for name, known in KNOWN.items()
        if abs(mantissa(value) / mantissa(known) - 1.0) < 1e-5
    ]
    assert found == []
