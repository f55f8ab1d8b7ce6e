"""A bundle is what the run's network is, or is not opened; what cannot be one is refused."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from astropy.io import fits
from safetensors.numpy import load, save

import trainlib
from simlib.artifact import parse_record, write_record
from simlib.config import load_config
from simlib.dataset.open import open_dataset
from simlib.errors import InputError
from simlib.location import Location
from simlib.parameters import as_table
from simlib.rng import Purpose, Split, normals
from simlib.simulation.spectra_file import write_spectra
from simlib.simulation.targets import simulate_targets
from simlib.units import FWHM_PER_SIGMA, nanojansky
from tests.simlib.dataset.toy_build import build
from tests.simlib.simulation.test_pfs_object import TARGETS, TOY
from tests.trainlib.onsky.toy_bundle import (
    DESCRIBED,
    WAVELENGTH,
    toy_network,
    toy_stars,
    write_toy_bundle,
)
from tests.trainlib.toy_dataset import write_toy
from tests.trainlib.training_runs import toy_config, train_here
from trainlib import runs
from trainlib.evaluation.evaluate import evaluate
from trainlib.evaluation.trained import load_trained
from trainlib.onsky import export as exporting
from trainlib.onsky.batch import denoise
from trainlib.onsky.bundle import ARRAYS, CARD, MANIFEST, BundleManifest, open_bundle
from trainlib.trust.model import TRUST

MODEL = {"kind": "restframe", "rank": 16, "hidden": 16, "blocks": 1, "passes": 2}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp("virtual")
    rows = ("dataset.mode=virtual", "dataset.n_train=48", "dataset.n_validation=24")
    return str(build(root, *rows))


@pytest.fixture(scope="module")
def trained(dataset, tmp_path_factory):
    root = tmp_path_factory.mktemp("trained")
    config = toy_config(root, MODEL, recipe="C", batch_size=16, epochs=4)
    return train_here(config, dataset, root / "run")


def test_what_is_said_of_a_run_goes_into_its_bundle(tmp_path, monkeypatch):
    """What is written is tried by toy bundles, and of a whole run below."""
    config, written = load_config("survey", ["normalize.median=0.25"]), []
    lines = np.linspace(0.05, 0.06, 40)
    recipe = SimpleNamespace(config=config, grid="grid", named_terms={
        "lsf_sigma": SimpleNamespace(values=lines)})  # fmt: skip
    flux, variance = np.ones((40, 40)), np.full((40, 40), 0.04)
    spectra = xr.Dataset(
        {
            "flux": (("spectrum", "wavelength"), flux),
            "variance": (("spectrum", "wavelength"), variance),
        },
        coords={"wavelength": np.linspace(710.0, 711.0, 40)},
    )
    trained = SimpleNamespace(
        manifest=SimpleNamespace(outcome="finished", recipe="C", fingerprint="r" * 16,
                                 dataset=SimpleNamespace(fingerprint="d" * 16)),
        model=toy_network(), dataset="there", directory="run", checkpoint="c" * 64,
        state=SimpleNamespace(samples=77),
        config=SimpleNamespace(model=DESCRIBED["model"], augment="augment"),
    )  # fmt: skip
    summary = SimpleNamespace(checkpoint="c" * 64, summary="summary")
    stands: dict[str, Any] = {
        "load_trained": lambda run: trained,
        "published_dataset": lambda at: ("folder", SimpleNamespace(stellar_grid={"name": "toy"})),
        "recipe_of": lambda *given: (recipe, None), "open_dataset": lambda *given: spectra,
        "read_results": lambda at: SimpleNamespace(evaluation=summary),
        "results_told": lambda told: {"told": told}, "trust_of": lambda of: "trust",
        "model_card": lambda of, at, results: f"card of {results}",
        "described_simulator": lambda *given: given,
        "write_bundle": lambda *told: written.append(told),
    }  # fmt: skip
    for name, stand in stands.items():
        monkeypatch.setattr(exporting, name, stand)
    place = exporting.export("run", tmp_path / "bundle")
    ((at, network, beside, described, card, trust, (noisy, given)),) = written
    assert at == place == Location.of(tmp_path / "bundle") and network is trained.model
    assert np.array_equal(beside["wavelength"], spectra["wavelength"].values)
    assert np.array_equal(beside["lsf_sigma"], lines)
    resolution = np.median(spectra["wavelength"].values / (FWHM_PER_SIGMA * lines))
    assert described.pop("resolution") == pytest.approx(resolution)
    stellar = config.stellar
    assert described == {
        "model": DESCRIBED["model"], "window_nm": config.normalize.window_nm, "median": 0.25,
        "ranges": {name: getattr(stellar, name) for name in
                   ("teff", "logg", "feh", "alpha", "redshift", "ebv", "magnitude")},
        "lineage": {"run": "r" * 16, "checkpoint": "c" * 64, "recipe": "C", "dataset": "d" * 16,
                    "samples": 77, "stellar_grid": {"name": "toy"}},
        "licence": "Apache-2.0", "results": {"told": "summary"},
        "simulator": (config, "augment", "grid"),
    }  # fmt: skip
    assert (card, trust) == ("card of {'told': 'summary'}", "trust")
    assert noisy.shape == (32, 40) and np.array_equal(given, variance[:32])
    off = (noisy - 1.0) / 0.2
    assert abs(off.mean()) < 0.1 and abs(off.std() - 1.0) < 0.05
    summary.checkpoint = "of another network"
    exporting.export("run", tmp_path / "bundle")
    assert written[1][3]["results"] is None


@pytest.mark.slow
def test_a_run_is_exported_and_denoises_as_its_network_does(trained, dataset, tmp_path):
    evaluate(trained)
    place = trainlib.export(trained, tmp_path / "bundle")
    bundle = trainlib.load_bundle(place, polish=False)
    spectra = open_dataset(dataset, "validation").load()
    assert np.array_equal(bundle.wavelength, spectra["wavelength"].values)
    sigma = np.sqrt(spectra["variance"].values)
    noise = np.random.default_rng(0).standard_normal(sigma.shape)
    noisy = (spectra["flux"].values + sigma * noise).astype(np.float32)
    scale = np.median(noisy, axis=1, keepdims=True) / 0.5
    given = (torch.from_numpy(np.float32(part)) for part in (noisy / scale, (sigma / scale) ** 2))
    expected = load_trained(trained).model.denoise(*given)
    found = bundle.denoise(bundle.wavelength, noisy, sigma**2)
    told = bundle.trust.told(np.array([one.snr for one in found]), noisy.shape[1])
    for row, one in enumerate(found):
        assert np.max(np.abs(one.flux / scale[row] - expected.flux[row])) < 1e-5
        error = expected.error[row] * told.pixel[row]
        assert np.max(np.abs(one.error / scale[row] - error)) < 1e-5
        assert abs(one.redshift - float(expected.redshift[row])) < 1e-8
        assert one.source == "network"
    whole = trainlib.load_bundle(place)
    assert whole.unpolished == "" and bundle.unpolished == "it was not asked for"
    polished = whole.denoise(bundle.wavelength, noisy, sigma**2)
    assert np.mean([one.source == "polish" for one in polished]) > 0.5
    off = []
    for one, before, star in zip(polished, found, spectra["flux"].values, strict=True):
        if one.source == "polish":
            assert one.verdict == before.verdict and one.teff_error > 0.0
            off.append([np.abs(made.flux - star).mean() for made in (one, before)])
    mine, networks = np.mean(off, axis=0)  # alike where noise is small, and stars are few
    assert mine < 1.2 * networks
    manifest = bundle.manifest
    assert manifest.lineage["run"] == runs.read_manifest(trained).fingerprint
    assert manifest.lineage["checkpoint"] == load_trained(trained).checkpoint
    assert manifest.ranges["teff"] == (4000.0, 4500.0) and manifest.licence == "Apache-2.0"
    assert 4500.0 < manifest.resolution < 6500.0
    card = (place / CARD).read_bytes().decode()
    assert manifest.lineage["run"] in card and "| S/N | spectra | error |" in card


@pytest.mark.slow
def test_a_simulated_star_in_a_file_of_the_survey_is_denoised_as_it_is_in_memory(trained, tmp_path):
    config = load_config("tiny", TOY)
    columns = {name: np.array(values) for name, values in TARGETS.items()}
    targets = as_table(columns | {"interpolated_axis": np.full(2, -1, np.int8)}, np.arange(2))
    spectra = simulate_targets(targets, config)
    write_spectra(spectra, tmp_path / "stars", "pfs", config)
    bundle = trainlib.load_bundle(trainlib.export(trained, tmp_path / "bundle"))
    wavelength = spectra["wavelength"].values
    noise = np.stack([
        normals(config.dataset.seed, Split.test, Purpose.target_noise, row, len(wavelength))
        for row in range(2)
    ])  # fmt: skip
    scale = spectra["flux_scale"].values[:, np.newaxis]
    sigma = np.sqrt(spectra["variance"].values.astype(float)) * scale
    expected = bundle.denoise(wavelength, spectra["flux"].values * scale + sigma * noise, sigma**2)
    files = [Location.of(path) for path in sorted((tmp_path / "stars").iterdir())]
    done = denoise(bundle, files, Location.of(tmp_path / "out"))
    for row, (one, answer) in enumerate(zip(done, expected, strict=True)):
        assert not one.message
        with fits.open(one.written.path) as hdus:
            found = hdus["DENOISED"].data / nanojansky(1.0, wavelength)
            assert np.max(np.abs(found - answer.flux)) < 1e-5 * scale[row]
            assert np.all(hdus["SIMULATED"].data > 0.0)
        assert abs(one.rows[0]["redshift"] - answer.redshift) < 1e-8


@pytest.mark.slow
def test_what_cannot_be_exported_is_refused_with_the_way_out(trained, tmp_path):
    url = write_toy(tmp_path, train=24, validation=12)
    other = train_here(toy_config(tmp_path, epochs=1), url, tmp_path / "other")
    with pytest.raises(InputError, match="recipe B.*train with train.recipe = 'C'"):
        trainlib.export(other, tmp_path / "bundle")
    with pytest.raises(InputError, match="no run directory"):
        trainlib.export(tmp_path, tmp_path / "bundle")
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match="there exists; choose another place"):
        trainlib.export(trained, tmp_path / "there")
    manifest = runs.read_manifest(trained)
    runs.write_manifest(trained, manifest.model_copy(update={"outcome": None}))
    try:
        with pytest.raises(InputError, match="is not finished; train on, then export it"):
            trainlib.export(trained, tmp_path / "bundle")
    finally:
        runs.write_manifest(trained, manifest)
    assert not (tmp_path / "bundle").exists()


def test_a_bundle_that_differs_from_its_network_is_not_written(tmp_path, monkeypatch):
    def other(place):
        opened = open_bundle(place)
        weights = opened.network.correct.weights
        weights["last.bias"] = weights["last.bias"] + 1.0
        return opened

    monkeypatch.setattr(exporting, "open_bundle", other)
    with pytest.raises(AssertionError, match="differs from the network it is of by"):
        write_toy_bundle(tmp_path / "bundle")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", [ARRAYS, CARD, MANIFEST, TRUST])
def test_a_byte_that_is_not_as_written_is_told(name, bundle_place, tmp_path):
    copy = copied(bundle_place, tmp_path)
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 4
    (copy / name).write_bytes(data)
    with pytest.raises(InputError, match=f"{name}.*damaged.*export the run again"):
        trainlib.load_bundle(copy)
    (copy / name).unlink()
    words = "is no bundle" if name == MANIFEST else f"{name} is gone"
    with pytest.raises(InputError, match=words):
        trainlib.load_bundle(copy)


def copied(place: Path, to: Path) -> Path:
    (to / "copy").mkdir()
    for path in place.iterdir():
        (to / "copy" / path.name).write_bytes(path.read_bytes())
    return to / "copy"


def test_arrays_that_are_of_no_network_are_told(bundle_place, tmp_path):
    copy = copied(bundle_place, tmp_path)
    arrays = load((copy / ARRAYS).read_bytes())
    del arrays["last.weight"]
    data = save(arrays)
    (copy / ARRAYS).write_bytes(data)
    manifest = parse_record(
        Location.of(copy / MANIFEST), (copy / MANIFEST).read_bytes(), BundleManifest
    )
    files = manifest.files | {ARRAYS: exporting.hashlib.sha256(data).hexdigest()}
    write_record(Location.of(copy / MANIFEST), manifest.model_copy(update={"files": files}))
    with pytest.raises(InputError, match="it holds no network of this version"):
        trainlib.load_bundle(copy)


def test_a_bundle_is_opened_behind_a_url(bundle_place, tmp_path):
    place = Location.of(f"memory://{tmp_path}/bundle")
    for path in bundle_place.iterdir():
        filesystem, target = (place / path.name).filesystem()
        filesystem.pipe_file(target, path.read_bytes())
    star = toy_stars(1, 0.02)[0][0]
    one, other = (
        trainlib.load_bundle(at).denoise(WAVELENGTH, star.flux, star.sigma**2)
        for at in (place, bundle_place)
    )
    assert np.array_equal(one.flux, other.flux)


def test_the_manifest_tells_what_the_network_is_of(bundle_place):
    told = json.loads((bundle_place / MANIFEST).read_text())
    assert (told["kind"], told["medium"], told["wavelength_unit"]) == ("bundle", "vacuum", "nm")
    assert told["lineage"]["run"] == "a" * 16 and told["model"]["kind"] == "restframe"


@pytest.mark.parametrize(
    "odd",
    [WAVELENGTH[1:], WAVELENGTH[::-1].copy(), WAVELENGTH + 0.1, WAVELENGTH.reshape(20, 20),
     np.append(WAVELENGTH, WAVELENGTH[-1] + 0.05), WAVELENGTH * np.nan],
)  # fmt: skip
def test_wavelengths_of_other_pixels_than_the_networks_are_told(odd, tmp_path):
    with pytest.raises(InputError, match="its wavelength is not that of the network's 400 pixels"):
        write_toy_bundle(
            tmp_path / "odd", {"wavelength": odd, "lsf_sigma": np.full(odd.shape, 0.1)}
        )


def test_a_bundle_holds_the_widths_of_its_lines_or_they_are_of_one_resolution(
    bundle_place, tmp_path
):
    plain = open_bundle(Location.of(bundle_place))
    assert np.allclose(plain.lsf_sigma * FWHM_PER_SIGMA * plain.manifest.resolution, WAVELENGTH)
    widths = np.linspace(0.08, 0.12, WAVELENGTH.size)
    place = write_toy_bundle(tmp_path / "held", {"lsf_sigma": widths})
    assert np.array_equal(open_bundle(Location.of(place)).lsf_sigma, widths)
    for number, odd in enumerate((widths[1:], -widths, 1e6 * widths, widths * np.nan)):
        with pytest.raises(InputError, match="its lsf_sigma are no widths of the lines of 400"):
            write_toy_bundle(tmp_path / f"{number}", {"lsf_sigma": odd})
