"""A server and a worker on this machine: a schedule, an event, the gate, the way back, the ends."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import pytest

from flows.claim import last_refresh
from simlib.instrument import FOLDER
from simlib.location import Location
from simlib.parameters import AXES
from simlib.stellar import open_grid
from tests.flows.test_prefect_server import ask, free_port, process_wait
from tests.simlib.stellar.archive.bosz_files import whole_native_wavelength, write_2017_text
from trainlib.release import read_release

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

ROOT = Path(__file__).resolve().parents[2]
FLOW, NAME = "specdenoise-refresh", "few"
CONFIG = """
[storage]
root = "{root}"
[dataset]
name = "few"
n_train = {rows}
n_validation = 48
seed = {seed}
block = {block}
chunk = 6
[stellar]
grid = "{grid}"
teff = [4000, 4500]
logg = [1, 3]
feh = [-1, 0]
alpha = [0, 0.25]
[terms]
airmass_nodes = 3
seeing_nodes = {nodes}
moon_zenith_nodes = 3
moon_target_nodes = 3
moon_phase_nodes = 3
tolerance = 9.0
[cluster]
kind = "threads"
workers = 1
[model]
rank = 16
hidden = 16
blocks = 1
[train]
epochs = {epochs}
interval = {interval}
batch_size = 30
ranks = {ranks}
threads = 1
device = "cpu"
lr = {lr}
[gate]
margin = {margin}
spectra = 5
"""
USUAL = {"seed": 1, "rows": 60, "block": 60, "grid": "toy", "nodes": 3, "epochs": 2, "interval": 1,
         "ranks": 1, "lr": 1e-3, "margin": 9.0}  # fmt: skip


@dataclass
class Place:
    """A folder with a config, and the environment of a server."""

    folder: Path
    environment: dict[str, str]

    def configure(self, **changed: object) -> None:
        values = USUAL | {"root": self.folder / "data"} | changed
        (self.folder / "few.toml").write_text(CONFIG.format(**values))

    def verb(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "flows", *words], env=self.environment | more, cwd=self.folder,
            capture_output=True, text=True, timeout=400, check=False,
        )  # fmt: skip

    @property
    def url(self) -> str:
        return self.environment["PREFECT_API_URL"]

    def runs(self, state: str | None = None) -> list[dict[str, Any]]:
        """Return the refreshes that were begun, the newest last."""
        found = ask(f"{self.url}/flow_runs/filter", {"sort": "START_TIME_ASC", "limit": 50,
                    "flows": {"name": {"any_": [FLOW]}}})  # fmt: skip
        return [run for run in found if run["start_time"] and state in (None, run["state_type"])]

    def coming(self) -> list[dict[str, Any]]:
        """Return the refreshes that run, or are about to."""
        soon = datetime.now(UTC) + timedelta(hours=1)
        found: list[dict[str, Any]] = ask(f"{self.url}/flow_runs/filter", {
            "flows": {"name": {"any_": [FLOW]}},
            "flow_runs": {
                "state": {"type": {"any_": ["SCHEDULED", "PENDING", "RUNNING"]}},
                "expected_start_time": {"before_": soon.isoformat()},
            },
        })  # fmt: skip
        return found

    def deployment(self) -> dict[str, Any]:
        found: dict[str, Any] = ask(f"{self.url}/deployments/name/{FLOW}/{NAME}")
        return found

    def run_now(self) -> None:
        url = f"{self.url}/deployments/{self.deployment()['id']}/create_flow_run"

        def is_taken() -> bool:
            try:
                return bool(ask(url, {}))
            except urllib.error.HTTPError as error:  # SQLite is busy
                assert error.code == 503
                return False

        wait_for(is_taken, 60)

    def after(self, begin: Callable[[], object], seconds: float = 300.0) -> dict[str, Any]:
        """Do something, and return the refresh that came of it, when it ended.

        Of those that a schedule and an event start together one is skipped.
        """
        before = {run["id"] for run in self.runs()}
        begin()
        return wait_for(
            lambda: next((run for run in self.runs() if run["id"] not in before and run["end_time"]
                          and not (run["state"]["message"] or "").startswith("skipped: held by")),
                         None), seconds,
        )  # fmt: skip

    def released(self) -> str:
        found = read_release(Location.of(self.folder / "data"), NAME)
        assert found is not None and found.run is not None
        return found.run.fingerprint

    def redone(self) -> list[str]:
        record = last_refresh(Location.of(self.folder / "data"), NAME)
        assert record is not None
        return [one.stage for one in record.stages if one.was_due]


def wait_for(look: Callable[[], Any], seconds: float) -> Any:
    deadline, waiting = time.monotonic() + seconds, subprocess.Popen(["sleep", str(seconds + 60)])
    try:
        while not (found := look()):
            assert time.monotonic() < deadline, "nothing came of it"
            process_wait(waiting)  # type: ignore[arg-type]
    finally:
        waiting.kill()
        waiting.wait(60)
    return found


@contextmanager
def started(command: list[str], environment: dict[str, str], folder: Path) -> Iterator[Any]:
    """Start a process in a group of its own; end the group."""
    with (folder / f"{Path(command[-1]).name}.log").open("ab") as output:
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=output,
                                   stderr=output, start_new_session=True)  # fmt: skip
    try:
        yield process
    finally:
        for sign in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, sign)
                process.wait(15)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue


@contextmanager
def server(folder: Path, port: int, on_postgresql: bool = False) -> Iterator[dict[str, str]]:
    url = f"http://127.0.0.1:{port}/api"
    environment = os.environ | {
        "PREFECT_HOME": str(folder / "home"), "PREFECT_API_URL": url, "PREFECT_UI_API_URL": url,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1", "PYTHONPATH": str(ROOT),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }  # fmt: skip
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port"]
    if on_postgresql:
        command = [str(ROOT / "infra/prefect/serve"), str(folder / "kept")]
    with started([*command, str(port)], environment, folder) as process:

        def is_up() -> bool:
            assert process.poll() is None, (folder / f"{port}.log").read_text()
            try:
                return bool(ask(f"{url}/health"))
            except OSError:
                return False

        wait_for(is_up, 120)
        yield environment


@contextmanager
def worker(place: Place) -> Iterator[Any]:
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "specdenoise"]
    with started(command, place.environment, place.folder) as process:
        yield process


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Place]:
    with server(tmp_path, free_port()) as environment:
        yield Place(tmp_path, environment)


@contextmanager
def scheduled(served: Place) -> Iterator[None]:
    """Deploy and start a worker; yield when the schedule, nothing being due and an event were seen.

    All of the first run is shown on its page.
    """
    served.configure()
    cron = ("--set", "deploy.cron=* * * * *")
    done = served.verb("deploy", "few.toml", "--json", *cron)
    assert done.returncode == 0, done.stderr
    assert [one["name"] for one in json.loads(done.stdout)] == [
        f"{FLOW}/{NAME}", f"specdenoise/{NAME}", f"specdenoise-train/{NAME}",
        f"specdenoise-sweep/{NAME}",
    ]  # fmt: skip
    assert served.deployment()["schedules"][0]["schedule"]["timezone"] == "UTC"
    with worker(served):
        first = wait_for(lambda: (runs := served.runs()) and runs[0]["end_time"] and runs[0], 300)
        assert (first["state_type"], first["state"]["message"]) == (
            "COMPLETED", "release 1: nothing to compare with was released before",
        )  # fmt: skip
        idle = served.after(lambda: None)
        assert idle["state"]["message"] == "nothing was due"
        assert idle["state_type"] == "COMPLETED" and idle["total_run_time"] <= 20
        keys = {one["key"] for one in ask(f"{served.url}/artifacts/filter", {})}
        assert {f"few-{part}" for part in ("stages", "metrics", "loss", "places", "plan", "spectra",
                                           "distributions", "dashboard")} <= keys  # fmt: skip
        assert served.verb("deploy", "few.toml", "--set", "deploy.cron=0 3 1 1 *").returncode == 0
        wait_for(lambda: not served.coming(), 240)

        served.configure(nodes=4)  # one value of the grid over conditions
        begin = lambda: served.verb("etc-grid", "build", "few.toml")  # noqa: E731
        by_event = served.after(begin)
        assert by_event["state_type"] == "COMPLETED" and "release 2" in by_event["state"]["message"]
        assert served.redone() == ["build-dataset", "train", "evaluate", "report", "release"]
        yield


def test_a_group_s_year_in_ten_minutes(served: Place) -> None:
    with scheduled(served):
        old = served.released()

        served.configure(nodes=4, lr=2e-3)
        served.after(served.run_now)
        assert served.redone() == ["train", "evaluate", "report", "release"]
        better = served.released()
        assert better != old

        served.configure(nodes=4, lr=5.0, margin=0.01)  # a network that learns nothing
        refused = served.after(served.run_now)
        assert refused["state_type"] == "COMPLETED"
        assert refused["state"]["message"].startswith("not released: worse than the released one")
        assert served.released() == better
        again = served.after(served.run_now)
        assert again["state"]["message"] == "nothing was due" and served.released() == better

        back = served.verb("rollback", NAME, "--root", "data", "--json")
        assert back.returncode == 0, back.stderr
        assert json.loads(back.stdout)["number"] == 4 and served.released() == old

        served.configure(nodes=4, lr="0.0")
        failed = served.after(served.run_now)
        assert failed["state_type"] == "FAILED"
        assert "train.lr = 0.0: Input should be greater than 0" in failed["state"]["message"]


@pytest.mark.skipif(
    not list(Path("/usr/lib/postgresql").glob("*/bin/initdb")), reason="no PostgreSQL is installed"
)
def test_the_same_on_postgresql() -> None:
    with TemporaryDirectory(prefix="specdenoise-") as folder:  # root's database is another user's
        place = Path(folder)
        place.chmod(0o711)
        with server(place, free_port(), on_postgresql=True) as environment:
            with scheduled(Place(place, environment)):
                pass
            assert list(place.glob("kept/database/data/PG_VERSION"))
        assert not list(place.glob("kept/database/data/postmaster.pid"))
        assert not list(place.glob("home/*.db"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands its database to another user")
def test_a_folder_that_the_database_may_not_enter_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    command = [str(ROOT / "infra/prefect/serve"), str(tmp_path / "kept")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr == (
        f"error: the user postgres may not enter {tmp_path}/kept; name a folder outside of yours, "
        "such as /srv/prefect\n"
    )


def test_a_replaced_file_of_an_imported_grid_makes_all_anew_but_the_terms(served: Place) -> None:
    native, known = whole_native_wavelength(7), open_grid()
    wavelength = native[(native > 660) & (native < 930)]
    source, store = served.folder / "source", served.folder / "grid.zarr"
    axes = ((4000.0, 4500.0), (1.0, 3.0), (-1.0, 0.0), (0.0, 0.25))
    nodes = [dict(zip(AXES, values, strict=True)) for values in product(*axes)]
    files = [write_2017_text(source, known, node, wavelength) for node in nodes]
    imported = ("grid", "import", str(source), "--to", str(store))
    done = served.verb(*imported)
    assert done.returncode == 0, done.stderr
    served.configure(grid=store)
    done = served.verb("deploy", "few.toml", "--set", "deploy.cron=0 3 1 1 *")
    assert done.returncode == 0, done.stderr
    with worker(served):
        first = served.after(served.run_now)
        assert first["state_type"] == "COMPLETED" and "release 1" in first["state"]["message"]
        write_2017_text(source, known, nodes[3] | {"teff": 4250.0}, wavelength).replace(files[3])

        def import_again() -> None:
            shutil.rmtree(store)  # a finished one is never changed
            again = served.verb(*imported)
            assert again.returncode == 0, again.stderr

        by_event = served.after(import_again)
        assert by_event["state_type"] == "COMPLETED" and "release 2" in by_event["state"]["message"]
        assert served.redone() == ["build-dataset", "train", "evaluate", "report", "release"]


def test_a_process_that_serves_needs_no_worker_and_leaves_none(served: Place) -> None:
    served.configure()
    command = [sys.executable, "-m", "flows", "serve", "few.toml"]
    with started(command, served.environment, served.folder) as process:

        def is_there() -> bool:
            assert process.poll() is None, (served.folder / "few.toml.log").read_text()
            try:
                return bool(served.deployment())
            except OSError:  # not yet
                return False

        wait_for(is_there, 120)
        done = served.after(served.run_now)
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    assert done["state_type"] == "COMPLETED" and "release 1" in done["state"]["message"]
    assert not psutil.wait_procs(family, timeout=20)[1]


def test_a_changed_instrument_is_noticed_while_served_and_when_served_again(
    served: Place,
) -> None:
    name = "pfs-redmr-2024-07-14"
    mine = served.folder / "mine.toml"
    mine.write_text((FOLDER / f"{name}.toml").read_text(encoding="utf-8"), encoding="utf-8")
    for curve in FOLDER.glob("*.csv"):
        shutil.copy(curve, served.folder)
    served.configure()
    with (served.folder / "few.toml").open("a") as file:
        file.write(f'[instrument]\nname = "{mine}"\n[deploy]\nwatch_s = 1.0\n')
    command = [sys.executable, "-m", "flows", "serve", "few.toml"]
    seen = served.folder / "data/watches/few/seen.json"

    def change(read_noise: float) -> None:
        text = mine.read_text(encoding="utf-8")
        changed = re.sub(r"(?m)^read_noise_e = .*$", f"read_noise_e = {read_noise}", text)
        assert changed != text
        mine.write_text(changed, encoding="utf-8")

    with started(command, served.environment, served.folder):
        wait_for(seen.exists, 120)
        first = served.after(served.run_now)
        assert "release 1" in first["state"]["message"]
        by_event = served.after(lambda: change(4.5))
        assert by_event["state_type"] == "COMPLETED" and "release 2" in by_event["state"]["message"]
        assert served.redone() == [
            "etc-grid", "build-dataset", "train", "evaluate", "report", "release",
        ]  # fmt: skip
    change(5.0)
    with started(command, served.environment, served.folder):
        by_event = served.after(lambda: None)
        assert "release 3" in by_event["state"]["message"]
        told = (served.folder / "few.toml.log").read_text()
        assert told.count(f"instrument.name: {mine} is another now") == 2


def records_of(place: Place) -> dict[str, int]:
    """Return when the records of finished blocks were written, by their names."""
    found = place.folder.glob("data/datasets/few/*/parts/train-*.json")
    return {path.name: path.stat().st_mtime_ns for path in found}


def test_a_worker_that_is_killed_costs_no_finished_block(served: Place) -> None:
    served.configure(rows=3000, block=12)
    assert served.verb("deploy", "few.toml", "--set", "deploy.cron=0 3 1 1 *").returncode == 0
    with worker(served) as first:
        served.run_now()
        wait_for(lambda: len(records_of(served)) > 3, 240)
        family = [psutil.Process(first.pid), *psutil.Process(first.pid).children(recursive=True)]
        for process in family:
            process.kill()
        psutil.wait_procs(family, 30)
    before = records_of(served)
    assert 3 < len(before) < 250
    with worker(served):
        done = served.after(served.run_now)
    assert done["state_type"] == "COMPLETED" and "release 1" in done["state"]["message"]
    after = records_of(served)
    assert len(after) == 250 and before.items() <= after.items()
    lost, _ = served.runs()
    assert lost["state_type"] == "CRASHED" and "is gone" in lost["state"]["message"]


def test_of_two_at_once_one_runs_and_the_other_is_skipped(served: Place) -> None:
    served.configure(rows=600, block=12)
    assert served.verb("deploy", "few.toml", "--set", "deploy.cron=0 3 1 1 *").returncode == 0
    with worker(served):
        served.run_now()
        served.run_now()
        wait_for(lambda: len([run for run in served.runs() if run["end_time"]]) == 2, 300)
    told = sorted(run["state"]["message"] for run in served.runs("COMPLETED"))
    assert told[0].startswith("release 1") and told[1].startswith("skipped: held by process")


def test_a_server_that_is_started_again_finds_the_run_at_its_end(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "flows", "refresh", "few.toml"]
    with server(tmp_path, port) as environment:
        place = Place(tmp_path, environment)
        place.configure(rows=3000, block=12)
        verb = subprocess.Popen(command, env=environment, cwd=tmp_path, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
        wait_for(lambda: len(records_of(place)) > 3, 240)
    with server(tmp_path, port):
        out, error = verb.communicate(timeout=300)
        assert verb.returncode == 0, error
        assert out.startswith("release 1")
        place.configure(rows=3000, block=12, lr=2e-3)
        assert place.verb("refresh", "few.toml").returncode == 0  # tells what the server missed
        for number, run in enumerate(place.runs(), 1):
            assert run["state_type"] == "COMPLETED"
            assert f"release {number}" in run["state"]["message"]
        assert number == 2


LONG = {"epochs": 100_000, "interval": 50, "ranks": 2}


def ranks_of(folder: Path) -> list[psutil.Process]:
    return [
        process for process in psutil.process_iter()
        if "trainlib.training.train" in (words := told(process)) and str(folder) in " ".join(words)
    ]  # fmt: skip


def told(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def has_checkpoint(place: Place) -> bool:
    return bool(list(place.folder.glob("data/runs/*/checkpoints/last.pt")))


@pytest.mark.parametrize("by_hand", [False, True])
def test_a_cancelled_training_ends_all_ranks_and_keeps_its_checkpoint(
    by_hand: bool, served: Place
) -> None:
    served.configure(**LONG)
    assert served.verb("deploy", "few.toml").returncode == 0
    command = [sys.executable, "-m", "flows", "refresh", "few.toml"]
    with worker(served), started(command, served.environment, served.folder) as verb:
        if not by_hand:
            os.killpg(verb.pid, signal.SIGKILL)
            served.run_now()
        wait_for(lambda: has_checkpoint(served), 240)
        other = served.verb("refresh", "few.toml", PREFECT_API_URL="")
        assert other.returncode == 2 and "held by process" in other.stderr
        ranks = ranks_of(served.folder)
        assert len(ranks) == 3  # with torchrun
        (run,) = served.runs("RUNNING")
        state = {"state": {"type": "CANCELLING", "name": "Cancelling"}, "force": False}
        ask(f"{served.url}/flow_runs/{run['id']}/set_state", state)
        _, alive = psutil.wait_procs(ranks, timeout=10)
        assert not alive
        wait_for(lambda: served.runs("CANCELLED"), 60)
        if by_hand:
            assert verb.wait(30) == 130
    assert has_checkpoint(served) and not list(served.folder.glob("data/runs/*/.torchrun"))


def test_a_server_that_dies_costs_a_warning_and_is_told_later(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "flows", "refresh", "few.toml"]
    with server(tmp_path, port) as environment:
        place = Place(tmp_path, environment)
        place.configure()
        verb = subprocess.Popen(command, env=environment, cwd=tmp_path, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
        wait_for(lambda: list(tmp_path.glob("data/datasets/few/*")), 240)
    out, error = verb.communicate(timeout=240)
    assert verb.returncode == 0, error
    assert out == "release 1: nothing to compare with was released before\n"
    assert error.count("does not answer") == 1 and "Traceback" not in error
    with server(tmp_path, port):
        assert len(place.runs("RUNNING")) == 1
        place.configure(lr=2e-3)
        assert place.verb("refresh", "few.toml").returncode == 0
        lost, now = place.runs()
        assert lost["state_type"] == now["state_type"] == "COMPLETED"
        assert lost["state"]["message"].startswith("told later: release 1")
