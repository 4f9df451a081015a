"""Plain text drawn as body pages, without the renderer: Latin, Greek, Cyrillic and symbols.

One pass, one embedded font, no shaping: some hundred times faster than an HTML engine. Line ends of the mail are kept;
lines that stand in columns are set in fixed pitch; links become clickable. Text is only ever data. It must not be given
text that FontSet.draws refuses, unless boxes for single characters are acceptable.

Sources: RFC 3676 sections 4.3 (signature mark) and 4.5 (quote marks); ISO 32000-1:2008 sections 9.4, 14.8.4.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .canvas import MARGIN, TEXT_WIDTH, Box, PageCanvas, TextStyle
from .document import BODY_BOTTOM, BODY_TOP, DocumentDraft
from .structure import StructNode
from .textflow import FoundLink, Measure, Segment, break_line, find_links
from .typeset import Place, draw_lines

SIZE = 10.5
LEADING = 15.0
MONO_SIZE = 8.8
MONO_LEADING = 12.5
BLANK = 9.0
"""Height of an empty line."""

_MARK = re.compile(r"(?:[>|] ?)+|\s*(?:[-*+\u2022\u2013]|[0-9]{1,3}[.)])[ ]+|[ ]+")
_QUOTED = re.compile(r"[>|]")
_COLUMNS = re.compile(r"\S {3,}\S|[\u2500-\u257f]|\|.*\|")
_RULE = re.compile(r"[-=_*+\u2500-\u257f|]{6,}")


@dataclass(slots=True)
class _Block:
    """Source lines that follow each other without an empty one."""

    lines: list[str]
    blanks_before: int


def draw_text_body(draft: DocumentDraft, subject: str, text: str, max_pages: int, *, preface: str = "") -> bool:
    """Append body pages for cleaned text (textflow.clean_text); at least one page.

    `preface` is a sentence of ours that stands above the text. Returns False when the text needed more than
    `max_pages` and was cut.
    """
    pages = _TextPages(draft, subject, max_pages)
    if preface:
        pages.draw_preface(preface)
    return pages.draw(text)


class _TextPages:
    def __init__(self, draft: DocumentDraft, subject: str, max_pages: int) -> None:
        self._draft = draft
        self._subject = subject
        self._left = max_pages
        self._section = draft.root.child("Sect")
        self._canvas = self._new_page()
        self._y = BODY_TOP
        self._signature = False

    def draw_preface(self, preface: str) -> None:
        """Draw a sentence of ours and leave a gap."""
        template = self._draft.template
        lines = template.fit(preface, template.styles.note, TEXT_WIDTH)
        place = Place(MARGIN, self._y - LEADING, TEXT_WIDTH)
        self._y = draw_lines(self._canvas, self._section.child("P"), lines, place, template.styles.note)

    def draw(self, text: str) -> bool:
        """Draw all blocks; False when the pages did not suffice."""
        for block in _read_blocks(text):
            if self._y < BODY_TOP:
                self._y -= BLANK * min(block.blanks_before, 12)
            if not self._draw_block(block):
                return False
        return True

    def _new_page(self) -> PageCanvas:
        self._left -= 1
        canvas = self._draft.add_canvas()
        self._draft.draw_head(canvas, self._subject)
        return canvas

    def _draw_block(self, block: _Block) -> bool:
        template = self._draft.template
        fonts, palette = template.fonts, template.palette
        mono = _is_columned(block.lines)
        face = fonts.mono if mono else fonts.regular
        size, leading = (MONO_SIZE, MONO_LEADING) if mono else (SIZE, LEADING)

        def measure(part: str) -> float:
            return fonts.width(part, face, size)

        node = self._section.child("P")
        is_open = False
        for line in block.lines:
            self._signature = self._signature or line == "-- "
            shown = line.expandtabs(8) if mono else line
            hang = _hanging_indent(shown, measure) if len(shown) > 40 else 0.0
            links = find_links(shown)
            colour = palette.quiet if self._signature or _QUOTED.match(shown) else palette.text
            style = TextStyle(face, size, colour)
            for row in break_line(shown, measure, TEXT_WIDTH, hang):
                self._y -= leading
                if self._y < BODY_BOTTOM:
                    if is_open:
                        self._close()
                    if self._left <= 0:
                        return False
                    self._canvas = self._new_page()
                    self._y = BODY_TOP - leading
                    is_open = False
                if not is_open:
                    self._canvas.begin(node)
                    self._canvas.open_text()
                    is_open = True
                if links:
                    self._draw_linked(node, row, links, style)
                else:
                    for segment in row:
                        self._canvas.show(MARGIN + segment.x, self._y, segment.text, style)
        if is_open:
            self._close()
        return True

    def _close(self) -> None:
        self._canvas.close_text()
        self._canvas.end()

    def _draw_linked(
        self, node: StructNode, row: Sequence[Segment], links: Sequence[FoundLink], style: TextStyle
    ) -> None:
        """Draw a line that may hold links: each part of one is marked as such and made clickable."""
        accent = self._draft.template.palette.accent
        canvas = self._canvas
        for segment in row:
            x = MARGIN + segment.x
            for text, link in _cut_at_links(segment, links):
                if link is None:
                    x += canvas.show(x, self._y, text, style)
                    continue
                self._close()
                link_node = node.child("Link", alt=link.uri)
                canvas.begin(link_node)
                advance = canvas.text(x, self._y, text, TextStyle(style.face, style.size, accent))
                canvas.line(x, self._y - 1.6, advance, accent, 0.5)
                canvas.end()
                box = Box(x, self._y - 3, x + advance, self._y + style.size)
                canvas.link(self._draft.file, (box,), link_node, link.uri, link.uri)
                x += advance
                canvas.begin(node)
                canvas.open_text()


def _read_blocks(text: str) -> Iterator[_Block]:
    lines: list[str] = []
    blanks = 0
    for line in text.split("\n"):
        if line.strip():
            # "-- " is the signature mark; elsewhere blanks at the end mean nothing on paper.
            lines.append(line if line == "-- " else line.rstrip())
            continue
        if lines:
            yield _Block(lines, blanks)
            lines, blanks = [], 0
        blanks += 1
    if lines:
        yield _Block(lines, blanks)


def _is_columned(lines: Sequence[str]) -> bool:
    """Tell whether the lines stand in columns that only a fixed pitch keeps."""
    if len(lines) < 2:
        return False
    hits = sum(1 for line in lines if _COLUMNS.search(line) or (_RULE.search(line) and len(lines) > 2))
    return hits >= 2 and hits * 2 >= len(lines)


def _hanging_indent(line: str, measure: Measure) -> float:
    match = _MARK.match(line)
    return measure(match.group()[:40]) if match else 0.0


def _cut_at_links(segment: Segment, links: Sequence[FoundLink]) -> Iterator[tuple[str, FoundLink | None]]:
    """Yield the parts of a segment, each with the link it belongs to."""
    place, end = segment.start, segment.start + len(segment.text)
    for link in links:
        first, last = max(link.start, place), min(link.end, end)
        if first >= last:
            continue
        if first > place:
            yield segment.text[place - segment.start : first - segment.start], None
        yield segment.text[first - segment.start : last - segment.start], link
        place = last
    if place < end:
        yield segment.text[place - segment.start :], None
