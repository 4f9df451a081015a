"""A rough plain text of HTML, for places where only text can stand. Good enough to read; never a sanitiser.

Linear on any input: elements to skip are found by searching, not by backtracking.
"""

from __future__ import annotations

import html
import re

_HIDDEN = {"<!--": "-->", "<script": "</script", "<style": "</style", "<head>": "</head", "<title": "</title"}
_BREAK = re.compile(r"<(?:br|/p|/div|/tr|/li|/h[1-6]|hr|/table|/blockquote)\b[^<>]*>", re.IGNORECASE)
_TAG = re.compile(r"<[a-zA-Z/!?][^<>]*>")
_BLANKS = re.compile(r"[ \t\u00a0]+")
_EMPTY_LINES = re.compile(r"\n{3,}")


def strip_html(untrusted_html: str) -> str:
    """Return the text of HTML with line breaks where blocks end."""
    text = _drop_hidden(untrusted_html).replace("\n", " ")
    text = html.unescape(_TAG.sub("", _BREAK.sub("\n", text)))
    text = "\n".join(_BLANKS.sub(" ", line).strip() for line in text.split("\n"))
    return _EMPTY_LINES.sub("\n\n", text).strip()


def _lower(text: str) -> str:
    # Lowering may change the length outside ASCII; offsets must stay true.
    return "".join([c.lower() if c.isascii() else c for c in text]) if not text.isascii() else text.lower()


def _drop_hidden(text: str) -> str:
    lowered = _lower(text)
    out: list[str] = []
    position = 0
    next_at = {mark: lowered.find(mark) for mark in _HIDDEN}
    while True:
        for mark, at in next_at.items():
            if 0 <= at < position:
                next_at[mark] = lowered.find(mark, position)
        waiting = [(at, mark) for mark, at in next_at.items() if at >= 0]
        if not waiting:
            out.append(text[position:])
            return "".join(out)
        begin, mark = min(waiting)
        out.append(text[position:begin])
        close = lowered.find(_HIDDEN[mark], begin + len(mark))
        end = lowered.find(">", close) if close >= 0 else -1
        if end < 0:
            # Never closed: a browser shows nothing behind it either.
            return "".join(out)
        position = end + 1
