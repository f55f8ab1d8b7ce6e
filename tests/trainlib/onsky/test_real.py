"""Observed stars of real surveys, where their files are: readers, redshifts, verdicts.

The files lie outside the project (see `tests.paths`); nothing of them is kept here.
"""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from simlib.location import Location
from simlib.spectra.observed import Stated
from simlib.spectra.read import read_observed
from simlib.units import SPEED_OF_LIGHT_M_S
from tests.paths import shared_data_folder
from trainlib.onsky.batch import denoise

KM_S = SPEED_OF_LIGHT_M_S / 1e3
VACUUM_NM = Stated("relative", "nm", "vacuum")
# folder -> product, spectra, resolution, S/N of a pixel in the arm of the best of them
SURVEYS = {
    "sdss": ("SDSS", 26, (1900, 3200), (30, 80)),
    "lamost": ("LAMOST", 3, (1800, 1800), (150, 300)),
    "galah": ("GALAH", 3, (21000, 24500), (150, 500)),
    "gaia_rvs": ("CSV", 4, None, (100, 600)),
    "muse": ("image", 1, None, (40, 100)),
}


def files(folder: str) -> list[Path]:
    place = shared_data_folder("real") / folder
    return [path for path in sorted(place.iterdir()) if path.name != "dr6.0.txt"]


@pytest.mark.parametrize("folder", SURVEYS)
def test_the_files_of_a_survey_are_read(folder):
    product, count, resolution, ratio = SURVEYS[folder]
    found = [
        one for path in files(folder) for one in read_observed(Location.of(path), VACUUM_NM).spectra
    ]
    assert {one.product for one in found} == {product} and len(found) == count
    best = 0.0
    for one in found:
        one.refuse_wavelengths()
        seen = one.is_usable & (one.wavelength > 710.0) & (one.wavelength < 885.0)
        assert seen.sum() > 800
        best = max(best, float(np.median(one.flux[seen] / np.sqrt(one.variance[seen]))))
        if resolution is None:
            assert one.resolution is None
        else:
            assert resolution[0] <= one.resolution <= resolution[1]
    assert ratio[0] < best < ratio[1]


def velocities(bundle, folder, tmp_path) -> dict[str, list[tuple[float, str]]]:
    places = [Location.of(path) for path in files(folder)]
    done = denoise(bundle, places, Location.of(tmp_path / "out"), VACUUM_NM)
    assert not any(one.message for one in done)
    return {
        one.place.name: [(KM_S * row["redshift"], row["verdict"]) for row in one.rows]
        for one in done
    }


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_redshifts_of_real_stars_are_those_of_the_catalogues(real_bundle, tmp_path):
    """Largest deviations seen: SDSS 10 km/s, between exposures 20; GALAH 9.5; Gaia's, at rest, 0.7.

    Gaia's Kepler-409 and KOI-001, hotter than any star in training, are found at -2.5 and -3.9; the
    nearest stars of the grid, fitted to them with a free continuum, at 0.1 and -1.
    """
    for name, rows in velocities(real_bundle, "sdss", tmp_path / "sdss").items():
        with fits.open(shared_data_folder("real") / "sdss" / name) as hdus:
            known = KM_S * float(hdus[2].data["Z"][0])
        assert all("coarser than trained" in verdict for _, verdict in rows)
        if name.startswith("spec-3764"):  # an L dwarf, S/N 5: not of this world of stars
            assert all("poor fit" in verdict for _, verdict in rows)
            continue
        assert abs(rows[0][0] - known) < 15.0
        assert all(abs(velocity - known) < 25.0 for velocity, _ in rows[1:])
    for ((velocity, verdict),) in velocities(real_bundle, "gaia_rvs", tmp_path / "gaia").values():
        assert abs(velocity) < 4.0 and "little seen" in verdict
    for name, ((velocity, verdict),) in velocities(
        real_bundle, "galah", tmp_path / "galah"
    ).items():
        known = fits.getval(shared_data_folder("real") / "galah" / name, "RVCOM")
        assert abs(velocity - known) < 15.0, name
        assert "little seen" in verdict
    for ((velocity, verdict),) in velocities(real_bundle, "lamost", tmp_path / "lamost").values():
        assert abs(velocity) < 30.0 and "coarser than trained" in verdict
