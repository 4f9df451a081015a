"""QR code of the reply address as vector rectangles.

Sources: ISO/IEC 18004 (error correction M, quiet zone of four modules). The mask is fixed: trying all eight takes five
times as long, and a reader takes any.
"""

from __future__ import annotations

import segno

QUIET_ZONE = 4
_MASK = 2


def draw_qr(content: str, x: float, y: float, side: float) -> str:
    """Return path operators that fill the code into a square at x, y; `side` includes the quiet zone.

    The caller sets the fill colour. Raises ValueError when the content is too long for a code.
    """
    try:
        matrix = segno.make(content, error="m", boost_error=False, micro=False, mask=_MASK).matrix
    except segno.DataOverflowError as error:
        raise ValueError("too long for a QR code") from error
    count = len(matrix)
    module = side / (count + 2 * QUIET_ZONE)
    operators = [f"q {module:.4f} 0 0 {module:.4f} {x + QUIET_ZONE * module:.3f} {y + QUIET_ZONE * module:.3f} cm"]
    for row, modules in enumerate(matrix):
        # Runs of dark modules become one rectangle: fewer operators, and no hairlines between them.
        text = bytes(modules)
        start = text.find(1)
        while start >= 0:
            end = text.find(0, start)
            if end < 0:
                end = count
            operators.append(f"{start} {count - 1 - row} {end - start} 1 re")
            start = text.find(1, end)
    operators.append("f Q")
    return "\n".join(operators)
