"""What tests leave alone: a person's own caches and Prefect's home."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

os.environ.setdefault("SPECDENOISE_CACHE", str(ROOT / ".pytest_cache" / "specdenoise"))
# One home a test process: two servers on one SQLite file lock each other out.
_HOME = tempfile.mkdtemp(prefix="specdenoise-prefect-")
os.environ.setdefault("PREFECT_HOME", _HOME)
os.environ.pop("PREFECT_API_URL", None)

# Each of these files takes most of a minute; begun last, one would keep the other cores waiting.
# In this order, since the first compiles the simulator's loops, and those after it need none.
LONG = ("test_end_to_end", "test_train", "test_run_records", "test_fuzz_text", "test_fuzz_runs",
        "test_every_option", "test_build_faults", "test_odd_shapes", "test_paths",
        "test_closed_forms", "test_kills")  # fmt: skip


def pytest_unconfigure() -> None:
    shutil.rmtree(_HOME, ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:  # alone, files run in the order they were named
        place = {name: number for number, name in enumerate(LONG)}
        items.sort(key=lambda item: place.get(item.path.stem, len(LONG)))
