"""Grids on file systems that ask for credentials: these come by the environment and go nowhere."""

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import numpy as np
import pytest
from distributed import LocalCluster
from fsspec.implementations.memory import MemoryFileSystem

from flows import cluster_view
from flows.cli import run_program
from flows.cli.options import storage_options
from simlib.errors import InputError
from simlib.location import Location
from simlib.stellar import grid_fingerprint, open_grid
from tests.simlib.stellar.archive.bosz_files import whole_native_wavelength, write_2017_text

KEY = "s3cret-abc"
STORE = "vault://bucket/grids/grid.zarr"
RETRIES = ("--storage-option", 'client={"retries": 2}')


class Vault(MemoryFileSystem):
    """Files in memory that open only with the environment's key and parsed settings."""

    protocol = "vault"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    cachable = False

    def __init__(self, client: object = None, **settings: object) -> None:
        if (os.environ.get("VAULT_KEY"), client) != (KEY, {"retries": 2}):
            raise PermissionError("access denied")
        super().__init__(**settings)


@pytest.fixture
def vault(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Vault]]:
    monkeypatch.setenv("VAULT_KEY", KEY)
    fsspec.register_implementation("vault", Vault, clobber=True)
    Vault.store.clear()
    yield Vault
    Vault.store.clear()


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    native = whole_native_wavelength(7)
    short = native[(native > 849) & (native < 861)]
    for teff in (4000.0, 4250.0):
        node = {"teff": teff, "logg": 2.0, "feh": 0.0, "alpha": 0.0}
        write_2017_text(folder, open_grid(), node, short)
    return folder


def importing(source: Path, to: str, *more: str) -> list[str]:
    return ["grid", "import", str(source), "--to", to, "--window", "850,860", *more, "--json"]


def test_a_grid_is_imported_to_a_url_with_its_options(
    vault, source: Path, tmp_path: Path, capsys, caplog
) -> None:
    with caplog.at_level(logging.DEBUG):
        assert run_program(importing(source, STORE, *RETRIES)) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["nodes"] == 2
    assert any(name.endswith("bucket/grids/grid.zarr/zarr.json") for name in vault.store)
    stored = b"".join(file.getvalue() for file in vault.store.values())
    for text in (printed.out, printed.err, caplog.text, stored.decode(errors="replace")):
        assert KEY not in text
    here = tmp_path / "grid.zarr"
    assert run_program(importing(source, str(here))) == 0
    remote = open_grid(Location.of(STORE, {"client": {"retries": 2}}))
    assert grid_fingerprint(remote) == grid_fingerprint(open_grid(here))
    capsys.readouterr()
    assert run_program(importing(source, STORE, *RETRIES)) == 0
    assert json.loads(capsys.readouterr().out)["files_read"] == 0  # it was there


@pytest.mark.parametrize(
    "command",
    [["verify", STORE], ["info", STORE, "--no-quality"], ["diff", STORE, STORE],
     ["list", "--root", "vault://bucket"]],
    ids=lambda command: command[0],
)  # fmt: skip
def test_every_verb_opens_a_url_with_options(
    vault, source: Path, capsys, monkeypatch, command
) -> None:
    assert run_program(importing(source, STORE, *RETRIES)) == 0
    capsys.readouterr()
    assert run_program(["grid", *command, *RETRIES, "--json"]) == 0
    assert "vault" in capsys.readouterr().out or command[0] in {"verify", "diff"}
    monkeypatch.delenv("VAULT_KEY")
    assert run_program(["grid", *command, *RETRIES, "--json"]) == 2
    error = capsys.readouterr().err
    assert "access refused (access denied); for a URL give credentials in the" in error
    assert KEY not in error


class Locked(MemoryFileSystem):
    """A place that refuses everybody."""

    protocol = "locked"

    def exists(self, path: str, **_: object) -> bool:
        raise PermissionError("Access Denied")


@pytest.mark.parametrize("verb", ["import", "info", "verify"])
def test_a_refused_access_is_told_with_the_way_out(verb: str, source: Path, capsys) -> None:
    fsspec.register_implementation("locked", Locked, clobber=True)
    url = "locked://bucket/grid.zarr"
    command = importing(source, url) if verb == "import" else ["grid", verb, url]
    assert run_program(command) == 2
    error = capsys.readouterr().err
    assert "access refused (Access Denied); for a URL give credentials in the" in error
    assert "AWS_ACCESS_KEY_ID" in error


def test_a_failing_worker_does_not_print_the_options(
    vault, source: Path, capfd, caplog, monkeypatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("bucket gone")

    monkeypatch.setattr("simlib.stellar.archive.import_plane.write_plane", fail)
    with caplog.at_level(logging.DEBUG):
        assert run_program(importing(source, STORE, *RETRIES)) != 0
    printed = capfd.readouterr()
    assert "bucket gone" in caplog.text + printed.err  # the worker said which task failed
    assert KEY not in caplog.text + printed.err + printed.out


def test_a_file_url_takes_a_grid(source: Path, tmp_path: Path, capsys) -> None:
    url = f"file://{tmp_path}/grid.zarr"
    assert run_program(importing(source, url, "--storage-option", "auto_mkdir=true")) == 0
    assert open_grid(tmp_path / "grid.zarr")["present"].values.all()
    assert run_program(["grid", "verify", url]) == 0


@pytest.mark.timeout(120)
def test_a_running_scheduler_does_the_import(
    source: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    store = str(tmp_path / "grid.zarr")
    asked: list[list[list[tuple[str, str]]]] = []  # what its workers must see: inputs, outputs

    def seen(client: object, *places: dict[str, Location]) -> None:
        asked.append([[(name, str(place)) for name, place in some.items()] for some in places])
        require_seen(client, *places)

    require_seen = cluster_view.require_seen
    monkeypatch.setattr(cluster_view, "require_seen", seen)
    with LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, protocol="tcp://",
        dashboard_address="127.0.0.1:0",
    ) as cluster:  # fmt: skip
        address = cluster.scheduler_address
        assert address.startswith("tcp://")
        assert run_program(importing(source, store, "--address", address)) == 0
        assert len(cluster.scheduler.workers) == 1  # it is left running
    assert asked == [[[("PATH", str(source))], [("--to", str(tmp_path))]]]
    assert json.loads(capsys.readouterr().out)["nodes"] == 2
    assert np.isfinite(open_grid(store)["flux_normalized"]).all()


def test_values_are_json_or_text() -> None:
    given = [
        "endpoint_url=http://h:9000/?a=b",
        "anon=true",
        "n=5",
        'kw={"a": 1}',
        "empty=",
        "v=1.2.3",
    ]
    assert storage_options(given) == {
        "endpoint_url": "http://h:9000/?a=b", "anon": True, "n": 5, "kw": {"a": 1}, "empty": "",
        "v": "1.2.3",
    }  # fmt: skip
    assert storage_options(None) == {}


@pytest.mark.parametrize("text", ["s3cret", "=s3cret"])
def test_a_slip_is_refused_without_repeating_what_may_be_secret(text: str) -> None:
    with pytest.raises(InputError, match="--storage-option number 2 has no KEY=VALUE") as error:
        storage_options(["anon=true", text])
    assert "s3cret" not in str(error.value)
