"""One page being drawn: operators, tags, links, the fonts and pictures it uses.

Coordinates are points from the lower left corner. Everything drawn is either inside a tagged element or an artifact.
It must not decide where anything stands: layout belongs to the callers.

Sources: ISO 32000-1:2008 sections 8 (graphics), 9.4 (text objects), 12.5.6.5 (link annotations), 14.6 (marked content).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .container import PdfFile, literal
from .fonts import Face, FontSet
from .structure import Mark, ObjectKid, ParentTree, StructNode

PAGE_WIDTH = 595.276
PAGE_HEIGHT = 841.89
MARGIN = 56.693
"""20 mm."""
TEXT_WIDTH = PAGE_WIDTH - 2 * MARGIN
FOOT_LINE = 50.0
"""Height of the line above the foot."""

_CURVE = 0.5523


@dataclass(frozen=True, slots=True)
class Colour:
    """A fill and stroke colour as PDF operators."""

    fill: str
    stroke: str


def parse_colour(value: str) -> Colour:
    """Return the operators of #rrggbb. Raises ValueError."""
    if len(value) != 7 or value[0] != "#":
        raise ValueError("a colour is written #rrggbb")
    numbers = " ".join(f"{int(value[place : place + 2], 16) / 255:.3f}" for place in (1, 3, 5))
    return Colour(f"{numbers} rg", f"{numbers} RG")


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in points."""

    left: float
    bottom: float
    right: float
    top: float


@dataclass(frozen=True, slots=True)
class TextStyle:
    """How a run of text looks; `size` in points."""

    face: Face
    size: float
    colour: Colour


@dataclass(frozen=True, slots=True)
class LinkAnnotation:
    """A link on a page; `uri` is ASCII and allowed, `label` names its target for screen readers."""

    number: int
    box: Box
    uri: str
    label: str
    node: StructNode

    def write(self, file: PdfFile, page: int, parents: ParentTree) -> None:
        """Write a plain /Link with a /URI action: the only kind that every reader follows."""
        key = parents.reserve()
        parents.set_object(key, self.node)
        box = self.box
        file.add(
            b"<</Type/Annot/Subtype/Link/P %d 0 R/Rect[%.2f %.2f %.2f %.2f]/Border[0 0 0]/F 4/StructParent %d"
            b"/Contents%s/A<</S/URI/URI%s>>>>"
            % (page, box.left, box.bottom, box.right, box.top, key, literal(self.label), literal(self.uri)),
            self.number,
        )


class PageCanvas:
    """Collects one A4 page. `number` is its object number."""

    def __init__(self, number: int, fonts: FontSet) -> None:
        self.number = number
        self.fonts = fonts
        self.faces: dict[str, Face] = {}
        self.forms: dict[str, int] = {}
        self._operators: list[str] = []
        self._owners: list[StructNode] = []
        self._links: list[LinkAnnotation] = []

    @property
    def overlay(self) -> PageCanvas:
        """Running head and foot are drawn on the page itself."""
        return self

    # -- tags

    def begin(self, node: StructNode) -> None:
        """Open marked content that belongs to `node`."""
        mcid = len(self._owners)
        self._owners.append(node)
        node.kids.append(Mark(self.number, mcid))
        self._operators.append(f"/{node.tag} <</MCID {mcid}>>BDC")

    def begin_artifact(self) -> None:
        """Open content that a screen reader passes over."""
        self._operators.append("/Artifact BMC")

    def end(self) -> None:
        """Close what begin or begin_artifact opened."""
        self._operators.append("EMC")

    # -- text

    def text(self, x: float, y: float, text: str, style: TextStyle) -> float:
        """Draw one line with its base line at y; return its advance."""
        self._operators.append("BT")
        advance = self.show(x, y, text, style)
        self._operators.append("ET")
        return advance

    def open_text(self) -> None:
        """Begin a text object; show() may then be called many times."""
        self._operators.append("BT")

    def close_text(self) -> None:
        """End the text object."""
        self._operators.append("ET")

    def show(self, x: float, y: float, text: str, style: TextStyle) -> float:
        """Show a run inside a text object; return its advance. Characters that no face has become boxes."""
        face, size = style.face, style.size
        runs = [(face, text)] if face.characters.issuperset(text) else self.fonts.split(text, face)
        operators = [f"{style.colour.fill} 1 0 0 1 {x:.2f} {y:.2f} Tm"]
        advance = 0.0
        hidden = False
        for run_face, run in runs:
            self.faces[run_face.resource] = run_face
            operators.append(f"/{run_face.resource} {size:g} Tf <{run_face.encode(run)}> Tj")
            advance += run_face.width(run, size)
            hidden = hidden or (run != text and not self.fonts.draws(text))
        if hidden:
            # The boxes stand for text that no font here has: search, copy and screen readers get the real one (14.9.4).
            actual = text.encode("utf-16-be", "replace").hex()
            operators = [f"/Span <</ActualText <FEFF{actual}>>>BDC", *operators, "EMC"]
        self._operators.extend(operators)
        return advance

    # -- shapes

    def rectangle(self, x: float, y: float, width: float, height: float, colour: Colour) -> None:
        """Fill a rectangle."""
        self._operators.append(f"{colour.fill} {x:.2f} {y:.2f} {width:.2f} {height:.2f} re f")

    def line(self, x: float, y: float, width: float, colour: Colour, weight: float = 0.6) -> None:
        """Stroke a horizontal line."""
        self._operators.append(f"{colour.stroke} {weight:g} w {x:.2f} {y:.2f} m {x + width:.2f} {y:.2f} l S")

    def rounded(self, box: Box, radius: float, colour: Colour) -> None:
        """Fill a rectangle with round corners."""
        x, y, right, top = box.left, box.bottom, box.right, box.top
        bend = radius * (1 - _CURVE)
        self._operators.append(
            f"{colour.fill} {x + radius:.2f} {y:.2f} m {right - radius:.2f} {y:.2f} l "
            f"{right - bend:.2f} {y:.2f} {right:.2f} {y + bend:.2f} {right:.2f} {y + radius:.2f} c "
            f"{right:.2f} {top - radius:.2f} l "
            f"{right:.2f} {top - bend:.2f} {right - bend:.2f} {top:.2f} {right - radius:.2f} {top:.2f} c "
            f"{x + radius:.2f} {top:.2f} l "
            f"{x + bend:.2f} {top:.2f} {x:.2f} {top - bend:.2f} {x:.2f} {top - radius:.2f} c "
            f"{x:.2f} {y + radius:.2f} l "
            f"{x:.2f} {y + bend:.2f} {x + bend:.2f} {y:.2f} {x + radius:.2f} {y:.2f} c f"
        )

    def form(self, name: str, number: int) -> None:
        """Draw a form or image XObject under the current matrix."""
        self.forms[name] = number
        self._operators.append(f"/{name} Do")

    def raw(self, operators: str) -> None:
        """Add operators as they are."""
        self._operators.append(operators)

    def link(self, file: PdfFile, boxes: Sequence[Box], node: StructNode, uri: str, label: str) -> None:
        """Add a link annotation per box (see LinkAnnotation)."""
        for box in boxes:
            number = file.reserve()
            node.kids.append(ObjectKid(self.number, number))
            self._links.append(LinkAnnotation(number, box, uri, label, node))

    # -- writing

    def write(self, file: PdfFile, parent: int, resources: int, parents: ParentTree) -> None:
        """Write content, links and the page object itself; `resources` is an object number."""
        content = file.add_packed(b"", self._content())
        key = parents.reserve()
        parents.set_page(key, self._owners)
        annotations = b" ".join([b"%d 0 R" % link.number for link in self._links])
        file.add(
            b"<</Type/Page/Parent %d 0 R/MediaBox[0 0 %.3f %.3f]/Resources %d 0 R/Contents %d 0 R/StructParents %d"
            b"/Tabs/S%s>>"
            % (
                parent,
                PAGE_WIDTH,
                PAGE_HEIGHT,
                resources,
                content,
                key,
                b"/Annots[%s]" % annotations if annotations else b"",
            ),
            self.number,
        )
        for link in self._links:
            link.write(file, self.number, parents)

    def write_form(self, file: PdfFile, resources: int) -> int:
        """Write the drawing as a form XObject that is laid over another page; it must hold artifacts only."""
        assert not self._owners
        assert not self._links
        entries = b"/Type/XObject/Subtype/Form/BBox[0 0 %.3f %.3f]/Resources %d 0 R"
        return file.add_packed(entries % (PAGE_WIDTH, PAGE_HEIGHT, resources), self._content())

    def _content(self) -> bytes:
        return "\n".join(self._operators).encode("ascii")
