"""What stands beside the outputs of a batch: tables, pictures, a page, starting values."""

import json
import re
from io import BytesIO

import numpy as np
import pytest
from astropy import units
from astropy.table import Table
from PIL import Image
from pyarrow import parquet

import trainlib
from simlib.location import Location
from simlib.spectra.observed import Observed
from simlib.spectra.units import PER_ANGSTROM
from simlib.units import SPEED_OF_LIGHT_M_S
from tests.simlib.spectra import made
from tests.trainlib.onsky.toy_bundle import toy_stars
from trainlib.onsky import summary
from trainlib.onsky.answers import empty_row
from trainlib.onsky.batch import denoise
from trainlib.onsky.flags import MASKED, SUSPECT, UNUSABLE
from trainlib.onsky.page import batch_page
from trainlib.onsky.quicklook import QuickLook
from trainlib.onsky.summary import FileDone, tables_of, write_tables

KM_S = 1e-3 * SPEED_OF_LIGHT_M_S
ODD = "</script><script>alert('x')</script>"


@pytest.fixture(scope="module")
def batch(bundle_place, tmp_path_factory):
    """Return the folder of a batch with pictures: three files, one of two stars, one refused."""
    folder = tmp_path_factory.mktemp("batch")
    one, other = toy_stars(2, 0.02)[0]
    bad = made.Star(one.wavelength, -one.flux, one.sigma)
    files = {"a.fits": made.desi(one), "b.fits": made.pfs_bundle([other, bad]), "c.csv": b"x\n1\n"}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    places = [Location.of(folder / name) for name in files]
    denoise(trainlib.load_bundle(bundle_place), places, Location.of(folder / "out"), plots=True)
    return folder / "out"


def data_of(page: str):
    (held,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page)
    return json.loads(held)


def test_both_tables_say_the_same(batch):
    one = Table.read(batch / "summary.ecsv")
    other = parquet.read_table(batch / "summary.parquet")
    assert one.colnames == other.column_names and len(one) == other.num_rows == 4
    for name in one.colnames:
        mine, theirs = one[name], np.array(other[name].to_pylist())
        told = other.schema.field(name).metadata
        assert mine.description == told[b"description"].decode() and mine.description
        assert mine.unit == (units.Unit(told[b"unit"].decode()) if told[b"unit"] else None)
        if theirs.dtype.kind == "f":
            assert np.array_equal(np.ma.filled(mine, np.nan), theirs, equal_nan=True), name
        else:
            assert [str(value) for value in np.ma.filled(mine, "")] == [str(v) for v in theirs]
    assert one["teff"].unit == units.K and one["covariance"].shape == (4, 36)
    assert other["verdict"].to_pylist()[:2] == ["good", "good"]
    assert other["source"].to_pylist() == ["network", "network", "", ""]


def test_every_star_that_was_denoised_has_a_picture(batch):
    plots = parquet.read_table(batch / "summary.parquet")["plot"].to_pylist()
    assert plots == ["plots/a.fits-1.png", "plots/b.fits-1.png", "", ""]
    assert sorted(path.name for path in (batch / "plots").iterdir()) == [
        "a.fits-1.png", "b.fits-1.png"
    ]  # fmt: skip
    for name in plots[:2]:
        with Image.open(batch / name) as picture:
            assert picture.size == (960, 518) and picture.format == "PNG"
        assert (batch / name).stat().st_size < 100_000


def test_the_page_holds_rows_and_pictures_and_fetches_nothing(batch, bundle_place):
    page = (batch / "summary.html").read_text()
    told = data_of(page)
    assert told["columns"]["verdict"] == ["good", "good", "refused", "refused"]
    assert "median flux" in told["columns"]["message"][2]
    assert set(told["pictures"]) == {"plots/a.fits-1.png", "plots/b.fits-1.png"}
    assert all(one.startswith("data:image/png;base64,iVBOR") for one in told["pictures"].values())
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert page.count("<tr>") == 5
    fingerprint = trainlib.load_bundle(bundle_place).manifest.fingerprint
    lead = f"3 files; 2 of 4 are good. Bundle {fingerprint}."
    assert "4 spectra denoised: out" in page and lead in page


def test_many_pictures_stand_beside_the_page(batch, monkeypatch, tmp_path):
    monkeypatch.setattr(summary, "_MOST_HELD", 10)
    row = empty_row() | {"plot": "plots/a#?.png", "verdict": "good"}
    out = Location.of(tmp_path / "out")
    (tmp_path / "out/plots").mkdir(parents=True)
    (tmp_path / "out/plots/a#?.png").write_bytes(b"x" * 11)
    write_tables(out, tables_of(out, [FileDone(out / "a", out / "a.fits", (row,))], "0"))
    page = (tmp_path / "out/summary.html").read_text()
    assert data_of(page)["pictures"] == {"plots/a#?.png": "plots/a%23%3F.png"}
    assert "1 spectrum denoised: out" in page and "1 file; 1 of 1 is good. Bundle 0." in page


def test_what_files_say_of_themselves_is_text_on_the_page():
    row = empty_row() | {
        "spectrum": ODD, "file": f"{ODD}.fits", "output": ODD, "plot": ODD, "message": ODD,
        "verdict": "good", "notes": "a\u2028b & c",
    }  # fmt: skip
    page = batch_page([row], {ODD: b"1"}, title=ODD, lead=ODD)
    assert "alert('x')</script>" not in page and page.count("<script") == 2
    told = data_of(page)
    assert told["columns"]["spectrum"] == [ODD] and told["columns"]["notes"] == ["a\u2028b & c"]
    assert list(told["pictures"]) == [ODD]


def test_a_row_of_the_page_tells_each_parameter_with_its_error():
    values = {"teff": (5123.4, 61.2), "logg": (4.321, 0.123), "feh": (-1.234, np.nan),
              "alpha": (np.nan, np.nan)}  # fmt: skip
    row = empty_row() | {"file": "a", "output": "", "plot": "", "snr": 12.34, "redshift": 1e-4}
    for name, (value, error) in values.items():
        row |= {name: value, f"{name}_error": error}
    page = batch_page([row | {"redshift_error": 1e-5}], {}, title="", lead="")
    columns = data_of(page)["columns"]
    assert [columns[name] for name in ("snr", "feh_error", "covariance")] == [
        [12.34],
        [None],
        [None],
    ]
    cells = re.findall(
        r'<td[^>]* data-v="([^"]*)">(?!<)([^<]*(?:<small>[^<]*</small>)?)</td>', page
    )
    assert dict(cells).items() >= {
        ("12.34", "12.3"), ("0.0001", "30.0 <small>± 3.0</small>"),
        ("5123.4", "5123 <small>± 61</small>"), ("4.321", "4.32 <small>± 0.12</small>"),
        ("-1.234", "-1.23"), ("nan", "–"),
    }  # fmt: skip


def test_a_page_that_grows_loads_itself_again_and_a_finished_one_does_not():
    row = empty_row() | {"file": "", "output": "", "plot": ""}
    grows, done = (batch_page([row], {}, title="", lead="", refresh_s=s) for s in (5, None))
    assert "location.reload()" in grows and 'http-equiv="refresh"' in grows
    assert "location.reload()" not in done and "http-equiv" not in done


def test_starting_values_are_in_the_form_that_fits_take(batch):
    (one, other) = json.loads((batch / "starts.json").read_text())
    table = Table.read(batch / "summary.ecsv")
    assert one["spectrum"] == table["spectrum"][0]
    assert one["source"] == other["source"] == "network"
    assert set(one["rvspecfit"]) == {"teff", "logg", "feh", "alpha", "vel"}
    assert one["rvspecfit"]["teff"] == table["teff"][0]
    assert one["rvspecfit"]["vel"] == pytest.approx(KM_S * table["redshift"][0])
    low, high = one["tempfit_args"]["rv"]
    assert high - low == pytest.approx(10.0 * one["spread"]["vel"])
    assert one["spread"]["vel"] == pytest.approx(KM_S * table["redshift_error"][0])


def test_known_spreads_are_priors():
    row = empty_row() | {
        "file": "a", "redshift": 1e-3, "redshift_error": 1e-5, "teff": 4000.0, "teff_error": 50.0,
        "logg": 2.0, "feh": -1.0, "feh_error": 0.2, "alpha": 0.1, "ebv": 0.02, "ebv_error": 0.01,
    }  # fmt: skip
    (told,) = json.loads(summary.starting_values([row]))
    assert told["tempfit_args"]["T_eff_dist"] == ["normal", 4000.0, 50.0]
    assert told["tempfit_args"]["ebv_dist"] == ["normal", 0.02, 0.01]
    assert "log_g_dist" not in told["tempfit_args"]  # its spread is not known
    assert "ebv" not in told["rvspecfit"]


def answered(bundle_place, **changes):
    """Return a spectrum with odd parts and what is made of it."""
    star = toy_stars(1, 0.02)[0][0]
    flux, mask = star.flux.copy(), np.zeros(400, bool)
    flux[50], flux[60], mask[100:130] = np.nan, flux[60] + 1e4, True
    values = {"name": "$x_1^2$ λ\n", "product": "", "wavelength": star.wavelength, "flux": flux,
              "variance": star.sigma**2, "mask": mask, "unit": PER_ANGSTROM}  # fmt: skip
    observed = Observed(**(values | changes))
    (found,) = trainlib.load_bundle(bundle_place).denoise_observed([observed])
    return observed, found


def test_every_curve_and_mark_of_a_picture_is_where_it_was_seen(bundle_place):
    observed, found = answered(bundle_place)
    look = QuickLook()
    look.draw(observed, found, "a.fits")
    flux, left = look._canvas.figure.axes
    drawn = {line.get_color(): line.get_data() for line in flux.lines if len(line.get_xdata()) > 2}
    lost = found.flag & (MASKED | UNUSABLE) != 0
    odd = (found.flag & SUSPECT != 0) & ~lost
    at = observed.wavelength
    assert lost.sum() == 31 and odd[60]
    suspects = [line for line in (*flux.lines, *left.lines) if line.get_marker() == "D"]
    for line in suspects:
        assert np.array_equal(line.get_xdata(), at[odd])
    low, high = flux.get_ylim()
    assert np.array_equal(suspects[0].get_ydata(), np.clip(observed.flux[odd], low, high))
    assert suspects[1].get_ydata()[list(np.flatnonzero(odd)).index(60)] == pytest.approx(6.79)
    x, y = drawn["#0064ac"]
    assert np.array_equal(x, at) and np.array_equal(y, found.flux)
    x, y = drawn["#8f99a3"]
    assert np.array_equal(x, at) and np.array_equal(y[~lost], observed.flux[~lost])
    assert np.isnan(y[lost]).all() and np.array_equal(drawn["#6f4bb8"][0], at[lost])
    sigma = np.sqrt(observed.variance + found.error**2)
    pull = ((observed.flux - found.flux) / sigma)[~lost]
    shown = next(line for line in left.lines if len(line.get_xdata()) == at.size).get_ydata()
    assert np.allclose(shown[~lost], np.clip(pull, -6.79, 6.79))
    band = flux.collections[0].get_paths()[0].vertices[:, 1]
    assert band.max() == pytest.approx((found.flux + found.error).max())
    assert band.min() == pytest.approx((found.flux - found.error).min())
    names = {text.get_text(): text.get_position()[0] for text in flux.texts}
    for name, rest in (("Ca II 8498", 850.04), ("Ca II 8542", 854.44), ("Ca II 8662", 866.45)):
        assert names[name] == pytest.approx(rest * (1.0 + found.redshift), abs=0.01)
    assert {"━ input", "━ denoised", "■ its error", "◇ suspect", "| not used"} <= set(names)
    assert left.get_xlabel() == "wavelength, vacuum [nm]" and left.get_ylabel() == "residual [σ]"
    assert flux.get_ylabel() == f"flux [{observed.unit.name[:40]}]"


def test_a_picture_does_not_depend_on_what_was_drawn_before(bundle_place, recwarn):
    odd = answered(bundle_place)
    star = toy_stars(2, 0.1)[0][1]
    plain = answered(bundle_place, name="b", flux=star.flux, mask=np.zeros(400, bool))
    look = QuickLook()
    first = look.draw(*odd, "a.fits")
    second = look.draw(*plain, "b.fits")
    assert look.draw(*odd, "a.fits") == first != second
    assert QuickLook().draw(*plain, "b.fits") == second
    assert not [one for one in recwarn if "Glyph" in str(one.message)]
    with Image.open(BytesIO(first)) as picture:
        colours = {tuple(c) for _, c in picture.convert("RGB").getcolors(1 << 20)}
    near = lambda want: min(np.abs(np.subtract(c, want)).max() for c in colours)  # noqa: E731
    for colour in ((0xD5, 0x5E, 0x00), (0x6F, 0x4B, 0xB8), (0x00, 0x64, 0xAC)):
        assert near(colour) < 24, colour  # suspects, what is not used, the denoised curve
