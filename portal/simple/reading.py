"""What a visit reads: manifests opened and verified, bodies, files. Nothing is stored (sealed-mailbox 7, 9, 11, 16).

Parses no mail: an HTML body is handed on as the relay sealed it, for a sandbox in which nothing runs and nothing loads.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from portal.context import Portal
from portal.mailbox.reading import page_of_messages
from portal.security.errors import ApiError
from portal.simple.visits import Visit
from portal.store.boxes import BoxRow
from portal.store.chunks import ChunkName, read_chunk
from portal.store.messages import MESSAGE, find_message
from relay.core.wire.pae import decode_b64
from relay.core.wire.sealed import (
    MailboxDataError,
    MailHead,
    Manifest,
    Part,
    PartOpener,
    count_chunks,
    open_down,
    parse_time,
)

PAGE = 100
"""Rows of a page: mails, receipts and words about the account together."""
BODY_LIMIT = 8 * 1024 * 1024
"""Octets of a body, and of all pictures in it, that a page shows; more is there as a file."""
PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp")
_CID = re.compile(rb"(?<=src=[\"'])cid:([^\"'\s<>]{1,200})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Row:
    """A listed message; without `mail` it could not be verified, and `code` says why."""

    id: str
    no: int
    is_seen: bool
    time: int
    """In milliseconds."""
    mail: MailHead | None
    code: str = ""
    is_withdrawn: bool = False
    """The organisation has withdrawn the card that it names; it knows, so nothing is reported (sealed-mailbox 6)."""

    @property
    def reference(self) -> str:
        """Return what a reader names by phone."""
        return self.id[:8]


@dataclass(frozen=True, slots=True)
class Inbox:
    """One page. `account` is confirmed, not-yet or somebody-else: with the last nothing is shown."""

    rows: Sequence[Row]
    next: int | None
    account: str
    is_behind: bool
    """A message names a newer card than there is: nothing may be sealed."""


def read_inbox(portal: Portal, visit: Visit, before: int) -> Inbox:
    """Return a page, newest first."""
    page = page_of_messages(portal, visit.box, before, PAGE)
    rows: list[Row] = []
    fits = visit.opened.capsule.by == "relay"
    is_other = is_shut = False
    own = visit.opened.keys
    for listed in page["messages"]:
        is_own = listed["gen"] == own.gen
        head = (listed["id"], listed["no"], listed["seen"])
        try:
            manifest = _open(visit, decode_b64(listed["sealed"]), listed["id"], listed["gen"], listed["no"])
        except MailboxDataError as error:
            is_shut = is_shut or (is_own and error.code == "auth")
            rows.append(_refuse(visit, head, error.code, listed["card"]))
            continue
        fits = fits or is_own
        if manifest.of is not None and manifest.of.gen == own.gen:
            is_other = is_other or (manifest.of.enc, manifest.of.sign) != (own.enc, own.sign)
        if manifest.kind == "mail":
            rows.append(Row(*head, parse_time(manifest.time), manifest.mail))
    account = "somebody-else" if is_other or (is_shut and not fits) else "confirmed" if fits else "not-yet"
    is_behind = any(listed["card"] > visit.cards.newest.serial for listed in page["messages"])
    following = page["messages"][-1]["no"] if page["more"] else None
    return Inbox(rows, following, account, is_behind)


def _refuse(visit: Visit, head: tuple[str, int, bool], code: str, card: int) -> Row:
    return Row(*head, 0, None, code, is_withdrawn=code == "card" and card in visit.cards.newest.distrust)


def _open(visit: Visit, sealed: bytes, id_: str, gen: int, no: int) -> Manifest:
    return open_down(sealed, visit.opened.seed_keys(gen), visit.cards, id_=id_, no=no)


def open_message(portal: Portal, visit: Visit, id_: str) -> Row:
    """Return one message. Raises ApiError 404; one that fails has no `mail`."""
    with portal.store.main.read() as connection:
        row = find_message(connection, visit.box.id, id_)
    sealed = portal.store.rows.open(MESSAGE, visit.box.id, id_, row.sealed) if row is not None else None
    is_over = row is not None and row.expires is not None and row.expires <= portal.clock.now_ms()
    if row is None or sealed is None or is_over:
        raise ApiError(404, "unknown")
    try:
        manifest = _open(visit, sealed, row.id, row.gen, row.no)
    except MailboxDataError as error:
        return _refuse(visit, (row.id, row.no, row.is_seen), error.code, row.card)
    if manifest.mail is None or manifest.kind != "mail":
        raise ApiError(404, "unknown")
    return Row(row.id, row.no, row.is_seen, parse_time(manifest.time), manifest.mail)


# --- parts ------------------------------------------------------------------------------------------------------------


def find_part(mail: MailHead, i: int) -> Part:
    """Return a part by its number. Raises ApiError 404."""
    for part in mail.parts:
        if part.i == i:
            return part
    raise ApiError(404, "unknown")


def find_body(mail: MailHead) -> Part | None:
    """Return the part that a page shows: HTML, else text, unless it is too large."""
    for role in ("html", "text"):
        for part in mail.parts:
            if part.role == role and part.size <= BODY_LIMIT:
                return part
    return None


def list_files(mail: MailHead) -> list[Part]:
    """Return what is offered for saving: files, and a body that is too large to be shown."""
    return [
        part for part in mail.parts if part.role == "file" or (part.role in ("html", "text") and part.size > BODY_LIMIT)
    ]


def stream_part(portal: Portal, box: BoxRow, message: Row, part: Part) -> Iterator[bytes]:
    """Yield a part's chunks, each verified as it comes. Raises MailboxDataError."""
    assert message.mail is not None
    opener = PartOpener(message.mail.key, message.id, part.i, part.size)
    for n in range(count_chunks(part.size)):
        with portal.store.main.read() as connection:
            sealed = read_chunk(connection, ChunkName(box.id, "down", message.id, part.i, n))
        if sealed is None:
            raise MailboxDataError("size", "part: a chunk is missing")
        yield opener.open_next(sealed)
    opener.finish()


def check_part(portal: Portal, box: BoxRow, message: Row, part: Part) -> None:
    """Verify a part to its end, one chunk in memory: nothing is handed to a reader before. Raises MailboxDataError."""
    for _chunk in stream_part(portal, box, message, part):
        pass


def read_part(portal: Portal, box: BoxRow, message: Row, part: Part) -> bytes:
    """Return a whole small part. Raises MailboxDataError."""
    return b"".join(stream_part(portal, box, message, part))


def read_text(portal: Portal, box: BoxRow, message: Row, part: Part) -> str:
    """Return a text part. Raises MailboxDataError."""
    return read_part(portal, box, message, part).decode("utf-8", "replace")


def read_html(portal: Portal, box: BoxRow, message: Row, part: Part) -> bytes:
    """Return an HTML part as the relay cleaned and sealed it, its own pictures in place. Raises MailboxDataError."""
    assert message.mail is not None
    pictures = {one.name: one for one in message.mail.parts if one.role == "inline" and one.type in PICTURES}
    left = BODY_LIMIT
    shown: dict[str, bytes] = {}

    def put_picture(found: re.Match[bytes]) -> bytes:
        nonlocal left
        name = unquote_to_bytes(found[1]).decode("utf-8", "replace")
        picture = pictures.get(name)
        if name not in shown and picture is not None and picture.size <= left:
            left -= picture.size
            octets = base64.b64encode(read_part(portal, box, message, picture))
            shown[name] = b"data:" + picture.type.encode() + b";base64," + octets
        return shown.get(name, b"cid:")

    return _CID.sub(put_picture, read_part(portal, box, message, part))
