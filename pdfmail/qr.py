"""QR code of the reply address as vector rectangles.

For a given length, version, error correction and mask, the modules of a code are an affine function of the content's
bits: Reed-Solomon check words are linear over GF(2), placement is a permutation, the mask a constant. So segno makes
the code of each single bit once, and every further address of that length is a handful of exclusive-ors: a tenth of
the time, and the same modules as segno's own.

Sources: ISO/IEC 18004 (error correction M, quiet zone of four modules, byte mode). The mask is fixed, since trying all
eight takes five times as long and a reader takes any.
"""

from __future__ import annotations

import segno

QUIET_ZONE = 4
MASK = 2

_MAX_LENGTHS = 16


class QrCodes:
    """Makes codes and remembers what lengths of content have in common."""

    def __init__(self) -> None:
        self._lengths: dict[int, _Length] = {}

    def rows(self, content: str) -> list[str]:
        """Return the modules row by row, top first, as strings of 0 and 1. Raises ValueError when it is too long."""
        octets = content.encode("ascii")
        length = self._lengths.get(len(octets))
        if length is None:
            if len(self._lengths) >= _MAX_LENGTHS:
                self._lengths.clear()
            length = self._lengths[len(octets)] = _Length(len(octets))
        return length.rows(octets)

    def draw(self, content: str, x: float, y: float, side: float) -> str:
        """Return path operators that fill the code into a square at x, y; `side` includes the quiet zone.

        The caller sets the fill colour.
        """
        rows = self.rows(content)
        count = len(rows)
        module = side / (count + 2 * QUIET_ZONE)
        operators = [f"q {module:.4f} 0 0 {module:.4f} {x + QUIET_ZONE * module:.3f} {y + QUIET_ZONE * module:.3f} cm"]
        for place, row in enumerate(rows):
            # Runs of dark modules become one rectangle: fewer operators, and no hairlines between them.
            start = row.find("1")
            while start >= 0:
                end = row.find("0", start)
                if end < 0:
                    end = count
                operators.append(f"{start} {count - 1 - place} {end - start} 1 re")
                start = row.find("1", end)
        operators.append("f Q")
        return "\n".join(operators)


class _Length:
    """All codes of one length of content."""

    def __init__(self, length: int) -> None:
        self._zero = bytes(length)
        matrix = _make_matrix(self._zero)
        self._side = len(matrix)
        self._constant = _to_number(matrix)
        self._bits: dict[tuple[int, int], int] = {}
        self._octets: dict[tuple[int, int], int] = {}

    def rows(self, octets: bytes) -> list[str]:
        number = self._constant
        for key in enumerate(octets):
            part = self._octets.get(key)
            number ^= self._make_octet(*key) if part is None else part
        side = self._side
        text = f"{number:0{side * side}b}"
        return [text[start : start + side] for start in range(0, side * side, side)]

    def _make_octet(self, place: int, octet: int) -> int:
        part = 0
        for bit in range(8):
            if octet >> bit & 1:
                if (place, bit) not in self._bits:
                    content = bytearray(self._zero)
                    content[place] = 1 << bit
                    self._bits[place, bit] = _to_number(_make_matrix(bytes(content))) ^ self._constant
                part ^= self._bits[place, bit]
        self._octets[place, octet] = part
        return part


def _make_matrix(content: bytes) -> tuple[bytearray, ...]:
    try:
        code = segno.make_qr(content, error="m", boost_error=False, mode="byte", mask=MASK)
    except segno.DataOverflowError as error:
        raise ValueError("too long for a QR code") from error
    matrix: tuple[bytearray, ...] = code.matrix
    return matrix


def _to_number(matrix: tuple[bytearray, ...]) -> int:
    return int("".join("".join(map(str, row)) for row in matrix), 2)
