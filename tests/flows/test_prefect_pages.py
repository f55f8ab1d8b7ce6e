"""The pages of a Prefect server, as a browser shows them: deployments, a schedule, a finished run.

With SPECDENOISE_PICTURES set to a folder, pictures of the pages are left there.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.flows.test_prefect_server import ask, free_port
from tests.flows.test_schedule import FLOW, NAME, Place, server, wait_for, worker
from tests.trainlib.test_report_in_a_browser import CHROMIUM

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.timeout(900),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: apt install chromium)"),
]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("pages")
    with server(folder, free_port()) as environment:
        place = Place(folder, environment)
        place.configure()
        done = place.verb("deploy", "few.toml", "--set", "deploy.cron=30 3 * * *")
        assert done.returncode == 0, done.stderr
        with worker(place):
            run = place.after(place.run_now)
        assert run["state_type"] == "COMPLETED"
        yield place, run


def shown(place: Place, page: str, name: str, *wanted: str) -> None:
    """Open a page until it says what is wanted; leave a picture of it where asked."""
    url = place.url.removesuffix("/api") + page
    browser = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
               "--window-size=1300,1500", "--virtual-time-budget=20000"]  # fmt: skip

    def missing() -> list[str]:
        told = subprocess.run(
            [*browser, "--dump-dom", url], capture_output=True, text=True, timeout=120, check=True
        ).stdout
        return [text for text in wanted if text not in told]

    wait_for(lambda: not missing(), 120)
    if pictures := os.environ.get("SPECDENOISE_PICTURES"):
        path = Path(pictures).absolute() / f"{name}.png"
        subprocess.run([*browser, f"--screenshot={path}", url], timeout=120, check=True)


def test_the_deployments_and_the_schedule_are_there(ran: tuple[Place, dict[str, Any]]) -> None:
    place, _ = ran
    shown(place, "/deployments", "deployments", FLOW, "specdenoise-train", NAME, "03:30")


def test_a_finished_run_says_what_it_did(ran: tuple[Place, dict[str, Any]]) -> None:
    place, run = ran
    url = f"/runs/flow-run/{run['id']}"
    shown(place, url, "run", "Completed", FLOW, "build-dataset", "release")
    shown(place, "/artifacts", "artifacts", "few-stages", "few-plan", "few-metrics", "few-loss",
          "few-spectra", "release 1: nothing to compare with was released before")  # fmt: skip
    found = {one["key"]: one["id"] for one in ask(f"{place.url}/artifacts/filter", {})}
    for key, wanted in (("metrics", "noisy input"), ("spectra", "data:image/png;base64,")):
        shown(place, f"/artifacts/artifact/{found[f'few-{key}']}", key, wanted)
