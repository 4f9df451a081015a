"""Values of the link API and their strict reading: what the portal answers is untrusted until it went through here.

Must not open, verify or decide anything: relay.mailbox does. Obeys sealed-mailbox 3, 15 and 17 for encoding and sizes.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeGuard

from relay.core.ids import is_id
from relay.link.errors import LinkError
from relay.mailbox.incoming_values import BrokenEntry, Entry, ItemEntry, JoinEntry, PartCount, RekeyEntry, Result

MAX_SEALED = 64 * 1024 + 256
"""Octets of a sealed item: 64 KiB, signature and HPKE's own."""
MAX_CAPSULE = 128 * 1024
MAX_JOIN = 150 * 1000
MAX_PARTS = 100
MAX_CHUNKS = 2048
MAX_INTEGER = 2**53 - 1
MAX_SENT_DAYS = 3650
"""What the portal's setting allows."""
_HASH = re.compile(r"[A-Za-z0-9_-]{43}")


class MalformedAnswerError(LinkError):
    """The portal's answer is not of the agreed shape."""


class End(StrEnum):
    """What `POST boxes/BOX/end` ends."""

    SESSIONS = "sessions"
    FREEZE = "freeze"
    THAW = "thaw"
    EXPIRE = "expire"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class Ack:
    """What the portal is told of an entry."""

    box: str | None
    id: str
    result: Result


@dataclass(frozen=True, slots=True)
class Report:
    """An unsigned hint of the portal."""

    seq: int
    kind: str
    box: str
    count: int
    time: str = ""
    """As sent, untrusted."""
    gen: int | None = None
    """The generation that it is about; None from a portal that does not say."""


@dataclass(frozen=True, slots=True)
class Mark:
    """The portal's mark; `is_waiting`: it takes no login before the relay has compared."""

    number: int | None
    is_waiting: bool
    sent_days: int | None = None
    """How long readers see what they handed over, by the portal's settings; None from one that does not say."""


@dataclass(frozen=True, slots=True)
class HeldBox:
    """What the portal says that it holds of a box."""

    box: str
    gen: int
    sha256: str | None
    state: str
    messages: frozenset[str]


@dataclass(frozen=True, slots=True)
class InventoryPage:
    """One page of the portal's inventory; cards and tokens stand on the first one only."""

    boxes: tuple[HeldBox, ...]
    cards: frozenset[int]
    tokens: frozenset[str]
    has_more: bool


@dataclass(frozen=True, slots=True)
class HeldGenerations:
    """What `GET boxes/BOX` tells: the newest capsule's digest and the kept rekeys, oldest first."""

    gen: int | None
    sha256: str | None
    state: str
    waiting: int
    """Entries that are not acknowledged."""
    rekeys: tuple[RekeyEntry, ...]


def encode_b64(data: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode_b64(untrusted_text: object, most: int) -> bytes:
    """Return the octets of the one good spelling, at most `most` of them. Raises MalformedAnswerError."""
    if not isinstance(untrusted_text, str) or len(untrusted_text) > most * 4 // 3 + 4:
        raise MalformedAnswerError("a sealed value is missing or too long")
    try:
        data = base64.b64decode(untrusted_text + "=" * (-len(untrusted_text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedAnswerError("a value is no base64url") from error
    if encode_b64(data) != untrusted_text or len(data) > most:
        raise MalformedAnswerError("a value is no base64url, or too long")
    return data


def read_outbox(untrusted: Mapping[str, Any]) -> list[Entry]:
    """Return the entries of an outbox answer, in its order; what cannot even be named is left out.

    Raises MalformedAnswerError when the answer is no outbox.
    """
    return [entry for raw in _list(untrusted, "entries") if (entry := _read_entry(raw)) is not None]


def _read_entry(untrusted: object) -> Entry | None:
    try:
        raw = _object(untrusted)
        kind = raw.get("kind")
        seq, entry_id = _integer(raw, "seq"), _id(raw, "id")
        box = None if kind == "join" else _id(raw, "box")
    except MalformedAnswerError:
        # Without a name it could not be acknowledged either.
        return None
    try:
        if kind == "join":
            return JoinEntry(seq, entry_id, _integer(raw, "card"), decode_b64(raw.get("sealed"), MAX_JOIN))
        assert box is not None
        if kind == "rekey":
            return _read_rekey(raw, box, seq, entry_id)
        if kind == "item":
            return ItemEntry(
                box,
                seq,
                entry_id,
                _integer(raw, "gen"),
                _integer(raw, "card"),
                decode_b64(raw.get("sealed"), MAX_SEALED),
                _read_parts(raw.get("parts") or []),
            )
    except MalformedAnswerError:
        pass
    return BrokenEntry(box, seq, entry_id)


def _read_rekey(raw: Mapping[str, Any], box: str, seq: int, entry_id: str) -> RekeyEntry:
    capsule = decode_b64(raw.get("capsule"), MAX_CAPSULE)
    return RekeyEntry(box, seq, entry_id, _integer(raw, "gen"), capsule, decode_b64(raw.get("sig"), 64))


def _read_parts(untrusted: object) -> tuple[PartCount, ...]:
    if not isinstance(untrusted, list) or len(untrusted) > MAX_PARTS:
        raise MalformedAnswerError("parts are no list, or too many")
    found = {}
    for one in untrusted:
        raw = _object(one)
        i, chunks = _integer(raw, "i"), _integer(raw, "chunks")
        if i in found or not 1 <= chunks <= MAX_CHUNKS:
            raise MalformedAnswerError("a part is named twice, or has no sensible size")
        found[i] = PartCount(i, chunks)
    return tuple(found.values())


def read_held_chunks(untrusted: Mapping[str, Any]) -> dict[int, frozenset[int]]:
    """Return the chunks that the portal holds of an id, by part."""
    held: dict[int, frozenset[int]] = {}
    for one in _list(untrusted, "parts"):
        raw = _object(one)
        chunks = raw.get("chunks")
        if not isinstance(chunks, list) or not all(_is_integer(n) for n in chunks):
            raise MalformedAnswerError("chunks are no list of numbers")
        held[_integer(raw, "i")] = frozenset(chunks)
    return held


def read_missing(untrusted: Mapping[str, Any]) -> list[tuple[int, int]]:
    """Return what a 409 says is missing; [] when it says nothing of the kind."""
    missing = untrusted.get("missing")
    if not isinstance(missing, list):
        return []
    return [
        (pair[0], pair[1])
        for pair in missing
        if isinstance(pair, list) and len(pair) == 2 and all(_is_integer(n) for n in pair)
    ]


def read_mark(untrusted: Mapping[str, Any]) -> Mark:
    """Return the mark. Raises MalformedAnswerError."""
    number = untrusted.get("mark")
    if number is not None and not _is_integer(number):
        raise MalformedAnswerError("the mark is no number")
    sent_days = untrusted.get("sent_days")
    is_said = _is_integer(sent_days) and 1 <= sent_days <= MAX_SENT_DAYS
    return Mark(number, untrusted.get("waiting") is True, sent_days if is_said else None)


def read_reports(untrusted: Mapping[str, Any]) -> list[Report]:
    """Return the reports; those of an unknown shape are left out, the others are hints all the same."""
    reports = []
    for one in _list(untrusted, "reports"):
        try:
            raw = _object(one)
            count = raw.get("count")
            box = raw.get("box")
            reports.append(
                Report(
                    _integer(raw, "seq"),
                    str(raw.get("kind"))[:20],
                    box if isinstance(box, str) and is_id(box) else "",
                    count if _is_integer(count) else 0,
                    str(raw.get("time"))[:20],
                    gen if _is_integer(gen := raw.get("gen")) else None,
                )
            )
        except MalformedAnswerError:
            continue
    return reports


def read_inventory(untrusted: Mapping[str, Any]) -> InventoryPage:
    """Return one page. Raises MalformedAnswerError."""
    boxes = []
    for one in _list(untrusted, "boxes"):
        raw = _object(one)
        messages = frozenset(text for text in _list(raw, "messages") if isinstance(text, str) and is_id(text))
        boxes.append(HeldBox(_id(raw, "box"), _integer(raw, "gen"), _hash(raw), str(raw.get("state"))[:10], messages))
    # On the first page only.
    named = {name: _list(untrusted, name) if name in untrusted else () for name in ("cards", "tokens")}
    cards = frozenset(n for n in named["cards"] if _is_integer(n))
    tokens = frozenset(t for t in named["tokens"] if isinstance(t, str) and _HASH.fullmatch(t))
    return InventoryPage(tuple(boxes), cards, tokens, untrusted.get("more") is True)


def read_generations(untrusted: Mapping[str, Any], box: str) -> HeldGenerations:
    """Return what the portal holds of one box. Raises MalformedAnswerError."""
    rekeys = []
    for one in _list(untrusted, "rekeys"):
        raw = _object(one)
        rekeys.append(_read_rekey(raw, box, 0, ""))
    gen = untrusted.get("gen")
    return HeldGenerations(
        gen if _is_integer(gen) else None,
        _hash(untrusted),
        str(untrusted.get("state"))[:10],
        _integer(untrusted, "waiting"),
        tuple(rekeys),
    )


def read_box_conflict(untrusted: Mapping[str, Any]) -> tuple[str | None, int]:
    """Return digest and number of waiting entries of a 409 on a box. Raises MalformedAnswerError."""
    waiting = untrusted.get("waiting")
    return _hash(untrusted), waiting if _is_integer(waiting) else 0


def _object(untrusted: object) -> Mapping[str, Any]:
    if not isinstance(untrusted, dict):
        raise MalformedAnswerError("an object is expected")
    return untrusted


def _list(untrusted: Mapping[str, Any], name: str) -> Sequence[Any]:
    found = untrusted.get(name)
    if not isinstance(found, list):
        raise MalformedAnswerError(f"{name} is no list")
    return found


def _is_integer(untrusted: object) -> TypeGuard[int]:
    return isinstance(untrusted, int) and not isinstance(untrusted, bool) and 0 <= untrusted <= MAX_INTEGER


def _integer(untrusted: Mapping[str, Any], name: str) -> int:
    found = untrusted.get(name)
    if not _is_integer(found):
        raise MalformedAnswerError(f"{name} is no number")
    return found


def _id(untrusted: Mapping[str, Any], name: str) -> str:
    found = untrusted.get(name)
    if not isinstance(found, str) or not is_id(found):
        raise MalformedAnswerError(f"{name} is no id")
    return found


def _hash(untrusted: Mapping[str, Any]) -> str | None:
    found = untrusted.get("sha256")
    if found is None:
        return None
    if not isinstance(found, str) or not _HASH.fullmatch(found):
        raise MalformedAnswerError("sha256 is no digest")
    return found
