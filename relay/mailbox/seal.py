"""Sealing to a box: parts into chunks, then the signed manifest, then rows (sealed-mailbox 7, 9).

Everything is sealed before the transaction that stores it, into a temporary file that holds ciphertext only; the octets
stored are those that are pushed, now and on every retry. Each recipient has a key, a manifest and parts of his own.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, cast

from relay.core.address import domain_of, normalise_address
from relay.core.errors import AddressError
from relay.core.ids import new_id
from relay.core.wire.sealed import (
    Account,
    MailHead,
    Manifest,
    Part,
    PartSealer,
    Person,
    format_time,
    make_id,
    new_message_key,
    seal_down,
)
from relay.mailbox.compose import ComposedMail, TooLargeForMailboxError
from relay.store.base import Tx
from relay.store.repositories import mailbox_messages as rows
from relay.store.repositories.mailbox_chunks import add_chunks

_IN_MEMORY = 1024 * 1024
_TOGETHER = 4
"""Chunks of up to 1 MiB that one statement writes."""

Sign = Callable[[int, bytes, str], bytes]
"""Card serial, manifest octets, and the id of what allows it (a message, a box), to 64 octets of ES256: keyd."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a manifest goes: a box's generation, under a card."""

    tenant: str
    portal: str
    box: str
    gen: int
    enc: bytes
    card: int
    no: int


@dataclass(slots=True)
class SealedMessage:
    """A message that is sealed and not yet stored. Close it, stored or not."""

    message: rows.BoxMessage
    size: int
    """Octets of all parts before sealing."""
    _file: BinaryIO | None = field(default=None, repr=False)
    _index: list[tuple[int, int, int]] = field(default_factory=list)
    """Part number, chunk number, length, in the order of the file."""

    def store(self, tx: Tx) -> None:
        """Write the message and its chunks as part of `tx`."""
        message = self.message
        rows.add_box_message(tx, message)
        if self._file is None:
            return
        self._file.seek(0)
        waiting: list[tuple[int, int, bytes]] = []
        for i, n, length in self._index:
            waiting.append((i, n, self._file.read(length)))
            if len(waiting) == _TOGETHER:
                add_chunks(tx, message.tenant, message.box, message.id, waiting)
                waiting = []
        if waiting:
            add_chunks(tx, message.tenant, message.box, message.id, waiting)

    def read_chunks(self) -> Iterator[tuple[int, int, bytes]]:
        """Yield part number, chunk number and octets."""
        if self._file is not None:
            self._file.seek(0)
            for i, n, length in self._index:
                yield i, n, self._file.read(length)

    def close(self) -> None:
        """Drop the temporary file."""
        if self._file is not None:
            self._file.close()
            self._file = None


@dataclass(frozen=True, slots=True)
class MailFacts:
    """What is stored with a message beside what is sealed. Times in milliseconds."""

    kind: str
    """`mail` or `ticket`."""
    sender: str
    """Normal address of the inside sender."""
    copy_id: str | None
    message_id: str | None
    time_ms: int
    expires_ms: int
    files_allowed: bool | None = None
    """Of a ticket: whether the answer may have files."""
    thread: str | None = None
    """The thread that it goes on; None begins one."""
    re: str | None = None
    """Id of the mail of this mailbox that it answers."""
    own_domains: frozenset[str] | None = None
    """Ours: each person is marked whether an answer to all reaches him; None marks nobody."""
    copy: bool | None = None
    """Of a ticket: whether its answers come back to the partner as an encrypted PDF."""


class Sealer:
    """Seals messages to boxes. `sign` is keyd's."""

    def __init__(self, sign: Sign, temporary_dir: Path, max_octets: int) -> None:
        self._sign = sign
        self._temporary_dir = temporary_dir
        self._max_octets = max_octets

    def seal_mail(self, place: Place, mail: ComposedMail, facts: MailFacts) -> SealedMessage:
        """Seal a composed mail for one box.

        Raises TooLargeForMailboxError, KeyStoreError, OSError for the temporary file.
        """
        message_id, key = make_id(), new_message_key()
        file = cast("BinaryIO", tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY, dir=str(self._temporary_dir)))  # noqa: SIM115 - closed by SealedMessage
        try:
            parts, index, size = self._seal_parts(mail, message_id, key, file)
            thread = facts.thread or new_id()
            head = MailHead(
                thread=thread,
                sender=mail.sender,
                to=_mark(mail.to, facts.own_domains),
                cc=_mark(mail.cc, facts.own_domains),
                subject=mail.subject,
                snippet=mail.snippet,
                expires=format_time(facts.expires_ms),
                receipt=mail.receipt,
                key=key,
                parts=parts,
                files=facts.files_allowed,
            )
            sealed = self._seal(
                place,
                facts.kind,
                message_id,
                facts.time_ms,
                subject=facts.message_id,
                re=facts.re,
                mail=head,
                copy=facts.copy,
            )
        except BaseException:
            file.close()
            raise
        counts: dict[int, int] = {}
        for i, n, _ in index:
            counts[i] = n + 1
        message = rows.BoxMessage(
            box=place.box,
            id=message_id,
            tenant=place.tenant,
            copy_id=facts.copy_id,
            message_id=facts.message_id,
            no=place.no,
            gen=place.gen,
            kind=facts.kind,
            card=place.card,
            sealed=sealed,
            parts=tuple(rows.StoredPart(i, chunks) for i, chunks in counts.items()),
            thread=thread,
            sender=facts.sender,
            sender_name=mail.sender.name,
            to_addresses=mail.to_addresses,
            cc_addresses=mail.cc_addresses,
            header_message_id=mail.header_message_id,
            references_ids=mail.references,
            receipt=mail.receipt,
            files=facts.files_allowed,
            created_at=facts.time_ms,
            expires_at=facts.expires_ms,
        )
        return SealedMessage(message, size, file, index)

    def seal_receipt(
        self, place: Place, re: str, state: str, time_ms: int, expires_ms: int, *, copy: bool | None = None
    ) -> SealedMessage:
        """Seal the word on an item: `state` is `arrived` or `refused`; `copy` of a PDF's answer: it comes back."""
        return self._seal_note(place, rows.RECEIPT, time_ms, expires_ms, re=re, state=state, copy=copy)

    def seal_account(self, place: Place, of: Account, time_ms: int, expires_ms: int) -> SealedMessage:
        """Seal the word that a rekey was accepted."""
        return self._seal_note(place, rows.ACCOUNT, time_ms, expires_ms, of=of)

    def _seal_note(
        self,
        place: Place,
        kind: str,
        time_ms: int,
        expires_ms: int,
        *,
        re: str | None = None,
        state: str | None = None,
        of: Account | None = None,
        copy: bool | None = None,
    ) -> SealedMessage:
        message_id = make_id()
        sealed = self._seal(place, kind, message_id, time_ms, re=re, state=state, of=of, copy=copy)
        message = rows.BoxMessage(
            box=place.box,
            id=message_id,
            tenant=place.tenant,
            copy_id=None,
            message_id=None,
            no=place.no,
            gen=place.gen,
            kind=kind,
            card=place.card,
            sealed=sealed,
            parts=(),
            thread=message_id,
            sender="",
            sender_name="",
            to_addresses=(),
            cc_addresses=(),
            header_message_id="",
            references_ids=(),
            receipt=False,
            created_at=time_ms,
            expires_at=expires_ms,
        )
        return SealedMessage(message, 0)

    def _seal(
        self,
        place: Place,
        kind: str,
        message_id: str,
        time_ms: int,
        *,
        subject: str | None = None,
        mail: MailHead | None = None,
        re: str | None = None,
        state: str | None = None,
        of: Account | None = None,
        copy: bool | None = None,
    ) -> bytes:
        manifest = Manifest(
            kind=kind,
            portal=place.portal,
            box=place.box,
            gen=place.gen,
            id=message_id,
            no=place.no,
            enc=place.enc,
            card=place.card,
            time=format_time(time_ms),
            mail=mail,
            re=re,
            state=state,
            of=of,
            copy=copy,
        )
        return seal_down(manifest, lambda octets: self._sign(place.card, octets, subject or place.box))

    def _seal_parts(
        self, mail: ComposedMail, message_id: str, key: bytes, file: BinaryIO
    ) -> tuple[tuple[Part, ...], list[tuple[int, int, int]], int]:
        parts: list[Part] = []
        index: list[tuple[int, int, int]] = []
        size = 0
        for i, source in enumerate(mail.parts):
            sealer = PartSealer(key, message_id, i)
            for n, chunk in enumerate(sealer.seal_all(source.read_pieces())):
                file.write(chunk)
                index.append((i, n, len(chunk)))
                if size + sealer.size > self._max_octets:
                    raise TooLargeForMailboxError("The message is larger than what a mailbox takes.")
            size += sealer.size
            parts.append(Part(i, source.role, source.name, source.media_type, sealer.size))
        return tuple(parts), index, size


def find_inside(written: str, own_domains: Collection[str]) -> str | None:
    """Return the normal address of somebody of ours, None for all others: no answer is relayed to the outside."""
    try:
        normal = normalise_address(written)
    except AddressError:
        return None
    return normal if domain_of(normal) in own_domains else None


def _mark(persons: tuple[Person, ...], own_domains: frozenset[str] | None) -> tuple[Person, ...]:
    if own_domains is None:
        return persons
    return tuple(replace(one, inside=find_inside(one.addr, own_domains) is not None) for one in persons)
