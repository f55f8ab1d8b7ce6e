"""The report as a browser lays it out and as its explorer answers."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.trainlib.judged_runs import judged_well, with_ablation, with_fits
from trainlib.evaluation.report import write_report

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: apt install chromium)"),
]
# Before all else of the page: what goes wrong is kept.
WATCH = """<script>
window.wrong = [];
addEventListener("error", event => wrong.push(String(event.message)));
addEventListener("unhandledrejection", event => wrong.push(String(event.reason)));
for (const kind of ["error", "warn"]) console[kind] = (...said) => wrong.push(said.join(" "));
</script>"""
DRIVE = f"<script>{Path(__file__).with_name('drive_report.js').read_text()}</script></body>"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    written = Path(str(write_report([with_ablation(with_fits(judged_well(folder)))])))
    copy = folder / "driven.html"
    text = written.read_text().replace("<head>", "<head>" + WATCH, 1)
    copy.write_text(text.replace("</body>", DRIVE))
    return copy


def driven(page: Path, width: int, *more: str) -> dict[str, Any]:
    """Return what a page tells of itself, without a network."""
    told = subprocess.run(
        [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu",
         "--host-resolver-rules=MAP * ~NOTFOUND", f"--window-size={width},900", *more,
         "--virtual-time-budget=200000", "--dump-dom", page.as_uri()],
        capture_output=True, text=True, timeout=240, check=True,
    )  # fmt: skip
    found = re.search(r'<pre id="answer">(.*?)</pre>', told.stdout, re.DOTALL)
    assert found, told.stderr[-2000:]
    answer: dict[str, Any] = json.loads(
        found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    )
    return answer


def test_the_explorer_changes_the_plot_and_nothing_goes_wrong(page: Path) -> None:
    told = driven(page, 1300)
    assert told["wrong"] == [] and told["fetched"] == [] and told["unnamed"] == []
    steps = told["steps"]
    assert all(step["canvas"] for step in steps.values()), steps
    assert steps["triplet"]["range"] == pytest.approx([8475, 8695])
    assert steps["farther"]["range"] == pytest.approx([8365, 8805])
    assert steps["right"]["range"] == pytest.approx([8410, 8850])  # not beyond the last pixel
    assert steps["whole"]["range"] == pytest.approx([7100, 8850])
    for name in ("after", "pick", "slider"):
        assert steps[name]["text"] and steps[name]["data"], name
    shown = [float(value) for value in re.findall(r"S/N ([\d.]+)", told["best"])]
    assert shown and shown[0] > 40  # the toy's brightest
    for step in steps.values():
        assert step["y"][0] < step["y"][1]


@pytest.mark.parametrize(
    ("width", "colours"), [(1300, "light"), (500, "light"), (500, "dark"), (1300, "dark")]
)
def test_nothing_is_wider_than_the_screen(width: int, colours: str, page: Path) -> None:
    dark = ["--blink-settings=preferredColorScheme=0"] if colours == "dark" else []
    told = driven(page, width, *dark)
    assert told["wide"] <= 0
    assert told["wrong"] == []
    if width > 1000:
        assert told["cut"] == []
