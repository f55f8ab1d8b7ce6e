"""The version, as a person and as Python asks for it."""

from importlib import import_module, metadata

import pytest

from flows.cli import run_program


def test_the_program_says_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_program(["--version"]) == 0
    assert capsys.readouterr().out == f"specdenoise {metadata.version('specdenoise')}\n"


@pytest.mark.parametrize("package", ["simlib", "trainlib", "flows"])
def test_every_package_says_its_version(package: str) -> None:
    assert import_module(package).__version__ == metadata.version("specdenoise")


def test_a_checkout_that_is_not_installed_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr("simlib.version.version_of", missing)
    assert import_module("simlib").__version__ == "unknown"
