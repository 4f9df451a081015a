"""The HTML body of a mail as a fragment that a browser may show: allow-listed, with nothing that fetches or runs.

The portal's page cleans it once more and shows it in a frame with a policy of its own; this is the first of three
walls. Pictures are those that came with the mail: `cid:p0`, `cid:p1` ... name the inline parts of the message. What a
mail wanted from the network is left out, its words stay. Pictures are never decoded here, only known by their first
octets. Sources: RFC 2392, RFC 2557; docs/pdf.md for the cleaner that this shares with the PDF.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import nh3

from pdfmail.html.adapt import PIXEL
from pdfmail.html.depth import flatten_deep_markup
from pdfmail.html.pictures import extract_data_pictures, normalise_content_id
from pdfmail.html.sanitise import ATTRIBUTES, ELEMENTS, MAX_HTML, SILENT, clean_markup, fold_styles, keep_body_style
from pdfmail.html.text import clean_text
from pdfmail.html.tree import CanonicalFormError, build_tree
from pdfmail.model import InlineImage

MAX_PICTURES = 60
"""Inline parts of one message; a manifest names 100 parts altogether."""
_LINK = re.compile(r"(?:https?://|mailto:)", re.IGNORECASE)
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
)


@dataclass(frozen=True, slots=True)
class SafePicture:
    """A picture that the fragment names as `cid:NAME`; its type is what its octets say."""

    name: str
    media_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class SafeHtml:
    """A fragment, and the pictures in it."""

    html: str
    pictures: tuple[SafePicture, ...]
    visible: frozenset[str]
    """Names of those that a reader sees: not hidden by a style or squeezed to a few pixels."""
    is_whole: bool
    """False when the HTML was longer than what is shown."""


def make_safe_html(untrusted_html: str, images: Sequence[InlineImage]) -> SafeHtml:
    """Return what may be shown of an HTML body. Raises nothing for what a mail holds."""
    markup, data_pictures = extract_data_pictures(untrusted_html)
    is_whole = len(markup) <= MAX_HTML
    markup = clean_text(markup[:MAX_HTML])
    markup = clean_markup(keep_body_style(fold_styles(flatten_deep_markup(markup))))
    book = _Pictures((*images, *data_pictures))
    # A second pass over what is canonical by now: every address is either one of ours or a link that a person follows.
    cleaner = nh3.Cleaner(
        tags=set(ELEMENTS),
        clean_content_tags=set(SILENT),
        attributes=_attributes(),
        attribute_filter=book.filter_attribute,
        link_rel="noopener noreferrer nofollow",
        url_schemes={"http", "https", "mailto", "cid"},
    )
    html = cleaner.clean(markup)
    visible = find_visible(html) if book.used else frozenset()
    return SafeHtml(html, tuple(book.used), visible, is_whole)


def find_visible(canonical_html: str) -> frozenset[str]:
    """Return the names of the pictures that the fragment shows; beyond the limits of a PDF's pages, none."""
    found: set[str] = set()
    try:
        stack = [build_tree(canonical_html).root]
    except CanonicalFormError:
        return frozenset()
    while stack:
        element = stack.pop()
        style = element.get("style", "")
        if "display:none" in style or "visibility:hidden" in style:
            continue
        if element.tag == "img" and not any(_is_tiny(element.get(side, "")) for side in ("width", "height")):
            found.add(element.get("src", "").removeprefix("cid:"))
        stack.extend(element)
    return frozenset(found)


def _is_tiny(size: str) -> bool:
    return size.isdigit() and int(size) <= PIXEL


@lru_cache(maxsize=1)
def _attributes() -> dict[str, set[str]]:
    return {element: set(names) for element, names in ATTRIBUTES.items()}


def find_picture_type(content: bytes) -> str | None:
    """Return the media type that the first octets tell, None for what no page should show (SVG above all)."""
    for magic, media_type in _MAGIC:
        if content.startswith(magic):
            return media_type
    return "image/webp" if content[:4] == b"RIFF" and content[8:12] == b"WEBP" else None


class _Pictures:
    """The pictures of one mail; those that the body names get a name of ours, in order."""

    def __init__(self, images: Sequence[InlineImage]) -> None:
        self._images = {normalise_content_id(image.content_id): image for image in images}
        self._names: dict[str, str | None] = {}
        self.used: list[SafePicture] = []

    def filter_attribute(self, element: str, name: str, value: str) -> str | None:
        """Return the value to keep; called by the cleaner for each attribute that is allowed."""
        if name == "src":
            return self._find(value) if element == "img" else None
        if name == "href":
            return value if _LINK.match(value.strip()) else None
        return value

    def _find(self, value: str) -> str | None:
        scheme, _, untrusted_id = value.strip().partition(":")
        if scheme.lower() != "cid":
            return None
        key = normalise_content_id(untrusted_id)
        if key not in self._names:
            self._names[key] = self._take(key)
        name = self._names[key]
        return f"cid:{name}" if name else None

    def _take(self, key: str) -> str | None:
        image = self._images.get(key)
        media_type = find_picture_type(image.content) if image is not None else None
        if image is None or media_type is None or len(self.used) >= MAX_PICTURES:
            return None
        name = f"p{len(self.used)}"
        self.used.append(SafePicture(name, media_type, image.content))
        return name
