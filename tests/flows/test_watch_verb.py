"""`denoise --watch` as a program: files come, it is ended or killed, and begins again."""

import json
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from astropy.table import Table

from flows.cli import run_program
from flows.terminal.watch_text import _Lines, _table, forecast
from tests.simlib.spectra import made
from tests.trainlib.onsky.toy_bundle import toy_stars, write_toy_bundle
from trainlib.onsky.watch import StarSeen, Status

STAR = "00003-000000000000004d"
SECONDS = 240.0


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return str(write_toy_bundle(tmp_path_factory.mktemp("bundle") / "toy"))


@pytest.fixture(scope="module")
def visits():
    one = toy_stars(1, 1e-4)[0][0]
    sigma = np.full(400, 0.04 * one.flux.mean())
    draw = np.random.default_rng(2)
    return [
        made.pfs_object(made.Star(one.wavelength, one.flux + sigma * noise, sigma), (n,))
        for n, noise in enumerate(draw.standard_normal((3, 400)))
    ]


def as_of_a_terminal():
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # else ignored where the tests outlive theirs


class Program:
    """A watch of the folder `in`, which writes into `out`."""

    def __init__(self, folder, bundle, *more):
        (folder / "in").mkdir(exist_ok=True)
        self.folder, self.said = folder, folder / "said"
        words = ["denoise", "--watch", "in", "--out", "out", "--bundle", bundle, *more]
        with self.said.open("wb") as told:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "flows", *words], cwd=folder, stderr=told,
                stdout=subprocess.PIPE, text=True, start_new_session=True,
                preexec_fn=as_of_a_terminal,  # noqa: PLW1509  it takes no lock
            )  # fmt: skip

    def put(self, name, data):
        (self.folder / "in" / name).write_bytes(data)

    def until(self, happens):
        deadline = time.monotonic() + SECONDS
        while not happens():
            assert self.process.poll() is None, self.said.read_text()
            assert time.monotonic() < deadline, self.said.read_text()
            try:
                self.process.wait(0.1)
            except subprocess.TimeoutExpired:
                continue

    def until_there(self, *names):
        self.until(lambda: all((self.folder / "out" / name).exists() for name in names))

    def end(self, asked=signal.SIGTERM):
        self.process.send_signal(asked)
        out, _ = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, out


@pytest.fixture
def started(tmp_path, bundle):
    programs = []

    def start(*more):
        programs.append(Program(tmp_path, bundle, *more))
        return programs[-1]

    yield start
    for one in programs:
        if one.process.poll() is None:
            one.process.kill()
        one.process.communicate(timeout=SECONDS)


@pytest.mark.slow  # its parts: tests/trainlib/onsky/test_watch.py
def test_files_that_come_are_denoised_and_stacked_until_it_is_ended(started, visits, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/first.fits").write_bytes(visits[0])
    program = started("--patience", "0", "--json")
    assert "--watch" in program.process.args
    program.until_there("first.fits")
    program.put("notes.txt", b"cloudy\n")
    program.put("second.fits", visits[1][:5760])
    program.until(lambda: "error: " in program.said.read_text())
    program.put("second.fits", visits[1])
    program.until_there("second.fits", f"stacks/{STAR}.fits", f"watched/stacks-{STAR}.json")
    code, out = program.end()
    said = program.said.read_text()
    assert code == 0 and "Traceback" not in said
    assert re.search(rf"{STAR}  2 visits  S/N [\d.]+  good  next [\d.]+  S/N 40 ", said)
    assert f"{tmp_path}/in/notes.txt: " in said and "not polished: the bundle says nothing" in said
    table = Table.read(tmp_path / "out/summary.ecsv")
    outputs = ["first.fits", "second.fits", f"stacks/{STAR}.fits", ""]
    assert (
        list(np.ma.filled(table["output"], "")) == outputs
        and list(table["verdict"][:3]) == ["good"] * 3
    )
    assert [one["output"] is None for one in json.loads(out)["files"]] == [False] * 3 + [True]
    assert "location.reload()" not in (tmp_path / "out/summary.html").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_what_is_done_is_not_done_again_however_it_ended(asked, started, visits, tmp_path):
    program = started()
    program.put("a.fits", visits[0])
    program.until_there("a.fits", "watched/a.fits.json")
    code, _ = program.end(asked)
    assert code == (-asked if asked == signal.SIGKILL else 0)
    before = (tmp_path / "out/a.fits").stat().st_mtime_ns
    again = started()
    again.put("b.fits", visits[1])
    again.until_there("b.fits", f"watched/stacks-{STAR}.json")
    assert again.end()[0] == 0
    assert (tmp_path / "out/a.fits").stat().st_mtime_ns == before
    assert len(Table.read(tmp_path / "out/summary.ecsv")) == 3


@pytest.mark.slow
def test_a_file_that_grows_is_taken_when_it_is_whole(started, visits, tmp_path):
    program = started("--plots")
    data = visits[2]
    with (tmp_path / "in/slow.fits").open("wb", buffering=0) as file:
        for start in range(0, len(data), 8 * 2880):
            file.write(data[start : start + 8 * 2880])
            program.until(lambda: "waiting for slow.fits" in program.said.read_text())
    program.until_there("slow.fits", "plots/slow.fits-1.png")
    assert (tmp_path / "out/slow.fits").read_bytes().startswith(data)
    assert program.end()[0] == 0 and "error:" not in program.said.read_text()


def test_what_is_said_of_a_watch_follows_its_options(bundle, tmp_path, monkeypatch, capfd):
    from trainlib.onsky import watch

    seen = []
    monkeypatch.setattr(watch, "watch", lambda *given, **_: (seen.append(given[3]), [])[1])
    monkeypatch.chdir(tmp_path)
    words = ["denoise", "--watch", "in", "--out", "out", "--bundle", bundle]
    for more in ([], ["--target-snr", "25"], ["--patience", "2.5"]):
        assert run_program([*words, *more]) == 0
    usual, snr, patience = seen
    assert usual.forecast is None
    assert (usual.target_snr, usual.patience_s) == (40.0, 30.0)
    assert (snr.target_snr, patience.patience_s) == (25.0, 2.5)
    capfd.readouterr()
    for wrong, told in (
        ([*words, "a.fits"], "give either files, or a folder to watch"),
        (["denoise", "--out", "out", "--bundle", bundle], "give either files, or a folder"),
        ([*words[:2], "s3://a/b", *words[3:]], "--watch s3://a/b: a folder of this machine"),
        (["denoise", "a.fits", *words[3:], "--patience", "2"], "act only with --watch; leave"),
        (["denoise", "a.fits", *words[3:], "--target-snr", "9"], "act only with --watch; leave"),
        (["denoise", "a.fits", *words[3:], "--seeing", "1"], "act only with --watch; leave"),
        (["denoise", "a.fits", *words[3:], "--magnitude", "20"], "act only with --watch; leave"),
        ([*words, "--seeing", "-1"], "--seeing: seeing is -1 arcsec; it must lie in"),
        ([*words, "--conditions", "none.csv"], "none.csv"),
    ):
        assert run_program(wrong) == 2
        assert told in capfd.readouterr().err


def test_a_forecast_is_made_at_the_conditions_of_its_options(bundle, tmp_path, monkeypatch, capfd):
    from trainlib.onsky import watch

    seen = []
    monkeypatch.setattr(watch, "watch", lambda *given, **_: (seen.append(given[3].forecast), [])[1])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sky.csv").write_text(
        "seeing,zenith_angle,field_angle,moon_zenith_angle,moon_target_angle,moon_phase,exptime,"
        "nexp\n0.7,30,0.3,50,60,0.2,600,1\n"
    )
    words = ["denoise", "--watch", "in", "--out", "out", "--bundle", bundle]
    for more, told in (
        (("--seeing", "0.9"), "seeing 0.9 arcsec, zenith angle 22.5 deg (assumed)"),
        (
            ("--zenith-angle", "50", "--field-angle", "0.6", "--moon-zenith-angle", "40",
             "--moon-target-angle", "35", "--moon-phase", "0.5"),
            "seeing 1 arcsec (assumed), zenith angle 50 deg, field angle 0.6 deg, moon zenith "
            "angle 40 deg, moon target angle 35 deg, moon phase 0.5; pfs-redmr-2024-07-14",
        ),
        (("--conditions", "sky.csv", "--seeing", "0.8"), "seeing 0.8 arcsec, zenith angle 30 deg,"),
        (
            ("--magnitude", "21", "--exposure-time", "450", "--instrument", "pfs-redmr-2016-02-29"),
            "(assumed); pfs-redmr-2016-02-29",
        ),
    ):  # fmt: skip
        assert run_program([*words, *more]) == 0
        said = capfd.readouterr().err
        assert "forecast at seeing " in said and told in said, more
    counts = {one.of_time(900.0).snr(1.0, 21.0) for one in seen}
    assert len(counts) == 4
    assert [one.magnitude for one in seen] == [None, None, None, 21.0]
    assert [one.seconds for one in seen] == [None, None, 600.0, 450.0]


def star(**changes):
    values = {"name": "[red]x", "exposures": 3, "snr": 20.0, "verdict": "good", "next_snr": 23.1,
              "more": 9, "seconds": 8100.0}  # fmt: skip
    return StarSeen(**(values | changes))


def test_a_target_that_no_time_reaches_is_told():
    assert forecast(star(more=float("inf"), seconds=float("inf")), 40.0) == "S/N 40 out of reach"
    assert forecast(star(more=3.0, seconds=1800.0), 40.0) == "S/N 40 after 3 more (30 min)"


def test_the_live_table_shows_stars_as_they_are_named():
    from rich.console import Console

    console = Console(width=140, record=True, file=None, force_terminal=True)
    waiting, odd = ("c.fits", "e.fits", "f.fits", "g.fits"), ("h.fits: no", "i.fits: nor that")
    status = Status((star(), star(name="b")), 4, waiting, (*odd, "d.fits: [bold]odd"))
    with console.capture() as held:
        console.print(_table(status, 40.0, 1))
    text = re.sub(r"\x1b\[[\d;]*m", "", held.get())
    assert "[red]x" in text and "S/N 40 after 9 more (135 min)" in text and "23.1" in text
    assert "4 files done, 1 more stars in the table" in text
    assert "waiting for c.fits, e.fits, f.fits" in text and "g.fits" not in text
    assert "i.fits: nor that" in text and "d.fits: [bold]odd" in text and "h.fits" not in text
    heads = ("star", "visits", "S/N", "verdict", "one more", "to S/N 40")
    assert [cell.strip() for cell in re.split("┃", text)[1:7]] == list(heads)


def test_the_forecast_is_told_for_every_star():
    assert forecast(star(more=0), 20.0) == "S/N 20 reached"
    assert forecast(star(seconds=None), 40.0) == "S/N 40 after 9 more"
    assert forecast(star(more=None, seconds=None), 40.0) == "S/N 40 not to be told"


def test_elsewhere_each_thing_is_said_once(capfd):
    lines = _Lines(40.0)
    for exposures in (1, 1, 2):
        lines(Status((star(name="a", exposures=exposures),), 1, ("w.fits",), ("odd",)))
    more = "S/N 20.0  good  next 23.1  S/N 40 after 9 more (135 min)"
    assert capfd.readouterr().err.splitlines() == [
        f"a  1 visit  {more}", "waiting for w.fits", "error: odd", f"a  2 visits  {more}"
    ]  # fmt: skip
