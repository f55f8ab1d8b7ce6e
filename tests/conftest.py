"""What tests leave alone: a person's own caches and Prefect's home."""

import os
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

os.environ.setdefault("SPECDENOISE_CACHE", str(ROOT / ".pytest_cache" / "specdenoise"))
# One home a test process: two servers on one SQLite file lock each other out.
os.environ.setdefault("PREFECT_HOME", tempfile.mkdtemp(prefix="specdenoise-prefect-"))
os.environ.pop("PREFECT_API_URL", None)
