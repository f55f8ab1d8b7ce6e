"""What the README shows to type is executed, as a newcomer would."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from flows.cli import run_program

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


@pytest.mark.slow
def test_a_person_s_own_stars_are_simulated_from_the_template(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shells = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    (shell,) = [one for one in shells if "--template" in one]
    for line in shell.strip().splitlines():
        assert run_program(line.split()[1:]) == 0, f"{line}\n{capfd.readouterr().err}"
    assert (tmp_path / "stars.fits").stat().st_size > 1e5


HOUR = """
config show tiny --set cluster.kind=threads --set train.ranks=1 --set train.epochs=2 > mine.toml
config diff tiny mine.toml
build mine.toml
dataset list
dataset info tiny
inspect tiny --out looked
replay tiny train 3
plot tiny --split validation --lines --out some.html
train mine.toml
runs list
evaluate tiny
report tiny
lineage tiny
verify tiny
"""
SAID = {  # what has to stand in what a command prints
    "config diff": "train.epochs: 8 | 2\n",
    "dataset list": "  published  stored  train 96, validation 48  ",
    "dataset info": "stellar.teff                     [3500.0, 5000.0]\n",
    "inspect": "looked/inspect.html\n",
    "plot": "some.html\n",
    "runs list": "  finished  2 epochs  validation loss ",
    "evaluate": "S/N 20-40: ",
    "report": "/report.html\n",
    "lineage": "dataset: ",
    "verify": "all is as it was written",
}  # fmt: skip


@pytest.mark.slow
def test_a_first_hour_goes_as_the_readme_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each command takes what the one before it left, by the names that a newcomer would use."""
    monkeypatch.chdir(tmp_path)
    for line in HOUR.strip().splitlines():
        command, _, file = line.partition(" > ")
        assert run_program(command.split()) == 0, f"{line}\n{capfd.readouterr().err}"
        out = capfd.readouterr().out
        if file:
            (tmp_path / file).write_text(out)
        said = [text for start, text in SAID.items() if command.startswith(start)]
        assert all(text in out for text in said), f"{line}\n{out}"
