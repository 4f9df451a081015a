"""Item: a signed thing from browser to relay (sealed-mailbox 8, 16).

sealed = HPKE(card.reply, info LL1/up, Ed25519(LL1/sign/up U) || U). Addresses never come from the browser.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from relay.core.wire import hpke
from relay.core.wire.errors import SealedDataError
from relay.core.wire.pae import encode_b64, encode_pae
from relay.core.wire.sealed.capsule import HpkeSeal
from relay.core.wire.sealed.card import Card
from relay.core.wire.sealed.errors import CODES, MailboxDataError
from relay.core.wire.sealed.gcm import KEY_LENGTH
from relay.core.wire.sealed.heads import MAX_HEAD, MAX_SEALED_HEAD, Part, read_parts, write_parts
from relay.core.wire.sealed.jsontext import Fields, write_object
from relay.core.wire.sealed.seed import SeedKeys
from relay.core.wire.sealed.signing import (
    SIGN_UP,
    SIGNATURE_LENGTH,
    sign_ed25519,
    verify_ed25519,
)

KINDS = ("reply", "read", "deleted", "damaged", "close")
MODES = ("browser", "server")
TO = ("sender", "all")


@dataclass(frozen=True, slots=True)
class Item:
    """An item's fields. `re` is the manifest's id and None for close; the last four are a reply's, `code` damaged's."""

    kind: str
    portal: str
    box: str
    gen: int
    id: str
    card: int
    time: str
    mode: str
    re: str | None
    to: str = "sender"
    subject: str = ""
    key: bytes = field(default=b"", repr=False)
    parts: tuple[Part, ...] = ()
    code: str = ""

    def encode(self) -> bytes:
        """Return U. Raises ValueError for fields that do not go with the kind, MailboxDataError `size`."""
        if (
            self.kind not in KINDS
            or self.mode not in MODES
            or self.to not in TO
            or (self.kind == "close") != (self.re is None)
            or (self.kind == "reply") != (len(self.key) == KEY_LENGTH)
        ):
            raise ValueError("fields that do not go with the item's kind")
        values: dict[str, Any] = {
            "v": 1,
            "dir": "up",
            "kind": self.kind,
            "portal": self.portal,
            "box": self.box,
            "gen": self.gen,
            "id": self.id,
            "card": self.card,
            "time": self.time,
            "mode": self.mode,
        }
        if self.re is not None:
            values["re"] = self.re
        if self.kind == "reply":
            values |= {
                "to": self.to,
                "subject": self.subject,
                "key": encode_b64(self.key),
                "parts": write_parts(self.parts),
            }
        if self.kind == "damaged":
            values["code"] = self.code
        octets = write_object(values)
        if len(octets) > MAX_HEAD:
            raise MailboxDataError("size", "item: too large")
        return octets


def up_info(portal: str, box: str, gen: int, id_: str, card: int) -> bytes:
    """HPKE info of an item."""
    return encode_pae("LL1/up", portal, box, gen, id_, card)


def seal_up(item: Item, keys: SeedKeys, card: Card, *, seal: HpkeSeal = hpke.seal) -> bytes:
    """Return the sealed item, as the browser makes it. Raises ValueError, MailboxDataError `size`."""
    octets = item.encode()
    signature = sign_ed25519(keys.sign_private, SIGN_UP, octets)
    info = up_info(item.portal, item.box, item.gen, item.id, item.card)
    return seal(hpke.SUITE_P256, card.reply, info, signature + octets)


def open_up(
    untrusted_sealed: bytes,
    open_info: Callable[[bytes, bytes], bytes],
    *,
    sign: bytes,
    portal: str,
    box: str,
    gen: int,
    id_: str,
    card: int,
) -> Item:
    """Open and verify as the relay does; the named values are the outer ones, `sign` is the generation's public key.

    `open_info(info, sealed)` uses the card's reply key: raise SealedDataError from it when the seal does not open; all
    else it raises passes through, as keyd's temporary faults must. Whether the generation, card and `re` may be used,
    and policy, are the caller's to check. Raises MailboxDataError: `size`, `auth`, `signature`, `format`, `version`,
    `binding`, `unknown`, `duplicate`.
    """
    if len(untrusted_sealed) > MAX_SEALED_HEAD:
        raise MailboxDataError("size", "item: too large")
    try:
        opened = open_info(up_info(portal, box, gen, id_, card), untrusted_sealed)
    except MailboxDataError:
        raise
    except SealedDataError as error:
        raise MailboxDataError("auth", "item: does not open in this place") from error
    if len(opened) < SIGNATURE_LENGTH:
        raise MailboxDataError("format", "item: too short")
    signature, octets = opened[:SIGNATURE_LENGTH], opened[SIGNATURE_LENGTH:]
    verify_ed25519(sign, SIGN_UP, octets, signature)
    fields = Fields.read(octets, MAX_HEAD)
    found = (fields.text("portal"), fields.text("box"), fields.number("gen"), fields.text("id"), fields.number("card"))
    if fields.text("dir") != "up" or found != (portal, box, gen, id_, card):
        raise MailboxDataError("binding", "item: made for another place")
    return _read_item(fields)


def _read_item(fields: Fields) -> Item:
    kind = fields.check("kind", KINDS, "unknown")
    is_reply = kind == "reply"
    return Item(
        kind=kind,
        portal=fields.id("portal"),
        box=fields.id("box"),
        gen=fields.number("gen"),
        id=fields.id("id"),
        card=fields.number("card"),
        time=fields.time("time"),
        mode=fields.check("mode", MODES, "unknown"),
        re=fields.id("re") if kind != "close" else None,
        to=fields.check("to", TO) if is_reply and fields.has("to") else "sender",
        subject=fields.text("subject") if is_reply else "",
        key=fields.octets("key", KEY_LENGTH) if is_reply else b"",
        parts=read_parts(fields) if is_reply else (),
        code=fields.check("code", CODES) if kind == "damaged" else "",
    )
