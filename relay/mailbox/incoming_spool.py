"""Putting a mail from the portal into the spool, without a session of SMTP: flat in memory, unseen before the commit.

As intake does it: chunks go ahead in transactions of their own and are swept when the commit never comes; the last one
makes message, key and copies exist, here inside the very transaction that notes the entry as seen. Sealed to the public
key of the spool like any other mail.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence

from relay.core.envelope import BodyType, Recipient, Side
from relay.core.ids import new_id
from relay.core.ports import SpoolPublicKey
from relay.core.wire.chunks import new_mail_key
from relay.core.wire.mailkey import MailKeySealer
from relay.spool.buffer import ContentBuffer
from relay.spool.errors import ContentMissingError
from relay.spool.fingerprint import Fingerprint
from relay.spool.intake_batch import Ahead, Arrival, Drop, Heartbeat, write_batch
from relay.store.base import Database, Tx
from relay.store.repositories.messages import PORTAL, StoredMessage
from relay.store.repositories.variants import ORIGINAL

LISTENER = "portal"
_ADD_SIZE = 1024 * 1024
_HEARTBEAT_SECONDS = 10.0


class SpoolDraft:
    """One mail on its way into the spool. Not shared between threads. `abort` it unless `finish` was committed."""

    def __init__(self, database: Database, tenant: str, spool_public: Callable[[], SpoolPublicKey]) -> None:
        self._database = database
        self._tenant = tenant
        self._spool_public = spool_public
        self.message_id = new_id()
        self._key = new_mail_key()
        self._buffer = ContentBuffer(self.message_id, tenant, self._key)
        self._fingerprint = Fingerprint()
        self._is_ahead = False
        self._beat_at = time.monotonic()

    @property
    def size(self) -> int:
        """Octets written so far."""
        return self._buffer.size

    def write(self, data: bytes) -> None:
        """Append octets. Raises StorageError."""
        with memoryview(data) as view:
            for start in range(0, len(view), _ADD_SIZE):
                self._buffer.add(view[start : start + _ADD_SIZE])
                if not self._buffer.is_small:
                    self._seal_ahead()

    def touch(self) -> None:
        """Keep what was written ahead alive while more is fetched. Raises StorageError."""
        if self._is_ahead and time.monotonic() - self._beat_at > _HEARTBEAT_SECONDS:
            self._beat_at = time.monotonic()
            with self._database.transaction() as tx:
                write_batch(tx, [Heartbeat((self.message_id,))])

    def finish(self, tx: Tx, reverse_path: str, recipients: Sequence[Recipient], *, origin: str = PORTAL) -> None:
        """Make the mail exist as part of `tx`, received for these recipients. Raises StorageError.

        To be called once: when the transaction fails the draft is lost and the entry is fetched anew.
        """
        if not recipients:
            raise ValueError("a message has recipients")
        self._fingerprint.feed(self._buffer.peek())
        wrapped = MailKeySealer(self._spool_public()).seal(self.message_id, self._key)
        message = StoredMessage(
            id=self.message_id,
            tenant=self._tenant,
            received_at=0,
            listener=LISTENER,
            side=Side.OUTSIDE,
            client_ip="",
            helo=LISTENER,
            tls=None,
            login=None,
            reverse_path=reverse_path,
            dsn_ret=None,
            dsn_envid=None,
            body_type=BodyType.SEVEN_BIT,
            smtputf8=not all(r.forward_path.isascii() for r in recipients) or not reverse_path.isascii(),
            requiretls=False,
            size=self._buffer.size,
            sha256=self._fingerprint.hexdigest(),
            origin=origin,
            cause=None,
            shredded_at=None,
        )
        chunks = (*self._buffer.take_sealed(), self._buffer.seal_last(ORIGINAL))
        known_as = self._fingerprint.header_message_id
        write_batch(tx, [Arrival(message, tuple(recipients), wrapped, chunks, self._is_ahead, known_as)])

    def abort(self) -> None:
        """Drop what was written ahead. Never raises."""
        if self._is_ahead:
            # A row that cannot be dropped now is swept within a minute.
            with contextlib.suppress(Exception), self._database.transaction() as tx:
                write_batch(tx, [Drop(self.message_id)])

    def _seal_ahead(self) -> None:
        self._buffer.seal_full(ORIGINAL, self._fingerprint.feed)
        if not self._buffer.has_ahead:
            return
        if not self._database.free_space_ok(0):
            raise ContentMissingError("no space is left")
        rows = tuple(self._buffer.take_sealed())
        with self._database.transaction() as tx:
            write_batch(tx, [Ahead(self.message_id, self._tenant, rows, is_first=not self._is_ahead)])
        self._is_ahead = True
        self._beat_at = time.monotonic()
