"""The sanitiser's output as a tree with linear limits: depth, elements, text, cells, pictures.

Input is the canonical HTML that the allow-list cleaner wrote (html5ever's serialisation: every attribute quoted, every
tag closed), so a strict tokeniser is enough and anything else is an internal fault. The tree checked here is
the tree that is laid out: no second HTML parser comes after it. Beyond a limit tags go and their text stays.
Source: HTML Living Standard 13.3 (serialising); docs/pdf.md.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement

from pdfmail.html.names import name_set
from pdfmail.html.text import BREAK, clean_text, cut_text, split_words

MAX_DEPTH = 64
MAX_ELEMENTS = 12_000
MAX_TEXT = 600_000
MAX_CELLS = 60
MAX_LINE_BREAKS = 12  # in a row
TEXT_PIECE = 3000  # characters
INLINE_RUN = 60  # siblings without a blank, after which a line may break
VOID = frozenset(("br", "hr", "img", "col", "wbr"))
_CELLS = frozenset(("td", "th"))
BLOCK_ROLES = name_set(
    "p div table tbody thead tfoot tr td th ul ol li dl dt dd h1 h2 h3 h4 h5 h6 pre blockquote hr col colgroup"
)

_TOKEN = re.compile(r'<(/?)([a-z][a-z0-9]*)((?: [a-z-]+="[^"]*")*)>|([^<]+)')
_ATTRIBUTE = re.compile(r' ([a-z-]+)="([^"]*)"')


class CanonicalFormError(Exception):
    """The cleaner's output was not in its canonical form."""


@dataclass(slots=True)
class BodyTree:
    """`root` is a div. `is_shortened` says that text was cut off at the limit."""

    root: Element
    is_shortened: bool = False


@dataclass(slots=True)
class _Level:
    element: Element
    name: str
    is_real: bool
    cells: int = 0
    line_breaks: int = 0
    last_break: int = 0


def build_tree(canonical_html: str) -> BodyTree:
    """Return the tree of cleaned HTML. Raises CanonicalFormError."""
    tree = BodyTree(Element("div"))
    builder = _Builder(tree)
    position = 0
    for match in _TOKEN.finditer(canonical_html):
        if match.start() != position:
            raise CanonicalFormError
        position = match.end()
        if match[4] is not None:
            if not builder.add_text(match[4]):
                break
        elif match[1]:
            builder.close(match[2])
        else:
            builder.open(match[2], match[3])
    else:
        if position != len(canonical_html):
            raise CanonicalFormError
    builder.finish()
    return tree


class _Builder:
    def __init__(self, tree: BodyTree) -> None:
        self._tree = tree
        self._levels = [_Level(tree.root, "", True)]
        self._depth = 1
        self._elements = 0
        self._room = MAX_TEXT
        self._open_cells = 0
        self._rest: list[str] | None = None

    def open(self, name: str, attributes: str) -> None:
        self._elements += 1
        if self._elements > MAX_ELEMENTS and self._rest is None:
            self._rest = []
        level = self._levels[-1]
        is_real = self._rest is None and self._depth < MAX_DEPTH
        if name in _CELLS:
            level.cells += 1
            is_real = is_real and level.cells <= MAX_CELLS
        if name == "br":
            level.line_breaks += 1
            if level.line_breaks > MAX_LINE_BREAKS:
                return
        elif is_real and len(level.element) - level.last_break >= INLINE_RUN:
            level.last_break = len(level.element)
            if name not in BLOCK_ROLES:
                self._add(BREAK)
        if is_real:
            self._open_real(name, attributes)
        elif name not in VOID:
            self._add(" " if name in _CELLS else "")
            self._levels.append(_Level(level.element, name, False, level.cells))
        elif name == "br":
            self._add(" " if self._rest is None else "\n")

    def _open_real(self, name: str, attributes: str) -> None:
        element = SubElement(self._levels[-1].element, name)
        for attribute, value in _ATTRIBUTE.findall(attributes):
            element.set(attribute, clean_text(_unescape(value)))
        if name not in VOID:
            self._levels.append(_Level(element, name, True))
            self._depth += 1
            self._open_cells += name in _CELLS

    def close(self, name: str) -> None:
        level = self._levels.pop()
        if level.name != name or not self._levels:
            raise CanonicalFormError
        if level.is_real:
            self._depth -= 1
            self._open_cells -= name in _CELLS
        if self._rest is not None and name in BLOCK_ROLES and name not in _CELLS:
            self._add("\n")

    def add_text(self, escaped: str) -> bool:
        """Add text; False when the room for text is used up."""
        text = split_words(clean_text(_unescape(escaped)), in_cell=self._open_cells > 0)
        is_cut = len(text) > self._room
        text = text[: self._room]
        self._room -= len(text)
        if text.strip():
            self._levels[-1].line_breaks = 0
        if len(text) <= TEXT_PIECE or self._rest is not None:
            self._add(text)
        else:  # a run of text is laid out in time quadratic in its length, so it comes in pieces
            for piece in cut_text(text, TEXT_PIECE):
                SubElement(self._levels[-1].element, "span").text = piece
        self._tree.is_shortened = self._tree.is_shortened or is_cut
        return not is_cut

    def finish(self) -> None:
        """Write what came after the last allowed element as plain lines behind everything else."""
        if self._rest is not None:
            lines = re.sub(r"[ \t\r\f]*\n\s*", "\n", "".join(self._rest)).strip()
            for piece in cut_text(lines, TEXT_PIECE):
                SubElement(self._tree.root, "div", {"class": "ll-rest"}).text = piece

    def _add(self, text: str) -> None:
        if not text:
            return
        if self._rest is not None:
            self._rest.append(text)
            return
        element = self._levels[-1].element
        if len(element):
            element[-1].tail = (element[-1].tail or "") + text
        else:
            element.text = (element.text or "") + text


def _unescape(text: str) -> str:
    return html.unescape(text) if "&" in text else text


def write_tree(element: Element) -> str:
    """Return the tree as HTML for tests and for reading (not for layout)."""
    parts: list[str] = []
    stack: list[Element | str] = [element]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            parts.append(item)
            continue
        attributes = "".join(f' {name}="{html.escape(value)}"' for name, value in item.items())
        parts.append(f"<{item.tag}{attributes}>{html.escape(item.text or '', quote=False)}")
        stack.append(html.escape(item.tail or "", quote=False))
        if item.tag not in VOID:
            stack.append(f"</{item.tag}>")
        stack.extend(reversed(item))
    return "".join(parts)
