"""Files denoised: originals kept, outputs whole or absent, every refusal told and the rest done."""

import hashlib
import os
from collections import Counter
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

import trainlib
from simlib import artifact
from simlib.errors import InputError
from simlib.location import Location
from simlib.plots.plot import picture_of
from simlib.spectra.observed import Stated
from simlib.units import FWHM_PER_SIGMA
from tests.simlib.spectra import made
from tests.trainlib.onsky.toy_bundle import SCALE, WAVELENGTH, toy_stars
from trainlib.onsky import batch
from trainlib.onsky.batch import denoise
from trainlib.onsky.flags import MASKED
from trainlib.onsky.mirror import _lineage

TABLES = ["starts.json", "summary.ecsv", "summary.html", "summary.parquet"]


@pytest.fixture(scope="module")
def bundle(bundle_place):
    return trainlib.load_bundle(bundle_place)


@pytest.fixture(scope="module")
def star():
    return toy_stars(1, 0.02)[0][0]


def run(bundle, files, out, stated=None, **options):
    return denoise(
        bundle, [Location.of(file) for file in files], Location.of(out), stated, **options
    )


def written(folder: Path, **files: bytes) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name.replace("_", ".")).write_bytes(data)
    return sorted(folder.iterdir())


QUICK = ("pfsCalibrated", "pfsCoadd", "CSV")


@pytest.mark.parametrize(
    "name",
    [
        name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
        for name in made.FORMATS
    ],
)
def test_a_file_of_every_format_is_mirrored_with_what_was_made_of_it(name, bundle, star, tmp_path):
    data = made.FORMATS[name][1](star)
    (file,) = written(tmp_path / "in", star_dat=data)
    (done,) = run(bundle, [file], tmp_path / "out")
    assert not done.message and file.read_bytes() == data
    whole = done.written.path.read_bytes()
    is_fits = data.startswith(b"SIMPLE")
    assert whole.startswith(data) == is_fits
    with fits.open(done.written.path, checksum=True) as hdus:
        hdus.verify("exception")
        many = len(done.rows) > 1 and name != "pfsCoadd"
        version = hdus["DENOISED"].ver
        for part in ("DENOISED", "ERROR", "FLAG"):
            values = hdus[part, version].data
            assert values.shape == ((len(done.rows), 400) if many else (400,)), part
            assert values.dtype.kind == ("i" if part == "FLAG" else "f")
        first = hdus["DENOISED"].data[0] if many else hdus["DENOISED"].data
        assert np.isfinite(first).sum() > 300
        assert hdus["DENOISED"].header["BUNDLE"] == bundle.manifest.fingerprint
        table = hdus["DENOISER"].data
        assert len(table) == len(done.rows)
        assert table["redshift"][0] == done.rows[0]["redshift"]
        flag = hdus["FLAG", version].data[0] if many else hdus["FLAG", version].data
        assert np.count_nonzero(flag & 6) == 1  # masked, or without a variance
        if not is_fits:
            assert np.array_equal(hdus["FLUX"].data.shape, (400,))
            assert hdus["WAVELENGTH"].header["BUNIT"] == "nm"
    panels = picture_of(Location.of(done.written), None).panels
    assert len(panels) == len(done.rows)
    drawn = {curve.label: curve.values for curve in panels[0].curves}
    order = slice(None, None, 1 if name != "table" else -1)
    assert list(drawn) == ["observed", "denoised"] and panels[0].wavelength[0] < 801.0
    np.testing.assert_array_equal(drawn["denoised"], first[order].astype(float))
    assert f"z {done.rows[0]['redshift']:.5f}" in panels[0].title


def test_parts_of_ours_are_told_from_those_of_the_same_name(bundle, star, tmp_path):
    """An image has its errors in a part ERROR, here also a third one, and a FLAG of its own."""
    with fits.open(BytesIO(made.image(star))) as hdus:
        for name, version in (("ERROR", 3), ("FLAG", 1)):
            hdus.append(fits.ImageHDU(np.full(400, 7.0), name=name, ver=version))
        held = BytesIO()
        hdus.writeto(held)
    (file,) = written(tmp_path / "in", a_fits=held.getvalue())
    (done,) = run(bundle, [file], tmp_path / "out")
    alone = bundle.denoise(WAVELENGTH, star.flux, star.sigma**2, np.arange(400) == made.REJECTED)
    with fits.open(done.written.path) as hdus:
        assert np.allclose(hdus["ERROR"].data, star.sigma)  # what the original's readers find
        assert hdus["DENOISED"].ver == 4
        assert np.max(np.abs(hdus["ERROR", 4].data - alone.error)) < 1e-5 * SCALE
        assert np.array_equal(hdus["FLAG", 4].data, alone.flag)
        assert len({(hdu.name, hdu.ver) for hdu in hdus}) == len(hdus)
    (panel,) = picture_of(Location.of(done.written), None).panels
    width = panel.bands[0].high - panel.bands[0].low
    assert np.max(np.abs(width - 2.0 * alone.error)) < 1e-5 * SCALE


def test_the_command_and_python_give_the_same_numbers(bundle, star, tmp_path):
    (file,) = written(tmp_path / "in", star_npz=made.npz(star))
    (done,) = run(bundle, [file], tmp_path / "out")
    mask = np.arange(400) == made.REJECTED
    alone = bundle.denoise(WAVELENGTH, star.flux, star.sigma**2, mask)
    with fits.open(done.written.path) as hdus:
        assert np.max(np.abs(hdus["DENOISED"].data - alone.flux)) < 1e-5 * SCALE
        assert np.max(np.abs(hdus["ERROR"].data - alone.error)) < 1e-5 * SCALE
        told = hdus["DENOISED"].header
        assert told["REDSHIFT"] == pytest.approx(alone.redshift, rel=1e-9)
        assert told["Z_ERR"] == pytest.approx(alone.redshift_error, rel=1e-9)
        assert told["SNR"] == pytest.approx(alone.snr, rel=1e-6)
        assert told["VERDICT"] == alone.verdict == "good"
    table = Table.read(tmp_path / "out/summary.ecsv")
    assert table["redshift"][0] == pytest.approx(alone.redshift, rel=1e-9)
    assert table["verdict"][0] == "good" and table["output"][0] == "star.npz.fits"
    assert str(table["teff"].unit) == "K"


def test_what_cannot_be_used_is_told_and_the_rest_is_done(bundle, star, tmp_path):
    good = made.desi(star)
    away = made.sdss(made.star(start=500.0))
    files = written(
        tmp_path / "in", a_fits=good, b_fits=good[:-2880], c_csv=b"x\n1\n", d_fits=away, e_fits=good
    )
    told = []
    done = run(bundle, [*files, tmp_path, tmp_path / "none"], tmp_path / "out",
               tell=lambda one: told.append(one.message))  # fmt: skip
    words = ("", "cut or damaged", "neither FITS", "none of its 240 pixels", "", "is a folder",
             "there is no such file")  # fmt: skip
    for one, word, message in zip(done, words, told, strict=True):
        assert word in one.message and bool(word) == bool(one.message) and message == one.message
        assert str(one.place) in one.message or not word
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["a.fits", "e.fits", *TABLES]
    table = Table.read(tmp_path / "out/summary.ecsv")
    assert list(table["verdict"]) == ["good", *["refused"] * 3, "good", *["refused"] * 2]
    assert "none of its 240" in table["message"][3]


def test_one_spectrum_of_many_that_cannot_be_used_leaves_a_gap(bundle, star, tmp_path):
    bad = made.Star(star.wavelength, -star.flux, star.sigma)
    (file,) = written(tmp_path / "in", many_fits=made.pfs_bundle([star, bad, star]))
    (done,) = run(bundle, [file], tmp_path / "out")
    assert not done.message and len(done.refusals) == 1 and "median flux" in done.refusals[0]
    with fits.open(done.written.path) as hdus:
        assert np.isnan(hdus["DENOISED"].data[1]).all() and (hdus["FLAG"].data[1] == -1).all()
        assert np.isfinite(hdus["DENOISED"].data[[0, 2]]).all()
        assert list(hdus["DENOISER"].data["verdict"]) == ["good", "refused", "good"]
        assert "median flux" in hdus["DENOISER"].data["message"][1]
        assert set(hdus["FLAG"].data[0]) == {0, MASKED}


def state_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("name", TABLES)
def test_no_table_is_written_over_an_original(name, bundle, tmp_path):
    original = tmp_path / name
    original.write_text("what was observed")
    with pytest.raises(InputError, match=rf"would be .*{name}, which is an original"):
        run(bundle, [original], tmp_path, overwrite=True)
    assert original.read_text() == "what was observed" and len(list(tmp_path.iterdir())) == 1


def test_what_is_there_is_replaced_only_when_told(bundle, star, tmp_path):
    files = written(tmp_path / "in", a_fits=made.sdss(star))
    out = tmp_path / "out"
    run(bundle, files, out)
    before = state_of(out)
    with pytest.raises(InputError, match=r"summary.ecsv exists; give --overwrite"):
        run(bundle, files, out)
    (out / "summary.ecsv").unlink()
    (done,) = run(bundle, files, out)
    assert done.message == (
        f"{files[0]}: {out / 'a.fits'} exists; give --overwrite, or another --out"
    )
    assert (out / "a.fits").read_bytes() == before["a.fits"]
    run(bundle, files, out, overwrite=True)
    assert state_of(out) == before  # the same twice


def test_no_original_is_written_over(bundle, star, tmp_path):
    folder = tmp_path / "in"
    files = written(folder, a_fits=made.sdss(star))
    (tmp_path / "link").symlink_to(folder)
    for out in (folder, tmp_path / "link"):
        (done,) = run(bundle, files, out, overwrite=True)
        assert "which is an original; give another --out" in done.message
        assert files[0].read_bytes() == made.sdss(star)


def test_each_of_many_files_is_looked_at_a_few_times(bundle, tmp_path, monkeypatch):
    looked: Counter[str] = Counter()
    stat = os.stat

    def counted(path, *args, **kwargs):
        looked[str(path)] += 1
        return stat(path, *args, **kwargs)

    files = written(tmp_path / "in", **{f"{n}_fits": b"" for n in range(40)})
    written(tmp_path / "out", **{f"{n}_fits": b"" for n in range(40)})
    monkeypatch.setattr(os, "stat", counted)
    assert len(run(bundle, files, tmp_path / "out", overwrite=True)) == 40
    assert max(looked[str(file)] for file in files) < 10


def test_names_of_any_letters_stand_in_the_table(bundle, tmp_path):
    names = ["Štern 夜.csv", "two\nlines.csv", os.fsdecode(b"\xff.csv"), 'a,"b".csv']
    for name in names:
        (tmp_path / name).write_bytes(b"x\n1\n")
    run(bundle, [tmp_path / name for name in names], tmp_path / "out")
    table = Table.read(tmp_path / "out/summary.ecsv")
    told = ["Štern 夜.csv", "two\\nlines.csv", "\\udcff.csv", 'a,"b".csv']
    assert list(table["file"]) == [f"{tmp_path}/{name}" for name in told]
    assert all(name in message for name, message in zip(told, table["message"], strict=True))


def test_two_files_of_one_name_are_not_one(bundle, star, tmp_path):
    (one,) = written(tmp_path / "one", a_fits=made.sdss(star))
    (other,) = written(tmp_path / "other", a_fits=made.desi(star))
    done = run(bundle, [one, other], tmp_path / "out")
    assert not done[0].message and f"as that of {one}" in done[1].message


def test_what_is_denoised_is_not_denoised_again(bundle, star, tmp_path, monkeypatch):
    files = written(tmp_path / "in", a_fits=made.sdss(star), b_npz=made.npz(star))
    done = run(bundle, files, tmp_path / "out")
    monkeypatch.setattr(batch, "_drawn", None)  # and nothing is drawn, or made, of it before
    monkeypatch.setattr(type(bundle), "denoise_observed", None)
    again = run(bundle, [one.written.path for one in done], tmp_path / "again", plots=True)
    assert "it is denoised already; give the original" in again[0].message
    assert "it is denoised already; give the original" in again[1].message


def test_an_error_of_the_tables_is_no_half_of_a_result(bundle, star, tmp_path, monkeypatch):
    """They are made while the last file is written."""
    files = written(tmp_path / "in", a_fits=made.sdss(star))

    def wrong(*_: object, **__: object) -> None:
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(batch, "tables_of", wrong)
    with pytest.raises(RuntimeError, match="a mistake of ours"):
        run(bundle, files, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_a_write_that_fails_leaves_nothing(bundle, star, tmp_path, monkeypatch):
    files = written(tmp_path / "in", a_fits=made.sdss(star))

    def full(_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(artifact, "_flush", full)
    with pytest.raises(OSError, match="No space"):
        run(bundle, files, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_tables_made_ahead_are_made_again_where_the_last_file_fails(
    bundle, star, tmp_path, monkeypatch
):
    files = written(tmp_path / "in", a_fits=made.sdss(star), b_fits=made.sdss(star))

    def taken_meanwhile(place, data):
        pieces = list(data)  # all of it was made, and the tables too
        return place.name == "a.fits" and create(place, pieces)

    create = batch.create_bytes
    monkeypatch.setattr(batch, "create_bytes", taken_meanwhile)
    first, last = run(bundle, files, tmp_path / "out")
    assert not first.message and "b.fits exists" in last.message
    told = Table.read(tmp_path / "out/summary.ecsv")
    assert told["verdict"][1] == "refused" and "b.fits exists" in told["message"][1]


def test_files_and_outputs_may_be_behind_urls(bundle, star, tmp_path):
    place = Location.of(f"memory://{tmp_path}/in/a.fits")
    artifact.write_bytes(place, made.sdss(star))
    out = Location.of(f"memory://{tmp_path}/out")
    (done,) = denoise(bundle, [place], out)
    assert not done.message and (out / "a.fits").read_bytes().startswith(made.sdss(star))
    (again,) = denoise(bundle, [place], out.parent / "in", overwrite=True)
    assert "which is an original" in again.message


def test_the_outputs_of_the_same_file_are_the_same_bytes(bundle, star, tmp_path):
    files = written(tmp_path / "in", a_fits=made.pfs_bundle([star, star]))
    digests = set()
    for name in ("one", "other"):
        (done,) = run(bundle, files, tmp_path / name, Stated())
        digests.add(hashlib.sha256(done.written.path.read_bytes()).hexdigest())
    assert len(digests) == 1


def test_nothing_given_is_told(bundle, tmp_path):
    with pytest.raises(InputError, match="no files were given"):
        run(bundle, [], tmp_path / "out")


def test_frame_air_and_lines_are_told_in_table_and_cards(bundle, star, tmp_path):
    known = {"SPECSYS": "TOPOCENT", "MJD-OBS": 60505.25, "EXPTIME": 0.0, "RA": 30.0, "DEC": 12.0,
             "OBSGEO-X": 0.0, "OBSGEO-Y": 0.0, "OBSGEO-Z": 6356752.0}  # fmt: skip
    finer = 1.3 * bundle.manifest.resolution
    files = written(
        tmp_path / "in", a_fits=made.image(star, **known), b_csv=made.csv(star),
        c_fits=made.image(star, SPEC_RP=finer, TELLURIC=True),
    )  # fmt: skip
    a, b, c = (one.rows[0] for one in run(bundle, files, tmp_path / "out"))
    velocity = a["to_barycentre_km_s"]
    assert a["frame"] == "topocentric" and 15.0 < abs(velocity) < 31.0
    moved = (1.0 + a["redshift"]) * (1.0 + velocity / 299792.458) - 1.0
    assert a["redshift_barycentric"] == pytest.approx(moved, rel=1e-9)
    assert (b["frame"], b["telluric"], c["telluric"]) == ("unknown", "unknown", "corrected")
    assert np.isnan(b["redshift_barycentric"]) and np.isnan(b["to_barycentre_km_s"])
    assert a["convolved_nm"] == 0.0 == b["convolved_nm"] and c["resolution"] == finer
    own = 1.0 / finer**2 - 1.0 / bundle.manifest.resolution**2
    assert c["convolved_nm"] == pytest.approx(810.0 / FWHM_PER_SIGMA * np.sqrt(-own), rel=0.01)
    with fits.open(tmp_path / "out/a.fits") as hdus:
        told = hdus["DENOISED"].header
        assert (told["Z_FRAME"], told["TELLURIC"]) == ("topocentric", "unknown")
        assert told["Z_BARY"] == pytest.approx(moved, rel=1e-6) and told["CONVOLVD"] == 0.0
    with fits.open(tmp_path / "out/b.csv.fits") as hdus:
        assert "Z_BARY" not in hdus["DENOISED"].header
    table = Table.read(tmp_path / "out/summary.ecsv")
    assert list(table["frame"]) == ["topocentric", "unknown", "unknown"]
    assert table["convolved_nm"].unit == "nm"


def test_a_lineage_that_no_card_can_hold_is_told_as_text():
    odd = "1ä\n2"
    told = SimpleNamespace(
        lineage=dict.fromkeys(("run", "checkpoint", "dataset"), odd),
        provenance={"versions": {"specdenoise": odd}},
        fingerprint=odd,
    )
    cards = _lineage(told)
    assert set(cards) == {"CREATOR", "BUNDLE", "RUN", "CHECKPT", "DATASET"}
    assert all(str(value).isascii() and "\n" not in str(value) for value in cards.values())
