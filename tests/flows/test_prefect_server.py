"""Against a running Prefect server the flow and its stages show there, and so does a failure."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask(url: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.loads(answer.read())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    port, home = free_port(), tmp_path_factory.mktemp("prefect")
    environment = os.environ | {
        "PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1",
    }  # fmt: skip
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1"]
    process = subprocess.Popen(
        [*command, "--port", str(port)], env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}/api"
    deadline = time.monotonic() + 120
    try:
        while True:
            try:
                ask(f"{url}/health")
                break
            except (urllib.error.URLError, OSError):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise
                process_wait(process)
        yield environment | {"PREFECT_API_URL": url}
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


def process_wait(process: subprocess.Popen[bytes]) -> None:
    """Wait half a second, or less when the server ends."""
    try:
        process.wait(0.5)
    except subprocess.TimeoutExpired:
        return


def build(server: dict[str, str], folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flows", "build", "tiny", *more], env=server, cwd=folder,
        capture_output=True, text=True, timeout=250, check=False,
    )  # fmt: skip


def test_a_flow_and_its_stages_show_on_the_server(server: dict[str, str], tmp_path: Path) -> None:
    done = build(server, tmp_path)
    assert done.returncode == 0, done.stderr
    url = server["PREFECT_API_URL"]
    newest = {"sort": "START_TIME_DESC", "limit": 1}
    (run,) = ask(f"{url}/flow_runs/filter", newest)
    assert run["state_name"] == "Completed"
    tasks = ask(f"{url}/task_runs/filter", {"flow_runs": {"id": {"any_": [run["id"]]}}})
    assert sorted(task["name"].rsplit("-", 1)[0] for task in tasks) == ["build-dataset", "etc-grid"]
    assert {task["state_name"] for task in tasks} == {"Completed"}


def test_a_mistake_shows_there_as_failed(server: dict[str, str], tmp_path: Path) -> None:
    done = build(server, tmp_path, "--set", "stellar.band=hsc2017-z")
    assert done.returncode == 2
    (run,) = ask(
        f"{server['PREFECT_API_URL']}/flow_runs/filter", {"sort": "START_TIME_DESC", "limit": 1}
    )
    assert run["state_name"] == "Failed"
