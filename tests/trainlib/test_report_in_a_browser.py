"""The report as a browser lays it out."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.trainlib.judged_runs import judged_well
from trainlib.evaluation.report import write_report

CHROMIUM = shutil.which("chromium")
COUNT = """<script>
addEventListener("load", () => {
  document.querySelectorAll("details").forEach(one => one.open = true);
  const cut = [...document.querySelectorAll(".scroll")].filter(e => e.scrollWidth > e.clientWidth);
  document.title = `cut: ${cut.length} of ${document.querySelectorAll(".scroll").length}`;
});
</script></body>"""


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: apt install chromium)")
def test_no_table_is_wider_than_a_page_on_a_laptop(tmp_path: Path) -> None:
    page = Path(str(write_report([judged_well(tmp_path)])))
    copy = tmp_path / "counted.html"
    copy.write_text(page.read_text().replace("</body>", COUNT))
    told = subprocess.run(
        [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1300,900",
         "--virtual-time-budget=5000", "--dump-dom", copy.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert re.search(r"<title>(.*?)</title>", told.stdout)[1] == "cut: 0 of 4"  # type: ignore[index]
