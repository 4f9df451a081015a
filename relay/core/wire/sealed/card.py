"""Cards: the organisation's public keys, signed by its root (sealed-mailbox 6)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from relay.core.wire import hpke
from relay.core.wire.pae import encode_b64
from relay.core.wire.sealed.capsule import EscrowKey
from relay.core.wire.sealed.errors import MailboxDataError
from relay.core.wire.sealed.jsontext import Fields, read_b64, read_object, write_object
from relay.core.wire.sealed.signing import P256_LENGTH, SIGN_CARD, SIGNATURE_LENGTH, verify_es256

MAX_CARD = 8 * 1024
MAX_SIGNATURES = 8
MAX_DISTRUST = 256
ALGORITHM = "ES256"


@dataclass(frozen=True, slots=True)
class Card:
    """The organisation's public keys, all uncompressed P-256. `octets` are the exact ones that root signed."""

    octets: bytes = field(repr=False)
    portal: str
    serial: int
    org: str
    root: bytes
    sign: bytes
    reply: bytes
    escrow: bytes | None
    mailbox_suite: int
    distrust: tuple[int, ...]
    time: str

    @property
    def escrow_key(self) -> EscrowKey | None:
        """To whom new seeds are sealed, or None where escrow is off."""
        return None if self.escrow is None else EscrowKey(self.serial, hpke.SUITE_P256, self.escrow)


@dataclass(frozen=True, slots=True)
class CardSignature:
    """A root's signature over a card's octets."""

    root: bytes
    sig: bytes


@dataclass(frozen=True, slots=True)
class CardRecord:
    """A card's octets with its signatures: what is stored, pushed and handed out."""

    card: bytes
    sigs: tuple[CardSignature, ...]

    def to_object(self) -> dict[str, Any]:
        """Return the record as JSON values."""
        return {
            "card": encode_b64(self.card),
            "sigs": [{"root": encode_b64(entry.root), "sig": encode_b64(entry.sig)} for entry in self.sigs],
        }

    def encode(self) -> bytes:
        """Return the record's octets."""
        return write_object(self.to_object())


@dataclass(frozen=True, slots=True)
class TrustedCards:
    """Cards that were checked together. `by_serial` holds those that may verify; the newest one is for sealing to."""

    newest: Card
    by_serial: dict[int, Card]

    def card(self, serial: int) -> Card:
        """Return a trusted card. Raises MailboxDataError with the code `card`."""
        found = self.by_serial.get(serial)
        if found is None:
            raise MailboxDataError("card", "no trusted card has this serial")
        return found


def make_card(
    *,
    portal: str,
    serial: int,
    org: str,
    root: bytes,
    sign: bytes,
    reply: bytes,
    escrow: bytes | None,
    distrust: Sequence[int] = (),
    time: str,
    mailbox_suite: int = hpke.SUITE_X25519,
) -> bytes:
    """Return a card's octets, to be signed by root. Raises MailboxDataError `size`."""
    octets = write_object(
        {
            "v": 1,
            "type": "card",
            "portal": portal,
            "serial": serial,
            "org": org,
            "root": encode_b64(root),
            "sign": {"alg": ALGORITHM, "pub": encode_b64(sign)},
            "reply": {"suite": hpke.SUITE_P256, "pub": encode_b64(reply)},
            "escrow": None if escrow is None else {"suite": hpke.SUITE_P256, "pub": encode_b64(escrow)},
            "mailbox_suite": mailbox_suite,
            "distrust": list(distrust),
            "time": time,
        }
    )
    if len(octets) > MAX_CARD:
        raise MailboxDataError("size", "card: too large")
    return octets


def sign_card(card: bytes, roots: Iterable[tuple[bytes, Callable[[bytes], bytes]]]) -> CardRecord:
    """Return the record; each root is its public key and what signs a card's octets with it."""
    return CardRecord(card, tuple(CardSignature(public, sign(card)) for public, sign in roots))


def _read_hpke_key(fields: Fields) -> bytes:
    if fields.number("suite") != hpke.SUITE_P256:
        raise MailboxDataError("suite", "card: the suite is not known")
    return fields.octets("pub", P256_LENGTH)


def read_card(untrusted_octets: bytes) -> Card:
    """Check a card's size and schema; no signature yet. Raises MailboxDataError."""
    fields = Fields.read(untrusted_octets, MAX_CARD)
    fields.check("type", ("card",))
    sign = fields.object("sign")
    sign.check("alg", (ALGORITHM,), "suite")
    distrust = fields.list("distrust", MAX_DISTRUST)
    if not all(type(serial) is int for serial in distrust):
        raise MailboxDataError("format", "card: distrust holds no serials")
    return Card(
        octets=untrusted_octets,
        portal=fields.id("portal"),
        serial=fields.number("serial"),
        org=fields.text("org"),
        root=fields.octets("root", P256_LENGTH),
        sign=sign.octets("pub", P256_LENGTH),
        reply=_read_hpke_key(fields.object("reply")),
        escrow=None if fields.is_null("escrow") else _read_hpke_key(fields.object("escrow")),
        mailbox_suite=fields.number("mailbox_suite"),
        distrust=tuple(distrust),
        time=fields.time("time"),
    )


def read_record(untrusted_values: object) -> CardRecord:
    """Read `{card, sigs:[{root, sig}]}` from JSON values; signatures are not looked at yet. Raises MailboxDataError."""
    fields = Fields(untrusted_values)
    card = read_b64(fields.text("card"))
    sigs = tuple(
        CardSignature(entry.octets("root", P256_LENGTH), entry.octets("sig", SIGNATURE_LENGTH))
        for entry in map(Fields, fields.list("sigs", MAX_SIGNATURES))
    )
    return CardRecord(card, sigs)


def decode_record(untrusted_octets: bytes) -> CardRecord:
    """Read a record from the octets that `CardRecord.encode` writes. Raises MailboxDataError."""
    return read_record(read_object(untrusted_octets, 2 * MAX_CARD))


def check_record(record: CardRecord, *, portal: str, root: bytes) -> Card:
    """Return the card of one record that `root` signed for `portal`. Raises MailboxDataError."""
    card = read_card(record.card)
    if card.portal != portal:
        raise MailboxDataError("binding", "card: of another portal")
    for entry in record.sigs:
        if entry.root == root:
            verify_es256(root, SIGN_CARD, record.card, entry.sig)
            return card
    raise MailboxDataError("signature", "card: not signed by the pinned root")


def check_cards(records: Sequence[CardRecord], *, portal: str, root: bytes, least: int) -> TrustedCards:
    """Check all cards as the browser does: every one signed by the pinned root, serials rising, the newest >= `least`.

    Raises MailboxDataError: `binding`, `signature`, `card`, or what `read_card` refuses.
    """
    cards: list[Card] = []
    for record in records:
        card = check_record(record, portal=portal, root=root)
        if cards and (card.serial <= cards[-1].serial or card.mailbox_suite < cards[-1].mailbox_suite):
            raise MailboxDataError("card", "cards: serials do not rise, or the suite falls")
        cards.append(card)
    if not cards or cards[-1].serial < least:
        raise MailboxDataError("card", "cards: the newest is missing")
    newest = cards[-1]
    return TrustedCards(newest, {card.serial: card for card in cards if card.serial not in newest.distrust})
