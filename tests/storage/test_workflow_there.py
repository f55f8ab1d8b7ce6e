"""The whole workflow on an object store, with real processes, and every secret kept."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.flows.test_prefect_server import server as prefect
from tests.storage.object_store import KEY, SECRET, Bucket

__all__ = ["prefect"]
pytestmark = pytest.mark.slow
Done = subprocess.CompletedProcess[str]


def told_of(folder: Path) -> bytes:
    """Return all that is in files below a folder."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.timeout(900)
def test_everything_works_there_and_nothing_tells_a_secret(
    bucket: Bucket, prefect: dict[str, str], tmp_path: Path
) -> None:
    environment = os.environ | prefect | {"SPECDENOISE_CACHE": os.environ["SPECDENOISE_CACHE"]}
    heard: list[str] = []

    def program(*words: str, code: int = 0, **more: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "flows", *words], env=environment | more, cwd=tmp_path,
            capture_output=True, text=True, timeout=400, check=False,
        )  # fmt: skip
        heard.append(done.stdout + done.stderr)
        assert done.returncode == code, done.stderr
        return done.stdout.strip()

    sets = ["dataset.n_train=64", "dataset.n_validation=32", "train.ranks=2", *bucket.sets]
    config = ["tiny", *(word for one in sets for word in ("--set", one))]
    run = program("train", *config).splitlines()[-1]
    assert run.startswith(f"{bucket.url}/runs/tiny-")
    assert json.loads(program("evaluate", run, *bucket.words, "--json"))["split"] == "validation"
    assert program("report", run, *bucket.words) == f"{run}/report.html"
    due = json.loads(program("refresh", *config, "--explain", "--json"))
    assert [stage["stage"] for stage in due if stage["is_due"]] == ["release"]
    assert program("train", *config).splitlines()[-1] == run
    found = json.loads(program("lineage", f"{run}/report.html", *bucket.words, "--json"))
    assert found["state"] == "there"
    assert json.loads(program("prune", bucket.url, *bucket.words, "--json"))["goes"] == []
    program("build", *config, "--set", "dataset.seed=5", code=2, AWS_ACCESS_KEY_ID="AKIAWRONG")

    left = b"".join(bucket.objects().values()) + told_of(tmp_path)
    left += told_of(Path(prefect["PREFECT_HOME"])) + told_of(
        Path(os.environ["SPECDENOISE_CACHE"]) / "logs"
    )
    assert b"specdenoise-train" in left  # the database of Prefect is among it
    for secret in (SECRET, KEY):
        assert secret.encode() not in left
        assert secret not in "".join(heard)


@pytest.mark.timeout(600)
def test_a_launcher_that_is_killed_is_gone_on_with(bucket: Bucket, tmp_path: Path) -> None:
    sets = ["dataset.n_train=64", "dataset.n_validation=32", "train.ranks=1", "train.epochs=400",
            "train.interval=1", *bucket.sets]  # fmt: skip
    command = [sys.executable, "-m", "flows", "train", "tiny",
               *(word for one in sets for word in ("--set", one))]  # fmt: skip
    first = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert first.stderr is not None
    for _ in first.stderr:  # a line an epoch; the copy there follows what is here
        if any(name.endswith("last.pt") for name in bucket.objects()):
            break
    first.send_signal(signal.SIGKILL)
    first.wait(60)
    first.stderr.close()
    done: Done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == 0, done.stderr
    objects = bucket.objects()
    (log,) = (data for name, data in objects.items() if name.endswith("log.jsonl"))
    assert [json.loads(line)["epoch"] for line in log.splitlines()] == list(range(1, 401))
    (output,) = (data for name, data in objects.items() if name.endswith("train.log"))
    assert b"going on from epoch" in output
