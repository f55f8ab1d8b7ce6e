"""What the README shows to type is executed, as a newcomer would."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_example_in_python_runs_as_a_script(tmp_path: Path) -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    (tmp_path / "example.py").write_text(example)
    done = subprocess.run(
        [sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True, timeout=280,
        check=False, env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(tmp_path),
                          "SPECDENOISE_CACHE": str(ROOT / ".pytest_cache/specdenoise")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = re.fullmatch(r"median S/N [\d.]+, (.*/report\.html)\n", done.stdout)
    assert found and Path(found[1]).is_file()
    assert (tmp_path / "stars.html").stat().st_size > 1e6
