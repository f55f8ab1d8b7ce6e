"""The log of a run: what is new is read once, and what is damaged is told."""

import numpy as np
import pytest

from simlib.errors import InputError
from trainlib.training.log import Interval, append_log, cut_log, read_log, tail_log


def interval(step: int) -> Interval:
    return Interval(
        epoch=step // 4, step=step, samples=50 * step, loss=0.5, validation_loss=0.25, lr=1e-3,
        samples_per_s=9.0, seconds=1.5 * step, cpu_seconds=2.0 * step,
    )  # fmt: skip


def steps(intervals: list[Interval]) -> list[int]:
    return [one["step"] for one in intervals]


def test_what_is_appended_reads_back(tmp_path):
    for step in (4, 8):
        append_log(tmp_path, interval(step))
    assert read_log(tmp_path) == [interval(4), interval(8)]


def test_what_only_some_know_reads_back_too(tmp_path):
    more = interval(4) | {"remaining_s": 9.5, "memory_bytes": 10**9, "device_memory_bytes": 3,
                          "mfu": 0.4}  # fmt: skip
    append_log(tmp_path, more)
    append_log(tmp_path, interval(8))
    assert read_log(tmp_path) == [more, interval(8)]


def test_only_what_is_new_is_read(tmp_path):
    new = tail_log(tmp_path)
    assert next(new) == []
    for step in (4, 8):
        append_log(tmp_path, interval(step))
    assert steps(next(new)) == [4, 8]
    path = tmp_path / "log.jsonl"
    with path.open("r+b") as file:  # would be refused if it were read again
        file.write(b"?" * 40)
    append_log(tmp_path, interval(12))
    assert steps(next(new)) == [12]
    assert next(new) == []
    with pytest.raises(InputError, match=r"log.jsonl, line 1 cannot be used"):
        read_log(tmp_path)


def test_a_torn_last_line_waits_for_its_rest(tmp_path):
    new = tail_log(tmp_path)
    append_log(tmp_path, interval(4))
    path = tmp_path / "log.jsonl"
    text = path.read_text()
    path.write_text(text[:-20])
    assert next(new) == [] and read_log(tmp_path) == []
    path.write_text(text)
    assert steps(next(new)) == [4]


def test_each_step_is_told_once_though_a_run_that_goes_on_cuts_its_log(tmp_path):
    new = tail_log(tmp_path)
    for step in (4, 8, 12):
        append_log(tmp_path, interval(step))
    assert steps(next(new)) == [4, 8, 12]
    with (tmp_path / "log.jsonl").open("ab") as file:
        file.write(b'{"epoch": 9, "st')
    cut_log(tmp_path, 8)
    assert next(new) == []
    assert steps(read_log(tmp_path)) == [4, 8]
    for step in (12, 16):
        append_log(tmp_path, interval(step))
    assert steps(next(new)) == [16]
    assert steps(read_log(tmp_path)) == [4, 8, 12, 16]


@pytest.mark.parametrize(
    "line", ["{}", "5", "[]", "null", '{"step": "4"}', "{" * 3000, "\N{SNOWMAN}", "nonsense"]
)
def test_a_line_that_is_no_interval_is_told_with_its_number(line, tmp_path):
    append_log(tmp_path, interval(4))
    with (tmp_path / "log.jsonl").open("a", encoding="utf-16") as file:
        file.write(line + "\n")
    with (tmp_path / "log.jsonl").open("ab") as file:
        file.write(b"\n")
    with pytest.raises(InputError, match=r"log.jsonl, line 2 cannot be used.*remove the file"):
        cut_log(tmp_path, 4)


def test_every_flipped_bit_is_told(tmp_path):
    for step in (4, 8, 12):
        append_log(tmp_path, interval(step))
    path = tmp_path / "log.jsonl"
    good, draw = path.read_bytes(), np.random.default_rng(5)
    for position in draw.integers(len(good) - 1, size=200):  # the last byte ends a torn line
        bad = bytearray(good)
        bad[position] ^= 1 << draw.integers(8)
        path.write_bytes(bad)
        with pytest.raises(InputError, match="remove the file and train again"):
            read_log(tmp_path)
