"""The page of a batch as a browser lays it out: sorted, filtered, looked at by key and by hand."""

from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from tests.trainlib.test_report_in_a_browser import CHROMIUM, WATCH, driven
from trainlib.onsky.answers import empty_row
from trainlib.onsky.page import batch_page

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: apt install chromium)"),
]
ODD = "star-2<img src=x onerror=alert(1)>"
ROWS = [  # name, S/N, verdict
    ("star-10", 30.0, "good"),
    ("star-1", 5.0, "poor fit, faint"),
    (ODD, float("nan"), "refused"),
]
DRIVE = f"<script>{Path(__file__).with_name('drive_batch.js').read_text()}</script></body>"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    held = BytesIO()
    Image.new("RGB", (960, 518), "white").save(held, format="png")
    rows = [
        empty_row() | {
            "spectrum": name, "file": f"{name}-{'of-a-long-name-' * 3}.fits",
            "output": "", "plot": "" if verdict == "refused" else "plots/one.png", "snr": snr,
            "verdict": verdict, "redshift": 1e-4, "redshift_error": 1e-5, "teff": 4000.0,
            "message": "x" * 300,
        }
        for name, snr, verdict in ROWS
    ]  # fmt: skip
    text = batch_page(rows, {"plots/one.png": held.getvalue()}, title=ODD, lead="three files")
    text = text.replace("<head>", "<head>" + WATCH, 1).replace("</body>", DRIVE)
    copy = tmp_path_factory.mktemp("page") / "driven.html"
    copy.write_text(text)
    return copy


def test_rows_are_sorted_filtered_and_looked_at(page: Path) -> None:
    told = driven(page, 1300)
    names = [name for name, *_ in ROWS]
    assert told["wrong"] == [] and told["fetched"] == [] and told["unnamed"] == []
    assert told["first"] == names == told["brightest"]
    assert told["faintest"] == ["star-1", "star-10", ODD] and told["sorted"] == "ascending"
    assert told["byName"] == ["star-1", ODD, "star-10"]
    assert sorted(told["kinds"]) == ["", "faint", "good", "poor fit", "refused"]
    assert told["poor"] == ["star-1"] and told["count"] == "1 of 3 spectra"
    assert told["found"] == ["star-10", "star-1"] or told["found"] == ["star-1", "star-10"]
    assert "find=star-1" in told["hash"] and "by=0" in told["hash"]
    assert told["open"] and told["name"] == "star-1"
    assert told["picture"] == [960, False, "spectrum star-1: poor fit, faint"]
    assert "snr5" in told["values"] and "teff4000" in told["values"]
    assert told["next"] == ODD and told["last"] == ["star-10", True]
    assert told["beyond"] == "star-10" and told["closed"] and told["focus"] == "star-10"


@pytest.mark.parametrize(
    ("width", "colours"), [(1300, "light"), (500, "light"), (500, "dark"), (1300, "dark")]
)
def test_nothing_is_wider_than_the_screen(width: int, colours: str, page: Path) -> None:
    dark = ["--blink-settings=preferredColorScheme=0"] if colours == "dark" else []
    told = driven(page, width, *dark)
    assert told["wide"] <= 0 and told["wrong"] == []
    assert min(told["dialog"]) >= 0
    assert told["back"] == ("rgb(20, 24, 28)" if dark else "rgb(244, 245, 247)")
