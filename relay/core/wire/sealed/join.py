"""Registration by link: https://HOST/join/ID#T.R (sealed-mailbox 12).

The portal knows SHA-256 of ID and never T; R pins the root, so that trust comes with the e-mail.
sealed = HPKE(card.reply, info LL1/join, HMAC-SHA256(key of T, J) || J).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from relay.core.wire import hpke
from relay.core.wire.errors import SealedDataError
from relay.core.wire.pae import encode_b64, encode_pae
from relay.core.wire.sealed.capsule import HpkeSeal
from relay.core.wire.sealed.card import Card
from relay.core.wire.sealed.errors import MailboxDataError
from relay.core.wire.sealed.gcm import derive
from relay.core.wire.sealed.jsontext import ID_LENGTH, Fields, read_b64, write_object

MAX_JOIN = 200 * 1024
"""Octets of J: a capsule of 128 KiB as b64 and the rest."""
MAX_SEALED_JOIN = 150 * 1000
"""Octets that the portal takes (sealed-mailbox 12)."""
PIN_LENGTH = 16
WANTS = ("mailbox", "pdf")
_MAC_LENGTH = 32


@dataclass(frozen=True, slots=True)
class JoinLink:
    """The fragment of a registration link: its secret T and the pin R of the root."""

    secret: bytes = field(repr=False)
    pin: bytes

    def fragment(self) -> str:
        """Return `T.R`, what stands behind the `#`."""
        return f"{encode_b64(self.secret)}.{encode_b64(self.pin)}"


@dataclass(frozen=True, slots=True)
class Join:
    """What a partner hands in: the capsule of a mailbox, or a password for PDFs."""

    portal: str
    id: str
    card: int
    want: str
    time: str
    capsule: bytes | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    def encode(self) -> bytes:
        """Return J. Raises ValueError for fields that do not go with `want`."""
        if (self.want == "mailbox") != (self.capsule is not None) or (self.want == "pdf") != (
            self.password is not None
        ):
            raise ValueError("a mailbox comes with a capsule, a PDF with a password")
        values: dict[str, Any] = {
            "v": 1,
            "dir": "join",
            "portal": self.portal,
            "id": self.id,
            "card": self.card,
            "want": self.want,
        }
        if self.capsule is not None:
            values["capsule"] = encode_b64(self.capsule)
        if self.password is not None:
            values["password"] = self.password
        values["time"] = self.time
        return write_object(values)


def root_pin(root: bytes) -> bytes:
    """Return R: the first 16 octets of SHA-256 of the root key."""
    return hashlib.sha256(root).digest()[:PIN_LENGTH]


def read_fragment(untrusted_fragment: str) -> JoinLink:
    """Read `T.R`. Raises MailboxDataError."""
    secret, dot, pin = untrusted_fragment.partition(".")
    if not dot:
        raise MailboxDataError("format", "registration link: incomplete")
    return JoinLink(read_b64(secret, ID_LENGTH), read_b64(pin, PIN_LENGTH))


def join_info(portal: str, id_: str, card: int) -> bytes:
    """HPKE info of a registration."""
    return encode_pae("LL1/join", portal, id_, card)


def _mac(secret: bytes, portal: str, id_: str, octets: bytes) -> bytes:
    return hmac.digest(derive(secret, "LL1/join-key", portal, id_), octets, "sha256")


def seal_join(join: Join, secret: bytes, card: Card, *, seal: HpkeSeal = hpke.seal) -> bytes:
    """Return the sealed registration, as the browser makes it. Raises ValueError, MailboxDataError `size`."""
    octets = join.encode()
    info = join_info(join.portal, join.id, join.card)
    sealed = seal(hpke.SUITE_P256, card.reply, info, _mac(secret, join.portal, join.id, octets) + octets)
    if len(sealed) > MAX_SEALED_JOIN:
        raise MailboxDataError("size", "registration: too large")
    return sealed


def open_join(
    untrusted_sealed: bytes,
    open_info: Callable[[bytes, bytes], bytes],
    *,
    secret: bytes,
    portal: str,
    id_: str,
    card: int,
) -> Join:
    """Open and verify as the relay does; `open_info` as in `open_up`. The capsule inside is not looked at yet.

    Raises MailboxDataError: `size`, `auth`, `signature`, `format`, `version`, `binding`, `unknown`.
    """
    if len(untrusted_sealed) > MAX_SEALED_JOIN:
        raise MailboxDataError("size", "registration: too large")
    try:
        opened = open_info(join_info(portal, id_, card), untrusted_sealed)
    except MailboxDataError:
        raise
    except SealedDataError as error:
        raise MailboxDataError("auth", "registration: does not open in this place") from error
    mac, octets = opened[:_MAC_LENGTH], opened[_MAC_LENGTH:]
    if not hmac.compare_digest(mac, _mac(secret, portal, id_, octets)):
        raise MailboxDataError("signature", "registration: not made with this link's secret")
    fields = Fields.read(octets, MAX_JOIN)
    found = (fields.text("portal"), fields.text("id"), fields.number("card"))
    if fields.text("dir") != "join" or found != (portal, id_, card):
        raise MailboxDataError("binding", "registration: made for another place")
    want = fields.check("want", WANTS, "unknown")
    return Join(
        portal=portal,
        id=id_,
        card=card,
        want=want,
        time=fields.time("time"),
        capsule=fields.octets("capsule") if want == "mailbox" else None,
        password=fields.text("password") if want == "pdf" else None,
    )
