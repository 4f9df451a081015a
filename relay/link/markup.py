"""A page of ours, read so strictly that no browser can read it another way (HTML living standard, 13.2.5).

A page made to hide a script is written for the difference between two parsers: where a comment ends, what is text
inside a title, what a stray quote does. So nothing is parsed leniently here. Every "<" of the page must begin a tag in
the plainest spelling: no comment, no declaration but the doctype, no "<" in an attribute or a text. Whatever state a
browser is in, a tag begins with "<" for it too: it may find fewer tags than these, never another one.

Linear in the length of the page. Must not guess, repair or fetch anything.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_SPACE = r"[ \t\n\r\f]"
_DOCTYPE = re.compile(rf"{_SPACE}*+<!doctype html>", re.ASCII | re.IGNORECASE)
_NAME = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9-]*+)", re.ASCII)
_ATTRIBUTE = re.compile(
    rf"{_SPACE}++([A-Za-z_][A-Za-z0-9:._-]*+)(?:=(?:\"([^\"<]*+)\"|'([^'<]*+)'|([^\s\"'<>=`]++)))?+", re.ASCII
)
_END = re.compile(rf"{_SPACE}*+/?>")


class MarkupError(ValueError):
    """The page is not written as ours are: what a browser makes of it cannot be told."""


@dataclass(frozen=True, slots=True)
class Tag:
    """One start tag. Names are in lower case, character references in values are resolved."""

    name: str
    attributes: Mapping[str, str]
    has_twice: bool
    """It names an attribute twice."""


def read_tags(untrusted_page: bytes) -> Iterator[Tag]:
    """Return the start tags of a page in their order. Raises MarkupError on the way, at the first odd place."""
    try:
        text = untrusted_page.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MarkupError("it is not UTF-8") from error
    begin = _DOCTYPE.match(text)
    if begin is None:
        raise MarkupError("it does not begin as a page of ours")
    at = text.find("<", begin.end())
    while at >= 0:
        name = _NAME.match(text, at)
        if name is None:
            raise MarkupError("it holds a comment, or a < that begins no tag")
        at = name.end()
        attributes: dict[str, str] = {}
        count = 0
        while not name[1] and (found := _ATTRIBUTE.match(text, at)) is not None:
            at, count = found.end(), count + 1
            attributes.setdefault(found[1].lower(), _resolve(found[2] or found[3] or found[4] or ""))
        end = _END.match(text, at)
        if end is None:
            raise MarkupError("it holds a tag that browsers may read in two ways")
        if not name[1]:
            yield Tag(name[2].lower(), attributes, count > len(attributes))
        at = text.find("<", end.end())


def _resolve(untrusted_value: str) -> str:
    try:
        return html.unescape(untrusted_value)
    except ValueError as error:
        # A number with thousands of digits.
        raise MarkupError("it holds a character reference without an end") from error
