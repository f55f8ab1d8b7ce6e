"""What the README shows to type is executed, as a newcomer would."""

import re
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from astropy.io import fits

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


# Other names of columns and `;`; rows 2 and 3 are bad, the star of row 4 is outside the grid.
STARS = """\
Name;T_eff;log_g;[Fe/H];imag;rv;RA;Dec;night
2001;4200;1.5;-0.4;20.5;-85.0;150.10;2.21;first
2002;hot;2.0;-0.5;21.0;0;150.11;2.22;first
2003;4400;2.4;-0.6;210;12.5;150.12;2.23;first
2004;9000;2.4;-0.6;20.0;12.5;150.13;2.24;second
2005;4100;2.0;-0.2;19.5;32.5;150.14;2.25;second
"""
HOUR = (  # command, exit code, what has to stand in what it prints; * stands for anything
    ("simulate stars.csv tiny --out stars.fits", 2,
     "*row 2 (line 3): T_eff is 'hot'*row 3 (line 4): imag is 210 mag*row 4 (line 5): *9000 *"),
    ("simulate stars.csv tiny --out stars.fits --skip-bad --seeing 0.8", 0,
     "*read as: teff = T_eff, *object_id = Name*left out: row 2 (line 3): T_eff is 'hot'*"
     "left out: row 3*left out: row 4*row 1: object_id 2001 *row 5: object_id 2005 *stars.fits\n"),
    ("plot stars.fits --lines --out stars.png", 0, "stars.png\n"),
    ("plot stars.fits --out stars.pdf --json", 0,
     '*"title": "stars.fits, pfsCoadd"*"0:  2001,  S/N *Teff 4200 K*"1:  2005,  S/N *'),
    ("config show tiny --set cluster.kind=threads --set train.ranks=1 --set train.epochs=2 "
     "> mine.toml", 0, "*epochs = 2 *"),
    ("config diff tiny mine.toml", 0, "*train.epochs: 8 | 2\n*"),
    ("build mine.toml", 0, "*/data/datasets/tiny/*\n"),
    ("dataset list", 0, "*  published  stored  train 96, validation 48  *"),
    ("dataset info tiny", 0, "*stellar.teff                     [[]3500.0, 5000.0]\n*"),
    ("inspect tiny --out looked", 0, "*looked/inspect.html\n*"),
    ("replay tiny train 3", 0, "*teff*flux*"),
    ("plot tiny --split validation --lines --out some.html", 0, "some.html\n"),
    ("train mine.toml", 0, "*/data/runs/*\n"),
    ("runs list", 0, "*  finished  2 epochs  validation loss *"),
    ("evaluate tiny", 0, "*S/N 20-40: *"),
    ("report tiny", 0, "*/report.html\n"),
    ("lineage tiny", 0, "*dataset: *"),
    ("verify tiny", 0, "*all is as it was written*"),
)  # fmt: skip
# file -> how it begins
WRITTEN = {
    "stars.fits": b"SIMPLE  =", "stars.png": b"\x89PNG", "stars.pdf": b"%PDF", "mine.toml": b"",
    "some.html": b"<!DOCTYPE html>", "looked/inspect.html": b"<!doctype html>",
}  # fmt: skip


def completed(line: str, folder: Path) -> list[str]:
    """Return what the program tells bash that a line may go on with."""
    words = line.split(" ")
    asked = {"_SPECDENOISE_COMPLETE": "complete_bash", "COMP_WORDS": line,
             "COMP_CWORD": str(len(words) - 1), "PYTHONPATH": str(ROOT), "PATH": ""}  # fmt: skip
    code = "import sys; sys.argv = ['specdenoise']; from flows.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120,
                          check=False, env=asked, cwd=folder)  # fmt: skip
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.slow
def test_a_first_hour_goes_as_the_readme_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each command takes what the one before it left, by the names that a newcomer would use."""
    monkeypatch.chdir(tmp_path)
    Path("stars.csv").write_text(STARS)
    for line, code, told in HOUR:
        command, _, file = line.partition(" > ")
        found = run_program(command.split())
        said = capfd.readouterr()
        whole = said.out if not code and "--skip-bad" not in line else said.err + said.out
        assert found == code and fnmatchcase(whole, told), f"{line}\n{said.err}\n{said.out}"
        if file:
            Path(file).write_text(said.out)
        if code:
            assert [path.name for path in tmp_path.iterdir()] == ["stars.csv"]
    for name, start in WRITTEN.items():
        assert Path(name).read_bytes().lstrip().lower().startswith(start.lower()), name
    with fits.open("stars.fits") as stored:
        assert stored["TARGET"].data["objId"].tolist() == [2001, 2005]
        assert stored["TARGET"].data["ra"].tolist() == [150.10, 150.14]
        assert stored["LIST"].data["night"].tolist() == ["first", "second"]
        assert stored["LIST"].data["teff"].tolist() == [4200.0, 4100.0]
    assert completed("specdenoise plot ti", tmp_path) == ["tiny"]
    assert completed("specdenoise build mi", tmp_path) == ["mine.toml"]
    (run,) = completed("specdenoise evaluate ti", tmp_path)
    assert re.fullmatch("tiny-[0-9a-f]{16}", run)
