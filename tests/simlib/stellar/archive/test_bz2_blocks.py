"""Block-wise reading of bzip2 gives what unpacking everything gives."""

import bz2

import numpy as np
import pytest

from simlib.stellar.archive.bz2_blocks import PackedText, cut_lines, lines_between
from simlib.stellar.archive.spectrum_files import BadFileError

ROWS = 20000


@pytest.fixture(scope="module")
def text() -> bytes:
    noise = np.random.default_rng(1).random(ROWS)
    return "".join(f"{1000 + i:10.3f} {x:.7f}\n" for i, x in enumerate(noise)).encode()


@pytest.mark.parametrize("level", [1, 9])
@pytest.mark.parametrize("guess", [0.0, 0.4, 1.0])
@pytest.mark.parametrize(("low", "high"), [(0, 1003.5), (9000, 9700), (20990, 3e4), (0, 1e9)])
def test_a_range_is_found_wherever_it_is(
    text: bytes, tmp_path, level: int, guess: float, low: float, high: float
) -> None:
    path = tmp_path / "t.bz2"
    path.write_bytes(bz2.compress(text, level))
    expected = [line for line in text.splitlines() if low <= float(line.split()[0]) <= high]
    assert lines_between(path.read_bytes(), low, high, guess).splitlines() == expected


@pytest.mark.parametrize("reach", [0.02, 0.2, 0.6])
@pytest.mark.parametrize("guess", [-0.5, 0.0, 0.3, 0.9, 1.5])
def test_a_wrong_guess_or_a_short_reach_costs_time_only(
    tmp_path, monkeypatch, reach: float, guess: float
) -> None:
    monkeypatch.setattr("simlib.stellar.archive.bz2_blocks.REACH", reach)
    numbers = np.random.default_rng(2).random(60_000)
    lines = [f"{1000 + i:10.3f} {x:.15f}" for i, x in enumerate(numbers)]
    path = tmp_path / "t.bz2"
    path.write_bytes(bz2.compress("".join(f"{line}\n" for line in lines).encode(), 1))
    assert PackedText(path.read_bytes()).blocks > 15
    for low, high in ((19_000.0, 19_500.0), (1000.0, 1001.0), (60_000.0, 70_000.0)):
        expected = [line for line in lines if low <= float(line.split()[0]) <= high]
        found = lines_between(path.read_bytes(), low, high, guess)
        assert found.decode().splitlines() == expected


def test_the_blocks_together_are_the_text(text: bytes) -> None:
    packed = PackedText(bz2.compress(text, 1))
    assert packed.blocks > 3
    assert b"".join(packed.unpack(i) for i in range(packed.blocks)) == text


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.9999])
def test_a_cut_file_is_told(text: bytes, tmp_path, share: float) -> None:
    data = bz2.compress(text, 1)
    path = tmp_path / "t.bz2"
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(BadFileError, match="is cut short, or no bzip2 file"):
        lines_between(path.read_bytes(), 9000, 9700, 0.4)


def test_a_flipped_bit_is_told(text: bytes) -> None:
    data = bytearray(bz2.compress(text, 1))
    data[len(data) // 2] ^= 4
    packed = PackedText(bytes(data))
    with pytest.raises(BadFileError, match="is damaged in block"):
        for block in range(packed.blocks):
            packed.unpack(block)


def test_lines_are_cut_exactly_at_the_ends() -> None:
    text = b"1 a\n2 b\n3 c\n4 d\n"
    assert cut_lines(text, 2, 3) == b"2 b\n3 c\n"
    assert cut_lines(text, 2.5, 2.6) == b""
    assert cut_lines(text, 0, 9) == text
