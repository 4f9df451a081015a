"""Plain text made ready for drawing: cleaned, cut into lines that fit, links found.

Text from a mail is only ever data here: no markup is read in it. It must not draw. Lines keep their source's order and
every visible character; invisible controls are dropped, since in Latin, Greek and Cyrillic they only help to deceive.

Sources: UAX #14 for the idea of break opportunities, UAX #9 for the controls, RFC 3986 for what a URI may hold,
RFC 3676 section 4.3 for the signature mark and 4.5 for quote marks.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

TAB_STOP = 36.0
"""Distance of tab stops in points."""

_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e"
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0e\ufeff\U000e0000-\U000e0fff]"
)
_LINE_ENDS = re.compile("\r\n|[\r\x0c\x85\u2028\u2029]")
_LINK = re.compile(r"(?:https?://|mailto:)[^\s<>\"\u00ab\u00bb\u201c-\u201f\u2018-\u201b|\\^`{}]+", re.IGNORECASE)
_WORD = re.compile(r"[^ \t]+[ ]*|[ ]+|\t")
_PARTS = re.compile(r"[^/?&=.,;:_\-]*[/?&=.,;:_\-]*")
_SPACES = str.maketrans(dict.fromkeys("\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2008\u2009\u200a\u205f\u3000", " "))
_ASCII_URI = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+\Z")
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8}){0,4}\Z")  # BCP 47, roughly
_MAX_URI = 2000

Measure = Callable[[str], float]


@dataclass(frozen=True, slots=True)
class Segment:
    """Text between tab stops; `start` is its place in the source line."""

    x: float
    start: int
    text: str


@dataclass(frozen=True, slots=True)
class FoundLink:
    """A link in a source line."""

    start: int
    end: int
    uri: str


def clean_text(untrusted_text: str) -> str:
    """Return the text composed (NFC), with \\n line ends, without invisible controls and lone surrogates."""
    text = untrusted_text
    if not text.isascii():
        text = text.encode("utf-16-be", "surrogatepass").decode("utf-16-be", "replace")
        text = unicodedata.normalize("NFC", text).translate(_SPACES)
    text = _LINE_ENDS.sub("\n", text)
    return _INVISIBLE.sub("", text)


def clean_line(untrusted_text: str) -> str:
    """Return the text as one line, e.g. a header field's."""
    return " ".join(clean_text(untrusted_text).split())


def clean_language(untrusted_tag: str | None) -> str | None:
    """Return the first language tag of a Content-Language value (RFC 3282), None when there is no usable one."""
    tag = (untrusted_tag or "").partition(",")[0].strip()
    return tag if _LANGUAGE.match(tag) else None


def find_links(line: str) -> list[FoundLink]:
    """Return the http, https and mailto links of a line that can be given to a reader safely."""
    if ":" not in line:
        return []
    found = []
    for match in _LINK.finditer(line):
        if match.end() - match.start() > _MAX_URI:
            continue
        text = _trim_link(match.group())
        if is_safe_uri(text):
            found.append(FoundLink(match.start(), match.start() + len(text), text))
    return found


def is_safe_uri(uri: str) -> bool:
    """Tell whether this is an ASCII http, https or mailto URI with a target.

    Other scripts are left as text: a host that looks like another must not become clickable.
    """
    if len(uri) > _MAX_URI or not _ASCII_URI.match(uri):
        return False
    try:
        parts = urlsplit(uri)
        if parts.scheme == "mailto":
            return "@" in parts.path
        # Credentials before the host only serve to hide the host.
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        return False


def _trim_link(text: str) -> str:
    """Drop the punctuation behind a link, and closing brackets that it does not open."""
    while text:
        last = text[-1]
        is_stray = (last == ")" and text.count(")") > text.count("(")) or (
            last == "]" and text.count("]") > text.count("[")
        )
        if last not in ".,;:!?'*_" and not is_stray:
            break
        text = text[:-1]
    return text


def break_line(line: str, measure: Measure, width: float, hang: float = 0.0) -> list[list[Segment]]:
    """Cut one source line into lines of at most `width` points.

    Later lines are indented by `hang`. Blanks at a break are dropped, words that are too long are cut, preferably
    behind punctuation. Concatenated, the segments hold every visible character once and in order.
    """
    if "\t" not in line:
        if measure(line) <= width:
            return [[Segment(0.0, 0, line)]]
        if line.startswith(" "):
            # Indented text keeps its indent on the first line only.
            hang = min(hang, width / 2)
    breaker = _Breaker(measure, width, hang)
    for match in _WORD.finditer(line):
        breaker.add(match.start(), match.group())
    return breaker.finish()


class _Breaker:
    """Greedy line breaking of one source line."""

    def __init__(self, measure: Measure, width: float, hang: float) -> None:
        self._measure = measure
        self._width = width
        self._hang = hang
        self._lines: list[list[Segment]] = []
        self._segments: list[Segment] = []
        self._x = 0.0
        self._end = 0.0
        self._start = 0
        self._pieces: list[str] = []
        self._begin = 0.0

    def add(self, start: int, word: str) -> None:
        """Add a word with its trailing blanks, or a tab."""
        if word == "\t":
            self._close_segment()
            self._end = (int((self._end - self._begin) / TAB_STOP) + 1) * TAB_STOP + self._begin
            if self._end >= self._width:
                self._new_line()
            return
        visible = word.rstrip(" ")
        room = self._width - self._end
        if visible and self._measure(visible) > room:
            if self._pieces or self._segments or self._end > self._begin:
                self._new_line()
            if self._measure(visible) > self._width - self._end:
                self._add_long(start, word)
                return
        self._append(start, word)

    def finish(self) -> list[list[Segment]]:
        """Return all lines; at least one."""
        self._close_segment()
        if self._segments or not self._lines:
            self._lines.append(self._segments)
        return self._lines

    def _append(self, start: int, text: str) -> None:
        if not self._pieces:
            self._start, self._x = start, self._end
        self._pieces.append(text)
        self._end += self._measure(text)

    def _close_segment(self) -> None:
        if self._pieces:
            text = "".join(self._pieces)
            self._segments.append(Segment(self._x, self._start, text))
            self._pieces = []

    def _new_line(self) -> None:
        self._close_segment()
        self._lines.append(self._segments)
        self._segments = []
        self._begin = self._end = min(self._hang, self._width / 2)

    def _add_long(self, start: int, word: str) -> None:
        """Cut a word that is wider than a line: behind punctuation where that fills half a line, else anywhere."""
        for part in _PARTS.findall(word.rstrip(" ")):
            if not part:
                continue
            if self._measure(part) <= self._width - self._end:
                self._append(start, part)
            else:
                if self._end - self._begin > (self._width - self._begin) / 2:
                    self._new_line()
                self._add_letters(start, part)
            start += len(part)
        if word.endswith(" ") and self._pieces:
            self._append(start, word[len(word.rstrip(" ")) :])

    def _add_letters(self, start: int, part: str) -> None:
        first = 0
        room = self._width - self._end
        used = 0.0
        for place, letter in enumerate(part):
            advance = self._measure(letter)
            if used + advance > room and (place > first or self._end > self._begin):
                if place > first:
                    self._append(start + first, part[first:place])
                self._new_line()
                first, used, room = place, 0.0, self._width - self._end
            used += advance
        self._append(start + first, part[first:])
