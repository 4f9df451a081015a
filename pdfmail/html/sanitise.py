"""Untrusted HTML of a mail -> a tree that is safe to lay out.

Order (docs/pdf.md): size cap, control characters, depth pre-scan, style sheets folded into style attributes (no remote
loading), allow-list of elements and attributes, style allow-list, tree with linear limits, then links and pictures.
Nothing is ever fetched. What cannot be shown is replaced by something visible; text is kept. Must not raise on any text
but MemoryError.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from xml.etree.ElementTree import Element

import css_inline
import nh3

from pdfmail.html.adapt import adapt_tree
from pdfmail.html.depth import flatten_deep_markup
from pdfmail.html.names import name_set
from pdfmail.html.pictures import Picture, PictureBook, extract_data_pictures
from pdfmail.html.style import filter_style
from pdfmail.html.text import clean_text
from pdfmail.html.texts import BodyTexts
from pdfmail.html.tree import build_tree
from pdfmail.model import InlineImage

MAX_HTML = 1_000_000  # characters
MAX_STYLE = 200_000  # characters of style sheets
MAX_STYLE_WORK = 6_000_000  # rules times elements

ELEMENTS = name_set(
    "a abbr acronym address article aside b bdi big blockquote br caption center cite code col colgroup dd del dfn "
    "div dl dt em figcaption figure font footer h1 h2 h3 h4 h5 h6 header hr i img ins kbd li main mark nav ol p pre q "
    "rp rt ruby s samp section small span strike strong sub sup table tbody td tfoot th thead time tr tt u ul var "
    "wbr"
)
SILENT = name_set(  # these go with what is in them
    "script style title head template noembed noframes iframe object embed applet svg math audio video canvas map "
    "select textarea datalist meta link base frameset param source track"
)
_BOX = {"align", "bgcolor", "width", "height", "valign"}
ATTRIBUTES: dict[str, set[str]] = {
    "*": {"style", "dir", "lang", "align"},
    "a": {"href"},
    "div": {"bgcolor", "text"},  # of body, see keep_body_style
    "img": {"src", "alt", "width", "height", "border"},
    "table": _BOX | {"border", "cellpadding", "cellspacing", "bordercolor"},
    "td": _BOX | {"colspan", "rowspan"},
    "th": _BOX | {"colspan", "rowspan", "scope"},
    "tr": {"bgcolor", "valign", "height"},
    "tbody": {"valign"},
    "thead": {"valign"},
    "col": {"span", "width"},
    "font": {"color", "face", "size"},
    "ol": {"start", "type"},
    "ul": {"type"},
    "li": {"value", "type"},
    "hr": {"width", "size", "color"},
}
_NUMBER_CAPS = {
    "colspan": 60,
    "rowspan": 500,
    "span": 60,
    "cellpadding": 40,
    "cellspacing": 40,
    "border": 20,
    "size": 20,
}
_ALIGN = frozenset(("left", "right", "center", "justify"))
_VALIGN = frozenset(("top", "middle", "bottom", "baseline"))
_HTML_COLOUR = re.compile(r"#?[0-9a-fA-F]{3,6}|[a-zA-Z]{3,20}")
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8}){0,3}")


@dataclass(frozen=True, slots=True)
class SafeBody:
    """A body that may be laid out. `pictures` are named by the tree as cid:KEY."""

    root: Element
    pictures: dict[str, Picture]
    places: dict[str, int]
    """The place in the mail's pictures of each KEY that is all there is of its picture."""
    is_shortened: bool


def sanitise_html(untrusted_html: str, images: Sequence[InlineImage], texts: BodyTexts) -> SafeBody:
    """Return the safe body of an HTML mail. `images` are the parts that cid: may name."""
    markup, data_pictures = extract_data_pictures(untrusted_html)
    is_cut = len(markup) > MAX_HTML
    markup = clean_text(markup[:MAX_HTML])
    markup = keep_body_style(fold_styles(flatten_deep_markup(markup)))
    tree = build_tree(clean_markup(markup))
    book = PictureBook((*images, *data_pictures))
    adapt_tree(tree.root, book, texts)
    places = {key: place for key, place in book.list_whole().items() if place < len(images)}
    return SafeBody(tree.root, book.list_used(), places, is_cut or tree.is_shortened)


_BODY_TAG = re.compile(r"<body(?=\s)", re.IGNORECASE)
_BODY_END = re.compile(r"</body\s*>", re.IGNORECASE)


def keep_body_style(untrusted_html: str) -> str:
    """Make a div of body where it has attributes: the cleaner drops body, but its font and colours should stay."""
    markup, count = _BODY_TAG.subn("<div", untrusted_html, count=1)
    return _BODY_END.sub("</div>", markup) if count else untrusted_html


_STYLE = re.compile(r"<style\b[^<>]*+>(.*?)(?:</style[\s/>]|\Z)", re.IGNORECASE | re.DOTALL)


def fold_styles(untrusted_html: str) -> str:
    """Fold `<style>` into style attributes; leave them out where the work would be out of proportion."""
    sheets = _STYLE.findall(untrusted_html)
    if not sheets:
        return untrusted_html
    rules = sum(sheet.count("{") + sheet.count(",") for sheet in sheets)
    if sum(map(len, sheets)) > MAX_STYLE or rules * untrusted_html.count("<") > MAX_STYLE_WORK:
        return untrusted_html  # the cleaner takes the sheets out
    try:
        return css_inline.inline(
            untrusted_html, load_remote_stylesheets=False, keep_style_tags=False, keep_link_tags=False
        )
    except (ValueError, OSError, RuntimeError):  # InlineError is a ValueError: the mail is shown without its sheets
        return untrusted_html


def clean_markup(untrusted_html: str) -> str:
    """Return canonical HTML of allowed elements, attributes and styles only."""
    return _make_cleaner().clean(untrusted_html)


@lru_cache(maxsize=1)
def _make_cleaner() -> nh3.Cleaner:
    return nh3.Cleaner(
        tags=set(ELEMENTS),
        clean_content_tags=set(SILENT),
        attributes=ATTRIBUTES,
        attribute_filter=filter_attribute,
        strip_comments=True,
        link_rel=None,
        url_schemes={"http", "https", "mailto", "cid"},
    )


def filter_attribute(element: str, name: str, untrusted_value: str) -> str | None:
    """Return the safe value of an allowed attribute, None to leave it out."""
    value = untrusted_value.strip()
    if name == "style":
        return filter_style(untrusted_value) or None
    if name in {"href", "src", "alt"}:
        return untrusted_value  # adapt.py decides on these when the whole link is known
    if name in {"width", "height"}:
        return _filter_size(element, name, value)
    if name in _NUMBER_CAPS:
        return _filter_number(element, name, value)
    if name == "align":
        value = value.lower()
        return value if value in _ALIGN and not (element == "img" and value != "center") else None
    if name == "valign":
        return value.lower() if value.lower() in _VALIGN else None
    if name == "dir":
        return value.lower() if value.lower() in {"ltr", "rtl", "auto"} else None
    if name == "lang":
        return value if _LANGUAGE.fullmatch(value) else None
    if name in {"bgcolor", "color", "bordercolor", "text"}:
        return value if _HTML_COLOUR.fullmatch(value) else None
    if name == "face":
        return value if re.fullmatch(r"[\w ,.'-]{1,120}", value) and "emoji" not in value.lower() else None
    if name == "type":
        return value if value in {"1", "a", "A", "i", "I", "disc", "circle", "square"} else None
    if name in {"start", "value"}:
        return value if re.fullmatch(r"-?[0-9]{1,5}", value) else None
    return value if name == "scope" and value.lower() in {"row", "col"} else None


def _filter_size(element: str, name: str, value: str) -> str | None:
    match = re.fullmatch(r"([0-9]{1,6})(?:\.[0-9]*)?\s*(%|px)?", value)
    if match is None:
        return None
    number = int(match[1])
    if match[2] == "%":
        return f"{min(number, 100)}%" if name == "width" else None
    if element == "img":
        return str(min(number, 10_000))
    return str(min(number, 642 if name == "width" else 850))


def _filter_number(element: str, name: str, value: str) -> str | None:
    if element == "font" and name == "size":  # HTML 15.3.4: 1..7, or relative
        return value if re.fullmatch(r"[+-]?[1-7]", value) else None
    match = re.match(r"[0-9]{1,9}", value)
    if match is None:
        return None
    number = int(match[0])
    return (
        str(min(max(number, 1), _NUMBER_CAPS[name]))
        if name in {"colspan", "rowspan", "span"}
        else str(min(number, _NUMBER_CAPS[name]))
    )
