"""Simulated spectra written as the survey's pfsObject files, read back with astropy alone."""

import weakref
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import yaml
from astropy import units
from astropy.io import fits
from astropy.wcs import WCS

from simlib.config import SimulationConfig, load_config
from simlib.errors import InputError
from simlib.location import Location
from simlib.parameters import as_table
from simlib.photometry import load_band, sample_weights, zero_counts
from simlib.plots.plot import picture_of
from simlib.rng import Purpose, Split, normals
from simlib.simulation import pfs_object, pfs_parts, spectra_file
from simlib.simulation.pfs_object import file_name, visit_hash
from simlib.simulation.spectra_file import write_spectra
from simlib.simulation.targets import simulate_targets, terms_of_targets
from simlib.units import nanojansky

TOY = ["stellar.grid=toy", "stellar.teff=[4000, 4500]", "stellar.logg=[1, 3]",
       "stellar.feh=[-1, 0]", "stellar.alpha=[0, 0.25]"]  # fmt: skip
TARGETS = {
    "teff": [4200.0, 4400.0], "logg": [2.2, 1.4], "feh": [-0.4, -0.8], "alpha": [0.1, 0.2],
    "redshift": [0.001, 0.0], "ebv": [0.05, 0.0], "magnitude": [20.5, 22.0],
    "seeing": [0.8, 1.1], "zenith_angle": [30.0, 10.0], "field_angle": [0.3, 0.5],
    "moon_zenith_angle": [60.0, 95.0], "moon_target_angle": [90.0, 100.0],
    "moon_phase": [0.1, 0.2], "exposure_count": [3.0, 12.0], "exposure_time_s": [450.0, 700.0],
}  # fmt: skip


@pytest.fixture(scope="module")
def config() -> SimulationConfig:
    return load_config("tiny", TOY)


@pytest.fixture(scope="module")
def simulated(config: SimulationConfig) -> xr.Dataset:
    columns = {name: np.array(values) for name, values in TARGETS.items()}
    columns["interpolated_axis"] = np.full(2, -1, dtype=np.int8)
    targets = as_table(columns, np.arange(2))
    return simulate_targets(targets, config)


@pytest.fixture(scope="module")
def files(simulated, config, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pfs") / "out"
    write_spectra(simulated, folder, "pfs", config)
    return sorted(folder.iterdir())


def test_each_star_is_a_file_named_by_the_data_model(files: list[Path]) -> None:
    visits = visit_hash([1, 2, 3])
    assert files[0].name == f"pfsObject-00000-00000-0,0-0000000000000001-003-0x{visits:016x}.fits"
    assert "-0000000000000002-012-0x" in files[1].name
    for path in files:
        with fits.open(path) as stored:
            assert file_name(stored) == path.name
            stored.verify("exception")
            names = [hdu.name for hdu in stored[1:]]
        assert names == ["FLUX", "MASK", "SKY", "COVAR", "COVAR2", "SIMULATED", "WAVELENGTH",
                         "TARGET", "OBSERVATIONS", "NOTES", "LIST", "FLUX_TABLE"]  # fmt: skip


def test_the_header_gives_the_pixels_wavelengths(files: list[Path], simulated) -> None:
    expected = simulated["wavelength"].values
    with fits.open(files[0]) as stored:
        for name in ("FLUX", "MASK", "SKY", "COVAR", "SIMULATED"):
            wcs = WCS(stored[name].header, naxis=1)
            metre = wcs.pixel_to_world_values(np.arange(len(expected)))
            assert np.allclose(np.asarray(metre) * 1e9, expected, rtol=1e-12)
        assert np.array_equal(stored["FLUX_TABLE"].data["wavelength"], expected)


def test_the_noiseless_flux_has_the_star_s_magnitude(files: list[Path], simulated) -> None:
    """The band reaches beyond the arm: the part inside is compared with the simulator's flux."""
    spectra = simulated
    wavelength = spectra["wavelength"].values
    band = load_band("hsc2017-i2")
    for path, row in zip(files, range(2), strict=True):
        with fits.open(path) as stored:
            clean = stored["SIMULATED"].data.astype(float)
            given = float(stored["TARGET"].data["fiberFlux"][0])
        per_angstrom = clean / nanojansky(1.0, wavelength)
        weights, below, above = sample_weights(band, wavelength)
        counts = np.sum(weights * per_angstrom) + below * per_angstrom[0] + above * per_angstrom[-1]
        magnitude = -2.5 * np.log10(counts / zero_counts(band))
        assert magnitude == pytest.approx(TARGETS["magnitude"][row], abs=0.02)
        assert -2.5 * np.log10(given) + 31.4 == pytest.approx(TARGETS["magnitude"][row], abs=1e-4)


def in_nanojansky(flux: np.ndarray, wavelength: np.ndarray) -> np.ndarray:
    """Return 1e-17 erg s-1 cm-2 AA-1 in nJy, as astropy has it."""
    given = flux * 1e-17 * units.erg / units.s / units.cm**2 / units.AA
    return np.asarray(given.to_value(units.nJy, units.spectral_density(wavelength * units.nm)))


def test_the_tables_and_the_header_tell_the_star_and_its_exposures(
    files: list[Path], simulated: xr.Dataset
) -> None:
    for path, row in zip(files, range(2), strict=True):
        with fits.open(path) as stored:
            told = stored["SIMULATED"].header
            for name in (*TARGETS, "flux_scale", "snr"):
                assert told[name] == float(simulated[name][row]), name
            seen = stored["OBSERVATIONS"].data
            count = int(TARGETS["exposure_count"][row])
            assert list(seen["visit"]) == list(range(1, count + 1))
            assert set(seen["expTime"]) == {TARGETS["exposure_time_s"][row]}
            assert set(seen["fiberId"]) == {row + 1}
            assert (set(seen["arm"]), set(seen["spectrograph"])) == ({"m"}, {1})
            assert stored["TARGET"].header["OBJID"] == row + 1
            assert list(stored["TARGET"].data["filterName"]) == ["hsc2017-i2"]
            bits = {"MP_BAD": 0, "MP_SAT": 1, "MP_INTRP": 2, "MP_CR": 3, "MP_NO_DATA": 8}
            for name in ("MASK", "FLUX_TABLE"):
                assert {key: stored[name].header[key] for key in bits} == bits


def test_a_star_without_exposures_of_its_own_has_those_of_the_config(
    simulated: xr.Dataset, config: SimulationConfig
) -> None:
    terms = terms_of_targets(simulated, config).isel(spectrum=0)
    plain = simulated.drop_vars(["exposure_count", "exposure_time_s"]).isel(spectrum=0)
    seen = pfs_object.pfs_object(plain, terms, config)["OBSERVATIONS"].data
    usual = config.conditions
    assert (len(seen), set(seen["expTime"])) == (usual.exposure_count, {usual.exposure_time_s})


def test_the_noise_is_that_of_the_variance(files: list[Path]) -> None:
    pulls = []
    for path in files:
        with fits.open(path) as stored:
            variance = stored["COVAR"].data[0].astype(float)
            pull = (stored["FLUX"].data - stored["SIMULATED"].data) / np.sqrt(variance)
            assert np.allclose(stored["FLUX_TABLE"].data["error"] ** 2, variance, rtol=1e-6)
            assert not stored["COVAR"].data[1:].any() and not stored["MASK"].data.any()
            assert (stored["SKY"].data > 0).all()
        pulls.append(pull)
        assert abs(pull.mean()) < 4.0 / np.sqrt(pull.size)
        assert pull.std() == pytest.approx(1.0, abs=4.0 / np.sqrt(2.0 * pull.size))
    assert abs(np.corrcoef(pulls)[0, 1]) < 4.0 / np.sqrt(pulls[0].size)


def test_many_stars_are_written_while_the_terms_of_few_are_held(
    files: list[Path], simulated: xr.Dataset, config: SimulationConfig, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    made: list[weakref.ref[xr.Dataset]] = []
    held: list[int] = []  # rows with terms, whenever more are asked for

    def terms(some: xr.Dataset, config: SimulationConfig) -> xr.Dataset:
        found = terms_of_targets(some, config)
        made.append(weakref.ref(found))
        alive = [one for ref in made if (one := ref()) is not None]
        held.append(sum(one.sizes["spectrum"] for one in alive))
        return found

    monkeypatch.setattr(pfs_object, "ROWS_AT_ONCE", 3, raising=False)
    monkeypatch.setattr(spectra_file, "terms_of_targets", terms)
    many = simulated.isel(spectrum=[0, 1] * 7).assign_coords(spectrum=np.arange(14))
    spectra_file.write_spectra(many, tmp_path / "out", "pfs", config)
    assert max(held) <= 2 * 3
    found = sorted((tmp_path / "out").iterdir())
    assert len(found) == 14
    for path, alone in zip(found[:2], files, strict=True):
        assert np.array_equal(fits.getdata(path, "FLUX"), fits.getdata(alone, "FLUX"))


def test_the_noise_of_a_row_does_not_depend_on_the_others(
    files: list[Path], simulated, config: SimulationConfig, tmp_path: Path
) -> None:
    write_spectra(simulated, tmp_path / "again", "pfs", config)
    again = sorted((tmp_path / "again").iterdir())
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in files]
    one, other = (normals(1, Split.test, Purpose.target_noise, row, 4096) for row in (0, 1))
    assert not np.array_equal(one, other)


def test_every_array_of_a_file_is_what_was_simulated(
    files: list[Path], simulated: xr.Dataset, config: SimulationConfig
) -> None:
    """3.631e-20 erg s-1 cm-2 Hz-1 is magnitude 0, and 1e-17 f of 1 AA is f lambda^2 / c in Hz."""
    terms = terms_of_targets(simulated, config)
    wavelength = simulated["wavelength"].values
    nano = 1e-17 * (10 * wavelength) ** 2 / 2.99792458e18 / 1e-32
    for row, path in enumerate(files):
        star, scale = simulated.isel(spectrum=row), float(simulated["flux_scale"][row])
        clean = star["flux"].values * scale * nano
        variance = star["variance"].values.astype(float) * (scale * nano) ** 2
        seen = sum(terms[n][row].values for n in ("sky_continuum_e", "sky_lines_e", "moon_e"))
        noise = normals(config.dataset.seed, Split.test, Purpose.target_noise, row, 4096)
        bins = np.array_split(variance, 10)
        magnitude = TARGETS["magnitude"][row]
        with fits.open(path) as stored:
            data = {hdu.name: hdu.data for hdu in stored[1:]}
            truth = {k.lower(): v for k, v in stored["SIMULATED"].header.items()}
            units = {name: stored[name].header["BUNIT"] for name in
                     ("FLUX", "SKY", "COVAR", "SIMULATED")}  # fmt: skip
            target = stored["TARGET"].header
        assert units == {"FLUX": "nJy", "SKY": "nJy", "COVAR": "nJy2", "SIMULATED": "nJy"}
        close = {"rtol": 2e-6, "atol": 0.0}
        np.testing.assert_allclose(data["SIMULATED"], clean, **close)
        np.testing.assert_allclose(data["COVAR"][0], variance, **close)
        np.testing.assert_allclose(
            data["FLUX"], clean + np.sqrt(variance) * noise, rtol=2e-6, atol=1e-6 * clean.max()
        )
        np.testing.assert_allclose(
            data["SKY"], seen / terms["conversion_e"][row].values * nano, **close
        )
        np.testing.assert_allclose(
            data["COVAR2"], np.diag([part.mean() / part.size for part in bins]), **close
        )
        table = data["FLUX_TABLE"]
        assert np.array_equal(table["flux"], data["FLUX"])
        assert not table["mask"].any()
        assert (target["OBJID"], target["CATID"], target["TARGETTYPE"]) == (row + 1, 0, 1)
        assert data["TARGET"]["filterName"][0] == config.stellar.band
        assert data["TARGET"]["fiberFlux"][0] == pytest.approx(3.631e12 * 10 ** (-0.4 * magnitude))
        seen_times = data["OBSERVATIONS"]
        count = int(TARGETS["exposure_count"][row])
        assert seen_times["visit"].tolist() == list(range(1, count + 1))
        assert set(seen_times["expTime"]) == {TARGETS["exposure_time_s"][row]}
        assert set(seen_times["arm"]) == {"m"} and set(seen_times["spectrograph"]) == {1}
        assert set(seen_times["fiberId"]) == {row + 1}
        for name, values in TARGETS.items():
            assert truth[name] == values[row], name
        assert truth["snr"] == pytest.approx(float(star["snr"]))


def test_a_broken_number_of_exposures_is_refused_with_its_row(
    simulated: xr.Dataset, config: SimulationConfig, tmp_path: Path
) -> None:
    broken = simulated.assign(exposure_count=("spectrum", [3.0, 2.5]))
    with pytest.raises(InputError, match="row 2: exposure_count = 2.5"):
        write_spectra(broken, tmp_path / "out", "pfs", config)
    assert not list(tmp_path.iterdir())


PLANES = ("BAD", "SAT", "CR", "NO_DATA", "SUSPECT", "UNMASKEDNAN", "BAD_FLAT", "BAD_SKY",
          "BAD_FLUXCAL", "BAD_FIBERNORMS", "BAD_FIBERTRACE", "REFLINE")  # fmt: skip
NAMED = {
    "object_id": np.array([5853498713190525696, 12]), "catalogue_id": np.array([4, 4]),
    "ra": np.array([150.1, np.nan]), "dec": np.array([-2.2, np.nan]), "visit": np.array([71, 80]),
    "note": np.array(["first", "second"], dtype=object),
}  # fmt: skip


@pytest.fixture(scope="module")
def named(simulated: xr.Dataset) -> xr.Dataset:
    masked = simulated["mask"].copy()
    masked[1, 40] = 1 << pfs_parts.MASK_BITS["NO_DATA"]
    columns = {name: ("spectrum", values) for name, values in NAMED.items()}
    return simulated.assign(columns).assign(mask=masked)


@pytest.fixture(scope="module")
def bundle(named: xr.Dataset, config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "stars.fits"
    write_spectra(named, path, None, config)
    return path


def survey_wavelength(stored: fits.HDUList) -> np.ndarray:
    """Return what the survey's package takes: the explicit HDU, else the header read its way."""
    if "WAVELENGTH" in stored:
        return np.asarray(stored["WAVELENGTH"].data)
    header = stored["FLUX"].header
    pixels = np.arange(header["NAXIS1"]) + 2 - header["CRPIX1"]
    return header["CRVAL1"] + pixels * header["CDELT1"]


def masked_by(name: str, mask: np.ndarray, planes: dict[str, int]) -> list[int]:
    return np.flatnonzero(mask & (1 << planes[f"MP_{name}"])).tolist()


def test_single_files_are_read_by_the_rules_of_the_data_model(
    named: xr.Dataset, config: SimulationConfig, tmp_path: Path
) -> None:
    write_spectra(named, tmp_path / "out", "pfs", config)
    paths = sorted((tmp_path / "out").iterdir())
    assert "-00004-00000-0,0-000000000000000c-012-" in paths[0].name.replace("pfsObject", "")
    for row, path in zip((1, 0), paths, strict=True):
        with fits.open(path) as stored:
            assert np.array_equal(survey_wavelength(stored), named["wavelength"].values)
            assert stored["WAVELENGTH"].data.dtype.itemsize == 8
            for name in ("FLUX", "MASK", "SKY", "COVAR"):
                assert stored[name].header["DAMD_VER"] == 2
            assert len(stored["NOTES"].data) == 1 and not stored["NOTES"].columns
            header = stored["TARGET"].header
            assert header["OBJID"] == NAMED["object_id"][row] and header["CATID"] == 4
            assert ("RA" in header) == ("DEC" in header) == (row == 0)
            planes = {k: v for k, v in stored["MASK"].header.items() if k.startswith("MP_")}
            assert len(set(planes.values())) == len(planes) and {f"MP_{n}" for n in PLANES} < set(
                planes
            )
            assert masked_by("NO_DATA", stored["MASK"].data, planes) == ([40] if row else [])
            first = NAMED["visit"][row]
            assert stored["OBSERVATIONS"].data["visit"][0] == first
            assert stored["LIST"].data["note"][0] == NAMED["note"][row]
            assert stored[0].header["seed"] == config.dataset.seed
            assert len(stored[0].header["fingerprint"]) == 16
    with fits.open(paths[1]) as stored:
        assert (stored["TARGET"].header["RA"], stored["TARGET"].header["DEC"]) == (150.1, -2.2)


def test_a_bundle_is_read_by_the_rules_of_the_data_model(
    named: xr.Dataset, bundle: Path, files: list[Path], config: SimulationConfig
) -> None:
    with fits.open(bundle) as stored:
        stored.verify("exception")
        assert stored[0].header["DAMD_VER"] == 1 and stored[0].header["seed"] == 1
        assert np.array_equal(survey_wavelength(stored), named["wavelength"].values)
        target = stored["TARGET"].data
        assert target["targetId"].tolist() == [0, 1]
        assert target["objId"].tolist() == NAMED["object_id"].tolist()
        assert target["ra"][0] == 150.1 and np.isnan(target["ra"][1])
        assert ["".join(text) for text in target["patch"]] == ["0,0", "0,0"]
        assert target["targetType"].tolist() == [1, 1]
        fluxes = stored["TARGETFLUX"].data
        assert "".join(fluxes["filterName"][1]) == "hsc2017-i2"
        seen = stored["OBSERVATIONS"].data
        assert seen["targetId"].tolist() == [0] * 3 + [1] * 12
        assert seen["visit"].tolist() == [71, 72, 73, *range(80, 92)]
        assert set(seen["expTime"][:3]) == {450.0} and len(stored["NOTES"].data) == 2
        for row, path in enumerate(files):
            with fits.open(path) as single:
                for name in ("FLUX", "SKY", "COVAR", "SIMULATED"):
                    assert np.array_equal(stored[name].data[row], single[name].data), name
            table = stored["FLUXTABLE"].data
            assert np.array_equal(table["wavelength"][row], named["wavelength"].values)
            assert np.array_equal(table["flux"][row], stored["FLUX"].data[row])
            variance = stored["COVAR"].data[row, 0]
            assert np.allclose(table["error"][row] ** 2, variance, rtol=1e-6)
            signs = stored["METADATA"].data["metadata"][row].astype("S")  # keeps the line ends
            text = "".join(np.char.decode(signs))
            planes = yaml.safe_load(text)
            assert {f"MP_{name}" for name in PLANES} < set(planes)
            assert masked_by("NO_DATA", stored["MASK"].data[row], planes) == [[], [40]][row]
        listed = stored["LIST"].data
        assert listed["note"].tolist() == ["first", "second"]
        assert listed["teff"].tolist() == TARGETS["teff"]


def test_the_files_are_drawn_with_the_truth_and_the_stars_names(
    named: xr.Dataset, bundle: Path, files: list[Path]
) -> None:
    """Lines of a star that moves are marked where it shows them, also from a bundle."""
    for row, panel in enumerate(picture_of(Location.of(bundle), None, with_lines=True).panels):
        star = named.isel(spectrum=row)
        z, clean = float(star["redshift"]), fits.getdata(bundle, "SIMULATED")[row]
        assert panel.title.startswith(f"{row}:  {int(star['object_id'])},  S/N ")
        assert f"Teff {float(star['teff']):.0f} K" in panel.title and "at rest" not in panel.title
        drawn = {curve.label: curve.values for curve in panel.curves}
        np.testing.assert_array_equal(drawn["noiseless"], clean)
        seen = np.isfinite(drawn["with noise"])
        np.testing.assert_array_equal(
            drawn["with noise"][seen], fits.getdata(bundle, "FLUX")[row][seen]
        )
        assert seen.mean() > 0.9 and panel.unit == "flux [nJy]"
        (line,) = (mark for mark in panel.marks if mark.label == "Ca II 8542")
        assert line.wavelength_nm == pytest.approx(854.444 * (1.0 + z), abs=2e-3)
    (panel,) = picture_of(Location.of(files[0]), None).panels
    assert "z 0.00100" in panel.title and len(panel.curves) == 2


def test_every_output_holds_the_noise_and_what_it_was_made_from(simulated: xr.Dataset) -> None:
    pull = (simulated["flux_noisy"] - simulated["flux"]) / np.sqrt(simulated["variance"])
    assert float(pull.std()) == pytest.approx(1.0, abs=0.05)
    assert simulated["mask"].dtype == np.int32 and not simulated["mask"].values.any()
    assert set(simulated.attrs) >= {
        "seed", "software", "stellar_grid", "instrument", "conditions", "fingerprint",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"object_id": np.array([12, 12])}, "row 2: object_id = 12 is that of row 1 too"),
        ({"object_id": np.array([12, -1])}, "row 2: object_id = -1 is negative"),
        ({"exposure_count": np.array([3.0, 2.5])}, "row 2: exposure_count = 2.5"),
        ({"visit": np.array([7, 2**31 - 5])}, "row 2: visit = 2147483643 is more than the 2147"),
        ({"catalogue_id": np.array([2**31, 0])}, "row 1: catalogue_id = 2147483648 is more than"),
    ],
)
@pytest.mark.parametrize(("out", "form"), [("o.fits", None), ("o", "pfs")])
def test_stars_that_the_survey_cannot_name_are_refused(
    change: dict[str, np.ndarray], message: str, out: str, form: str | None,
    named: xr.Dataset, config: SimulationConfig, tmp_path: Path,
) -> None:  # fmt: skip
    odd = named.assign({name: ("spectrum", values) for name, values in change.items()})
    with pytest.raises(InputError, match=message):
        write_spectra(odd, tmp_path / out, form, config)
    assert not list(tmp_path.iterdir())


def test_a_name_that_is_no_number_stays_in_the_list(
    named: xr.Dataset, config: SimulationConfig, tmp_path: Path
) -> None:
    texts = named.assign(object_id=("spectrum", np.array(["HD 1", "HD 1b"], dtype=object)))
    told = spectra_file.check_targets(texts, Path("o.fits"), None, config)
    assert len(told) == 1 and told[0].startswith("object_id is no whole number")
    write_spectra(texts, tmp_path / "o.fits", None, config)
    with fits.open(tmp_path / "o.fits") as stored:
        assert stored["TARGET"].data["objId"].tolist() == [1, 2]
        assert stored["LIST"].data["object_id"].tolist() == ["HD 1", "HD 1b"]


def test_a_column_whose_name_no_header_takes_stays_in_the_list(
    named: xr.Dataset, config: SimulationConfig, tmp_path: Path
) -> None:
    names = ("Größe", "x" * 70, "x" * 71)
    columns = {name: ("spectrum", np.array([1.5, 2.5])) for name in names}
    write_spectra(named.assign(columns), tmp_path / "o", "pfs", config)
    with fits.open(min((tmp_path / "o").iterdir())) as stored:
        listed = stored["LIST"].data
        assert {"Gr\\xf6\\xdfe", "x" * 60, f"{'x' * 60}_2"} <= set(listed.names)
        assert "TEFF" in stored["SIMULATED"].header
    files = (tmp_path / "o").iterdir()
    assert sorted(fits.getdata(one, "LIST")["x" * 60][0] for one in files) == [1.5, 2.5]


@pytest.mark.parametrize(
    ("out", "form", "message"),
    [
        (None, None, "say where to write with --out"),
        ("o.fits", "pfs", r"has the name of a \.fits file, but --format pfs writes a folder"),
        ("o.zarr", "fits", "unknown format 'fits'; known: pfs"),
        ("o.txt", None, r"end it in \.zarr"),
        ("folder", None, r"end it in \.zarr"),
    ],
)
def test_a_place_that_does_not_fit_the_format_is_refused(
    out: str | None, form: str | None, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        spectra_file.check_output(out, form)
