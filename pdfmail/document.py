"""One PDF mail being put together: its pages in order, its tags, what all pages share.

Draws nothing itself but running heads and feet. It must not know mail or policy, only pages.

Sources: ISO 32000-1:2008 sections 7.7 (document structure), 12.2 (viewer preferences), 14.3.3 (information dictionary);
ISO 32000-2:2020 section 7.12 (extensions dictionary).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol
from xml.sax.saxutils import escape

from .canvas import FOOT_LINE, MARGIN, PAGE_WIDTH, TEXT_WIDTH, PageCanvas
from .container import PdfFile, literal
from .fonts import Face
from .frozen import thaw
from .structure import ParentTree, StructNode, number_nodes, write_structure
from .template import Template
from .typeset import cut_text, measure_text

FOOT_BASE = 34.0
HEAD_BASE = 800.0
BODY_TOP = 772.0
BODY_BOTTOM = 70.0


class DocumentPage(Protocol):
    """A page that can be written."""

    @property
    def number(self) -> int:
        """Object number."""
        ...

    @property
    def overlay(self) -> PageCanvas:
        """Where running head and foot are drawn."""
        ...

    def write(self, file: PdfFile, parent: int, resources: int, parents: ParentTree) -> None:
        """Write the page and what belongs to it alone."""
        ...


@dataclass(frozen=True, slots=True)
class EmbeddedFile:
    """A file already written, as the name tree lists it."""

    name: str
    specification: int
    """Object number of the file specification."""


class DocumentDraft:
    """Pages and tags of one document until it is finished."""

    def __init__(self, file: PdfFile, template: Template, title: str) -> None:
        self.file = file
        self.template = template
        self.root = StructNode("Document", language=template.wording.language)
        self.pages: list[DocumentPage] = []
        self.parents = ParentTree()
        self.artwork = thaw(file, template.artwork.bundle)
        self._title = title
        self._canvases: list[PageCanvas] = []

    def add_canvas(self) -> PageCanvas:
        """Append an empty page."""
        canvas = PageCanvas(self.file.reserve(), self.template.fonts)
        self.pages.append(canvas)
        self._canvases.append(canvas)
        return canvas

    def make_overlay(self) -> PageCanvas:
        """Return a canvas that is no page but shares our fonts; see PageCanvas.write_form."""
        canvas = PageCanvas(0, self.template.fonts)
        self._canvases.append(canvas)
        return canvas

    def draw_head(self, canvas: PageCanvas, subject: str) -> None:
        """Draw the running head of a body page, and the line above its foot."""
        template = self.template
        fonts, styles, organisation = template.fonts, template.styles, template.brand.organisation
        canvas.begin_artifact()
        name = cut_text(fonts, organisation, styles.running_name, TEXT_WIDTH / 2)
        advance = canvas.text(MARGIN, HEAD_BASE, name, styles.running_name)
        shown = cut_text(fonts, subject, styles.running, TEXT_WIDTH - advance - 24)
        width = measure_text(fonts, shown, styles.running)
        canvas.text(PAGE_WIDTH - MARGIN - width, HEAD_BASE, shown, styles.running)
        canvas.line(MARGIN, HEAD_BASE - 9, TEXT_WIDTH, template.palette.line)
        canvas.line(MARGIN, FOOT_LINE, TEXT_WIDTH, template.palette.line)
        canvas.end()

    def draw_foot(self, canvas: PageCanvas, page: int, pages: int) -> None:
        """Draw footer text and page number; pages count from 1."""
        template = self.template
        fonts, style, wording = template.fonts, template.styles.foot, template.wording
        canvas.begin_artifact()
        number = wording.page.replace("{page}", str(page)).replace("{pages}", str(pages))
        width = measure_text(fonts, number, style)
        canvas.text(PAGE_WIDTH - MARGIN - width, FOOT_BASE, number, style)
        parts = (wording.footer or template.brand.organisation, template.brand.contact)
        text = " · ".join(" ".join(part.split()) for part in parts if part)
        canvas.text(MARGIN, FOOT_BASE, cut_text(fonts, text, style, TEXT_WIDTH - width - 20), style)
        canvas.end()

    def finish(
        self, files: Sequence[EmbeddedFile], moment: datetime | None, *, open_files: bool, is_accessible: bool
    ) -> int:
        """Write pages, structure, fonts and catalog; return the octets of the whole file.

        `open_files` asks readers to open their pane of attached files; `is_accessible` declares PDF/UA-1, which only
        holds for pages whose every element is made here.
        """
        file = self.file
        number_nodes(file, self.root)
        page_tree, resources, catalog = file.reserve(), file.reserve(), file.reserve()
        for place, page in enumerate(self.pages):
            self.draw_foot(page.overlay, place + 1, len(self.pages))
        for page in self.pages:
            page.write(file, page_tree, resources, self.parents)
        file.add(
            b"<</Type/Pages/Count %d/Kids[%s]>>"
            % (len(self.pages), b" ".join([b"%d 0 R" % page.number for page in self.pages])),
            page_tree,
        )
        self._write_resources(resources)
        tree = write_structure(file, self.root, self.parents)
        names = _list_files(files)
        if files and open_files:
            names += b"/PageMode/UseAttachments"
        metadata = file.add_packed(b"/Type/Metadata/Subtype/XML", _write_metadata(self._title, ua=is_accessible))
        file.add(
            b"<</Type/Catalog/Metadata %d 0 R/Pages %d 0 R/Lang%s/MarkInfo<</Marked true>>/StructTreeRoot %d 0 R"
            b"/ViewerPreferences<</DisplayDocTitle true>>/Extensions<</ADBE<</BaseVersion/1.7/ExtensionLevel 8>>>>%s>>"
            % (metadata, page_tree, literal(self.template.wording.language), tree, names),
            catalog,
        )
        # A neutral title and the time, no producer: the envelope says nothing about software or host.
        stamp = (moment or datetime.now(UTC)).astimezone(UTC).strftime("D:%Y%m%d%H%M%SZ")
        info = file.add(b"<</Title%s/CreationDate(%s)>>" % (literal(self._title), stamp.encode()))
        return file.finish(catalog, info)

    def _write_resources(self, number: int) -> None:
        faces: dict[str, Face] = {}
        forms: dict[str, int] = {}
        for canvas in self._canvases:
            faces.update(canvas.faces)
            forms.update(canvas.forms)
        fonts = b"".join([b"/%s %d 0 R" % (name.encode(), self._write_font(name)) for name in sorted(faces)])
        objects = b"".join([b"/%s %d 0 R" % (name.encode(), form) for name, form in sorted(forms.items())])
        self.file.add(b"<</Font<<%s>>/XObject<<%s>>>>" % (fonts, objects), number)

    def _write_font(self, name: str) -> int:
        file, objects = self.file, self.template.font_objects[name]
        program = file.add_stream(b"/Filter/FlateDecode/Length1 %d" % objects.program_size, objects.program)
        to_unicode = file.add_stream(b"/Filter/FlateDecode", objects.to_unicode)
        descriptor = file.add(b"<<%s/FontFile2 %d 0 R>>" % (objects.descriptor, program))
        descendant = file.add(b"<<%s/FontDescriptor %d 0 R>>" % (objects.descendant, descriptor))
        return file.add(b"<<%s/DescendantFonts[%d 0 R]/ToUnicode %d 0 R>>" % (objects.font, descendant, to_unicode))


def _list_files(files: Sequence[EmbeddedFile]) -> bytes:
    """Return the catalog's entries for embedded files."""
    if not files:
        return b""
    # ASCII keys of one length keep the order of the mail (7.9.6), and some readers are confused by others.
    width = max(4, len(str(len(files))))
    entries = b" ".join([b"(%0*d) %d 0 R" % (width, place, item.specification) for place, item in enumerate(files)])
    references = b" ".join([b"%d 0 R" % item.specification for item in files])
    return b"/Names<</EmbeddedFiles<</Names[%s]>>>>/AF[%s]" % (entries, references)


def _write_metadata(title: str, *, ua: bool) -> bytes:
    """Return the XMP packet: the neutral title, and PDF/UA-1 (ISO 14289-1 section 5) where it is kept."""
    part = '<pdfuaid:part xmlns:pdfuaid="http://www.aiim.org/pdfua/ns/id/">1</pdfuaid:part>' if ua else ""
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title><rdf:Alt><rdf:li xml:lang="x-default">'
        f"{escape(title)}</rdf:li></rdf:Alt></dc:title>{part}</rdf:Description></rdf:RDF></x:xmpmeta>"
        '<?xpacket end="r"?>'
    ).encode()
