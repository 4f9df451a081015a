"""The renderer's pages and tags taken into our document.

The renderer works on hostile input, so its output is not trusted either: pages, fonts, pictures and structure come
along, links are made anew from their addresses, everything else stays behind.

Sources: ISO 32000-1:2008 sections 7.7.3 (page tree), 12.5.6.5 (links), 14.7.4 (structure content and parent tree).
"""

from __future__ import annotations

from dataclasses import dataclass

from .errors import PdfMailError


class BrokenBodyError(PdfMailError):
    """The renderer's output is no usable PDF."""

    temporary = False


@dataclass(frozen=True, slots=True)
class RenderedBody:
    """Body pages ready to be written into a document."""

    pages: int


def read_body(untrusted_pdf: bytes) -> RenderedBody:
    """Take pages, tags and links out of the renderer's PDF. Raises BrokenBodyError."""
    raise BrokenBodyError("not yet")
