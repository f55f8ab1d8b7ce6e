"""What is printed of a result holds the result's own figures, each in its place.

No two figures of a result are alike here, so that none can stand for another.
"""

import logging
import re
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from flows.terminal import grid_text, list_text, progress, tables
from simlib.dataset.catalogue import ListedDataset
from simlib.location import Location
from simlib.stellar.archive.download import DownloadReport
from simlib.stellar.archive.download_plan import Estimate
from simlib.stellar.archive.importing import ImportReport
from simlib.stellar.quality.compare import GridDifference, NodeDifference
from simlib.stellar.quality.verify import Verification
from tests.flows.conftest import Print
from trainlib.run_list import ListedRun


def node(number: int) -> dict[str, Any]:
    """Return the node that `text` writes."""
    return {"teff": 3500.0 + number, "logg": 1.5, "feh": -0.25, "alpha": 0.75}


def text(number: int) -> str:
    return f"teff {3500 + number} logg 1.5 feh -0.25 alpha 0.75"


def test_a_grid_s_description_is_printed_in_full(printed: Print) -> None:
    axis = {"teff": [3500.0, 3750.5], "logg": [1.5], "feh": [-0.25], "alpha": [0.75, 1.0, 1.25]}
    attrs = {"name": "mine", "version": "v7", "medium": "vacuum", "resolution": 18000.0,
             "source": "a book", "holes": [{**node(12), "reason": "no file"}]}  # fmt: skip
    pool = [{"nodes": 31, "rms": 0.0123, "largest": 0.0456},
            {"nodes": 47, "rms": None, "largest": None}]  # fmt: skip
    known = {"check": "one", "low": 0.25, "high": None, "judged": 53, "worst": 0.1234,
             "exception": "[because]"}  # fmt: skip
    failed = [{"teff": 3500 + n} for n in range(17)]
    sanity = [
        known | {"failed": failed, "unexplained": failed[:13]},
        known | {"check": "two", "low": None, "high": 7.5, "failed": failed[:3], "unexplained": []},
        known | {"check": "three", "high": 8.5, "failed": [], "unexplained": [], "worst": None},
        known | {"check": "four", "failed": [], "unexplained": []},
    ]
    description = {
        "attrs": attrs, "fingerprint": "f1", "axes": axis, "nodes": 432,
        "wavelength": {"first_nm": 671.234, "last_nm": 909.876, "points": 9876,
                       "points_per_unit_ln": 54321},
        "missing": [node(n) for n in range(11, 26)],
        "bytes_in_memory": 87_600_000, "bytes_on_disk": {"/one": 12_300_000, "/two": 45_600_000},
        "leave_one_out": [{"window_nm": (710.4, 884.6), "resolution": 5000.0,
                           "axes": [{"axis": "teff", "warm": pool[0], "cool": pool[1]}]}],
        "sanity": sanity, "figure": "here.png",
    }  # fmt: skip
    assert printed(grid_text.print_description, description) == [
        "mine v7  fingerprint f1",
        "teff     2  3500 3750.5",
        "logg     1  1.5",
        "feh      1  -0.25",
        "alpha    3  0.75 1 1.25",
        "671.23-909.88 nm (vacuum), 9876 points, 1/54321 in ln wavelength, R = 18000",
        "432 nodes, 15 missing",
        f"missing {text(11)}",
        f"missing {text(12)}  no file",
        *(f"missing {text(n)}" for n in range(13, 21)),
        "… and 5 more",
        "87.6 MB in memory",
        "12.3 MB in /one",
        "45.6 MB in /two",
        "left-out inner nodes, cubic, R = 5000, 710-885 nm",
        "axis|≥ 4000 K: nodes|rms %|largest %|below: nodes|rms %|largest %",
        "teff|31|1.230|4.560|47||",
        "what is known of cool stars, 4 rules: 2 hold everywhere, 1 but for known",
        "exceptions, 1 do not",
        "rule|bounds|judged|fail|unexplained|worst|known exception",
        "one|> 0.25|53|17|13|0.123|[because]",
        "two|< 7.5|53|3|0|0.123|[because]",
        "three|0.25 … 8.5|53|0|0||",
        "four|> 0.25|53|0|0|0.123|",
        *(f"unexplained: one: teff {3500 + n}" for n in range(10)),
        "… and 3 more",
        "source: a book",
        "here.png",
    ]


def test_an_import_is_told_with_its_holes(printed: Print) -> None:
    holes = [{**node(n), "reason": f"why {n}"} for n in range(11, 25)]
    report = ImportReport("/store", "sum", 432, 217, 5, holes)
    assert printed(grid_text.print_import, report) == [
        "432 nodes, 14 holes; 217 files read now",
        *(f"hole {text(n)}: why {n}" for n in range(11, 21)),
        "… and 4 more",
        "/store",
    ]


def test_a_verification_is_told_with_what_is_damaged(printed: Print) -> None:
    found = Verification(432, [node(n) for n in range(11, 24)], ["one", "two"])
    assert printed(grid_text.print_verification, found) == [
        "432 nodes read, 13 damaged",
        *(f"damaged {text(n)}" for n in range(11, 21)),
        "… and 3 more",
        "one",
        "two",
    ]


def test_a_difference_is_told_from_either_side(printed: Print) -> None:
    difference = GridDifference(
        is_same=False,
        axes={"teff": {"only_in_a": [3600.0], "only_in_b": [3700.0, 3800.0]}},
        only_in_a=[node(n) for n in range(11, 23)],
        only_in_b=[node(n) for n in range(31, 45)],
        attrs={"version": ["v7", "v8"]},
        wavelengths="the same",
        nodes=[NodeDifference(node(n), n * 1.11e-4, n * 2.22e-3) for n in range(51, 63)],
    )
    assert printed(grid_text.print_difference, difference) == [
        "different fingerprints",
        "teff: only in A [3600.0], only in B [3700.0, 3800.0]",
        *(f"only A has {text(n)}" for n in range(11, 21)),
        "… and 2 more",
        *(f"only B has {text(n)}" for n in range(31, 41)),
        "… and 4 more",
        "version: v7 | v8",
        "wavelengths: the same; 12 common nodes",
        "most different nodes, of the continuum",
        "node|rms|largest",
        *(f"{text(n)}|{n * 1.11e-4:.2e}|{n * 2.22e-3:.2e}" for n in range(51, 61)),
    ]
    same = GridDifference(True, {}, [], [], {}, "the same", [])
    assert printed(grid_text.print_difference, same)[:2] == [
        "same fingerprints", "wavelengths: the same; 0 common nodes",
    ]  # fmt: skip


def test_a_download_is_told_before_and_after(printed: Print) -> None:
    expected = Estimate(37, 12.34e9, "5 of 6 files asked for", 0.87e6, 5.6 * 3600)
    assert grid_text.text_of_estimate(expected, 41) == (
        "37 of 41 files to fetch, 12.34 GB (5 of 6 files asked for); 5.6 h if every connection "
        "gets the 0.87 MB/s that one had just now"
    )
    unknown = Estimate(37, 12.34e9, "usual size", None, None)
    assert grid_text.text_of_estimate(unknown, 41) == (
        "37 of 41 files to fetch, 12.34 GB (usual size); time unknown"
    )
    absent = [f"a{n}" for n in range(11, 23)]
    failed = {f"f{n}": f"why {n}" for n in range(31, 46)}
    assert printed(
        grid_text.print_download, DownloadReport(217, 29, 98_760_000, absent, failed)
    ) == [
        "217 files fetched (98.8 MB), 29 there before, 12 not in the archive, 15 failed",
        *(f"absent a{n}" for n in range(11, 21)),
        "… and 2 more",
        *(f"failed f{n}: why {n}" for n in range(31, 41)),
        "… and 5 more",
    ]


@pytest.mark.parametrize(("count", "more"), [(0, ""), (10, ""), (11, "… and 1 more\n")])
def test_ten_are_listed_and_the_rest_is_counted(count: int, more: str) -> None:
    assert grid_text.and_more(count) == more


def test_medians_are_a_row_a_condition_up_to_forty(printed: Print) -> None:
    rows = [{"sky_lines_e": 1000.5 + n, "read_variance_e2": 0.25, "snr": 12.34567}
            for n in range(43)]  # fmt: skip
    assert printed(tables.print_medians, rows) == [
        "medians over pixels; counts of one",
        "exposure",
        "row|lines|read_variance|snr",
        *(f"{n + 1}|{1000.5 + n:.4g}|0.25|12.35" for n in range(40)),
        "… and 3 more rows",
    ]
    assert printed(tables.print_medians, rows[:40])[-1] == "40|1040|0.25|12.35"


def test_the_cache_is_told_by_kind_and_in_all(printed: Print) -> None:
    description = {
        "kinds": {"grids": {"files": 12, "bytes": 81_900_000}, "logs": {"files": 3, "bytes": 0}},
        "bytes": 234_500_000, "limit_bytes": 4_100_000_000, "folder": "/a", "folders": ["/b", "/c"],
    }  # fmt: skip
    expected = [
        "kind|files|MB",
        "grids|12|81.9",
        "logs|3|0.0",
        "234.5 MB of at most 4100 MB (SPECDENOISE_CACHE_LIMIT)",
    ]
    assert printed(tables.print_cache, description) == [*expected, "/b", "/c"]
    none = description | {"folders": []}
    assert printed(tables.print_cache, none) == [*expected, "/a (not made yet)"]


def test_runs_and_datasets_are_a_line_each(printed: Print) -> None:
    run = ListedRun("r1", "/r1", "finished", "C", "demo", "2026-01-02", 12, 0.123456)
    none = ListedRun("r2", "/r2", "not finished")
    assert printed(list_text.print_runs, [run, none], Location.of("/data")) == [
        "r1  recipe C  dataset demo  begun 2026-01-02  finished  12 epochs  "
        "validation loss 0.12346",
        "r2  not finished",
    ]
    assert printed(list_text.print_runs, [], Location.of("/data")) == ["no runs in /data/runs"]
    rows = {"train": 12345, "test": 67}
    one = ListedDataset("demo", "abc", "/d", "old", "stored", rows, 8_900_000, "2026-01-03")
    bare = ListedDataset("mine", "def", "/e", "not finished")
    assert printed(list_text.print_datasets, [one, bare], Location.of("/data")) == [
        "demo  abc  old  stored  train 12,345, test 67  8.9 MB  made 2026-01-03",
        "mine  def  not finished",
    ]
    assert printed(list_text.print_datasets, [], Location.of("/data")) == [
        "no datasets in /data/datasets"
    ]


def test_errors_are_a_line_an_interval_those_without_spectra_too(printed: Print) -> None:
    empty, known = ({"mean_abs_relative_error": e, "bias": 0.5} for e in (None, 0.0125))
    bins = [
        {"snr_low": 0, "snr_high": 5, "count": 0, "limit_count": 0, "methods": {"none": empty}},
        {
            "snr_low": 80,
            "snr_high": None,
            "count": 31,
            "limit_count": 3,
            "floor": 0.0043,
            "methods": {"none": known, "dae": empty},
        },
    ]
    expected = ["S/N 0-5: 0  none —", "S/N 80-…: 31  none 1.25 %  dae —  limit 0.43 %"]
    assert printed(tables.print_evaluation, {"bins": bins}) == expected
    start = {"evaluations": 12.34, "ms": 56.78, "wrong": 0.25, "wrong_95": [0.125, 0.375]}
    other = {"evaluations": 9.87, "ms": 6.54, "wrong": 0.5, "wrong_95": [0.4375, 0.5625]}
    fit = {"spectra": 77, "starts": {"cold": start | {"templates": 904}, "dae": other}}
    assert printed(tables.print_evaluation, {"bins": bins, "fit": fit}) == [
        *expected,
        "fits of 77 spectra",
        "from cold: 904 templates, 12.3 evaluations, 56.8 ms, wrong 25.00 % (12.50 %-37.50 %)",
        "from dae: 9.9 evaluations, 6.5 ms, wrong 50.00 % (43.75 %-56.25 %)",
    ]


def test_steps_are_told_with_their_units(printed: Print) -> None:
    scalars, medians = {"teff": 4321.123456789}, {"flux": 0.512345678}
    assert [
        line.split() for line in printed(tables.print_steps, scalars, medians, {"flux": "nJy"})
    ] == [["teff", "4321.1235"], ["flux", "0.51234568", "(median;", "nJy)"]]


EPOCH = {"epoch": 12, "step": 345, "loss": 0.123456, "validation_loss": 0.234567, "lr": 6.7e-4,
         "samples_per_s": 8901.2, "seconds": 57.0, "cpu_seconds": 60.0}  # fmt: skip


def test_on_a_terminal_progress_is_a_bar_and_no_line(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = StringIO()

    console = Console(file=screen, force_terminal=True, width=120)
    monkeypatch.setattr(progress, "terminal", lambda: console)
    with (
        caplog.at_level(logging.INFO, progress.__name__),
        progress.item_progress("simulating", "blocks", "spectra") as show,
    ):
        show(34, 56, 78)
        show(56, 56, 12)
    assert "simulating" in screen.getvalue() and "56/56" in screen.getvalue()
    assert re.search(r"\d spectra/s", screen.getvalue())
    assert "0/?" in screen.getvalue()  # how many there are is not known before the first
    assert caplog.messages == []
    with progress.epoch_progress(90.0, 20) as tell:
        tell(EPOCH)
    assert "57/90" in screen.getvalue() and "8901 samples/s" in screen.getvalue()
    with progress.epoch_progress(None, 20) as tell:
        tell(EPOCH)
    assert "12/20" in screen.getvalue()
