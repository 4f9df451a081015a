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

from pdfmail.html.text import clean_text, split_words

MAX_DEPTH = 64
MAX_ELEMENTS = 15_000
MAX_TEXT = 600_000
MAX_CELLS = 60
VOID = frozenset(("br", "hr", "img", "col", "wbr"))
_CELLS = frozenset(("td", "th"))

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
    return tree


class _Builder:
    def __init__(self, tree: BodyTree) -> None:
        self._tree = tree
        self._levels = [_Level(tree.root, "", True)]
        self._depth = 1
        self._elements = 0
        self._room = MAX_TEXT
        self._open_cells = 0

    def open(self, name: str, attributes: str) -> None:
        level = self._levels[-1]
        self._elements += 1
        is_real = self._depth < MAX_DEPTH and self._elements <= MAX_ELEMENTS
        if name in _CELLS:
            level.cells += 1
            is_real = is_real and level.cells <= MAX_CELLS
        if not is_real:
            if name not in VOID:
                self._add(" " if name in _CELLS else "")
                self._levels.append(_Level(level.element, name, False, level.cells))
            elif name == "br":
                self._add(" ")
            return
        element = SubElement(level.element, name)
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

    def add_text(self, escaped: str) -> bool:
        """Add text; False when the room for text is used up."""
        text = split_words(clean_text(_unescape(escaped)), in_cell=self._open_cells > 0)
        if len(text) > self._room:
            self._add(text[: self._room])
            self._tree.is_shortened = True
            return False
        self._room -= len(text)
        self._add(text)
        return True

    def _add(self, text: str) -> None:
        if not text:
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
