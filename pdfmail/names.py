"""Names of attached files: made safe for every reader and file system, and unique.

A name from a mail is only a hint: it never carries a path, a control or a direction mark. It must not look at content.

Sources: ISO 32000-1:2008 section 7.11.2 (file specification strings), UAX #9 (controls that turn an extension round),
RFC 6266 section 4.3 for what to strip.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

MAX_NAME = 120
"""Characters; file systems take 255 octets of UTF-8, and a character of the BMP has up to three of them."""

_MAX_SUFFIX = 12
_MAX_OCTETS = 240
_UNSAFE = re.compile('[\x00-\x1f\x7f-\x9f/\\\\:*?"<>|\ud800-\udfff\ufffe\uffff\U00010000-\U0010ffff]')
_DIRECTION = re.compile("[\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|\Z)", re.IGNORECASE)


def clean_name(untrusted_name: str) -> str:
    """Return a file name of the Basic Multilingual Plane without path, controls and reserved characters.

    Never empty, at most MAX_NAME characters and 240 octets of UTF-8; the extension survives shortening.
    """
    name = untrusted_name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    name = unicodedata.normalize("NFC", _DIRECTION.sub("", name))
    name = " ".join(_UNSAFE.sub("_", name).split()).strip(" .")
    if not name.strip("_ ."):
        return "attachment"
    if _RESERVED.match(name):
        name = "_" + name
    return _shorten(name)


def make_unique(names: Iterable[str]) -> list[str]:
    """Return the names, in order, with a number where one occurs again regardless of case."""
    taken: set[str] = set()
    counters: dict[str, int] = {}
    result = []
    for name in names:
        candidate = name
        stem, suffix = _split(name)
        while candidate.casefold() in taken:
            counters[name] = counters.get(name, 1) + 1
            mark = f" ({counters[name]})"
            candidate = _shorten(stem, MAX_NAME - len(mark) - len(suffix)) + mark + suffix
        taken.add(candidate.casefold())
        result.append(candidate)
    return result


def ascii_name(name: str) -> str:
    """Return the name for readers that know only /F: accents dropped, other scripts as underscores."""
    plain = name.replace("ß", "ss").replace("ø", "o").replace("Ø", "O").replace("æ", "ae").replace("Æ", "AE")
    decomposed = unicodedata.normalize("NFKD", plain)
    kept = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    return clean_name("".join(letter if " " <= letter <= "~" else "_" for letter in kept))


def _split(name: str) -> tuple[str, str]:
    stem, dot, suffix = name.rpartition(".")
    if dot and stem and len(suffix) <= _MAX_SUFFIX:
        return stem, dot + suffix
    return name, ""


def _shorten(name: str, limit: int = MAX_NAME) -> str:
    stem, suffix = _split(name)
    octets = _MAX_OCTETS - len(suffix.encode()) - (MAX_NAME - limit)
    stem = stem[: limit - len(suffix)]
    if len(stem.encode()) > octets:
        stem = stem.encode()[:octets].decode("utf-8", "ignore")
    return (stem.rstrip(" .") or "attachment") + suffix
