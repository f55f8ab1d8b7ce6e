"""The program: one message and exit code 2 for a person's mistake, nothing half-written."""

import subprocess
import sys
from pathlib import Path

import pytest

from flows.cli import run_program


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["build", "demo", "--set", "stellar.tef=[1, 2]"], "nearest known key is 'stellar.teff'"),
        (["build", "demo", "--set", "stellar.teff=[5000, 3500]"], "is reversed"),
        (["build", "demo", "--set", "train.rekipe='B'"], "nearest known key is 'train.recipe'"),
        (["build", "demo", "--set", "cluster.addres='x'"], "known key is 'cluster.address'"),
        (["build", "nowhere.toml"], "neither a preset"),
        (["demo", "--set", "cluster.address='x:1'", "--set", "cluster.workers=2"],
         "workers cannot act on the running cluster"),
        (["evaluate", "no-such-run"], "no-such-run"),
        (["train", "tiny", "--resume"], "nothing to resume"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_message_and_exit_code_2(
    arguments: list[str],
    message: str,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_program(arguments) == 2
    captured = capfd.readouterr()
    assert message in captured.err
    assert captured.err.count("error:") == 1
    assert "Traceback" not in captured.err
    assert list(tmp_path.iterdir()) == []


def test_our_own_failure_is_exit_code_1_with_a_log(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SPECDENOISE_CACHE", str(tmp_path))

    def break_down(arguments: list[str]) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("flows.cli.app", break_down)
    assert run_program([]) == 1
    log = next((tmp_path / "logs").iterdir())
    assert str(log) in capfd.readouterr().err
    assert "break_down" in log.read_text()


def test_a_wrong_option_is_exit_code_2(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_program(["demo", "--nonsense"]) == 2
    assert "--nonsense" in capfd.readouterr().err


def run_alone(code: str) -> "subprocess.CompletedProcess[str]":
    """Run code in a process that has loaded nothing."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )


def test_denoising_with_its_simulator_loads_neither_zarr_nor_torch_nor_prefect() -> None:
    done = run_alone(
        "import sys, trainlib.onsky.batch, trainlib.onsky.simulator;"
        "sys.exit(str({'torch', 'prefect', 'dask', 'zarr'} & set(sys.modules) or ''))"
    )
    assert done.stderr.strip() == ""


def test_help_needs_neither_torch_nor_prefect() -> None:
    done = run_alone(
        "import sys; from flows.cli import run_program; code = run_program(['--help']);"
        "sys.exit(code or bool({'torch', 'prefect'} & set(sys.modules)))"
    )
    assert done.returncode == 0, done.stderr


def test_a_build_loads_no_torch_and_nothing_is_sought_in_the_end() -> None:
    ran = run_alone(
        "import atexit, gc, sys; atexit.register(lambda: print(gc.get_freeze_count() > 10_000))\n"
        "import flows.building\n"
        "from flows.circles import seek_circles_seldom\n"
        "seek_circles_seldom()\n"
        "print(gc.get_threshold()[0] > 10_000)\n"
        "print({'torch', 'matplotlib', 'prefect'} & set(sys.modules))"
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split("\n") == ["True", "set()", "True", ""]
