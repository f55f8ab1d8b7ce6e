"""What a watch does at each look: waits for what is not whole, stacks, keeps, goes on."""

from dataclasses import replace
from threading import Event

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

import trainlib
from simlib.errors import InputError
from simlib.location import Location
from simlib.spectra.observed import Stated
from simlib.spectra.read import Contents, read_observed
from tests.simlib.spectra import made
from tests.trainlib.onsky.toy_bundle import WAVELENGTH, toy_stars, write_toy_bundle
from trainlib.onsky import watch as watching
from trainlib.onsky.forecast import forecast_at
from trainlib.onsky.watch import Night, Wanted, watch
from trainlib.onsky.watched import exposure_seconds

STAR = "00003-000000000000004d"
GO_ON = Event()


@pytest.fixture(scope="module")
def bundle(bundle_place):
    return trainlib.load_bundle(bundle_place)


@pytest.fixture(scope="module")
def visits():
    """Return three visits of one star, each with its own noise, and the star."""
    clean = toy_stars(1, 1e-4)[0][0]
    draw = np.random.default_rng(1)
    sigma = 0.05 * clean.flux.mean() * draw.uniform(0.8, 1.2, (3, 400))
    noisy = clean.flux + sigma * draw.standard_normal((3, 400))
    return [made.Star(WAVELENGTH, *pair) for pair in zip(noisy, sigma, strict=True)], clean


class Folders:
    """A folder that is watched and one for the outputs; time goes on when it is told."""

    def __init__(self, bundle, top, **wanted):
        self.bundle, self.top = bundle, top
        self.wanted = Wanted(Stated("relative", "nm", "vacuum"), **wanted)
        (top / "in").mkdir(parents=True)

    def put(self, name, data):
        (self.top / "in" / name).write_bytes(data)

    def begun(self, bundle=None, **options):
        night = Night(bundle or self.bundle, self.top / "in", Location.of(self.top / "out"),
                      self.wanted)  # fmt: skip
        night.begin(overwrite=options.get("overwrite", False))
        return night

    def summary(self):
        return Table.read(self.top / "out/summary.ecsv")


@pytest.fixture
def folders(bundle, tmp_path):
    return Folders(bundle, tmp_path)


def settled(night):
    """Look until nothing changes: a file is seen, stands still, is done."""
    for _ in range(6):
        if not night.look(GO_ON):
            return night
    raise AssertionError("it changes all the time")


def test_visits_of_a_star_are_stacked_on_their_own_pixels(folders, visits):
    night = folders.begun()
    for number, one in enumerate(visits[0], start=1):
        folders.put(f"v{number}.fits", made.pfs_object(one, (number,)))
        settled(night)
        (star,) = night.status().stars
        assert (star.name, star.exposures) == (STAR, number)
    single = night.files["v1.fits"].rows[0]["snr"]
    assert star.snr == pytest.approx(np.sqrt(3.0) * single, rel=0.05)
    assert star.next_snr == pytest.approx(star.snr * np.sqrt(4.0 / 3.0))
    night.end()
    nano = [one.flux * one.nano for one in visits[0]]
    weights = [1.0 / (one.sigma * one.nano) ** 2 for one in visits[0]]
    expected = sum(w * f for w, f in zip(weights, nano, strict=True)) / sum(weights)
    good = np.arange(400) != made.REJECTED
    with fits.open(folders.top / f"out/stacks/{STAR}.fits") as hdus:
        assert np.allclose(hdus["FLUX"].data[good], expected[good], rtol=1e-5)
        assert np.array_equal(hdus["WAVELENGTH"].data, WAVELENGTH)
        error = np.abs(hdus["DENOISED"].data / visits[1].nano - visits[1].flux)[good]
    alone = bundle_error(folders, visits)
    assert error.mean() < alone
    table = folders.summary()
    assert list(table["output"]) == ["v1.fits", "v2.fits", "v3.fits", f"stacks/{STAR}.fits"]
    assert table["product"][3] == "stack" and table["notes"][3].endswith("stack of 3 visits")


def bundle_error(folders, visits):
    with fits.open(folders.top / "out/v1.fits") as hdus:
        return np.abs(hdus["DENOISED"].data / visits[1].nano - visits[1].flux).mean()


def test_a_half_written_file_is_waited_for_and_one_that_stays_so_is_told(
    folders, visits, monkeypatch
):
    clock = [100.0]
    monkeypatch.setattr(watching, "monotonic", lambda: clock[0])
    data = made.pfs_object(visits[0][0], (1,))
    night = folders.begun()
    folders.put("a.fits", data[:-2880])
    settled(night)
    assert night.status().waiting == ("a.fits",) and not night.status().refused
    clock[0] += 29.0
    assert not night.look(GO_ON) and not (folders.top / "out/a.fits").exists()
    clock[0] += 2.0
    assert night.look(GO_ON)
    (told,) = night.status().refused
    assert "a.fits: it is cut or damaged" in told and not night.status().waiting
    night._summary()
    assert list(folders.summary()["verdict"]) == ["refused"]
    folders.put("a.fits", data)
    settled(night)
    assert not night.status().refused and night.status().files == 1
    night.end()
    assert list(folders.summary()["verdict"]) == ["good"]


def test_a_later_watch_goes_on_and_does_nothing_twice(folders, visits, monkeypatch):
    for number in (1, 2):
        folders.put(f"v{number}.fits", made.pfs_object(visits[0][number - 1], (number,)))
    first = settled(folders.begun())
    first.end()
    before = (folders.top / "out/summary.ecsv").read_bytes()
    made_again = []
    write = watching.write_denoised
    monkeypatch.setattr(
        watching, "write_denoised",
        lambda *given, **more: (made_again.append(given[3].name), write(*given, **more))[1],
    )  # fmt: skip
    again = settled(folders.begun())
    again.end()
    assert made_again == [] and again.status() == first.status()
    assert (folders.top / "out/summary.ecsv").read_bytes() == before
    folders.put("v3.fits", made.pfs_object(visits[0][2], (3,)))
    settled(again).end()
    assert made_again == ["v3.fits", f"{STAR}.fits"]
    assert folders.summary()["notes"][3].endswith("stack of 3 visits")
    (folders.top / "out/v2.fits").unlink()  # what is gone is made again
    settled(folders.begun()).end()
    assert made_again[2:] == ["v2.fits", f"{STAR}.fits"]


@pytest.mark.slow
def test_a_file_that_changes_is_done_again_and_its_stack_too(folders, visits):
    one, other, third = (made.pfs_object(star, (n,)) for n, star in enumerate(visits[0]))
    folders.put("a.fits", one)
    folders.put("b.fits", other)
    night = settled(folders.begun())
    folders.put("b.fits", third + bytes(2880))
    settled(night).end()
    expected = folders.begun(overwrite=True)
    assert len(folders.summary()) == 3 and expected.stacks[STAR].exposures == 2
    w = [1.0 / (star.sigma * star.nano) ** 2 for star in (visits[0][0], visits[0][2])]
    with fits.open(folders.top / f"out/stacks/{STAR}.fits") as hdus:
        assert np.allclose(1.0 / hdus["VARIANCE"].data[20:], sum(w)[20:], rtol=1e-5)


def test_names_that_meet_and_files_of_others_are_told(folders, visits):
    data = made.pfs_object(visits[0][0], (1,))
    (folders.top / "out").mkdir()
    (folders.top / "out/b.fits").write_bytes(b"mine")
    night = folders.begun()
    folders.put("a.npz", made.npz(visits[0][0]))
    settled(night)
    folders.put("a.npz.fits", data)
    folders.put("b.fits", data)
    folders.put("odd\n.fits", data)
    settled(night).end()
    told = " ".join(night.status().refused)
    assert "its name holds what no table can; rename the file" in told
    assert "a.npz.fits, as that of a.npz" in told and "out/b.fits, which is another file" in told
    assert (folders.top / "out/b.fits").read_bytes() == b"mine"
    assert len(folders.summary()) == 4


@pytest.mark.slow
def test_stars_of_files_that_hold_many_are_stacked_one_by_one(folders, visits):
    one, other = visits[0][:2]
    for number in (1, 2):
        folders.put(f"v{number}.fits", made.pfs_bundle([one, other], (number, number)))
    short = made.Star(WAVELENGTH[:300], one.flux[:300], one.sigma[:300])
    folders.put("v3.fits", made.pfs_bundle([short], (3, 3)))
    night = settled(folders.begun())
    assert set(night.stacks) == set()  # each visit is the same again, or has other pixels
    assert any("other pixels" in told for told in night.status().refused)
    moved = replace(other, flux=other.flux + other.sigma)
    folders.put("v4.fits", made.pfs_bundle([moved, other], (4, 4)))
    settled(night)
    assert {name: one.exposures for name, one in night.stacks.items()} == {STAR: 2}


def test_where_nothing_can_be_watched_is_told(folders, visits, bundle, tmp_path):
    out, wanted = Location.of(tmp_path / "out"), folders.wanted
    with pytest.raises(InputError, match="none: there is no such folder"):
        watch(bundle, tmp_path / "none", out, wanted, GO_ON)
    with pytest.raises(InputError, match="--out is the folder that is watched"):
        watch(bundle, tmp_path / "in", out.parent / "in", wanted, GO_ON)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/summary.ecsv").write_text("mine")
    with pytest.raises(InputError, match="exists, which no watch wrote; give --overwrite"):
        folders.begun()
    folders.put("a.fits", made.pfs_object(visits[0][0], (1,)))
    settled(folders.begun(overwrite=True)).end()
    other = trainlib.load_bundle(write_toy_bundle(tmp_path / "other", median=0.4))
    with pytest.raises(InputError, match=r"holds what bundle [0-9a-f]{16} made, this one is"):
        folders.begun(other)
    assert not folders.begun(other, overwrite=True).files
    record = tmp_path / "out/watched/a.fits.json"
    record.write_bytes(record.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"a.fits.json is damaged.*the file is denoised again"):
        folders.begun()


def test_the_time_to_a_target_is_that_of_exposures_like_those_so_far_or_at_conditions(
    folders, visits, bundle, tmp_path
):
    data = made.pfs_object(visits[0][0], (1,))
    times = fits.BinTableHDU.from_columns(
        [fits.Column("visit", "J", array=[1]), fits.Column("expTime", "E", array=[450.0])],
        name="OBSERVATIONS",
    )  # fmt: skip
    folders.put("a.fits", data)
    with fits.open(folders.top / "in/a.fits", mode="update") as hdus:
        hdus["OBSERVATIONS"] = times
    place = Location.of(folders.top / "in/a.fits")
    assert exposure_seconds(read_observed(place, Stated())) == 450.0
    assert np.isnan(exposure_seconds(Contents([])))
    night = settled(folders.begun())
    (star,) = night.status().stars
    assert star.more == np.ceil((40.0 / star.snr) ** 2 - 1.0) and star.seconds == 450.0 * star.more
    coming = forecast_at({"seeing": 1.0, "exposure_time_s": 300.0})
    there = Folders(bundle, tmp_path / "forecast", forecast=coming, target_snr=30.0)
    there.put("a.fits", (folders.top / "in/a.fits").read_bytes())
    (star,) = settled(there.begun()).status().stars
    assert star.next_snr == pytest.approx(coming.after(star.snr, 1, 450.0, 1))
    assert star.next_snr < 0.95 * star.snr * np.sqrt(2.0)  # it is shorter
    assert star.more == coming.needed(30.0, star.snr, 1, 450.0) and star.more > 0
    assert star.seconds == 300.0 * star.more


def test_it_ends_when_it_is_told_with_a_page_that_is_final(folders, visits, bundle):
    folders.put("a.fits", made.pfs_object(visits[0][0], (1,)))
    stop, told = Event(), []

    def tell(status):
        told.append(status)
        if status.files and not stop.is_set():
            assert "location.reload()" in (folders.top / "out/summary.html").read_text()
            stop.set()

    done = watch(bundle, folders.top / "in", Location.of(folders.top / "out"), folders.wanted,
                 stop, tell=tell)  # fmt: skip
    assert [one.place.name for one in done] == ["a.fits"] and told[-1].files == 1
    assert "location.reload()" not in (folders.top / "out/summary.html").read_text()
