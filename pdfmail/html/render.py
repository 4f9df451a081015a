"""WeasyPrint around a safe tree: tagged A4 pages, no fetching, no fonts but the host's, a cap on pages.

Runs inside the render child only. The layout engine gets our tree directly, so no second HTML parser reads the mail.
Written for WeasyPrint 70 (earlier versions have GHSA-jf6q-chmf-3h3v). Source: docs/pdf.md; WeasyPrint's documentation.
"""

from __future__ import annotations

import gc
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pdfmail.errors import RenderCause, RenderError
from pdfmail.html.fonts import make_fonts_conf
from pdfmail.html.page import STYLESHEET, build_text_tree, wrap_body
from pdfmail.html.pictures import Picture, make_samples
from pdfmail.html.sanitise import sanitise_html
from pdfmail.html.texts import choose_texts
from pdfmail.model import DrawnPages, HtmlBody


class BodyPainter:
    """Draws bodies. Loading it is slow (libraries, fonts); painting is not."""

    def __init__(self) -> None:
        """Load the layout engine with our own font configuration, and draw once to load what is loaded late.

        Afterwards nothing is imported any more: a process that may read no file but fonts can paint. Changes
        FONTCONFIG_FILE of this process.
        """
        with tempfile.TemporaryDirectory(prefix="letterlock-fonts-") as folder:
            conf = Path(folder) / "fonts.conf"
            conf.write_text(make_fonts_conf(folder), encoding="utf-8")
            os.environ["FONTCONFIG_FILE"] = str(conf)
            from pdfmail.html import engine

            self._engine = engine
            self._stylesheet = engine.parse_stylesheet(STYLESHEET)
            self._paint(HtmlBody(html=_WARM_HTML, images=make_samples()), engine.load_fonts())
            self._paint(HtmlBody(text=_WARM_TEXT), engine.load_fonts())
            self._fonts = engine.load_fonts()  # in memory from here on; first used after a fork
        gc.collect()
        gc.freeze()

    def paint(self, body: HtmlBody) -> DrawnPages:
        """Return the pages of one body. Raises RenderError (pages, input)."""
        return self._paint(body, self._fonts)

    def _paint(self, body: HtmlBody, fonts: Any) -> DrawnPages:
        texts = choose_texts(body.language)
        pictures: Mapping[str, Picture] = {}
        places: Mapping[str, int] = {}
        if body.html is not None:
            safe = sanitise_html(body.html, body.images, texts)
            root, pictures, places, is_shortened = safe.root, safe.pictures, safe.places, safe.is_shortened
        elif body.text is not None:
            root, is_shortened = build_text_tree(body.text)
        else:
            raise RenderError(RenderCause.INPUT)
        document = wrap_body(root, body.language, texts, is_shortened=is_shortened)
        pdf, shown = self._engine.draw_document(document, self._stylesheet, fonts, pictures, body.max_pages)
        return DrawnPages(pdf, frozenset(places[key] for key in shown if key in places))


_WARM_TEXT = "Aa \u6f22 \u0627\u0644 \U0001f600\nhttps://a.example/"
_WARM_HTML = (
    "<style>p{color:#123}</style><h1>Aa</h1><p align=center>Aa <b>b</b> <i>i</i> <a href='https://\u00e4.example/'>here</a>"
    "<table border=1 bgcolor=#eee><tr><td>1<td>2</table><ul><li>x</ul>"
    "<img src='http://a.example/x.png' alt=x><pre>p</pre>"
    "<img src=cid:png><img src=cid:jpeg><img src=cid:gif><img src=cid:webp><img src=cid:bmp>"
)
