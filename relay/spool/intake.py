"""Where smtpd puts mail: port core.ports.Intake over the database.

A new key for each message is sealed to the spool's public key; this process holds no private key and forgets the
message's own key after the commit. Up to one chunk (256 KiB) stays in memory until the one commit; larger content goes
ahead in sealed chunks that nobody sees before the commit, and that are swept within a minute when it never comes.
`commit` returns after the durable COMMIT of message, key, last chunk, copies and event, and nothing earlier.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable

from relay.core.envelope import Envelope, SessionInfo
from relay.core.errors import StorageError, StorageFullError
from relay.core.ports import SpoolPublicKey, WrappedMailKey
from relay.core.wire.chunks import new_mail_key
from relay.core.wire.mailkey import MailKeyBatch, MailKeySealer
from relay.spool.bridge import LoopBridge
from relay.spool.buffer import ContentBuffer
from relay.spool.fingerprint import Fingerprint
from relay.spool.intake_batch import Ahead, Arrival, Drop, Heartbeat, IntakeItem, weigh_item, write_batch
from relay.spool.intake_ids import new_arrival_id
from relay.store.base import Database
from relay.store.files import total_octets
from relay.store.repositories.messages import CLIENT, StoredMessage
from relay.store.repositories.variants import ORIGINAL
from relay.store.writer import GroupCommitWriter

_LOG = logging.getLogger(__name__)
_ADD_SIZE = 1024 * 1024
_HEARTBEAT_SECONDS = 10.0
_GATHER_SECONDS = 0.005
_SPACE_SECONDS = 0.25
_SPACE_MARGIN = 1024 * 1024 * 1024
_MOST_SPARE = 1024 * 1024 * 1024


class SpoolIntake:
    """core.ports.Intake. Made once in smtpd, closed at its end."""

    def __init__(
        self,
        db: Database,
        spool_public: Callable[[], SpoolPublicKey],
        hostname: str,
        tenant: str,
        max_message: int,
        *,
        reserve: int | None = None,
        max_batch: int = 64,
        on_commit: Callable[[], None] = lambda: None,
    ) -> None:
        """`max_message` in octets; `reserve`: octets that intake leaves free, default 2 x max_message + 5 %.
        `on_commit` is called in the event loop after each message's commit.

        Steps of waiting mail are written from the 5 % of the file system (at most 1 GiB) when the rest is gone.
        """
        self._db = db
        self._spool_public = spool_public
        self._sealer: MailKeySealer | None = None
        self._batch: MailKeyBatch | None = None
        self.hostname = hostname
        self.tenant = tenant
        self.max_message = max_message
        spare = 0 if db.path is None else min(total_octets(db.path) // 20, _MOST_SPARE)
        self._reserve = 2 * max_message + spare if reserve is None else reserve
        self._spare = min(spare, self._reserve)
        self.on_commit = on_commit
        self._space_until = 0.0
        self._space_known = 0
        self._bridge: LoopBridge | None = None
        self._writer: GroupCommitWriter[IntakeItem, None] = GroupCommitWriter(
            db, write_batch, name="intake", max_batch=max_batch, weigh=weigh_item, gather_seconds=_GATHER_SECONDS
        )
        self._ahead: set[str] = set()
        self._ahead_changed = threading.Condition()
        self._closing = False
        self._heart: threading.Thread | None = None

    def has_room(self, octets: int) -> bool:
        """See core.ports.Intake. What is larger than the limit for one message never has room."""
        if octets > self.max_message:
            return False
        try:
            return self._has_space(self._reserve + octets)
        except OSError:
            return False

    def open(self, session: SessionInfo, envelope: Envelope) -> SpoolMessage:
        """See core.ports.Intake."""
        if not envelope.recipients:
            raise ValueError("a message has recipients")
        return SpoolMessage(self, session, envelope)

    def close(self) -> None:
        """Finish what was submitted, stop the writer thread."""
        with self._ahead_changed:
            self._closing = True
            self._ahead_changed.notify_all()
        self._writer.close()

    def seal_key(self, message_id: str, mail_key: bytes) -> WrappedMailKey:
        """Seal a message's key to the epoch that is the newest now, or was within the last second."""
        batch = self._batch
        if batch is None or batch.is_over:
            public = self._spool_public()
            if self._sealer is None or self._sealer.public != public:
                self._sealer = MailKeySealer(public)
            batch = self._batch = self._sealer.begin_batch()
        return batch.seal(message_id, mail_key)

    def check_spare(self) -> None:
        """Raise StorageFullError when only what the steps of waiting mail need is left."""
        if not self._has_space(self._spare):
            raise StorageFullError("the spool's reserve is reached")

    def _has_space(self, octets: int) -> bool:
        """Tell whether more than so many octets are free. Where far more are it is believed for a moment, in which less
        can be written than the margin; near the limit each call looks."""
        now = time.monotonic()
        if octets <= self._space_known and now < self._space_until:
            return True
        if self._db.free_space_ok(octets + _SPACE_MARGIN):
            self._space_known, self._space_until = octets, now + _SPACE_SECONDS
            return True
        return self._db.free_space_ok(octets)

    async def write(self, item: IntakeItem) -> None:
        """Write an item; return after the durable commit that holds it. Raises StorageError."""
        loop = asyncio.get_running_loop()
        if self._bridge is None or self._bridge.loop is not loop:
            self._bridge = LoopBridge(loop)
        ticket = self._bridge.make_ticket()
        self._writer.submit_to(item, ticket)
        await ticket.waiter

    def watch(self, message_id: str) -> None:
        """Keep what was written ahead for a message alive while its client is slow."""
        with self._ahead_changed:
            self._ahead.add(message_id)
            if self._heart is None:
                self._heart = threading.Thread(target=self._beat, name="intake-heartbeat", daemon=True)
                self._heart.start()
            self._ahead_changed.notify_all()

    def forget(self, message_id: str) -> None:
        """End what `watch` began."""
        with self._ahead_changed:
            self._ahead.discard(message_id)

    def _beat(self) -> None:
        while True:
            with self._ahead_changed:
                while not self._ahead and not self._closing:
                    self._ahead_changed.wait()
                if not self._closing:
                    self._ahead_changed.wait_for(lambda: self._closing, timeout=_HEARTBEAT_SECONDS)
                if self._closing:
                    return
                watched = tuple(self._ahead)
            if watched:
                try:
                    self._writer.submit(Heartbeat(watched)).result()
                except StorageError as error:
                    _LOG.warning("heartbeat of intake failed", extra={"error_type": type(error).__name__})


class SpoolMessage:
    """core.ports.IncomingMessage. Used by one session at a time."""

    def __init__(self, intake: SpoolIntake, session: SessionInfo, envelope: Envelope) -> None:
        self._intake = intake
        self._session = session
        self._envelope = envelope
        self._message_id = new_arrival_id()
        self._key = new_mail_key()
        self._buffer: ContentBuffer | None = ContentBuffer(self._message_id, intake.tenant, self._key)
        self._fingerprint = Fingerprint()
        self._is_ahead = False

    @property
    def message_id(self) -> str:
        """See core.ports.IncomingMessage."""
        return self._message_id

    async def write(self, data: bytes) -> None:
        """See core.ports.IncomingMessage."""
        if self._buffer is None:
            raise StorageError("this message was committed or aborted")
        with memoryview(data) as view:
            for start in range(0, len(view), _ADD_SIZE):
                self._buffer.add(view[start : start + _ADD_SIZE])
                if not self._buffer.is_small:
                    await self._seal_ahead(self._buffer)

    async def commit(self) -> None:
        """See core.ports.IncomingMessage."""
        buffer, self._buffer = self._buffer, None
        if buffer is None:
            raise StorageError("this message was committed or aborted")
        self._intake.check_spare()
        self._fingerprint.feed(buffer.peek())
        # Sealed now and not when the message began: a slow client may outlast an epoch, and what is sealed to a
        # destroyed one is lost.
        wrapped = self._intake.seal_key(self._message_id, self._key)
        arrival = Arrival(
            message=self._message(buffer),
            recipients=self._envelope.recipients,
            key=wrapped,
            is_ahead=self._is_ahead,
            header_message_id=self._fingerprint.header_message_id,
            chunks=(*buffer.take_sealed(), buffer.seal_last(ORIGINAL)),
        )
        await self._intake.write(arrival)
        if self._is_ahead:
            self._intake.forget(self._message_id)
        self._intake.on_commit()

    async def abort(self) -> None:
        """See core.ports.IncomingMessage."""
        self._buffer = None
        if self._is_ahead:
            self._intake.forget(self._message_id)
            # A row that cannot be dropped now is swept within a minute.
            with contextlib.suppress(Exception):
                await self._intake.write(Drop(self._message_id))

    async def _seal_ahead(self, buffer: ContentBuffer) -> None:
        buffer.seal_full(ORIGINAL, self._fingerprint.feed)
        if not buffer.has_ahead:
            return
        self._intake.check_spare()
        ahead = Ahead(self._message_id, self._intake.tenant, tuple(buffer.take_sealed()), is_first=not self._is_ahead)
        self._is_ahead = True
        self._intake.watch(self._message_id)
        await self._intake.write(ahead)

    def _message(self, buffer: ContentBuffer) -> StoredMessage:
        session, envelope = self._session, self._envelope
        return StoredMessage(
            id=self._message_id,
            tenant=self._intake.tenant,
            received_at=0,
            listener=session.listener,
            side=session.side,
            client_ip=session.client_ip,
            helo=session.helo,
            tls=session.tls,
            login=session.login,
            reverse_path=envelope.reverse_path,
            dsn_ret=envelope.dsn_ret,
            dsn_envid=envelope.dsn_envid,
            body_type=envelope.body_type,
            smtputf8=envelope.smtputf8,
            requiretls=envelope.requiretls,
            size=buffer.size,
            sha256=self._fingerprint.hexdigest(),
            origin=CLIENT,
            cause=None,
            shredded_at=None,
        )
