"""The renderer's pages and tags taken into our document.

The renderer works on hostile input, so its output is not trusted either: page content, fonts, pictures and structure
come along, links are made anew from their addresses, everything else stays behind. The running head and foot of our
pages are laid over the renderer's as a form.

Sources: ISO 32000-1:2008 sections 7.7.3 (page tree), 8.10 (forms), 12.5.6.5 (links), 14.7.4 (structure content).
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pikepdf

from .canvas import PAGE_HEIGHT, PAGE_WIDTH, Box, LinkAnnotation, PageCanvas
from .container import PdfFile
from .document import DocumentDraft
from .errors import PdfMailError
from .frozen import Freezer, FrozenObject, thaw, thaw_parts
from .structure import Mark, ObjectKid, ParentTree, StructNode
from .textflow import is_safe_uri

_TAGS = frozenset(
    {"Part", "Art", "Sect", "Div", "BlockQuote", "Caption", "TOC", "TOCI", "Index", "NonStruct", "P", "H", "H1", "H2"}
    | {"H3", "H4", "H5", "H6", "L", "LI", "Lbl", "LBody", "Table", "TR", "TH", "TD", "THead", "TBody", "TFoot", "Span"}
    | {
        "Quote",
        "Note",
        "Reference",
        "Code",
        "Link",
        "Ruby",
        "RB",
        "RT",
        "RP",
        "Warichu",
        "WT",
        "WP",
        "Figure",
        "Formula",
    }
)
_BROKEN = (
    pikepdf.PdfError,
    pikepdf.PasswordError,
    pikepdf.DataDecodingError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    RuntimeError,
)
_MAX_NODES = 200_000
_MAX_TEXT = 2000


class BrokenBodyError(PdfMailError):
    """The renderer's output is no usable PDF."""

    temporary = False


@dataclass(slots=True)
class _BodyNode:
    """A structure element of the body; kids are nodes, (page, MCID) and (page, link) pairs."""

    tag: str
    alt: str = ""
    actual_text: str = ""
    attributes: bytes = b""
    kids: list[_BodyNode | _MarkKid | _LinkKid] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _MarkKid:
    page: int
    mcid: int


@dataclass(frozen=True, slots=True)
class _LinkKid:
    page: int
    link: int


@dataclass(frozen=True, slots=True)
class _BodyLink:
    box: Box
    uri: str


@dataclass(frozen=True, slots=True)
class _BodyPage:
    contents: tuple[int, ...]
    """Content streams by index in the bundle."""
    resources: tuple[tuple[bytes, ...], tuple[int, ...]]
    """Inside of the resource dictionary without /XObject."""
    forms: tuple[tuple[bytes, ...], tuple[int, ...]]
    """Inside of its /XObject dictionary."""
    links: tuple[_BodyLink, ...]


@dataclass(frozen=True, slots=True)
class RenderedBody:
    """Body pages ready to be written into a document."""

    pages: tuple[_BodyPage, ...]
    bundle: tuple[FrozenObject, ...]
    root: _BodyNode


def read_body(untrusted_pdf: bytes) -> RenderedBody:
    """Take pages, tags and links out of the renderer's PDF. Raises BrokenBodyError."""
    try:
        with pikepdf.open(io.BytesIO(untrusted_pdf), suppress_warnings=True) as document:
            if document.is_encrypted or not len(document.pages):
                raise BrokenBodyError("the body has no pages")
            return _Reader(document).read()
    except _BROKEN as error:
        raise BrokenBodyError("the body is no usable PDF") from error


class _Reader:
    def __init__(self, document: Any) -> None:
        self._document = document
        self._freezer = Freezer()
        self._page_of: dict[tuple[int, int], int] = {}
        self._link_of: dict[tuple[int, int], _LinkKid] = {}

    def read(self) -> RenderedBody:
        for place, page in enumerate(self._document.pages):
            self._page_of[page.obj.objgen] = place
        pages = tuple(self._read_page(place, page) for place, page in enumerate(self._document.pages))
        root = self._read_structure()
        return RenderedBody(pages, self._freezer.bundle(), root)

    def _read_page(self, place: int, page: Any) -> _BodyPage:
        streams = [item for item in _as_list(page.obj.get("/Contents")) if isinstance(item, pikepdf.Stream)]
        resources = page.obj.get("/Resources", pikepdf.Dictionary())
        forms = resources.get("/XObject", pikepdf.Dictionary())
        others = pikepdf.Dictionary({name: value for name, value in resources.items() if name != "/XObject"})
        links: list[_BodyLink] = []
        for annotation in page.obj.get("/Annots", pikepdf.Array()):
            link = _read_link(annotation)
            if link is not None:
                self._link_of[annotation.objgen] = _LinkKid(place, len(links))
                links.append(link)
        return _BodyPage(
            contents=tuple(self._freezer.freeze(stream) for stream in streams),
            resources=self._freezer.freeze_parts(others),
            forms=self._freezer.freeze_parts(forms),
            links=tuple(links),
        )

    def _read_structure(self) -> _BodyNode:
        root = _BodyNode("Sect")
        tree = self._document.Root.get("/StructTreeRoot")
        if not isinstance(tree, pikepdf.Dictionary):
            return root
        seen: set[tuple[int, int]] = set()
        stack: list[tuple[Any, _BodyNode]] = [(tree, root)]
        while stack:
            element, node = stack.pop()
            page = self._page_of.get(_objgen(element.get("/Pg")))
            # Kids are pushed in reverse, but appended in order here: the list of the node keeps the reading order.
            for kid in _as_list(element.get("/K")):
                if isinstance(kid, int):
                    if page is not None:
                        node.kids.append(_MarkKid(page, kid))
                    continue
                if not isinstance(kid, pikepdf.Dictionary):
                    continue
                kind = str(kid.get("/Type", "/StructElem"))
                if kind == "/MCR":
                    self._read_reference(kid, node, page)
                elif kind == "/OBJR":
                    link = self._link_of.get(_objgen(kid.get("/Obj")))
                    if link is not None:
                        node.kids.append(link)
                elif kid.objgen == (0, 0) or kid.objgen not in seen:
                    seen.add(kid.objgen)
                    if len(seen) > _MAX_NODES:
                        raise BrokenBodyError("too many structure elements")
                    child = _read_element(kid)
                    node.kids.append(child)
                    stack.append((kid, child))
        return root

    def _read_reference(self, kid: Any, node: _BodyNode, page: int | None) -> None:
        if "/Stm" in kid:
            return  # content of a form, which the renderer does not make
        own = self._page_of.get(_objgen(kid.get("/Pg")), page)
        mcid = kid.get("/MCID")
        if own is not None and isinstance(mcid, int):
            node.kids.append(_MarkKid(own, mcid))


def _read_link(annotation: Any) -> _BodyLink | None:
    """Return a link to an allowed address; inner links and everything else is left out."""
    if annotation.get("/Subtype") != "/Link" or not annotation.is_indirect:
        return None
    action = annotation.get("/A")
    if not isinstance(action, pikepdf.Dictionary) or action.get("/S") != "/URI":
        return None
    uri = str(action.get("/URI", ""))
    corners = [float(value) for value in annotation.get("/Rect", pikepdf.Array())]
    if len(corners) != 4 or not is_safe_uri(uri):
        return None
    left, right = sorted((corners[0], corners[2]))
    bottom, top = sorted((corners[1], corners[3]))
    return _BodyLink(Box(left, bottom, right, top), uri)


def _read_element(element: Any) -> _BodyNode:
    tag = str(element.get("/S", "/NonStruct"))[1:]
    node = _BodyNode("Sect" if tag == "Document" else tag if tag in _TAGS else "NonStruct")
    node.alt = str(element.get("/Alt", ""))[:_MAX_TEXT]
    node.actual_text = str(element.get("/ActualText", ""))[:_MAX_TEXT]
    attributes = element.get("/A")
    if isinstance(attributes, pikepdf.Dictionary):
        node.attributes = _read_attributes(tag, attributes)
    elif tag == "TH":
        node.attributes = b"/O/Table/Scope/Column"
    return node


def _read_attributes(tag: str, attributes: Any) -> bytes:
    owner = attributes.get("/O")
    if owner == "/Table":
        result = b"/O/Table"
        for name in ("ColSpan", "RowSpan"):
            span = attributes.get(f"/{name}")
            if isinstance(span, int) and 1 <= span <= 1000:
                result += b"/%s %d" % (name.encode(), span)
        if tag == "TH":
            scope = str(attributes.get("/Scope", "/Column"))
            result += b"/Scope/Row" if scope == "/Row" else b"/Scope/Column"
        return result
    box = attributes.get("/BBox")
    if owner == "/Layout" and isinstance(box, pikepdf.Array) and len(box) == 4:
        return b"/O/Layout/BBox[%.2f %.2f %.2f %.2f]" % tuple(float(value) for value in box)
    return b""


def _objgen(value: Any) -> tuple[int, int]:
    return value.objgen if isinstance(value, pikepdf.Object) else (0, 0)


def _as_list(value: Any) -> Sequence[Any]:
    if value is None:
        return ()
    return list(value) if isinstance(value, pikepdf.Array) else [value]


# -- writing


def draw_rendered_body(draft: DocumentDraft, subject: str, body: RenderedBody) -> None:
    """Append the renderer's pages, with our running head and foot, and its tags."""
    base = thaw(draft.file, body.bundle)
    pages = []
    for page in body.pages:
        overlay = draft.make_overlay()
        draft.draw_head(overlay, subject)
        grafted = _GraftedPage(draft.file.reserve(), page, base, overlay)
        pages.append(grafted)
        draft.pages.append(grafted)
    draft.root.kids.append(_graft_nodes(draft.file, body.root, pages))


def _graft_nodes(file: PdfFile, root: _BodyNode, pages: Sequence[_GraftedPage]) -> StructNode:
    result = StructNode("Sect")
    stack = [(root, result)]
    while stack:
        source, target = stack.pop()
        for kid in source.kids:
            if isinstance(kid, _BodyNode):
                child = target.child(kid.tag, alt=kid.alt, actual_text=kid.actual_text, attributes=kid.attributes)
                stack.append((kid, child))
            elif isinstance(kid, _MarkKid):
                page = pages[kid.page]
                if page.own(kid.mcid, target):
                    target.kids.append(Mark(page.number, kid.mcid))
            else:
                page = pages[kid.page]
                # A link annotation belongs to a Link element (14.8.4.4.2), whatever the renderer hung it on.
                owner = target if target.tag == "Link" else target.child("Link")
                number = page.add_link(file, kid.link, owner)
                owner.kids.append(ObjectKid(page.number, number))
    return result


class _GraftedPage:
    """One page of the renderer inside our document."""

    def __init__(self, number: int, page: _BodyPage, base: int, overlay: PageCanvas) -> None:
        self.number = number
        self.overlay = overlay
        self._page = page
        self._base = base
        self._owners: dict[int, StructNode] = {}
        self._links: list[LinkAnnotation] = []

    def own(self, mcid: int, node: StructNode) -> bool:
        """Note who owns a piece of content; False when it has an owner already."""
        if mcid < 0 or mcid > _MAX_NODES or mcid in self._owners:
            return False
        self._owners[mcid] = node
        return True

    def add_link(self, file: PdfFile, index: int, node: StructNode) -> int:
        """Make one of the page's links anew; return its number."""
        link = self._page.links[index]
        number = file.reserve()
        self._links.append(LinkAnnotation(number, link.box, link.uri, link.uri, node))
        return number

    def write(self, file: PdfFile, parent: int, resources: int, parents: ParentTree) -> None:
        """Write content, overlay, links and the page object."""
        page = self._page
        overlay = self.overlay.write_form(file, resources)
        # Whatever the graphics state was, our overlay starts from a clean one.
        begin = file.add_stream(b"", b"q\n")
        contents = b" ".join([b"%d 0 R" % (self._base + index) for index in page.contents])
        end = file.add_stream(b"", b"\nQ\n/LLHead Do\n")
        key = parents.reserve()
        parents.set_numbers(key, self._owners)
        own = thaw_parts(*page.resources, self._base)[2:-2]
        forms = thaw_parts(*page.forms, self._base)[2:-2]
        links = b" ".join([b"%d 0 R" % link.number for link in self._links])
        file.add(
            b"<</Type/Page/Parent %d 0 R/MediaBox[0 0 %.3f %.3f]/Resources<<%s/XObject<<%s/LLHead %d 0 R>>>>"
            b"/Contents[%d 0 R %b %d 0 R]/StructParents %d/Tabs/S%s>>"
            % (
                parent,
                PAGE_WIDTH,
                PAGE_HEIGHT,
                own,
                forms,
                overlay,
                begin,
                contents,
                end,
                key,
                b"/Annots[%s]" % links if links else b"",
            ),
            self.number,
        )
        for link in self._links:
            link.write(file, self.number, parents)
