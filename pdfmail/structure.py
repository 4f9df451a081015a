"""The structure tree: what a screen reader reads, in which order.

Nodes are collected while pages are drawn and written once at the end. Content that is only decoration is an artifact
and has no node. It must not know how anything looks.

Sources: ISO 32000-1:2008 section 14.7 (logical structure), 14.8 (tagged PDF); ISO 14289-1 (PDF/UA-1) for the direction.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .container import PdfFile, literal


@dataclass(slots=True)
class StructNode:
    """One structure element. Kids are nodes, marks on pages or annotations, in reading order."""

    tag: str
    kids: list[StructNode | Mark | ObjectKid] = field(default_factory=list)
    alt: str = ""
    actual_text: str = ""
    language: str = ""
    attributes: bytes = b""
    """Inside of an attribute object, e.g. /O/Table/Scope/Column."""
    number: int = 0

    def child(self, tag: str, *, alt: str = "", actual_text: str = "", attributes: bytes = b"") -> StructNode:
        """Append and return a new node."""
        node = StructNode(tag, alt=alt, actual_text=actual_text, attributes=attributes)
        self.kids.append(node)
        return node


@dataclass(frozen=True, slots=True)
class Mark:
    """Marked content `mcid` on the page with object number `page`."""

    page: int
    mcid: int


@dataclass(frozen=True, slots=True)
class ObjectKid:
    """An annotation (object number) on a page."""

    page: int
    annotation: int


class ParentTree:
    """Which structure element owns which marked content (14.7.4.4). Keys are given out in order."""

    def __init__(self) -> None:
        self._entries: list[list[StructNode] | dict[int, StructNode] | StructNode | None] = []

    def __len__(self) -> int:
        return len(self._entries)

    def reserve(self) -> int:
        """Return the next key; fill it with set_page, set_numbers or set_object."""
        self._entries.append(None)
        return len(self._entries) - 1

    def set_page(self, key: int, owners: list[StructNode]) -> None:
        """Give the owner of each MCID of a page, by MCID."""
        self._entries[key] = owners

    def set_object(self, key: int, owner: StructNode) -> None:
        """Give the owner of an annotation."""
        self._entries[key] = owner

    def set_numbers(self, key: int, owners: dict[int, StructNode]) -> None:
        """Give the owners of a page whose MCIDs may have gaps."""
        self._entries[key] = owners

    def body(self) -> bytes:
        """Return the number tree; all nodes are numbered by then."""
        pieces: list[bytes] = []
        for key, entry in enumerate(self._entries):
            if entry is None:
                value = b"null"
            elif isinstance(entry, StructNode):
                value = b"%d 0 R" % entry.number
            elif isinstance(entry, dict):
                owners = [entry.get(mcid) for mcid in range(max(entry, default=-1) + 1)]
                value = b"[%s]" % b" ".join([b"%d 0 R" % node.number if node else b"null" for node in owners])
            else:
                value = b"[%s]" % b" ".join([b"%d 0 R" % node.number for node in entry])
            pieces.append(b"%d %s" % (key, value))
        return b"<</Nums[%s]>>" % b" ".join(pieces)


def number_nodes(file: PdfFile, root: StructNode) -> None:
    """Give every node of the tree an object number."""
    stack = [root]
    while stack:
        node = stack.pop()
        node.number = file.reserve()
        stack.extend([kid for kid in node.kids if isinstance(kid, StructNode)])


def write_structure(file: PdfFile, root: StructNode, parents: ParentTree) -> int:
    """Write the numbered tree under /StructTreeRoot and return that object's number.

    `root` is the Document element.
    """
    tree = file.reserve()
    stack = [(root, tree)]
    while stack:
        node, parent = stack.pop()
        file.add(_node_body(node, parent), node.number)
        stack.extend([(kid, node.number) for kid in node.kids if isinstance(kid, StructNode)])
    parent_tree = file.add(parents.body())
    file.add(
        b"<</Type/StructTreeRoot/K %d 0 R/ParentTree %d 0 R/ParentTreeNextKey %d>>"
        % (root.number, parent_tree, len(parents)),
        tree,
    )
    return tree


def _node_body(node: StructNode, parent: int) -> bytes:
    page = next((kid.page for kid in node.kids if isinstance(kid, Mark)), 0)
    kids: list[bytes] = []
    for kid in node.kids:
        if isinstance(kid, Mark):
            if kid.page == page:
                kids.append(b"%d" % kid.mcid)
            else:
                kids.append(b"<</Type/MCR/Pg %d 0 R/MCID %d>>" % (kid.page, kid.mcid))
        elif isinstance(kid, ObjectKid):
            kids.append(b"<</Type/OBJR/Pg %d 0 R/Obj %d 0 R>>" % (kid.page, kid.annotation))
        else:
            kids.append(b"%d 0 R" % kid.number)
    body = b"<</Type/StructElem/S/%s/P %d 0 R" % (node.tag.encode(), parent)
    if page:
        body += b"/Pg %d 0 R" % page
    if kids:
        body += b"/K " + kids[0] if len(kids) == 1 else b"/K[%s]" % b" ".join(kids)
    if node.alt:
        body += b"/Alt" + literal(node.alt)
    if node.actual_text:
        body += b"/ActualText" + literal(node.actual_text)
    if node.language:
        body += b"/Lang" + literal(node.language)
    if node.attributes:
        body += b"/A<<%s>>" % node.attributes
    return body + b">>"
