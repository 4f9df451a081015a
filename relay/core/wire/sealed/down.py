"""Manifest: the signed head of a message, relay to browser (sealed-mailbox 7, 16).

sealed = HPKE(enc, info LL1/down, ES256(LL1/sign/down M) || M). Each recipient has his own, with its own key and parts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from relay.core.wire import hpke
from relay.core.wire.errors import SealedDataError
from relay.core.wire.pae import encode_b64, encode_pae
from relay.core.wire.sealed.capsule import HpkeSeal
from relay.core.wire.sealed.card import TrustedCards
from relay.core.wire.sealed.errors import MailboxDataError
from relay.core.wire.sealed.gcm import KEY_LENGTH
from relay.core.wire.sealed.heads import (
    MAX_HEAD,
    MAX_SEALED_HEAD,
    Part,
    Person,
    read_parts,
    read_person,
    read_persons,
    write_parts,
    write_person,
    write_persons,
)
from relay.core.wire.sealed.jsontext import Fields, write_object
from relay.core.wire.sealed.seed import SeedKeys
from relay.core.wire.sealed.signing import SIGN_DOWN, SIGNATURE_LENGTH, verify_es256

KINDS = ("mail", "ticket", "receipt", "account")
STATES = ("arrived", "refused")


@dataclass(frozen=True, slots=True)
class Account:
    """The generation that the relay accepted, with its public keys."""

    gen: int
    enc: bytes
    sign: bytes


@dataclass(frozen=True, slots=True)
class MailHead:
    """What mail and tickets carry. `key` opens the parts; `receipt`: the author wants to know that it was read.

    For tickets: `quote`, text of the PDF's mail for the answer, and `files`, whether the answer may have files; None
    where nothing is said.
    """

    thread: str
    sender: Person
    to: tuple[Person, ...]
    cc: tuple[Person, ...]
    subject: str
    snippet: str
    expires: str
    receipt: bool
    key: bytes = field(repr=False)
    parts: tuple[Part, ...] = ()
    quote: str | None = None
    files: bool | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest's fields. `mail` stands for kinds mail and ticket, `re` and `state` for receipts, `of` for account.

    `copy`: of a ticket, whether the answer comes back as an encrypted PDF as things stand; of the receipt for such an
    answer, whether it did. None where nothing is said of it.
    """

    kind: str
    portal: str
    box: str
    gen: int
    id: str
    no: int
    enc: bytes
    card: int
    time: str
    mail: MailHead | None = None
    re: str | None = None
    state: str | None = None
    of: Account | None = None
    copy: bool | None = None

    def encode(self) -> bytes:
        """Return M. Raises ValueError for fields that do not go with the kind, MailboxDataError `size`."""
        is_mail = self.kind in ("mail", "ticket")
        if (
            self.kind not in KINDS
            or is_mail != (self.mail is not None)
            or (self.kind == "receipt") != (self.state is not None)
            or (self.kind == "receipt" and (self.re is None or self.state not in STATES))
            or (self.kind == "account") != (self.of is not None)
        ):
            raise ValueError("fields that do not go with the manifest's kind")
        values: dict[str, Any] = {
            "v": 1,
            "dir": "down",
            "kind": self.kind,
            "portal": self.portal,
            "box": self.box,
            "gen": self.gen,
            "id": self.id,
            "no": self.no,
            "enc": encode_b64(self.enc),
            "card": self.card,
            "time": self.time,
        }
        if self.re is not None:
            values["re"] = self.re
        if self.mail is not None:
            values |= _write_mail(self.mail)
        if self.state is not None:
            values["state"] = self.state
        if self.copy is not None:
            values["copy"] = self.copy
        if self.of is not None:
            values["of"] = {"gen": self.of.gen, "enc": encode_b64(self.of.enc), "sign": encode_b64(self.of.sign)}
        octets = write_object(values)
        if len(octets) > MAX_HEAD:
            raise MailboxDataError("size", "manifest: too large")
        return octets


def _write_mail(mail: MailHead) -> dict[str, Any]:
    values = {
        "thread": mail.thread,
        "from": write_person(mail.sender),
        "to": write_persons(mail.to),
        "cc": write_persons(mail.cc),
        "subject": mail.subject,
        "snippet": mail.snippet,
        "expires": mail.expires,
        "receipt": mail.receipt,
        "key": encode_b64(mail.key),
        "parts": write_parts(mail.parts),
    }
    if mail.quote is not None:
        values["quote"] = mail.quote
    if mail.files is not None:
        values["files"] = mail.files
    return values


def down_info(portal: str, box: str, gen: int, id_: str) -> bytes:
    """HPKE info of a manifest."""
    return encode_pae("LL1/down", portal, box, gen, id_)


def seal_down(manifest: Manifest, sign: Callable[[bytes], bytes], *, seal: HpkeSeal = hpke.seal) -> bytes:
    """Return the sealed manifest; `sign` gives the 64 octets of ES256 over M by the card's sign key (keyd adds label).

    Raises ValueError, MailboxDataError `size`, and what `sign` raises. Store the octets before the push: a second call
    gives others.
    """
    octets = manifest.encode()
    signature = sign(octets)
    if len(signature) != SIGNATURE_LENGTH:
        raise ValueError("the signature has not 64 octets")
    info = down_info(manifest.portal, manifest.box, manifest.gen, manifest.id)
    return seal(hpke.SUITE_X25519, manifest.enc, info, signature + octets)


def open_down(
    untrusted_sealed: bytes, keys: SeedKeys, cards: TrustedCards, *, id_: str, no: int | None = None
) -> Manifest:
    """Open and verify as the browser does; `keys` are those of the listed generation, `no` the list's number.

    Raises MailboxDataError: `size`, `auth`, `format`, `version`, `card`, `signature`, `binding`, `unknown`.
    """
    if len(untrusted_sealed) > MAX_SEALED_HEAD:
        raise MailboxDataError("size", "manifest: too large")
    info = down_info(keys.portal, keys.box, keys.gen, id_)
    try:
        opened = hpke.open_sealed(hpke.SUITE_X25519, keys.enc_private, info, untrusted_sealed)
    except SealedDataError as error:
        raise MailboxDataError("auth", "manifest: does not open in this place") from error
    if len(opened) < SIGNATURE_LENGTH:
        raise MailboxDataError("format", "manifest: too short")
    signature, octets = opened[:SIGNATURE_LENGTH], opened[SIGNATURE_LENGTH:]
    fields = Fields.read(octets, MAX_HEAD)
    card = cards.card(fields.number("card"))
    verify_es256(card.sign, SIGN_DOWN, octets, signature)
    place = (keys.portal, keys.box, keys.gen, id_, keys.enc)
    found = (fields.text("portal"), fields.text("box"), fields.number("gen"), fields.text("id"))
    if fields.text("dir") != "down" or (*found, fields.octets("enc")) != place:
        raise MailboxDataError("binding", "manifest: made for another place")
    manifest = _read_manifest(fields)
    if no is not None and manifest.no != no:
        raise MailboxDataError("binding", "manifest: another number than the list's")
    return manifest


def _read_manifest(fields: Fields) -> Manifest:
    kind = fields.check("kind", KINDS, "unknown")
    of = None
    if kind == "account":
        account = fields.object("of")
        of = Account(account.number("gen"), account.octets("enc", 32), account.octets("sign", 32))
    return Manifest(
        kind=kind,
        portal=fields.id("portal"),
        box=fields.id("box"),
        gen=fields.number("gen"),
        id=fields.id("id"),
        no=fields.number("no"),
        enc=fields.octets("enc", 32),
        card=fields.number("card"),
        time=fields.time("time"),
        mail=_read_mail(fields) if kind in ("mail", "ticket") else None,
        re=fields.id("re") if kind == "receipt" or (fields.has("re") and not fields.is_null("re")) else None,
        state=fields.check("state", STATES, "unknown") if kind == "receipt" else None,
        of=of,
        copy=fields.boolean("copy") if fields.has("copy") else None,
    )


def _read_mail(fields: Fields) -> MailHead:
    return MailHead(
        thread=fields.id("thread"),
        sender=read_person(fields.object("from").values),
        to=read_persons(fields, "to"),
        cc=read_persons(fields, "cc"),
        subject=fields.text("subject"),
        snippet=fields.text("snippet"),
        expires=fields.time("expires"),
        receipt=fields.boolean("receipt"),
        key=fields.octets("key", KEY_LENGTH),
        parts=read_parts(fields),
        quote=fields.text("quote") if fields.has("quote") and not fields.is_null("quote") else None,
        files=fields.boolean("files") if fields.has("files") else None,
    )
