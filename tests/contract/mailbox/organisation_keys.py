"""The organisation's keys in the clear, for tests of those who use them: the port over relay.core.wire.sealed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from relay.core.clock import Clock
from relay.core.ports import Actor, Grant
from relay.core.ports_mailbox import CapsuleOrder, CardRequest, KeptGeneration, MadeCapsule
from relay.core.wire import hpke
from relay.core.wire.errors import SealedDataError
from relay.core.wire.sealed import (
    CapsuleBody,
    CapsuleFields,
    Card,
    CardRecord,
    CardSignature,
    MailboxDataError,
    OlderSeed,
    OpenedCapsule,
    format_time,
    make_capsule,
    make_card,
    open_escrow,
    open_with_seed,
    read_capsule,
    read_card,
)
from relay.core.wire.sealed.signing import SIGN_CARD, SIGN_DOWN, sign_es256


def _public(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _new() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _raw(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_numbers().private_value.to_bytes(32, "big")


@dataclass
class OrganisationKeys:
    """MailboxKeys in memory; `grants` lists who was allowed what."""

    clock: Clock
    root: ec.EllipticCurvePrivateKey = field(default_factory=_new)
    cards: list[CardRecord] = field(default_factory=list)
    grants: list[Grant] = field(default_factory=list)
    _sign: dict[int, ec.EllipticCurvePrivateKey] = field(default_factory=dict)
    _reply: dict[int, ec.EllipticCurvePrivateKey] = field(default_factory=dict)
    _escrow: dict[int, ec.EllipticCurvePrivateKey] = field(default_factory=dict)

    def create_card(self, request: CardRequest, actor: Actor) -> CardRecord:
        serial = len(self.cards) + 1
        sign, reply, escrow = _new(), _new(), _new()
        octets = make_card(
            portal=request.portal,
            serial=serial,
            org=request.org,
            root=_public(self.root),
            sign=_public(sign),
            reply=_public(reply),
            escrow=_public(escrow) if request.escrow else None,
            distrust=request.distrust,
            time=format_time(self.clock.now_ms()),
        )
        self._sign[serial], self._reply[serial], self._escrow[serial] = sign, reply, escrow
        record = CardRecord(octets, (CardSignature(_public(self.root), sign_es256(self.root, SIGN_CARD, octets)),))
        self.cards.append(record)
        return record

    def list_cards(self, portal: str) -> tuple[CardRecord, ...]:
        return tuple(self.cards)

    @property
    def newest(self) -> Card:
        return read_card(self.cards[-1].card)

    def mailbox_new(self, order: CapsuleOrder, grant: Grant) -> MadeCapsule:
        self.grants.append(grant)
        return self._make(order, ())

    def mailbox_next(self, order: CapsuleOrder, kept: Sequence[KeptGeneration], grant: Grant) -> MadeCapsule:
        self.grants.append(grant)
        seeds: dict[int, OlderSeed] = {}
        for one in kept:
            opened = self._open(one)
            if opened is not None:
                seeds[opened.keys.gen] = OlderSeed(opened.keys.gen, opened.capsule.suite, opened.keys.seed)
                seeds |= {older.gen: older for older in opened.body.older}
            if len(seeds) == order.gen - 1:
                break
        missing = tuple(gen for gen in range(1, order.gen) if gen not in seeds)
        made = self._make(order, tuple(seeds[gen] for gen in sorted(seeds)))
        return MadeCapsule(made.capsule, made.seed_blob, missing)

    def _make(self, order: CapsuleOrder, older: tuple[OlderSeed, ...]) -> MadeCapsule:
        card, seed = self.newest, os.urandom(32)
        escrow = card.escrow_key if order.kind == "mailbox" else None
        fields = CapsuleFields(
            kind=order.kind,
            by="relay",
            portal=order.portal,
            box=order.box,
            gen=order.gen,
            time=format_time(self.clock.now_ms()),
            kdf=order.kdf,
            av=order.av,
            form=order.form,
        )
        body = CapsuleBody(name=order.name, org=card.org, root=card.root, card=card.serial, older=older)
        capsule = make_capsule(fields, seed, order.kek, body, escrow)
        return MadeCapsule(capsule, None if escrow or order.kind == "reply" else b"blob" + seed)

    def _open(self, one: KeptGeneration) -> OpenedCapsule | None:
        capsule = read_capsule(one.capsule)
        if one.seed_blob is not None:
            return open_with_seed(capsule, one.seed_blob.removeprefix(b"blob"))
        escrow_card = capsule.escrow.card if capsule.escrow else 0
        try:
            return open_escrow(capsule, lambda info, sealed: self._use(self._escrow, escrow_card, info, sealed))
        except MailboxDataError:
            return None

    def _use(self, keys: dict[int, ec.EllipticCurvePrivateKey], serial: int, info: bytes, sealed: bytes) -> bytes:
        return hpke.open_sealed(hpke.SUITE_P256, _raw(keys[serial]), info, sealed)

    def sign_manifest(self, card: int, manifest: bytes, grant: Grant) -> bytes:
        self.grants.append(grant)
        return sign_es256(self._sign[card], SIGN_DOWN, manifest)

    def open_item(self, card: int, info: bytes, sealed: bytes, grant: Grant) -> bytes:
        self.grants.append(grant)
        try:
            return self._use(self._reply, card, info, sealed)
        except SealedDataError as error:
            raise MailboxDataError("auth", "item: does not open") from error

    def check_escrow(self, capsule: bytes, grant: Grant) -> bool:
        self.grants.append(grant)
        read = read_capsule(capsule)
        return read.escrow is not None and self._open(KeptGeneration(capsule)) is not None
