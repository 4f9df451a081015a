"""A browser with one reader in front of it, over relay.core.wire.sealed: what the script does, without a page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from relay.core.wire.sealed import (
    KDF_MAILBOX,
    KDF_REPLY,
    OWN,
    CapsuleBody,
    CapsuleFields,
    CardRecord,
    Manifest,
    OlderSeed,
    OpenedCapsule,
    TrustedCards,
    check_cards,
    format_time,
    make_capsule,
    open_capsule,
    open_part,
    read_capsule,
    read_secret,
    sign_rekey,
    stretch,
)
from relay.core.wire.sealed.down import open_down


@dataclass(frozen=True)
class Listed:
    """One message as the portal lists it, with its chunks."""

    id: str
    no: int
    gen: int
    sealed: bytes
    chunks: dict[tuple[int, int], bytes]


@dataclass(frozen=True)
class ReadMessage:
    """A message that opened and verified."""

    manifest: Manifest
    parts: dict[tuple[str, str], bytes]
    """By role and name."""

    def part(self, role: str, name: str = "") -> bytes:
        return self.parts[role, name]


@dataclass
class Browser:
    """A reader who is signed in."""

    portal: str
    who: str
    opened: OpenedCapsule
    cards: TrustedCards
    password: str = field(repr=False)
    code: str = field(default="", repr=False)

    @classmethod
    def sign_in(
        cls,
        portal: str,
        who: str,
        capsule: bytes,
        cards: Sequence[CardRecord],
        password: str,
        code: str = "",
    ) -> Browser:
        """Open the capsule with what was typed. Raises MailboxDataError."""
        read = read_capsule(capsule)
        kdf = KDF_REPLY if read.kind == "reply" else KDF_MAILBOX
        keys = stretch(portal, who, kdf, read_secret(read.form or OWN, password, code))
        opened = open_capsule(read, keys.kek, portal=portal)
        trusted = check_cards(cards, portal=portal, root=opened.body.root, least=opened.body.card)
        return cls(portal, who, opened, trusted, password, code)

    def choose_password(self, password: str, now_ms: int) -> tuple[bytes, bytes]:
        """Return the next capsule and its signature by the generation before."""
        old = self.opened.keys
        gen, seed = old.gen + 1, os.urandom(32)
        keys = stretch(self.portal, self.who, KDF_MAILBOX, read_secret(OWN, password))
        body = self.opened.body
        newest = self.cards.newest
        fields = CapsuleFields(
            kind="mailbox",
            by="browser",
            portal=self.portal,
            box=old.box,
            gen=gen,
            time=format_time(now_ms),
            kdf=KDF_MAILBOX,
            av=keys.av,
        )
        older = (*body.older, OlderSeed(old.gen, self.opened.capsule.suite, old.seed))
        new_body = CapsuleBody(body.name, body.org, newest.root, newest.serial, older)
        capsule = make_capsule(fields, seed, keys.kek, new_body, newest.escrow_key)
        return capsule, sign_rekey(old, capsule)

    def read(self, listed: Listed) -> ReadMessage:
        """Open, verify and put together one message. Raises MailboxDataError."""
        keys = self.opened.seed_keys(listed.gen)
        manifest = open_down(listed.sealed, keys, self.cards, id_=listed.id, no=listed.no)
        parts: dict[tuple[str, str], bytes] = {}
        if manifest.mail is not None:
            for part in manifest.mail.parts:
                chunks = [data for (i, _), data in sorted(listed.chunks.items()) if i == part.i]
                content = b"".join(open_part(manifest.mail.key, manifest.id, part.i, part.size, chunks))
                parts[part.role, part.name] = content
        return ReadMessage(manifest, parts)
