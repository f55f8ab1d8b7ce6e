"""Read a stretch of a bzip2 text without unpacking what comes before it.

bzip2 packs blocks of up to 900 kB one by one; each begins with a 48-bit marker at any bit position
and carries its own checksum. A block with a stream's head and tail around it is a stream of its
own. The text's lines begin with increasing numbers, so the blocks around a range are found by
looking into a few. Libraries that seek in bzip2 (rapidgzip, indexed_bzip2) unpack all that comes
before a place that they were never at: for one window of a file that is read once they take twice
the time (`python -m tests.bench grids` measures both).
"""

import bz2
import math
from bisect import bisect_right, insort

from simlib.stellar.archive.spectrum_files import BadFileError, first_number

_BLOCK, _END = 0x314159265359, 0x177245385090
_MARKER_BITS, _CHECKSUM_BITS = 48, 32
REACH = 0.15  # of the data, on both sides of where a stretch is expected
_TAIL_BYTES = 11  # marker, checksum and up to seven bits that fill the last byte


class PackedText:
    """A bzip2 text, unpacked block by block when asked; `blocks` says how many were looked for."""

    def __init__(self, data: bytes, low: float = 0.0, high: float = 1.0) -> None:
        """Find the blocks that begin between two shares of the data.

        BadFileError where the end is not there: the file is cut.
        """
        self._data = data
        tail = max(0, len(data) - _TAIL_BYTES)
        ends = [8 * tail + position for position in find_marker(data[tail:], _END)]
        start, stop = max(0, int(low * len(data))), math.ceil(high * len(data))
        self._edges = [8 * start + at for at in find_marker(data[start:stop], _BLOCK)]
        self.has_first, self.has_last = start == 0, stop >= len(data)
        if data[:3] != b"BZh" or not ends or (self.has_first and not self._edges):
            raise BadFileError("is cut short, or no bzip2 file")
        if self.has_last:
            self._edges.append(ends[-1])
        self.blocks = len(self._edges) - 1

    def block_at(self, share: float) -> int:
        """Return the block at a share of the data, or the nearest one."""
        at = bisect_right(self._edges, share * 8 * len(self._data)) - 1
        return min(self.blocks - 1, max(0, at))

    def unpack(self, block: int) -> bytes:
        """Return the text of one block; its first and last line are parts, as a rule."""
        start, stop = self._edges[block], self._edges[block + 1]
        body = _bits(self._data, start, stop)
        checksum = (body >> (stop - start - _MARKER_BITS - _CHECKSUM_BITS)) & 0xFFFFFFFF
        tail = (_END << _CHECKSUM_BITS) | checksum
        length = stop - start + _MARKER_BITS + _CHECKSUM_BITS
        padding = -length % 8
        stream = ((body << (_MARKER_BITS + _CHECKSUM_BITS)) | tail) << padding
        try:
            return bz2.decompress(self._data[:4] + stream.to_bytes((length + padding) // 8, "big"))
        except (OSError, ValueError) as error:
            raise BadFileError(f"is damaged in block {block} ({error})") from None


def find_marker(data: bytes, marker: int) -> list[int]:
    """Return the bit positions of a 48-bit marker, in order."""
    found: list[int] = []
    for shift in range(8):
        whole = (marker << (8 - shift)).to_bytes(7, "big")
        inner = whole[1:6]  # five bytes that the marker fills whatever its neighbours are
        at = data.find(inner)
        while at >= 0:
            position = 8 * (at - 1) + shift
            if position >= 0 and _bits(data, position, position + _MARKER_BITS) == marker:
                insort(found, position)
            at = data.find(inner, at + 1)
    return found


def _bits(data: bytes, start: int, stop: int) -> int:
    covering = int.from_bytes(data[start // 8 : -(-stop // 8)], "big")
    return (covering >> (-stop % 8)) & ((1 << (stop - start)) - 1)


def lines_between(data: bytes, low: float, high: float, guess: float) -> bytes:
    """Return the lines of a bzip2 text whose first number lies in [low, high].

    guess: where `low` is expected, as a share of the text, 0 … 1. The blocks around it are looked
    for first, all of them only where these do not do.
    """
    guess = min(1.0, max(0.0, guess))
    near = PackedText(data, guess - REACH, guess + REACH)
    text = _lines_in(near, low, high, guess)
    if text is None:
        text = _lines_in(PackedText(data), low, high, guess)
    return b"" if text is None else text


def _lines_in(packed: PackedText, low: float, high: float, guess: float) -> bytes | None:
    """Return the lines; None where they may begin before or end after the blocks found."""
    if packed.blocks < 1:
        return None
    first = last = packed.block_at(guess)
    text = packed.unpack(first)
    while first > 0 and _starts(packed, text, first) > low:
        first -= 1
        text = packed.unpack(first) + text
    while last < packed.blocks - 1 and _stops(text) <= high:
        last += 1
        text += packed.unpack(last)
    is_begun = first == 0 and packed.has_first
    is_ended = last == packed.blocks - 1 and packed.has_last
    if not (is_begun or _starts(packed, text, first) <= low):
        return None
    if not (is_ended or _stops(text) > high):
        return None
    begin = 0 if is_begun else text.find(b"\n") + 1
    end = len(text) if is_ended else text.rfind(b"\n") + 1
    return cut_lines(text[begin:end], low, high)


def cut_lines(text: bytes, low: float, high: float) -> bytes:
    """Return those of whole lines, sorted by their first number, where it is in [low, high]."""
    return text[_line_reaching(text, low) : _line_reaching(text, math.nextafter(high, math.inf))]


def _line_reaching(text: bytes, value: float) -> int:
    """Return where the first line begins whose first number is at least the value."""
    low, high = 0, len(text)  # the line begins in [low, high]; both begin lines
    while low < high:
        middle = text.rfind(b"\n", low, (low + high) // 2) + 1 or low
        if first_number(text[middle : middle + 80]) >= value:
            high = middle
        else:
            low = text.find(b"\n", middle) + 1 or len(text)
    return low


def _starts(packed: PackedText, text: bytes, block: int) -> float:
    begin = 0 if block == 0 and packed.has_first else text.find(b"\n") + 1
    return first_number(text[begin : begin + 80])


def _stops(text: bytes) -> float:
    end = text.rfind(b"\n")
    return first_number(text[text.rfind(b"\n", 0, end) + 1 : end])
