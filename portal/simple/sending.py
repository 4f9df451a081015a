"""What a visit sends: signed items with mode `server`, and answers whose files are sealed while they come in.

A form with files is read as a stream (RFC 7578) straight into sealed chunks: nothing of it is on disk in the clear, and
at most one chunk is in memory. Fields stand in the order in which the page has them, the token first.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import IO, Literal

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder, NeedData

from portal.context import Portal
from portal.mailbox import writing
from portal.security.errors import ApiError
from portal.simple.visits import Visit
from portal.store.boxes import BoxRow
from portal.store.chunks import ChunkName
from relay.core.wire.sealed import (
    CHUNK_SIZE,
    MAX_PARTS,
    SENT,
    Item,
    Part,
    PartSealer,
    count_chunks,
    format_time,
    make_id,
    new_message_key,
    seal_self,
    seal_up,
)

MODE = "server"
FIELD_LIMIT = 1024 * 1024
"""Octets of the answer's text and of all other fields together."""
SPARE = 2 * 1024 * 1024
"""Octets that a form may have beside its files."""
_PIECE = 64 * 1024
_WAITING = 4 * _PIECE
"""Octets that may wait for a boundary or the end of a part's head."""
_PADDING = 1024
"""Octets that may follow a delimiter on its line."""
_NAME_LIMIT = 200


def send_word(portal: Portal, visit: Visit, kind: Literal["read", "damaged"], re: str, *, code: str = "") -> None:
    """Tell the relay, signed, that a message was read or failed. Raises ApiError."""
    item = _make_item(portal, visit, kind, re)
    _send(portal, visit, replace(item, code=code), own=None)


def _make_item(portal: Portal, visit: Visit, kind: str, re: str) -> Item:
    return Item(
        kind=kind,
        portal=portal.portal_id,
        box=visit.box.id,
        gen=visit.opened.keys.gen,
        id=make_id(),
        card=visit.cards.newest.serial,
        time=format_time(portal.clock.now_ms()),
        mode=MODE,
        re=re,
        key=new_message_key() if kind == "reply" else b"",
    )


def _send(portal: Portal, visit: Visit, item: Item, own: bytes | None) -> None:
    sealed = seal_up(item, visit.opened.keys, visit.cards.newest)
    parts = [(part.i, count_chunks(part.size)) for part in item.parts]
    sent = writing.Item(item.id, item.gen, item.card, sealed, own, parts, item.kind, item.re)
    writing.send_item(portal, visit.box, sent, by_server=True)


class _PartWriter:
    """Seals one part and stores its chunks."""

    def __init__(self, portal: Portal, box: BoxRow, item: Item, i: int) -> None:
        self._portal = portal
        self._box = box
        self._place = (item.id, i)
        self._sealer = PartSealer(item.key, item.id, i)
        self._waiting = bytearray()

    def write(self, octets: bytes) -> None:
        self._waiting += octets
        # A full chunk stays until more comes, because only the last one is marked as such.
        while len(self._waiting) > CHUNK_SIZE:
            self._save(self._waiting[:CHUNK_SIZE], last=False)
            del self._waiting[:CHUNK_SIZE]

    def finish(self) -> int:
        """Seal what is left; return the part's octets."""
        self._save(self._waiting, last=True)
        return self._sealer.size

    def _save(self, octets: bytearray, *, last: bool) -> None:
        id_, i = self._place
        name = ChunkName(self._box.id, "up", id_, i, self._sealer.count)
        writing.save_chunk(self._portal, self._box, name, self._sealer.seal_next(octets, last=last), by_server=True)


@dataclass(slots=True)
class Answer:
    """An answer that is being taken in. Its sealed files are stored already; `send` or `drop` ends it."""

    portal: Portal
    visit: Visit
    item: Item
    fields: dict[str, str] = field(default_factory=dict, repr=False)
    files: list[Part] = field(default_factory=list, repr=False)
    octets: int = 0
    """Of all files."""

    @classmethod
    def begin(cls, portal: Portal, visit: Visit, re: str) -> Answer:
        """Begin the answer to a message."""
        return cls(portal, visit, _make_item(portal, visit, "reply", re))

    def read(self, stream: IO[bytes], boundary: bytes, check_token: Callable[[str], None]) -> None:
        """Read the form. `check_token` gets the first field. Raises ApiError 400, 413, 507, and what it raises."""
        decoder = MultipartDecoder(boundary, _WAITING, max_parts=MAX_PARTS + 10)
        reader = _FormReader(self, check_token)
        try:
            for octets in _split_at_boundaries(stream, boundary):
                decoder.receive_data(octets)
                while not isinstance(event := decoder.next_event(), NeedData):
                    reader.take(event)
                    if isinstance(event, Epilogue):
                        return
        except RequestEntityTooLarge as error:
            raise ApiError(413, "size") from error
        except ValueError as error:
            raise ApiError(400, "bad-request") from error

    def take_file(self, untrusted_name: str) -> _PartWriter:
        """Begin a file. Raises ApiError 413."""
        if len(self.files) + 1 >= MAX_PARTS:
            raise ApiError(413, "size")
        i = len(self.files) + 1
        self.files.append(Part(i, "file", clean_name(untrusted_name), "application/octet-stream", 0))
        return _PartWriter(self.portal, self.visit.box, self.item, i)

    def count(self, octets: int) -> None:
        """Count octets of files. Raises ApiError 413."""
        self.octets += octets
        if self.octets > self.portal.settings.limits.message:
            raise ApiError(413, "size")

    def send(self, subject: str) -> None:
        """Seal the text and hand the whole over in one transaction. Raises ApiError."""
        text = self.fields.get("text", "").replace("\r\n", "\n")
        writer = _PartWriter(self.portal, self.visit.box, self.item, 0)
        writer.write(text.encode())
        parts = (Part(0, "text", "", "text/plain", writer.finish()), *self.files)
        to = "all" if self.fields.get("to") == "all" else "sender"
        item = replace(self.item, to=to, subject=subject, parts=parts)
        # Sent in a browser shows it as well.
        own = seal_self(self.visit.opened.keys, SENT, item.id, item.encode())
        _send(self.portal, self.visit, item, own)

    def drop(self) -> None:
        """Forget the chunks that were stored."""
        writing.delete_draft(self.portal, self.visit.box, self.item.id, by_server=True)


def _split_at_boundaries(stream: IO[bytes], boundary: bytes) -> Iterator[bytes | None]:
    """The form in pieces, None at the end, of which none ends within a delimiter's line (RFC 2046 5.1.1).

    The decoder gives the line end before a delimiter to the content when it sees only the line's first half.
    """
    delimiter = b"\r\n--" + boundary
    held = bytearray()
    while octets := stream.read(_PIECE):
        held += octets
        end = _find_safe_end(held, delimiter)
        if len(held) - end > len(delimiter) + _PADDING:
            raise RequestEntityTooLarge
        if end:
            yield bytes(held[:end])
            del held[:end]
    yield bytes(held)
    yield None


def _find_safe_end(held: bytearray, delimiter: bytes) -> int:
    """How many octets come before a delimiter that has begun and whose line has not ended."""
    begun = held.rfind(delimiter)
    if begun >= 0 and held.find(b"\n", begun + len(delimiter)) < 0:
        return begun
    for length in range(min(len(delimiter) - 1, len(held)), 0, -1):
        if held.endswith(delimiter[:length]):
            return len(held) - length
    return len(held)


class _FormReader:
    """Takes the events of one form."""

    def __init__(self, answer: Answer, check_token: Callable[[str], None]) -> None:
        self._answer = answer
        self._check_token = check_token
        self._is_checked = False
        self._name = ""
        self._value = bytearray()
        self._octets = 0
        self._writer: _PartWriter | None = None
        self._is_file = False

    def take(self, event: object) -> None:
        if isinstance(event, Field):
            self._name, self._is_file = event.name, False
            self._value.clear()
        elif isinstance(event, File):
            self._begin_file(event)
        elif isinstance(event, Data):
            self._take_data(event)

    def _begin_file(self, event: File) -> None:
        if not self._is_checked:
            raise ApiError(403, "origin")
        self._is_file = True
        # A browser sends an empty file without a name where none was chosen.
        self._writer = self._answer.take_file(event.filename) if event.filename else None

    def _take_data(self, event: Data) -> None:
        if self._is_file:
            if self._writer is not None:
                self._answer.count(len(event.data))
                self._writer.write(event.data)
                if not event.more_data:
                    files = self._answer.files
                    files[-1] = replace(files[-1], size=self._writer.finish())
            return
        self._value += event.data
        self._octets += len(event.data)
        if self._octets > FIELD_LIMIT:
            raise ApiError(413, "size")
        if not event.more_data:
            self._take_field(self._value.decode("utf-8", "replace"))

    def _take_field(self, value: str) -> None:
        if not self._is_checked:
            # Before anything is stored.
            self._check_token(value if self._name == "token" else "")
            self._is_checked = True
        else:
            self._answer.fields[self._name] = value


def clean_name(untrusted_name: str) -> str:
    """Return a file's name without folders and control characters, at most 200 characters."""
    name = untrusted_name.replace("\\", "/").rpartition("/")[2]
    kept = "".join(one for one in name if unicodedata.category(one) not in ("Cc", "Cf", "Cs"))
    return kept.strip()[:_NAME_LIMIT] or "file"
