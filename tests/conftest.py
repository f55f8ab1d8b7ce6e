"""What tests leave alone: a person's own caches and Prefect's home."""

import os
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

os.environ.setdefault("SPECDENOISE_CACHE", str(ROOT / ".pytest_cache" / "specdenoise"))
# One home a test process: two servers on one SQLite file lock each other out.
os.environ.setdefault("PREFECT_HOME", tempfile.mkdtemp(prefix="specdenoise-prefect-"))
os.environ.pop("PREFECT_API_URL", None)

# Each of these files takes most of a minute; begun last, one would keep the other cores waiting.
LONG = ("test_end_to_end", "test_train", "test_kills", "test_odd_shapes", "test_run_records",
        "test_closed_forms", "test_build_faults", "test_fuzz_text", "test_fuzz_runs")  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:  # alone, files run in the order they were named
        items.sort(key=lambda item: item.path.stem not in LONG)
