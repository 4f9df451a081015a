"""QR codes: the short way gives the modules that segno gives."""

from __future__ import annotations

import pytest
import segno
from hypothesis import given, settings
from hypothesis import strategies as st

from pdfmail.qr import MASK, QrCodes

CODES = QrCodes()


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet=st.characters(max_codepoint=126, min_codepoint=33), min_size=1, max_size=60))
def test_the_modules_are_segnos(content: str) -> None:
    code = segno.make_qr(content, error="m", boost_error=False, mode="byte", mask=MASK)
    assert CODES.rows(content) == ["".join(map(str, row)) for row in code.matrix]


def test_what_is_drawn_covers_exactly_the_dark_modules() -> None:
    content = "https://secure.bank.example/r/x"
    rows = CODES.rows(content)
    drawn = {
        (int(x) + step, len(rows) - 1 - int(y))
        for x, y, width, _, _ in (line.split() for line in CODES.draw(content, 0, 0, 100).splitlines()[1:-1])
        for step in range(int(width))
    }
    assert drawn == {(x, y) for y, row in enumerate(rows) for x, module in enumerate(row) if module == "1"}


def test_too_long_a_content_is_an_error() -> None:
    with pytest.raises(ValueError, match="too long"):
        QrCodes().rows("x" * 3000)
