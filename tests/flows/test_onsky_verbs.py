"""The verbs `export` and `denoise`: what they are told, print and answer."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from flows.cli import run_program
from simlib.location import Location
from tests.simlib.spectra import made
from tests.trainlib.onsky.toy_bundle import toy_stars, write_toy_bundle
from trainlib.onsky import export as exporting

TABLES = ["starts.json", "summary.ecsv", "summary.html", "summary.parquet"]
STATED = {"--flux-unit": "nJy", "--wavelength-unit": "nm", "--medium": "vacuum"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return str(write_toy_bundle(tmp_path_factory.mktemp("bundle") / "toy"))


@pytest.fixture(scope="module")
def star():
    return toy_stars(1, 0.02)[0][0]


def plain(star) -> bytes:
    """Return a table that says no unit."""
    rows = zip(star.wavelength, star.flux * star.nano, star.sigma * star.nano, strict=True)
    lines = [",".join(f"{float(value)!r}" for value in row) for row in rows]
    return "\n".join(["wavelength,flux,error", *lines]).encode()


def test_files_are_denoised_and_told_one_by_one(bundle, star, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    Path("a.fits").write_bytes(made.pfs_object(star))
    Path("b.fits").write_bytes(b"SIMPLE  =")
    words = ["denoise", "a.fits", "b.fits", "--bundle", bundle, "--out", "out"]
    assert run_program(words) == 1
    said = capfd.readouterr()
    assert said.out.splitlines()[0].startswith("a.fits  00003-000000000000004d  S/N ")
    assert said.out.splitlines()[1] == "1 files denoised, 1 refused; out/summary.html"
    assert said.err.count("error: ") == 1 and f"error: {tmp_path}/b.fits: " in said.err
    assert sorted(path.name for path in Path("out").iterdir()) == ["a.fits", *TABLES]
    assert run_program(["denoise", "a.fits", "--bundle", bundle, "--out", "out"]) == 2
    assert "summary.ecsv exists; give --overwrite" in capfd.readouterr().err
    assert run_program([*words[:2], *words[3:], "--overwrite", "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert told["files"][0]["output"] == f"{tmp_path}/out/a.fits"
    assert set(told["files"][0]) == {"file", "output", "spectra"}
    assert told["files"][0]["file"] == f"{tmp_path}/a.fits"
    (row,) = told["files"][0]["spectra"]
    assert row["verdict"] == "good" and row["resolution"] is None and row["frame"] == "barycentric"


def test_what_files_do_not_say_is_stated_by_options(bundle, star, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_bytes(plain(star))
    whole = [word for pair in STATED.items() for word in pair]
    for number, option in enumerate(("--flux-unit", "--wavelength-unit", "--medium")):
        without = [word for pair in STATED.items() if pair[0] != option for word in pair]
        words = ["denoise", "a.csv", "--bundle", bundle, "--out", f"out{number}"]
        assert run_program([*words, *without]) == 1
        assert option in capfd.readouterr().err
    assert run_program(["denoise", "a.csv", "--bundle", bundle, "--out", "out", *whole]) == 0
    assert "S/N" in capfd.readouterr().out
    lines = ("--resolution", "9000", "--frame", "heliocentric", "--telluric", "corrected")
    words = ["denoise", "a.csv", "--bundle", bundle, "--out", "lines", "--json", *whole, *lines]
    assert run_program(words) == 0
    (row,) = json.loads(capfd.readouterr().out)["files"][0]["spectra"]
    assert (row["resolution"], row["frame"], row["telluric"]) == (9e3, "heliocentric", "corrected")
    assert row["convolved_nm"] > 0.05


def test_masks_reject_by_the_list_that_is_named(bundle, star, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    Path("a.fits").write_bytes(made.pfs_object(star))
    covered = []
    for name in ("usual", "ga", "coadd"):
        words = ["denoise", "a.fits", "--bundle", bundle, "--out", name, "--json"]
        assert run_program([*words, "--reject", name]) == 0
        covered.append(json.loads(capfd.readouterr().out)["files"][0]["spectra"][0]["covered"])
    assert covered == [399 / 400, 399 / 400, 1.0]
    words = ["denoise", "a.fits", "--bundle", bundle, "--out", "none", "--reject", "all"]
    assert run_program(words) == 2
    assert "--reject 'all' is unknown; known: usual, ga, coadd" in capfd.readouterr().err


def test_what_means_nothing_is_refused_before_anything_is_read(tmp_path, capfd):
    """Also where the files say it themselves, and before the bundle is opened."""
    words = ["denoise", "a.fits", "--out", str(tmp_path / "out"), "--bundle", str(tmp_path)]
    others = ("--frame", "--telluric")
    for option in ("--flux-unit", "--wavelength-unit", "--medium", "--reject", *others):
        assert run_program([*words, option, "bogus"]) == 2
        assert f"{option} 'bogus' is " in capfd.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_spectrum_that_is_refused_among_others_is_told(
    bundle, star, tmp_path, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)
    bad = made.Star(star.wavelength, -star.flux, star.sigma)
    Path("a.fits").write_bytes(made.pfs_bundle([star, bad, star, bad]))
    words = ["denoise", "a.fits", "--bundle", bundle, "--out", "out"]
    assert run_program(words) == 1
    said = capfd.readouterr()
    lines = said.out.splitlines()
    assert len(lines) == 5 and "nan" not in said.out
    assert "km/s  good" in lines[0] and "km/s  good" in lines[2]
    assert lines[1].startswith("a.fits  00003-000000000000004e  refused: spectrum 00003-")
    assert "its median flux is -" in lines[1]
    assert lines[4] == "1 files denoised, 0 refused, and 2 spectra of the others; out/summary.html"
    assert said.err.count("error: ") == 1
    assert f"error: {tmp_path}/a.fits: 2 of 4 spectra refused: spectrum 00003-" in said.err
    assert run_program([*words, "--overwrite", "--json"]) == 1
    rows = json.loads(capfd.readouterr().out)["files"][0]["spectra"]
    assert [row["verdict"] for row in rows] == ["good", "refused"] * 2


def test_pictures_and_fits_are_options(bundle, star, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    Path("a.fits").write_bytes(made.pfs_object(star))
    words = ["denoise", "a.fits", "--bundle", bundle, "--json", "--out"]
    said = "not polished: the bundle says nothing of its simulator; export the run again\n"
    assert run_program([*words, "one"]) == 0
    plain = capfd.readouterr()
    assert plain.err == said and not Path("one/plots").exists()
    assert json.loads(plain.out)["files"][0]["spectra"][0]["plot"] == ""
    assert run_program([*words, "two", "--plots"]) == 0
    drawn = json.loads(capfd.readouterr().out)
    assert drawn["files"][0]["spectra"][0]["plot"] == "plots/a.fits-1.png"
    assert Path("two/plots/a.fits-1.png").read_bytes().startswith(b"\x89PNG")
    assert drawn["not_polished"] == said.removeprefix("not polished: ").rstrip()
    for number, (option, reason) in enumerate(
        [("--no-polish", "it was not asked for"), ("--polish", drawn["not_polished"])]
    ):
        assert run_program([*words, f"p{number}", option]) == 0
        told = capfd.readouterr()
        assert json.loads(told.out)["not_polished"] == reason
        assert told.err == ("" if option == "--no-polish" else said)


def test_without_a_bundle_the_way_to_one_is_told(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("trainlib.onsky.denoise.SHIPPED", tmp_path / "none")
    assert run_program(["denoise", "a.fits", "--out", str(tmp_path / "out")]) == 2
    assert "make one with `export` and give --bundle" in capfd.readouterr().err
    words = ["denoise", "a.fits", "--out", str(tmp_path / "out"), "--bundle", str(tmp_path)]
    assert run_program(words) == 2
    assert "is no bundle: it holds no manifest.json" in capfd.readouterr().err
    assert not list(tmp_path.iterdir())


def test_export_is_told_run_bundle_and_storage(tmp_path, monkeypatch, capfd):
    seen: list[tuple[Location, Location]] = []
    monkeypatch.setattr(exporting, "export", lambda *given: (seen.append(given), given[1])[1])
    words = ["export", "s3://a/run", str(tmp_path / "b")]
    assert run_program([*words, "--storage-option", "profile=mine"]) == 0
    assert capfd.readouterr().out == f"{tmp_path}/b\n"
    assert seen[0][0].url == "s3://a/run" and seen[0][0].options == {"profile": "mine"}
    assert run_program([*words, "--json"]) == 0
    assert json.loads(capfd.readouterr().out) == {"bundle": f"{tmp_path}/b"}
    assert seen[1][0].options == {}
    (tmp_path / "data/runs/mine").mkdir(parents=True)
    assert run_program(["export", "mine", words[2], "--root", str(tmp_path / "data")]) == 0
    assert seen[2][0].url == f"{tmp_path}/data/runs/mine"


def test_denoise_is_told_of_storage(bundle, tmp_path, monkeypatch, capfd):
    from trainlib.onsky import batch

    seen: list[list[Location]] = []
    monkeypatch.setattr(
        batch, "denoise", lambda _, files, out, *__, **___: (seen.append([*files, out]), [])[1]
    )
    words = ["denoise", "s3://a/f.fits", "--bundle", bundle, "--out", "s3://a/out"]
    assert run_program([*words, "--storage-option", "profile=mine"]) == 0
    assert [one.options for one in seen[0]] == [{"profile": "mine"}] * 2
    assert [one.url for one in seen[0]] == ["s3://a/f.fits", "s3://a/out"]


@pytest.mark.slow
def test_the_program_itself_ends_with_its_code_and_without_a_traceback(bundle, star, tmp_path):
    (tmp_path / "a.fits").write_bytes(made.sdss(star))
    (tmp_path / "b.fits").write_bytes(made.sdss(star)[:4000])
    given = ["--bundle", bundle, "--out", "out", "a.fits", "b.fits"]
    command = [sys.executable, "-m", "flows", "denoise", *given]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False,
                          cwd=tmp_path)  # fmt: skip
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.count("error:") == 1 and "1 files denoised, 1 refused" in done.stdout
