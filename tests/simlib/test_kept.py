"""Arrays in the cache: mapped, checked where they are opened, made again where not whole."""

import errno
import logging
import os
from pathlib import Path

import numpy as np
import pytest

from simlib import kept
from simlib.kept import kept_arrays, kept_files
from tests.faults.failing_disk import torn_at

ARRAYS = {"a": np.arange(12, dtype=np.float32).reshape(3, 4), "b": np.array(2.5),
          "c": np.linspace(0.0, 1.0, 5)}  # fmt: skip


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list of what was made, in a cache of its own."""
    monkeypatch.setenv("SPECDENOISE_CACHE", str(tmp_path))
    return []


def keep(made: list[str], name: str = "thing") -> dict[str, np.ndarray]:
    def make() -> dict[str, np.ndarray]:
        made.append(name)
        return {key: array + len(name) for key, array in ARRAYS.items()}

    return kept_arrays("templates", name, make)


def assert_right(found: dict[str, np.ndarray], name: str = "thing") -> None:
    assert found.keys() == ARRAYS.keys()
    for key, array in ARRAYS.items():
        assert found[key].dtype == array.dtype and not found[key].flags.writeable
        assert np.array_equal(found[key], array + len(name)) and found[key].shape == array.shape


def test_arrays_are_made_once_and_mapped(made: list[str]) -> None:
    for _ in range(2):
        assert_right(keep(made))
    assert made == ["thing"]
    (file,) = kept_files("templates", "thing")
    assert file.stat().st_mode & 0o777 == 0o666 & ~current_umask()
    assert not keep(made)["a"].flags.owndata


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_any_flipped_byte_is_noticed_and_the_arrays_made_again(made: list[str]) -> None:
    keep(made)
    (file,) = kept_files("templates", "thing")
    whole = file.read_bytes()
    noticed = 0
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 0x10
        file.write_bytes(flipped)
        os.utime(file, ns=(place, place))  # else within one tick of the clock it is the same file
        found = kept.open_arrays(file)
        noticed += found is None
        if found is not None:
            assert_right(found)
    assert noticed > 0.9 * len(whole)  # a flip among the spaces that pad the head harms nobody
    os.utime(file, ns=(1, 1))
    assert_right(keep(made))
    assert made == ["thing", "thing"]


@pytest.mark.parametrize("size", [0, 4, 8, 100, 300, -1])
def test_a_cut_file_is_made_again_with_a_warning(
    made: list[str], size: int, caplog: pytest.LogCaptureFixture
) -> None:
    keep(made)
    (file,) = kept_files("templates", "thing")
    file.write_bytes(file.read_bytes()[:size])
    with caplog.at_level(logging.WARNING):
        assert_right(keep(made))
    assert made == ["thing", "thing"]
    assert "is damaged" in caplog.text and str(file) in caplog.text


def test_the_file_of_something_else_is_not_taken_for_it(made: list[str]) -> None:
    keep(made, "other one")
    keep(made)
    (other,), (file,) = kept_files("templates", "other one"), kept_files("templates", "thing")
    file.write_bytes(other.read_bytes())
    assert_right(keep(made))
    file.write_bytes(b"\x10" + bytes(7) + b'{"a": 1}        ')
    assert_right(keep(made))
    assert made == ["other one", "thing", "thing", "thing"]


def test_a_file_that_was_replaced_since_is_opened_anew(made: list[str]) -> None:
    before = keep(made)
    (file,) = kept_files("templates", "thing")
    kept.write_arrays(file, {key: array - 1.0 for key, array in ARRAYS.items()})
    after = keep(made)
    assert np.array_equal(after["a"], ARRAYS["a"] - 1.0)
    assert_right(before)  # whoever has the old one keeps it
    assert made == ["thing"]


def test_a_disk_that_is_full_costs_time_and_one_warning(
    made: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(kept, "save_file", full)
    with caplog.at_level(logging.WARNING):
        assert_right(keep(made))
        assert_right(keep(made))
    assert made == ["thing", "thing"]
    (warning,) = caplog.messages
    assert "No space left on device" in warning and "set SPECDENOISE_CACHE" in warning
    assert not kept_files("templates", "thing")


def test_a_cache_that_can_only_be_read_serves_what_it_has(
    made: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(made)

    def refuse(kind: str) -> Path:
        raise AssertionError(f"asked to write {kind}")

    monkeypatch.setattr("simlib.cache.writable", refuse)
    assert_right(keep(made))
    assert made == ["thing"]


def test_the_limit_lets_older_arrays_go(made: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPECDENOISE_CACHE_LIMIT", "800")
    first = keep(made, "first")
    for name in ("second", "third"):
        keep(made, name)
    assert not kept_files("templates", "first") and kept_files("templates", "third")
    assert_right(first, "first")


def test_a_disk_that_fills_while_they_are_written_costs_a_warning_and_no_more(
    made: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with torn_at(200):
        assert_right(keep(made))
    assert "cannot be kept" in caplog.text
    assert [path.suffix for path in (tmp_path / "templates").iterdir()] == [".lock"]
    assert_right(keep(made))
    assert len(kept_files("templates", "thing")) == 1
