"""A mailbox with real sealed objects, made by the relay's own code: what a portal would hold for one partner."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from relay.core.wire import hpke
from relay.core.wire.sealed import (
    Account,
    CapsuleBody,
    CapsuleFields,
    Card,
    CardRecord,
    EscrowKey,
    Item,
    MailHead,
    Manifest,
    Part,
    PartSealer,
    Person,
    SeedKeys,
    login_id,
    make_capsule,
    make_card,
    make_id,
    new_message_key,
    open_part,
    open_up,
    read_card,
    read_secret,
    seal_down,
    sign_card,
    stretch,
)
from relay.core.wire.sealed.signing import SIGN_CARD, SIGN_DOWN, sign_es256

MARIA = Person("Maria Keller", "maria.keller@bank.example")
ANNA = Person("Anna Berger", "anna@partner.example")
PASSWORD = "our garden has seven apple trees"
LOGIN_NAME = ANNA.addr
ORGANISATION = "Example Bank"
WITHDRAWN = 0
"""A card before the first that is shown, which the organisation withdrew."""


@dataclass(frozen=True, slots=True)
class FilePart:
    """A part in the clear, before it is sealed."""

    role: str
    name: str
    media_type: str
    content: bytes = field(repr=False)


def text_part(text: str) -> FilePart:
    """The plain text body that each message has."""
    return FilePart("text", "", "text/plain", text.encode())


def html_part(html: str) -> FilePart:
    """An HTML body."""
    return FilePart("html", "", "text/html", html.encode())


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """What the portal holds of a message."""

    id: str
    no: int
    gen: int
    card: int
    expires: str
    sealed: bytes = field(repr=False)
    chunks: dict[int, list[bytes]] = field(repr=False)


class _Key:
    def __init__(self) -> None:
        self.private = ec.generate_private_key(ec.SECP256R1())
        self.raw = self.private.private_numbers().private_value.to_bytes(32, "big")
        self.public = self.private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


class SealedBox:
    """The relay's side of one box: keys, card, capsule, messages; opens what comes back."""

    def __init__(self, *, portal: str = "", by: str = "browser", gen: int = 2) -> None:
        self.portal = portal or make_id()
        self.box = make_id()
        self.gen = gen
        self.root, self.sign, self.reply, self.escrow = _Key(), _Key(), _Key(), _Key()
        octets = make_card(
            portal=self.portal,
            serial=1,
            org=ORGANISATION,
            root=self.root.public,
            sign=self.sign.public,
            reply=self.reply.public,
            escrow=self.escrow.public,
            distrust=(WITHDRAWN,),
            time="2026-11-01T08:00:00Z",
        )
        self.cards: list[CardRecord] = [
            sign_card(octets, [(self.root.public, lambda card: sign_es256(self.root.private, SIGN_CARD, card))])
        ]
        self.card: Card = read_card(octets)
        self.login_id = login_id(self.portal, LOGIN_NAME)
        stretched = stretch(self.portal, LOGIN_NAME, 1, read_secret("own", PASSWORD))
        self.av = stretched.av
        seed = os.urandom(32)
        self.keys = SeedKeys.of(seed, self.portal, self.box, gen)
        self.capsule = make_capsule(
            CapsuleFields(
                kind="mailbox",
                by=by,
                portal=self.portal,
                box=self.box,
                gen=gen,
                time="2026-11-02T08:00:00Z",
                kdf=1,
                av=stretched.av,
            ),
            seed,
            stretched.kek,
            CapsuleBody(name=LOGIN_NAME, org=ORGANISATION, root=self.root.public, card=1),
            EscrowKey(1, hpke.SUITE_P256, self.escrow.public),
        )
        self.messages: list[StoredMessage] = []
        self._serial = 1
        self.sign_public = self.keys.sign

    def add_mail(
        self,
        parts: Sequence[FilePart],
        *,
        subject: str,
        snippet: str = "",
        time: str = "2026-11-20T09:42:00Z",
        expires: str = "2027-02-18T00:00:00Z",
        thread: str | None = None,
        sender: Person = MARIA,
        to: Sequence[Person] = (ANNA,),
        cc: Sequence[Person] = (),
        receipt: bool = False,
    ) -> StoredMessage:
        """Seal a message as the relay does."""
        id_, key = make_id(), new_message_key()
        heads, chunks = [], {}
        for i, part in enumerate(parts):
            heads.append(Part(i, part.role, part.name, part.media_type, len(part.content)))
            chunks[i] = list(PartSealer(key, id_, i).seal_all([part.content]))
        head = MailHead(
            thread=thread or make_id(),
            sender=sender,
            to=tuple(to),
            cc=tuple(cc),
            subject=subject,
            snippet=snippet,
            expires=expires,
            receipt=receipt,
            key=key,
            parts=tuple(heads),
        )
        return self._add("mail", id_, time, chunks, expires, mail=head)

    def add_receipt(self, re: str, state: str = "arrived") -> StoredMessage:
        """Seal the receipt of a reply."""
        return self._add("receipt", make_id(), "2026-11-20T10:00:00Z", {}, "2027-02-18T00:00:00Z", re=re, state=state)

    def add_account(self, *, enc: bytes | None = None) -> StoredMessage:
        """Seal the notice that the relay accepted this generation; `enc` tells of another one's key."""
        of = Account(self.gen, enc or self.keys.enc, self.keys.sign)
        return self._add("account", make_id(), "2026-11-02T08:00:05Z", {}, "2027-02-18T00:00:00Z", of=of)

    def add_damaged(self) -> StoredMessage:
        """A message whose seal was changed on the way."""
        good = self.add_mail([text_part("never seen")], subject="never seen")
        octets = bytearray(good.sealed)
        octets[100] ^= 1
        self.messages[-1] = StoredMessage(
            good.id, good.no, good.gen, good.card, good.expires, bytes(octets), good.chunks
        )
        return self.messages[-1]

    def add_withdrawn(self) -> StoredMessage:
        """Seal a message under the card that was withdrawn later."""
        self._serial = WITHDRAWN
        made = self.add_mail([text_part("never seen")], subject="never seen", time="2026-11-02T09:00:00Z")
        self._serial = 1
        return made

    def _add(
        self, kind: str, id_: str, time: str, chunks: dict[int, list[bytes]], expires: str, **more: object
    ) -> StoredMessage:
        number = len(self.messages) + 1
        manifest = Manifest(
            kind=kind,
            portal=self.portal,
            box=self.box,
            gen=self.gen,
            id=id_,
            no=number,
            enc=self.keys.enc,
            card=self._serial,
            time=time,
            **more,  # type: ignore[arg-type]
        )
        sealed = seal_down(manifest, lambda octets: sign_es256(self.sign.private, SIGN_DOWN, octets))
        stored = StoredMessage(id_, number, self.gen, self._serial, expires, sealed, chunks)
        self.messages.append(stored)
        return stored

    def open_item(self, sealed: bytes, *, gen: int, id_: str, card: int) -> Item:
        """Open what the browser sent, as the relay does. Raises MailboxDataError."""
        return open_up(
            sealed,
            lambda info, octets: hpke.open_sealed(hpke.SUITE_P256, self.reply.raw, info, octets),
            sign=self.sign_public,
            portal=self.portal,
            box=self.box,
            gen=gen,
            id_=id_,
            card=card,
        )

    @staticmethod
    def open_reply_part(item: Item, i: int, chunks: Sequence[bytes]) -> bytes:
        """Open one part of a reply. Raises MailboxDataError."""
        size = next(part.size for part in item.parts if part.i == i)
        return b"".join(open_part(item.key, item.id, i, size, chunks))
