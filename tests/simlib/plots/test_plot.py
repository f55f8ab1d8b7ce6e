"""`plot`: what is drawn is what is stored, and every format holds it."""

import base64
import gzip
import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from bokeh.models import HoverTool, Label, Range1d, Span

from flows.cli import run_program
from simlib.dataset_file import write_dataset
from simlib.errors import InputError
from simlib.location import Location
from simlib.plots.figure import draw_picture
from simlib.plots.lines import STELLAR, line_marks
from simlib.plots.page import _panel
from simlib.plots.picture import Band, Curve, Mark, Panel, Picture, spread
from simlib.plots.plot import picture_of, save_picture, stated_of
from simlib.plots.spectra import MOST_ROWS, spectra_picture
from simlib.plots.terms import terms_picture
from simlib.stellar import interpolate_grid, open_grid
from tests.simlib.dataset.made import make_plan, make_published
from tests.simlib.spectra import made
from tests.trainlib.toy_dataset import toy_split

SIGNATURES = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}
PIXELS = 128


@pytest.fixture(scope="module")
def stars() -> xr.Dataset:
    return toy_split(5, PIXELS, seed=3)


def curves(panel: Panel) -> dict[str, np.ndarray]:
    return {curve.label: curve.values for curve in panel.curves}


def test_spectra_are_drawn_as_they_are_stored(stars: xr.Dataset) -> None:
    picture = spectra_picture(stars, "stars", [4, 1])
    assert [panel.title[:2] for panel in picture.panels] == ["4:", "1:"]
    for row, panel in zip((4, 1), picture.panels, strict=True):
        flux, variance = (stars[name].values[row].astype(float) for name in ("flux", "variance"))
        drawn, (band,) = curves(panel), panel.bands
        np.testing.assert_array_equal(drawn["noiseless"], flux)
        np.testing.assert_allclose((band.high - band.low) ** 2, 4 * variance, rtol=1e-6)
        noise = (drawn["with noise, drawn for this picture"] - flux) / np.sqrt(variance)
        assert 0.8 < noise.std() < 1.2 and abs(noise.mean()) < 0.3
        assert f"S/N {float(stars['snr'][row]):.1f}" in panel.title
        assert f"Teff {float(stars['teff'][row]):.0f} K" in panel.title
        assert panel.limits is not None
        assert panel.limits[0] < flux.min() and panel.limits[1] > flux.max()
    again = spectra_picture(stars, "stars", [1])
    np.testing.assert_array_equal(
        again.panels[0].curves[1].values, picture.panels[1].curves[1].values
    )
    assert len(spectra_picture(stars, "").panels) == 4


def test_noise_and_answers_that_are_stored_are_taken(stars: xr.Dataset) -> None:
    dims = ("spectrum", "wavelength")
    noisy, denoised = stars["flux"].values + 0.1, stars["flux"].values + 0.2
    simulated = stars.assign(flux_noisy=(dims, noisy))
    assert list(curves(spectra_picture(simulated, "").panels[0])) == ["noiseless", "with noise"]
    error = np.full(noisy.shape, 0.25)
    answered = simulated.assign(flux_denoised=(dims, denoised), error=(dims, error))
    told = list(curves(spectra_picture(answered, "").panels[0]))
    assert told == ["noiseless", "with noise", "denoised"]
    answered = answered.drop_vars("flux")
    answered["flux_noisy"].attrs["units"] = "nJy"
    (panel,) = spectra_picture(answered, "", [2]).panels
    drawn = curves(panel)
    assert list(drawn) == ["observed", "denoised"] and panel.unit == "flux [nJy]"
    np.testing.assert_array_equal(drawn["denoised"], denoised[2])
    np.testing.assert_allclose(panel.bands[0].high - denoised[2], 0.25)
    empty = answered.assign(flux_denoised=(dims, np.full(noisy.shape, np.nan)))
    assert spectra_picture(empty, "").panels[0].limits is None
    blind = answered.assign(variance=(dims, np.full(noisy.shape, np.inf)))
    assert np.isfinite(spectra_picture(blind, "").panels[0].limits).all()
    observed = answered.drop_vars(["flux_denoised", "error"])  # no noise is drawn on noise
    assert list(curves(spectra_picture(observed, "").panels[0])) == ["observed"]


@pytest.mark.parametrize(
    ("rows", "told"),
    [([5], r"--row 5: there are 5 rows"), ([-1], "--row -1"), (range(MOST_ROWS + 1), "--row 5")],
)
def test_rows_that_there_are_not_are_refused(rows: list[int], told: str, stars: xr.Dataset) -> None:
    with pytest.raises(InputError, match=told):
        spectra_picture(stars, "", rows)
    with pytest.raises(InputError, match="13 rows asked for; at most 12"):
        spectra_picture(toy_split(20, 8, 1), "", range(13))
    with pytest.raises(InputError, match="there are 0 rows"):
        spectra_picture(stars.isel(spectrum=slice(0)), "")


@pytest.mark.slow
def test_every_marked_line_is_a_line_of_some_cool_star() -> None:
    grid = open_grid("default")
    wavelength = grid["wavelength_model"].values
    stars = [
        interpolate_grid(grid, teff=teff, logg=logg, feh=0.5, alpha=0.0)["flux_normalized"].values
        for teff, logg in ((5000.0, 1.0), (4500.0, 3.0))
    ]
    for name, at in STELLAR.items():
        core, around = np.abs(wavelength - at) < 0.02, np.abs(wavelength - at) < 0.15
        found = [flux[core].min() < np.median(flux[around]) - 0.03 for flux in stars]
        assert any(found), name


def test_lines_are_marked_where_a_moving_star_shows_them(stars: xr.Dataset) -> None:
    redshift = float(stars["redshift"][0])
    (panel,) = spectra_picture(stars, "", [0], with_lines=True).panels
    marks = {mark.label: mark.wavelength_nm for mark in panel.marks}
    assert marks["Ca II 8542"] == pytest.approx(854.444 * (1 + redshift), abs=2e-3)
    assert set(line_marks(np.array([850.0, 860.0]))) < {
        Mark(at, name) for name, at in STELLAR.items()
    }
    assert {mark.label for mark in line_marks(np.array([850.0, 860.0]))} == {
        "Ca II 8498", "Fe I 8514", "Ca II 8542",
    }  # fmt: skip


def test_names_are_moved_apart_and_keep_their_order() -> None:
    assert spread([1.0, 5.0, 9.0], 2.0) == [1.0, 5.0, 9.0]
    assert spread([5.0, 5.5, 20.0], 2.0) == pytest.approx([4.25, 6.25, 20.0])
    assert spread([5.0, 5.5, 6.5, 6.6], 1.0) == pytest.approx([4.4, 5.4, 6.4, 7.4])
    assert spread([], 1.0) == []
    places = spread(sorted(np.random.default_rng(1).uniform(0, 10, 40)), 0.3)
    assert np.diff(places).min() > 0.3 - 1e-9


def terms() -> xr.Dataset:
    wavelength = np.linspace(710.0, 885.0, 16)
    over = ("condition", "wavelength")
    return xr.Dataset(
        {
            "sky_lines_e": (over, np.arange(32.0).reshape(2, 16)),
            "dark_e": ("condition", [0.5, 0.75]),
            "read_variance_e2": 80.0,
            "atmosphere_transmission": (over, np.full((2, 16), 0.9)),
            "lsf_sigma": ("wavelength", np.linspace(0.05, 0.06, 16)),
            "seeing": ("condition", [0.8, 1.2]),
        },
        coords={"wavelength": wavelength},
    )


def test_terms_are_drawn_condition_by_condition() -> None:
    first, second, shares, width = terms_picture(terms(), "terms", [1, 0]).panels
    assert first.title == "condition 1:  seeing 1.20″" and first.is_logarithmic
    drawn = curves(first)
    np.testing.assert_array_equal(drawn["sky lines"], np.arange(16.0, 32.0))
    np.testing.assert_array_equal(drawn["dark current"], np.full(16, 0.75))
    np.testing.assert_array_equal(curves(second)["read-out"], np.full(16, 80.0))
    np.testing.assert_array_equal(curves(shares)["atmosphere"], np.full(16, 0.9))
    np.testing.assert_allclose(width.curves[0].values, np.linspace(0.5, 0.6, 16))
    assert len(terms_picture(terms(), "").panels) == 3


def test_a_picture_of_matplotlib_holds_every_curve_and_label(stars: xr.Dataset) -> None:
    picture = spectra_picture(stars, "some stars", [0, 3], with_lines=True)
    figure = draw_picture(picture)
    assert figure.get_suptitle() == "some stars"
    axes = figure.get_axes()
    assert axes[-1].get_xlabel() == "wavelength, vacuum [nm]"
    for one, panel in zip(axes, picture.panels, strict=True):
        assert one.get_ylabel() == "normalised flux" and one.get_title(loc="left") == panel.title
        assert one.get_xlim() == (710.0, 885.0) and one.get_ylim() == panel.limits
        drawn = {line.get_label(): line.get_ydata() for line in one.get_lines()}
        for curve in panel.curves:
            np.testing.assert_array_equal(drawn[curve.label], curve.values)
        assert {text.get_text() for text in one.texts} == {mark.label for mark in panel.marks}


@pytest.mark.parametrize(
    "ending", [pytest.param(e, marks=pytest.mark.slow) for e in (*SIGNATURES, "html", "PNG")]
)
def test_one_verb_writes_every_format(
    ending: str, stars: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    stars.to_zarr("stars.zarr", consolidated=False)
    words = ["plot", "stars.zarr", "--row", "1", "--lines", "--out", f"there/stars.{ending}"]
    (tmp_path / "there").mkdir()
    assert run_program(words) == 0
    assert capsys.readouterr().out == f"there/stars.{ending}\n"
    data = (tmp_path / f"there/stars.{ending}").read_bytes()
    if ending != "html":
        assert data.startswith(SIGNATURES[ending.lower()])
        return
    page = data.decode()
    assert not re.search(r"<(script|link|img)[^>]*(src|href)=", page)  # nothing from elsewhere
    assert "Ca II 8542" in page and "with noise, drawn for this picture" in page
    (document,) = re.findall(
        r'<script type="application/json"[^>]*>(.*?)</script>', page, re.DOTALL
    )
    held = [np.frombuffer(gzip.decompress(base64.b64decode(text)), "<f8")
            for text in re.findall(r'"data":"(H4sI[^"]+)"', document)]  # fmt: skip
    assert any(np.array_equal(values, stars["flux"].values[1]) for values in held)


@pytest.mark.parametrize(("kind", "limits"), [("log", (0.5, 7.5)), ("linear", None)])
def test_a_panel_of_a_page_holds_what_the_panel_does(
    kind: str, limits: tuple[float, float] | None
) -> None:
    """Curves that are behind come first, names of lines stand apart."""
    at = np.linspace(850.0, 860.0, 5)
    lines = (Curve("front", at - 849.0, "#ff0000", 2.0),
             Curve("back", at - 848.0, "#00ff00", 1.0, is_behind=True))  # fmt: skip
    marks = (Mark(852.0, "one"), Mark(852.01, "other"))
    band = Band("between", at - 850.0, at - 847.0, "#0000ff")
    panel = Panel("the title", "the unit", at, lines, (band,), marks, kind == "log", limits)
    axes = _panel(panel, Range1d(start=850.0, end=860.0), 10.0)
    assert (axes.title.text, axes.yaxis[0].axis_label) == ("the title", "the unit")
    assert type(axes.y_scale).__name__ == {"log": "LogScale", "linear": "LinearScale"}[kind]
    if limits is not None:
        assert (axes.y_range.start, axes.y_range.end) == limits
    area, *drawn = axes.renderers
    for name, expected in (("x", at), ("y1", band.low), ("y2", band.high)):
        assert np.array_equal(area.data_source.data[name], expected)
    assert area.glyph.fill_color == "#0000ff"
    for line, curve in zip(drawn, (lines[1], lines[0]), strict=True):
        assert np.array_equal(line.data_source.data["x"], at)
        assert np.array_equal(line.data_source.data["y"], curve.values)
        assert (line.glyph.line_color, line.glyph.line_width) == (curve.colour, 1.5 * curve.width)
    assert [item.label.value for item in axes.legend[0].items] == ["between", "back", "front"]
    assert axes.legend[0].click_policy == "hide" and axes.legend[0] in axes.below
    hovers = [tool for tool in axes.tools if isinstance(tool, HoverTool)]
    assert [tool.tooltips[0] for tool in hovers] == [("", "back"), ("", "front")]
    assert [[name for name, _ in tool.tooltips[1:]] for tool in hovers] == 2 * [["nm", "value"]]
    drawn_lines = [one for one in axes.center if isinstance(one, Span)]
    told = {(one.dimension, one.line_color, one.line_width, one.line_alpha) for one in drawn_lines}
    assert told == {("height", "#5b8c5a", 0.7, 0.7)}
    spans = [one.location for one in drawn_lines]
    labels = {one.text: one.x for one in axes.center if isinstance(one, Label)}
    assert spans == [852.0, 852.01] and list(labels) == ["one", "other"]
    assert labels["other"] - labels["one"] == pytest.approx(0.12)
    assert labels["other"] + labels["one"] == pytest.approx(1704.01)


@pytest.mark.slow
def test_a_page_says_the_title_and_hides_nothing(tmp_path: Path) -> None:
    panel = Panel("one & only", "unit", np.arange(3.0), (Curve("a", np.ones(3), "red"),))
    path = save_picture(Picture("<title>", (panel,)), tmp_path / "x.html")
    assert "&lt;title&gt;" in path.read_text()


def test_a_dataset_is_drawn_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = make_published(tmp_path / "far/datasets/made", make_plan())
    words = ["plot", "made", "--root", "far", "--split", "validation", "--row", "2"]
    assert run_program([*words, "--json"]) == 0
    assert f'"title": "made/{folder.name}, validation"' in capsys.readouterr().out
    assert (tmp_path / "made.png").read_bytes().startswith(SIGNATURES["png"])
    assert run_program(words) == 2
    assert "made.png is there already; say with --out" in capsys.readouterr().err
    assert run_program(["plot", "made", "--root", "far", "--split", "test"]) == 2
    capsys.readouterr()
    xr.Dataset().to_netcdf("far/stars.nc")
    assert run_program(["plot", "far/stars.nc", "--split", "train"]) == 2
    assert "--split train acts only on a dataset; stars.nc is a file" in capsys.readouterr().err
    assert run_program([*words, "--out", "x.gif"]) == 2
    assert "end it in one of .html, .pdf, .png, .svg" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["far", "made.png"]


@pytest.mark.parametrize("suffix", [".csv", ".ecsv", ".npz", ".nc"])
def test_every_format_is_drawn_alike(suffix: str, stars: xr.Dataset, tmp_path: Path) -> None:
    """Known by what is in it; also as many rows as pixels, and a flux that is the same in all."""
    some = stars.isel(spectrum=slice(0, 2), wavelength=slice(0, 2)).copy(deep=True)
    some = some.assign(object_id=("spectrum", [7, 8]))
    some["flux"][:] = 0.5
    path = tmp_path / "stars.dat"
    write_dataset(some, path, suffix)
    drawn, meant = picture_of(Location.of(path), None), spectra_picture(some, None)
    for one, other in zip(drawn.panels, meant.panels, strict=True):
        assert one.title == other.title and one.title.split()[1] in ("7,", "8,")
        np.testing.assert_allclose(one.wavelength, other.wavelength)
        for mine, theirs in zip(one.curves, other.curves, strict=True):
            np.testing.assert_allclose(mine.values, theirs.values, rtol=1e-6)


@pytest.mark.parametrize("suffix", [".npz", ".fits", ".csv"])
def test_terms_are_known_by_their_content_too(suffix: str, tmp_path: Path) -> None:
    square = terms().isel(wavelength=slice(0, 2))
    write_dataset(square, tmp_path / "terms.dat", suffix)
    drawn = picture_of(Location.of(tmp_path / "terms.dat"), None, [1])
    meant = terms_picture(square, "", [1])
    for one, other in zip(drawn.panels, meant.panels, strict=True):
        assert one.title == other.title
        for mine, theirs in zip(one.curves, other.curves, strict=True):
            np.testing.assert_allclose(mine.values, theirs.values, rtol=1e-12)


STAR = made.star()


@pytest.mark.parametrize("name", made.FORMATS)
def test_observed_spectra_of_every_format_are_drawn(name: str, tmp_path: Path) -> None:
    product, make = made.FORMATS[name]
    path = tmp_path / "a.dat"
    path.write_bytes(make(STAR))
    picture = picture_of(Location.of(path), None, with_lines=True)
    assert picture.title == f"a.dat, {product}"
    panel = picture.panels[0]
    (curve,) = panel.curves
    assert curve.label == "observed" and np.all(np.diff(panel.wavelength) > 0.0)
    assert np.flatnonzero(np.isnan(curve.values)).tolist() == [made.REJECTED]
    assert np.corrcoef(curve.values[100:], STAR.flux[100 : curve.values.size])[0, 1] > 0.9
    assert "lines as at rest: its redshift is not known" in panel.title


def test_what_a_file_does_not_say_is_stated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text("wavelength,flux,error\n8000,1,0.1\n8001,2,0.1\n8002,1,0.1\n")
    words = ["plot", "a.csv"]
    for option, value in (("--wavelength-unit", "Angstrom"), ("--medium", "air")):
        assert run_program(words) == 2
        assert "a.csv: it does not say " in (said := capsys.readouterr().err) and option in said
        assert run_program([*words, option, "bogus"]) == 2
        assert f"{option} 'bogus' is " in capsys.readouterr().err
        words += [option, value]
    assert run_program(words) == 0
    (panel,) = picture_of(Location.of("a.csv"), None, stated=stated_of("Angstrom", "air")).panels
    np.testing.assert_allclose(panel.wavelength, [800.2200, 800.3200, 800.4200], atol=1e-3)
    assert panel.unit == "flux, on a relative scale"


def test_what_cannot_be_drawn_is_told_with_what_can(stars: xr.Dataset, tmp_path: Path) -> None:
    (tmp_path / "text.fits").write_text("no FITS")
    (tmp_path / "empty.csv").write_bytes(b"")
    for name in ("bad.nc", "bad.npz", "cut.csv"):
        (tmp_path / name).write_text('no "such file')
    write_dataset(stars, tmp_path / "whole.npz", ".npz")
    whole = (tmp_path / "whole.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[:-100])
    (tmp_path / "turned.npz").write_bytes(whole[:3000] + bytes(500) + whole[3500:])
    write_dataset(stars, tmp_path / "whole.nc", ".nc")
    (tmp_path / "cut.nc").write_bytes((tmp_path / "whole.nc").read_bytes()[:-3000])
    with (tmp_path / "old.npz").open("wb") as file:
        np.savez(file, attrs=np.array("{}"), wavelength=np.ones(2))
    lines = "spectrum,wavelength,flux\n0,800,1\n0,800,2\n"
    (tmp_path / "twice.csv").write_text(lines)
    (tmp_path / "words.csv").write_text("spectrum,wavelength,flux\n0,800,one\n0,801,two\n")
    xr.Dataset({"x": ("y", [1.0])}).to_zarr(tmp_path / "other.zarr", consolidated=False)
    (tmp_path / "broken.zarr").mkdir()
    (tmp_path / "empty").mkdir()
    for name, told in {
        "text.fits": "text.fits: its table: no rows",
        "empty.csv": "empty.csv: it is empty",
        "cut.csv": "cut.csv: its table: no rows",
        "bad.nc": "bad.nc: its table: no rows",
        "bad.npz": "bad.npz: its table: no rows",
        "cut.npz": "cut.npz: it is damaged",
        "turned.npz": "turned.npz: it is damaged",
        "cut.nc": "cut.nc: it is damaged",
        "old.npz": "old.npz: it does not say the dimensions of its arrays",
        "twice.csv": "twice.csv: it is damaged .*non-unique",
        "words.csv": "words.csv: it is damaged .*could not convert string to float",
        "other.zarr": "other.zarr: it is nothing that can be drawn: it holds x; give a dataset",
        "broken.zarr": "broken.zarr cannot be read as Zarr",
        "gone.zarr": "nothing is at .*gone.zarr; give a dataset",
        "gone.fits": "nothing is at .*gone.fits; give a dataset",
        "gone": "nothing is at .*gone; give a dataset",
        "empty": "no dataset at .*empty; build it .* or give a dataset",
    }.items():
        with pytest.raises(InputError, match=told):
            picture_of(Location.of(tmp_path / name), None)
    for name, told in (("a.dat", "--row 7: there are 1 rows"), ("b.dat", "wavelengths go back")):
        data = made.npz(STAR)
        if name == "b.dat":
            data = b"# medium: air\nwavelength_nm,flux,error\n800,1,1\n801,1,1\n800.5,1,1\n"
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match=f"{name}: .*{told}"):
            picture_of(Location.of(tmp_path / name), None, [7] if name == "a.dat" else [])
