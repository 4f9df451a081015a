"""Capsule: what the portal keeps of a generation (sealed-mailbox 6, 16). Written once, never edited.

`read_capsule` checks the schema and knows no key: the portal does no more. Making one takes the seed and is done by
keyd and the browser; opening by whoever has the kek or the seed. `pw`, `av` and `escrow` leave the portal in login
answers alone (14): `strip_capsule`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from relay.core.wire import hpke
from relay.core.wire.errors import SealedDataError
from relay.core.wire.pae import encode_b64, encode_pae
from relay.core.wire.sealed.errors import MailboxDataError
from relay.core.wire.sealed.forms import FORMS
from relay.core.wire.sealed.gcm import OVERHEAD, open_gcm, seal_gcm
from relay.core.wire.sealed.jsontext import Fields, Random, make_id, read_object, write_object
from relay.core.wire.sealed.seed import SEED_LENGTH, SeedKeys
from relay.core.wire.sealed.signing import P256_LENGTH
from relay.core.wire.sealed.stretch import KDF_OF_KIND

MAX_CAPSULE = 128 * 1024
MAX_GENERATIONS = 500
"""Seeds that a capsule holds: its own and those of its body. Numbers go on behind it (sealed-mailbox 17)."""
MAX_NUMBER = 2**31 - 1
MAX_PASSKEYS = 20
KINDS = ("mailbox", "reply")
MAKERS = ("relay", "browser")
SUITES = (hpke.SUITE_X25519,)
"""Suites of boxes that LL1's first build makes and takes."""

HpkeSeal = Callable[[int, bytes, bytes, bytes], bytes]
"""relay.core.wire.hpke.seal; tests give one with a fixed ephemeral key."""


@dataclass(frozen=True, slots=True)
class Passkey:
    """A seed sealed to a passkey, by the credential's id."""

    id: str
    sealed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class PasskeyPublic:
    """A passkey's public key, as the body keeps it for the next rekey."""

    id: str
    pub: bytes


@dataclass(frozen=True, slots=True)
class OlderSeed:
    """The seed of an earlier generation."""

    gen: int
    suite: int
    seed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class EscrowRecord:
    """The seed sealed to a card's escrow key."""

    card: int
    sealed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class CapsuleBody:
    """What the password protects beside the seed. `name` is the login name, or None for a reply box."""

    name: str | None
    org: str
    root: bytes
    card: int
    older: tuple[OlderSeed, ...] = ()
    passkeys: tuple[PasskeyPublic, ...] = ()


@dataclass(frozen=True, slots=True)
class Capsule:
    """A capsule whose schema holds. `octets` are the exact ones, to be stored and signed; nothing is trusted yet."""

    octets: bytes = field(repr=False)
    kind: str
    by: str
    portal: str
    box: str
    gen: int
    id: str
    time: str
    suite: int
    enc: bytes
    sign: bytes
    kdf: int
    av: bytes = field(repr=False)
    pw: bytes = field(repr=False)
    body: bytes = field(repr=False)
    escrow: EscrowRecord | None = None
    passkeys: tuple[Passkey, ...] = ()
    form: str | None = None


@dataclass(frozen=True, slots=True)
class OpenedCapsule:
    """A capsule that opened: its keys, and its body."""

    capsule: Capsule
    keys: SeedKeys
    body: CapsuleBody

    def seed_keys(self, gen: int) -> SeedKeys:
        """Return the keys of this or an earlier generation. Raises MailboxDataError with the code `generation`."""
        if gen == self.keys.gen:
            return self.keys
        for older in self.body.older:
            if older.gen == gen:
                return SeedKeys.of(older.seed, self.keys.portal, self.keys.box, gen)
        raise MailboxDataError("generation", "capsule: no seed of this generation")


@dataclass(frozen=True, slots=True)
class EscrowKey:
    """To whom a seed is sealed for a reset: the escrow key of a card."""

    card: int
    suite: int
    pub: bytes


@dataclass(frozen=True, slots=True)
class CapsuleFields:
    """What a capsule is made of, beside seed, kek and body. `form` is a reply box's and None for a mailbox."""

    kind: str
    by: str
    portal: str
    box: str
    gen: int
    time: str
    kdf: int
    av: bytes = field(repr=False)
    form: str | None = None
    suite: int = hpke.SUITE_X25519


def password_aad(portal: str, box: str, gen: int, kdf: int) -> bytes:
    """AAD of the password wrap."""
    return encode_pae("LL1/pw", portal, box, gen, kdf)


def escrow_info(portal: str, box: str, gen: int, card: int) -> bytes:
    """HPKE info of an escrow record."""
    return encode_pae("LL1/escrow", portal, box, gen, card)


def _body_aad(portal: str, box: str, gen: int) -> bytes:
    return encode_pae("LL1/body", portal, box, gen)


def read_capsule(untrusted_octets: bytes, *, kind: str | None = None) -> Capsule:
    """Check size and schema; `kind` is the route's, if there is one. No key is used.

    Raises MailboxDataError: `size`, `format`, `version`, `binding` (another kind), `suite`, `kdf`.
    """
    fields = Fields.read(untrusted_octets, MAX_CAPSULE)
    fields.check("type", ("capsule",))
    found = fields.check("kind", KINDS)
    if kind is not None and found != kind:
        raise MailboxDataError("binding", "capsule: of another kind of box")
    suite = fields.number("suite")
    if suite not in SUITES:
        raise MailboxDataError("suite", "capsule: the suite is not known")
    kdf = fields.number("kdf")
    if kdf != KDF_OF_KIND[found]:
        raise MailboxDataError("kdf", "capsule: not the key derivation of its kind")
    gen = fields.number("gen")
    if not 1 <= gen <= MAX_NUMBER:
        raise MailboxDataError("generation", "capsule: a generation out of range")
    passkeys = tuple(
        Passkey(entry.text("id"), entry.octets("sealed"))
        for entry in map(Fields, fields.list("passkeys", MAX_PASSKEYS))
    )
    escrow = None
    if not fields.is_null("escrow"):
        record = fields.object("escrow")
        escrow = EscrowRecord(record.number("card"), record.octets("sealed", P256_LENGTH + SEED_LENGTH + 16))
    return Capsule(
        octets=untrusted_octets,
        kind=found,
        by=fields.check("by", MAKERS),
        portal=fields.id("portal"),
        box=fields.id("box"),
        gen=gen,
        id=fields.id("id"),
        time=fields.time("time"),
        suite=suite,
        enc=fields.octets("enc", 32),
        sign=fields.octets("sign", 32),
        kdf=kdf,
        av=fields.octets("av", 32),
        pw=fields.octets("pw", SEED_LENGTH + OVERHEAD),
        body=fields.octets("body"),
        escrow=escrow,
        passkeys=passkeys,
        form=fields.check("form", FORMS) if found == "reply" else None,
    )


def strip_capsule(untrusted_octets: bytes) -> dict[str, Any]:
    """Return the capsule's object without `pw`, `av` and `escrow`, for every answer but a login's."""
    values = read_object(untrusted_octets, MAX_CAPSULE)
    return {name: value for name, value in values.items() if name not in ("pw", "av", "escrow")}


def write_body(keys: SeedKeys, body: CapsuleBody) -> bytes:
    """Return the octets of a body."""
    return write_object(
        {
            "v": 1,
            "portal": keys.portal,
            "box": keys.box,
            "gen": keys.gen,
            "name": body.name,
            "org": body.org,
            "root": encode_b64(body.root),
            "card": body.card,
            "older": [{"gen": older.gen, "suite": older.suite, "seed": encode_b64(older.seed)} for older in body.older],
            "passkeys": [{"id": key.id, "pub": encode_b64(key.pub)} for key in body.passkeys],
        }
    )


def read_body(keys: SeedKeys, untrusted_octets: bytes) -> CapsuleBody:
    """Read an opened body. Raises MailboxDataError."""
    fields = Fields.read(untrusted_octets, MAX_CAPSULE)
    if (fields.id("portal"), fields.id("box"), fields.number("gen")) != (keys.portal, keys.box, keys.gen):
        raise MailboxDataError("binding", "capsule: the body is another box's")
    older = tuple(
        OlderSeed(entry.number("gen"), entry.number("suite"), entry.octets("seed", SEED_LENGTH))
        for entry in map(Fields, fields.list("older", MAX_GENERATIONS))
    )
    numbers = [entry.gen for entry in older]
    if len(set(numbers)) != len(numbers) or any(not 1 <= gen < keys.gen for gen in numbers):
        raise MailboxDataError("generation", "capsule: older generations out of range")
    if any(entry.suite not in SUITES for entry in older):
        raise MailboxDataError("suite", "capsule: an older suite is not known")
    return CapsuleBody(
        name=None if fields.is_null("name") else fields.text("name"),
        org=fields.text("org"),
        root=fields.octets("root", P256_LENGTH),
        card=fields.number("card"),
        older=older,
        passkeys=tuple(
            PasskeyPublic(entry.text("id"), entry.octets("pub", 32))
            for entry in map(Fields, fields.list("passkeys", MAX_PASSKEYS))
        ),
    )


def make_capsule(
    fields: CapsuleFields,
    seed: bytes,
    kek: bytes,
    body: CapsuleBody,
    escrow: EscrowKey | None,
    *,
    passkeys: tuple[Passkey, ...] = (),
    random: Random = os.urandom,
    seal: HpkeSeal = hpke.seal,
) -> bytes:
    """Return the capsule's octets. `escrow` None means that a reset loses old mail, and always so for reply boxes.

    Raises ValueError for fields that do not go together, MailboxDataError `size` when the seeds outgrow the capsule.
    """
    if fields.kdf != KDF_OF_KIND.get(fields.kind) or (fields.form in FORMS) != (fields.kind == "reply"):
        raise ValueError("kind, kdf and form of the capsule do not go together")
    if fields.kind == "reply" and escrow is not None:
        raise ValueError("a reply box has no escrow")
    place = (fields.portal, fields.box, fields.gen)
    keys = SeedKeys.of(seed, *place)
    id_ = make_id(random)
    values: dict[str, Any] = {
        "v": 1,
        "type": "capsule",
        "kind": fields.kind,
        "by": fields.by,
        "portal": fields.portal,
        "box": fields.box,
        "gen": fields.gen,
        "id": id_,
        "time": fields.time,
        "suite": fields.suite,
        "enc": encode_b64(keys.enc),
        "sign": encode_b64(keys.sign),
        "kdf": fields.kdf,
        "av": encode_b64(fields.av),
        "pw": encode_b64(seal_gcm(kek, seed, password_aad(*place, fields.kdf), random)),
        "passkeys": [{"id": passkey.id, "sealed": encode_b64(passkey.sealed)} for passkey in passkeys],
        "body": encode_b64(seal_gcm(keys.body, write_body(keys, body), _body_aad(*place), random)),
        "escrow": None
        if escrow is None
        else {
            "card": escrow.card,
            "sealed": encode_b64(seal(escrow.suite, escrow.pub, escrow_info(*place, escrow.card), seed)),
        },
    }
    if fields.form is not None:
        values["form"] = fields.form
    octets = write_object(values)
    if len(octets) > MAX_CAPSULE:
        raise MailboxDataError("size", "capsule: too many seeds")
    return octets


def open_with_seed(capsule: Capsule, seed: bytes) -> OpenedCapsule:
    """Open the body with the seed and compare the public keys; for keyd. Raises MailboxDataError."""
    keys = SeedKeys.of(seed, capsule.portal, capsule.box, capsule.gen)
    if keys.enc != capsule.enc or keys.sign != capsule.sign:
        raise MailboxDataError("binding", "capsule: the public keys are not those of its seed")
    plaintext = open_gcm(keys.body, capsule.body, _body_aad(capsule.portal, capsule.box, capsule.gen))
    return OpenedCapsule(capsule, keys, read_body(keys, plaintext))


def open_capsule(capsule: Capsule, kek: bytes, *, portal: str) -> OpenedCapsule:
    """Open with the password's kek, as the browser does (16). Raises MailboxDataError: `binding`, `auth`."""
    if capsule.portal != portal:
        raise MailboxDataError("binding", "capsule: of another portal")
    aad = password_aad(capsule.portal, capsule.box, capsule.gen, capsule.kdf)
    return open_with_seed(capsule, open_gcm(kek, capsule.pw, aad))


def open_escrow(capsule: Capsule, open_info: Callable[[bytes, bytes], bytes]) -> OpenedCapsule:
    """Open through the escrow record; `open_info(info, sealed)` uses the escrow key of the record's card.

    Raises MailboxDataError: `unknown` without a record, `auth`, `binding`.
    """
    if capsule.escrow is None:
        raise MailboxDataError("unknown", "capsule: no escrow record")
    info = escrow_info(capsule.portal, capsule.box, capsule.gen, capsule.escrow.card)
    try:
        seed = open_info(info, capsule.escrow.sealed)
    except SealedDataError as error:
        raise MailboxDataError("auth", "capsule: the escrow record does not open") from error
    if len(seed) != SEED_LENGTH:
        raise MailboxDataError("format", "capsule: the escrow record holds no seed")
    return open_with_seed(capsule, seed)
