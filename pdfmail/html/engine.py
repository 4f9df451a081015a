"""The only file that imports WeasyPrint. Import it after FONTCONFIG_FILE is set: fonts are looked up at import.

Must not fetch anything: the fetcher knows the checked pictures and nothing else.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Mapping
from typing import Any
from xml.etree.ElementTree import Element

import cssselect2  # type: ignore[import-untyped]
from weasyprint import CSS, HTML
from weasyprint.formatting_structure import boxes
from weasyprint.text.fonts import FontConfiguration
from weasyprint.urls import FatalURLFetchingError, URLFetcher, URLFetcherResponse

from pdfmail.errors import RenderCause, RenderError
from pdfmail.html.page import BREAK_ANYWHERE, CONTENT_WIDTH_PX, make_page_rule
from pdfmail.html.pictures import Picture

OPTIONS = {"presentational_hints": True, "pdf_tags": True}
FITS = 0.985  # content that reaches this little into the margin is left alone
MIN_ZOOM = 0.4
SEEN_PX = 8  # a larger picture drawn smaller than this shows nothing
PAGE_LOGGER = "weasyprint.progress"


class PictureFetcher(URLFetcher):  # type: ignore[misc]  # WeasyPrint brings no types
    """Knows `cid:KEY` of the checked pictures; everything else is refused before a socket or file is touched."""

    def __init__(self, pictures: Mapping[str, Picture]) -> None:
        super().__init__(allowed_protocols=("cid",), allow_redirects=False, fail_on_errors=False)
        self._pictures = pictures

    def fetch(self, url: str, headers: object = None) -> URLFetcherResponse:  # noqa: ARG002  # WeasyPrint's signature
        """Return the picture. Raises ValueError, which WeasyPrint shows as the alternative text."""
        picture = self._pictures.get(url.removeprefix("cid:")) if url.startswith("cid:") else None
        if picture is None:
            raise ValueError("only pictures of the mail itself")
        return URLFetcherResponse(url, picture.content, {"Content-Type": picture.media_type})

    def open(self, url: object, data: object = None, timeout: object = None) -> URLFetcherResponse:  # noqa: ARG002
        """Refuse: nothing may use the opener that URLFetcher inherits."""
        raise FatalURLFetchingError("no opener here")


class TreeDocument(HTML):  # type: ignore[misc]
    """An HTML document made from a tree instead of from text: what was checked is what is drawn."""

    def __init__(self, tree: Element, fetcher: URLFetcher) -> None:
        self.base_url = None
        self.url_fetcher = fetcher
        self.media_type = "print"
        self.wrapper_element = cssselect2.ElementWrapper.from_html_root(tree, content_language=None)
        self.etree_element = self.wrapper_element.etree_element


class _PageCounter(logging.Handler):
    """Ends the layout when a page beyond the cap begins, instead of laying out all of them first."""

    def __init__(self, max_pages: int) -> None:
        super().__init__(logging.INFO)
        self._max_pages = max_pages

    def emit(self, record: logging.LogRecord) -> None:
        if (
            isinstance(record.msg, str)
            and record.msg.startswith("Step 5")
            and isinstance(record.args, tuple)
            and record.args
            and isinstance(record.args[0], int)
            and record.args[0] > self._max_pages
        ):
            raise RenderError(RenderCause.PAGES)


def load_fonts() -> Any:
    """Return a font configuration; one may be made before a fork and used once after it."""
    return FontConfiguration()


def parse_stylesheet(text: str) -> Any:
    """Return a style sheet of ours, parsed once."""
    return CSS(string=text, url_fetcher=PictureFetcher({}))


def draw_document(
    tree: Element, stylesheet: Any, fonts: Any, pictures: Mapping[str, Picture], max_pages: int
) -> tuple[bytes, frozenset[str]]:
    """Return the tagged PDF of the tree and the keys of the pictures that stand on its pages.

    Raises RenderError when it has more than `max_pages` pages.

    A body that is wider than the page (a table from a spreadsheet) is drawn smaller, so that nothing is cut off.
    """
    progress = logging.getLogger(PAGE_LOGGER)
    counter = _PageCounter(max_pages)
    progress.addHandler(counter)
    progress.setLevel(logging.INFO)
    progress.propagate = False
    logging.getLogger("weasyprint").setLevel(logging.CRITICAL)
    try:
        document = _lay_out(tree, [stylesheet], fonts, pictures)
        zoom = min(1.0, CONTENT_WIDTH_PX / measure_width(document))
        if zoom < FITS:
            sheets = [stylesheet, parse_stylesheet(make_page_rule(max(zoom * FITS, MIN_ZOOM)))]
            if zoom * FITS < MIN_ZOOM:
                sheets.append(parse_stylesheet(BREAK_ANYWHERE))
            zoom = max(zoom * FITS, MIN_ZOOM)
            del document
            gc.collect()  # a layout is full of cycles, and two of them would not fit
            document = _lay_out(tree, sheets, fonts, pictures)
        else:
            zoom = 1.0
        if len(document.pages) > max_pages:
            raise RenderError(RenderCause.PAGES)
        shown = find_shown(document, pictures) if pictures else frozenset()
        return bytes(document.write_pdf(zoom=zoom, **OPTIONS)), shown
    finally:
        progress.removeHandler(counter)


def _lay_out(tree: Element, sheets: list[Any], fonts: Any, pictures: Mapping[str, Picture]) -> Any:
    return TreeDocument(tree, PictureFetcher(pictures)).render(fonts, stylesheets=sheets, **OPTIONS)


def measure_width(document: Any) -> float:
    """Return how far the content reaches from the left edge of the content area, in px, over all pages."""
    widest = CONTENT_WIDTH_PX
    for page in document.pages:
        left = page._page_box.content_box_x()
        for box in page._page_box.descendants():
            if isinstance(box, _MEASURED):
                widest = max(widest, box.position_x + box.width - left)
    return float(widest)


def find_shown(document: Any, pictures: Mapping[str, Picture]) -> frozenset[str]:
    """Return the keys of the pictures that a reader can see: laid out, visible, and not squeezed to a few pixels."""
    shown: set[str] = set()
    for page in document.pages:
        for box in page._page_box.descendants():
            if not isinstance(box, boxes.ReplacedBox) or box.element is None or box.style["visibility"] != "visible":
                continue
            key = str(box.element.get("src", "")).removeprefix("cid:")
            picture = pictures.get(key)
            if picture is None:
                continue
            if box.width >= min(picture.width, SEEN_PX) and box.height >= min(picture.height, SEEN_PX):
                shown.add(key)
    return frozenset(shown)


_MEASURED = (boxes.TableBox, boxes.TextBox, boxes.ReplacedBox)
