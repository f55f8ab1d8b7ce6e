"""What a damaged store prints, whoever raises what inside: one message."""

import subprocess
import sys
from pathlib import Path

from simlib.config import load_config
from simlib.etc.grid.build import build_terms_grid
from simlib.etc.grid.store import publish_terms_grid
from tests.faults.fuzz.store_kinds import few_terms


def test_a_store_damaged_in_many_files_is_one_message(tmp_path: Path) -> None:
    """Zarr reads many at once; those that fail after the first wrote a traceback each."""
    overrides = few_terms(tmp_path)
    config = load_config("tiny", overrides)
    folder = publish_terms_grid(build_terms_grid(config), config)
    for path in folder.path.rglob("zarr.json"):
        if path.parent.parent != folder.path:
            path.write_text("{")
    command = [sys.executable, "-m", "flows", "etc-grid", "check", "tiny"]
    done = subprocess.run(
        [*command, *(text for override in overrides for text in ("--set", override))],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "is damaged" in done.stderr
    assert len(done.stderr.splitlines()) == 1
