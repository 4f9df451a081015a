"""Objects of a foreign PDF, taken over into ours with new numbers.

A page of a logo file, the artwork of a template or the body pages of the renderer are read with pikepdf once, frozen to
octets with gaps where object numbers stand, and thawed into any number of documents. Only what is reached from the
objects asked for comes along; actions and files never do.

Sources: ISO 32000-1:2008 sections 7.3 (objects), 8.10 (form XObjects).
"""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass
from typing import Any

import pikepdf

from .container import PdfFile

_DROPPED = frozenset({"/AA", "/A", "/OpenAction", "/JS", "/EF", "/Metadata", "/PieceInfo", "/Thumb", "/StructParent"})
_EXTERNAL = frozenset({"/Length", "/F", "/FFilter", "/FDecodeParms", "/DL"})
_DECODED = _EXTERNAL | {"/Filter", "/DecodeParms"}
_KEPT_FILTERS = frozenset({"/FlateDecode", "/DCTDecode", "/JPXDecode", "/CCITTFaxDecode", "/RunLengthDecode"})
_MAX_DEPTH = 60


@dataclass(frozen=True, slots=True)
class FrozenObject:
    """An object as octets. `parts` are what stands around the references, `refs` the indexes they point to."""

    parts: tuple[bytes, ...]
    refs: tuple[int, ...]
    data: bytes | None
    """Content of a stream as it is to be stored; `parts` then are the inside of its dictionary."""


class Freezer:
    """Freezes objects of open pikepdf documents, one after the other."""

    def __init__(self) -> None:
        self._frozen: list[FrozenObject | None] = []
        self._known: dict[tuple[int, int], int] = {}
        self._waiting: list[tuple[int, Any]] = []

    def begin_document(self) -> None:
        """Object numbers now mean those of another document."""
        self._known.clear()

    def freeze(self, value: Any) -> int:
        """Take an indirect object, with all it refers to; return its index in the bundle."""
        index = self._index(value)
        self._work()
        return index

    def freeze_parts(self, value: Any) -> tuple[tuple[bytes, ...], tuple[int, ...]]:
        """Take a value itself, direct or not; return its octets around references."""
        pieces = _Pieces()
        self._serialise(value, pieces, 0, top=True)
        self._work()
        return pieces.close()

    def bundle(self) -> tuple[FrozenObject, ...]:
        """Return all frozen objects by index."""
        return tuple(item for item in self._frozen if item is not None)

    def _index(self, value: Any) -> int:
        key: tuple[int, int] = value.objgen
        if key not in self._known:
            self._known[key] = len(self._frozen)
            self._frozen.append(None)
            self._waiting.append((self._known[key], value))
        return self._known[key]

    def _work(self) -> None:
        while self._waiting:
            index, value = self._waiting.pop()
            pieces = _Pieces()
            data = None
            if isinstance(value, pikepdf.Stream):
                if _is_plain(value):
                    # Content that every reader decodes is taken as it is: nothing untrusted is inflated here.
                    data = bytes(value.read_raw_bytes())
                    self._entries(value, pieces, 0, _EXTERNAL)
                else:
                    data, filters = _decode_stream(value)
                    pieces.add(filters)
                    self._entries(value, pieces, 0, _DECODED)
            else:
                self._serialise(value, pieces, 0, top=True)
            self._frozen[index] = FrozenObject(*pieces.close(), data)

    def _entries(self, value: Any, pieces: _Pieces, depth: int, without: frozenset[str]) -> None:
        for name, entry in value.items():
            if name in _DROPPED or name in without:
                continue
            pieces.add(pikepdf.Name(name).unparse())
            pieces.add(b" ")
            self._serialise(entry, pieces, depth + 1)

    def _serialise(self, value: Any, pieces: _Pieces, depth: int, *, top: bool = False) -> None:
        if depth > _MAX_DEPTH:
            raise ValueError("objects are nested too deep")
        if not top and isinstance(value, pikepdf.Object) and value.is_indirect:
            pieces.refer(self._index(value))
        elif isinstance(value, pikepdf.Dictionary):
            pieces.add(b"<<")
            self._entries(value, pieces, depth, frozenset())
            pieces.add(b">>")
        elif isinstance(value, pikepdf.Array):
            pieces.add(b"[")
            for entry in value:
                self._serialise(entry, pieces, depth + 1)
                pieces.add(b" ")
            pieces.add(b"]")
        else:
            pieces.add(_scalar(value))


class _Pieces:
    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._refs: list[int] = []
        self._current: list[bytes] = []

    def add(self, octets: bytes) -> None:
        self._current.append(octets)

    def refer(self, index: int) -> None:
        self._parts.append(b"".join(self._current))
        self._current = []
        self._refs.append(index)

    def close(self) -> tuple[tuple[bytes, ...], tuple[int, ...]]:
        self._parts.append(b"".join(self._current))
        return tuple(self._parts), tuple(self._refs)


def thaw(file: PdfFile, bundle: tuple[FrozenObject, ...], base: int | None = None) -> int:
    """Write all objects of a bundle; index i becomes the returned number plus i (`base`, if already reserved)."""
    if base is None:
        base = file.reserve_many(len(bundle))
    for index, item in enumerate(bundle):
        body = thaw_parts(item.parts, item.refs, base)
        if item.data is None:
            file.add(body, base + index)
        else:
            file.add_stream(body, item.data, base + index)
    return base


def thaw_parts(parts: tuple[bytes, ...], refs: tuple[int, ...], base: int) -> bytes:
    """Fill the gaps of frozen octets."""
    if not refs:
        return parts[0]
    pieces = [parts[0]]
    for ref, part in zip(refs, parts[1:], strict=True):
        pieces.append(b"%d 0 R" % (base + ref))
        pieces.append(part)
    return b"".join(pieces)


def _scalar(value: Any) -> bytes:
    if value is None:
        return b"null"
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if isinstance(value, pikepdf.Object):
        return bytes(value.unparse())
    return str(value).encode("ascii")


def _is_plain(stream: Any) -> bool:
    """Tell whether the content can be stored as it is: at least one filter, and only ones that readers share."""
    filters = _as_list(stream.get("/Filter"))
    return bool(filters) and all(str(name) in _KEPT_FILTERS for name in filters)


def _decode_stream(stream: Any) -> tuple[bytes, bytes]:
    """Return content and filter entries: pictures stay JPEG, all else is deflated."""
    filters = [str(name) for name in _as_list(stream.get("/Filter"))]
    if filters[-2:] == ["/ASCII85Decode", "/DCTDecode"]:
        text = bytes(stream.read_raw_bytes()).strip()
        return base64.a85decode(text if text.startswith(b"<~") else b"<~" + text, adobe=True), b"/Filter/DCTDecode"
    return zlib.compress(bytes(stream.read_bytes()), 6), b"/Filter/FlateDecode"


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, pikepdf.Array) else [value]
