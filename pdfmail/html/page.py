"""The page around a body: size, margins, base style, and the tree of a plain text in any script.

Margins are public so that the other pages of the PDF can match. Source: docs/pdf.md; CSS Paged Media Module Level 3.
"""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element, SubElement

from pdfmail.html.text import clean_text, cut_text, find_direction, find_links, has_rtl, split_words
from pdfmail.html.texts import BodyTexts

PAGE_MM = (210, 297)  # A4
SIDE_MM = 20
TOP_MM = 25
BOTTOM_MM = 24
MAX_TEXT_CHARS = 600_000
BLOCK_CHARS = 3000  # layout time grows faster than the length of one block
MAX_LINES = 12_000  # a line costs the layout most of a millisecond

CONTENT_WIDTH_PX = (PAGE_MM[0] - 2 * SIDE_MM) / 25.4 * 96

STYLESHEET = f"""
@page {{ size: {PAGE_MM[0]}mm {PAGE_MM[1]}mm; margin: {TOP_MM}mm {SIDE_MM}mm {BOTTOM_MM}mm {SIDE_MM}mm }}
html {{ font-family: sans-serif; font-size: 10.5pt; line-height: 1.4; color: #15212b }}
body {{ margin: 0; overflow-wrap: break-word; widows: 2; orphans: 2 }}
p, div, td, th, li, pre, h1, h2, h3, h4, h5, h6, blockquote {{ unicode-bidi: plaintext }}
p {{ margin: 0.8em 0 }} body > div > p:first-child {{ margin-top: 0 }}
h1 {{ font-size: 1.6em }} h2 {{ font-size: 1.35em }} h3 {{ font-size: 1.15em }}
h1, h2, h3, h4, h5, h6 {{ line-height: 1.25; margin: 0.9em 0 0.4em 0; break-after: avoid }}
table {{ text-align: initial; font-size: inherit; border-spacing: 2px; max-width: 100% }}
td[align=center] > table, th[align=center] > table, center > table, div[align=center] > table,
table[align=center] {{ margin-left: auto; margin-right: auto }}
img {{ max-width: 100%; max-height: 240mm; object-fit: contain; border: 0 }}
a[href] {{ color: #0e5a63; text-decoration: underline }}
a:not([href]) {{ color: inherit; text-decoration: none }}
blockquote {{ margin: 0.5em 0 0.5em 0; padding: 0 0 0 0.8em; border-left: 2px solid #d5dce2 }}
pre, tt, code, kbd, samp {{ font-family: monospace; font-size: 0.92em }}
pre {{ white-space: pre-wrap; margin: 0 0 0.8em 0 }}
hr {{ border: 0; border-top: 1px solid #d5dce2; margin: 0.8em 0 }}
ul, ol {{ margin: 0 0 0.8em 0 }}
.ll-image {{ display: inline-block; border: 1px solid #d5dce2; background: #f4f6f8; color: #52606d; padding: 2px 6px;
  font-size: 8.5pt; line-height: 1.3; text-decoration: none; border-radius: 3px }}
.ll-mark {{ font-size: 7pt; color: inherit; text-decoration: none; vertical-align: super; line-height: 1 }}
.ll-warning {{ color: #a11515; background: #ffffff; font-weight: bold; font-size: 9pt }}
.ll-links {{ margin-top: 2em; padding-top: 0.6em; border-top: 1px solid #d5dce2; font-size: 8pt; color: #52606d;
  background: #ffffff; line-height: 1.35; text-align: left }}
.ll-links-title {{ font-weight: bold; margin: 0 0 0.4em 0; break-after: avoid }}
.ll-link-line {{ margin: 0 0 0.25em 0 }}
.ll-link-line a {{ color: #52606d; text-decoration: none }}
.ll-note {{ margin-top: 1.2em; padding: 0.6em 0.8em; border: 1px solid #d5dce2; background: #f4f6f8; color: #15212b }}
.ll-text div {{ white-space: pre-wrap; unicode-bidi: plaintext; text-align: start; min-height: 1.4em }}
.ll-row {{ break-inside: avoid }}
.ll-rest {{ white-space: pre-line }}
.ll-quote {{ color: #52606d }}
"""


# For a body that is too wide even when it is made as small as may be read.
BREAK_ANYWHERE = "td, th, p, div, pre { overflow-wrap: anywhere }"


_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8}){0,3}")  # the usual shapes of RFC 5646


def make_page_rule(zoom: float) -> str:
    """Return the rule of a page that is A4 once it is drawn at `zoom`."""
    width, height, top, side, bottom = (mm / zoom for mm in (*PAGE_MM, TOP_MM, SIDE_MM, BOTTOM_MM))
    return (
        f"@page {{ size: {width:.4f}mm {height:.4f}mm; margin: {top:.4f}mm {side:.4f}mm {bottom:.4f}mm {side:.4f}mm }}"
    )


def wrap_body(content: Element, language: str, texts: BodyTexts, *, is_shortened: bool) -> Element:
    """Return the whole document around `content`."""
    if is_shortened:
        note = SubElement(content, "p", {"class": "ll-note", "lang": texts.language})
        note.text = texts.shortened
    document = Element("html", {"lang": language if _LANGUAGE.fullmatch(language) else "en"})
    head = SubElement(document, "head")
    SubElement(head, "title").text = "Message"
    body = SubElement(document, "body")
    body.append(content)
    return document


def build_text_tree(untrusted_text: str) -> tuple[Element, bool]:
    """Return a plain text as a tree, line breaks kept and addresses clickable, and whether it had to be cut."""
    text = clean_text(untrusted_text.replace("\r\n", "\n").replace("\r", "\n"))
    is_cut = len(text) > MAX_TEXT_CHARS
    lines = text[:MAX_TEXT_CHARS].expandtabs(8).split("\n")
    is_cut = is_cut or len(lines) > MAX_LINES
    root = Element("div", {"class": "ll-text"})
    per_line = has_rtl(text)  # each line has its own direction then (UAX #9, P1)
    for block in _group_lines(lines[:MAX_LINES], per_line):
        element = SubElement(root, "div")
        content = "\n".join(block)
        if per_line and find_direction(content) == "rtl":
            element.set("dir", "rtl")
        if content.lstrip().startswith(">"):
            element.set("class", "ll-quote")
        _fill(element, content)
    return root, is_cut


def _group_lines(lines: list[str], per_line: bool) -> list[list[str]]:
    """Return blocks of lines: paragraphs as they stand, cut where one grows too long for quick layout."""
    blocks: list[list[str]] = []
    size = 0
    was_quote = False
    for whole in lines:
        for line in cut_text(whole, BLOCK_CHARS) or [""]:
            is_quote = line.lstrip().startswith(">")
            if not blocks or per_line or is_quote != was_quote or size > BLOCK_CHARS or not blocks[-1][-1].strip():
                blocks.append([])
                size = 0
            blocks[-1].append(line)
            size += len(line)
            was_quote = is_quote
    return blocks


def _fill(element: Element, content: str) -> None:
    position = 0
    last: Element | None = None
    for start, end, target in find_links(content):
        _append(element, last, content[position:start])
        last = SubElement(element, "a", {"href": target.url})
        last.text = split_words(content[start:end])
        position = end
    _append(element, last, content[position:])


def _append(element: Element, last: Element | None, text: str) -> None:
    if last is None:
        element.text = split_words(text)
    else:
        last.tail = split_words(text)
