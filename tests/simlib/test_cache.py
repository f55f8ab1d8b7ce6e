"""The one cache folder: where it is, what it may hold, and what happens where it cannot be."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from flows.cli import run_program
from simlib import cache
from simlib.errors import InputError


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPECDENOISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    return tmp_path / "cache"


def put(path: Path, size: int, used: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    os.utime(path, (used, used))
    return path


def test_the_variable_is_made_absolute_and_its_home_expanded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    for given, meant in (("~/c", tmp_path / "home" / "c"), ("./c", tmp_path / "c"), ("/c", "/c")):
        monkeypatch.setenv("SPECDENOISE_CACHE", given)
        assert cache.folder() == Path(meant)


def test_the_platform_is_asked_only_where_nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def usual(name: str) -> Path:
        asked.append(name)
        return Path("/usual") / name

    monkeypatch.setattr("platformdirs.user_cache_path", usual)
    monkeypatch.setenv("SPECDENOISE_CACHE", "/elsewhere")
    assert cache.folder() == Path("/elsewhere") and not asked
    monkeypatch.delenv("SPECDENOISE_CACHE")
    assert cache.folder() == Path("/usual/specdenoise")


def test_a_cache_that_cannot_be_written_is_replaced_with_one_warning(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root.write_text("a file is in the way, for root as for anybody")
    with caplog.at_level(logging.WARNING):
        places = {cache.writable("grids"), cache.writable("grids"), cache.writable("numba")}
    spare = root.parent / "temporary" / f"specdenoise-{os.getuid()}"
    assert places == {spare / "grids", spare / "numba"}
    assert spare.stat().st_mode & 0o777 == 0o700
    (warning,) = caplog.messages
    assert str(root) in warning and "Set SPECDENOISE_CACHE to a folder" in warning
    code = "from simlib import cache; print(cache.writable('grids'))"
    environment = os.environ | {"TMPDIR": str(root.parent / "temporary")}
    child = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60,
        check=True,
    )  # fmt: skip
    assert child.stdout.strip() == str(spare / "grids")
    assert child.stderr == ""  # it was told already


@pytest.mark.parametrize("wrong", ["open to all", "a link", "a file"])
def test_a_spare_that_others_could_have_filled_is_not_used(root: Path, wrong: str) -> None:
    root.write_text("in the way")
    spare = root.parent / "temporary" / f"specdenoise-{os.getuid()}"
    if wrong == "a file":
        spare.write_text("")
    elif wrong == "a link":
        (root.parent / "theirs").mkdir()
        spare.symlink_to(root.parent / "theirs")
    else:
        spare.mkdir()
        spare.chmod(0o777)
    with pytest.raises(InputError, match=r"not this user's alone.*; set SPECDENOISE_CACHE to"):
        cache.writable("grids")
    assert all(spare not in path.parents for path in cache.places("grids", "x"))


@pytest.mark.parametrize(
    ("text", "size"),
    [("4GB", 4 * 10**9), ("500 MB", 5 * 10**8), ("1.5k", 1500), ("0", 0), ("1e3", None),
     ("much", None), ("-1GB", None)],
)  # fmt: skip
def test_a_limit_is_a_size(text: str, size: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPECDENOISE_CACHE_LIMIT", text)
    if size is None:
        with pytest.raises(InputError, match="is no size; write for example 500MB"):
            cache.limit()
    else:
        assert cache.limit() == size


def test_what_was_used_longest_ago_makes_room(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = put(root / "templates" / "old.safetensors", 400, used=100)
    mapped = np.memmap(old, dtype=np.uint8, mode="r")
    os.utime(old, (100, 100))  # mapping it was a use
    used = put(root / "grids" / "default-1.safetensors", 400, used=50)
    new = put(root / "templates" / "new.safetensors", 400, used=300)
    foreign = put(root / "grids" / "mine.zarr", 5000, used=1)
    cache.mark_used(used)
    monkeypatch.setenv("SPECDENOISE_CACHE_LIMIT", "1000")
    cache.make_room(root / "templates", 200)
    assert not old.exists() and used.exists() and new.exists() and foreign.exists()
    assert not mapped.any() and mapped.size == 400  # whoever has it goes on
    cache.make_room(root / "templates", 5000)
    assert [path for path in (used, new, foreign) if path.exists()] == [foreign]


def test_the_verbs_show_and_clear_what_is_the_caches_alone(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = [
        put(root / "templates" / "a.safetensors", 10, 1),
        put(root / "grids" / "default-b.safetensors", 20, 1),
        put(root / "grids" / ".default-b.safetensors.host.1.0.writing", 5, 1),
        put(root / "numba" / "kernel_1" / "f.nbi", 30, 1),
        put(root / "logs" / "c.log", 40, 1),
    ]
    theirs = [put(root / "grids" / "grid.zarr", 1, 1), put(root / "runs" / "c.log", 1, 1)]
    assert run_program(["cache", "info", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["folder"] == str(root) and told["bytes"] == 105
    assert told["kinds"]["grids"] == {"files": 2, "bytes": 25}
    assert run_program(["cache", "info"]) == 0
    assert "at most 4000 MB" in capsys.readouterr().out
    assert run_program(["cache", "clear", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"folder": str(root), "files": 5, "bytes": 105}
    assert not any(path.exists() for path in ours) and all(path.exists() for path in theirs)
