"""Content commands: DATA by its end, BDAT by its count, both into a ContentReceiver.

Does: open the spool's message, pace the peer, consume what was announced even when it is refused.
Must not: know the order of commands (dialogue.py does) or how octets reach the spool (content.py does).
Sources: RFC 5321 4.1.1.4 and 4.5.3.2.5, RFC 3030 2.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from relay.core.envelope import Envelope, Recipient, SessionInfo
from relay.smtpd import replies
from relay.smtpd.content import ContentReceiver
from relay.smtpd.grammar import MailCommand
from relay.smtpd.replies import Reply
from relay.smtpd.scanner import ChunkChecker, DataScanner
from relay.smtpd.service import Endpoint, Service, note_fault
from relay.smtpd.trace import received_field

if TYPE_CHECKING:
    from relay.smtpd.channel import Channel


@dataclass(frozen=True, slots=True)
class Sender:
    """What the dialogue knows of the peer beyond the connection."""

    helo: str
    is_extended: bool
    login: str | None


@dataclass(slots=True)
class Transaction:
    """One mail transaction, from MAIL to the end of data or RSET."""

    mail: MailCommand
    recipients: dict[str, Recipient] = field(default_factory=dict)
    """By path, in the order given."""
    had_recipient_refused: bool = False
    receiver: ContentReceiver | None = None
    """Set while BDAT chunks come."""
    checker: ChunkChecker = field(default_factory=ChunkChecker)
    failure: Reply | None = None
    """An earlier chunk was refused with this; the others are too (RFC 3030 2)."""
    is_over: bool = False

    @property
    def has_chunks(self) -> bool:
        """Tell whether BDAT has begun."""
        return self.receiver is not None or self.failure is not None


class Reception:
    """Receives content on one connection."""

    def __init__(self, channel: Channel, service: Service, endpoint: Endpoint) -> None:
        self._channel = channel
        self._service = service
        self._endpoint = endpoint
        self._limits = endpoint.limits
        self._session: SessionInfo | None = None

    def _open_receiver(self, transaction: Transaction, sender: Sender) -> ContentReceiver:
        mail = transaction.mail
        session = self._describe_session(sender)
        envelope = Envelope(
            reverse_path=mail.reverse_path,
            recipients=tuple(transaction.recipients.values()),
            body_type=mail.body_type,
            smtputf8=mail.smtputf8,
            dsn_ret=mail.ret,
            dsn_envid=mail.envid,
        )
        incoming = self._service.intake.open(session, envelope)
        field_octets = received_field(
            session,
            envelope,
            hostname=self._service.config.hostname,
            message_id=incoming.message_id,
            now_ms=self._service.clock.now_ms(),
            extended=sender.is_extended,
        )
        return ContentReceiver(
            incoming,
            field_octets,
            limits=self._limits,
            stats=self._service.stats,
            keeper=self._service.keeper,
            clock=self._service.clock,
            about={
                "listener": session.listener,
                "client": session.client_ip,
                "tls": session.tls or "",
                "recipients": len(envelope.recipients),
            },
        )

    def _describe_session(self, sender: Sender) -> SessionInfo:
        """Return the session; the same value again while nothing changed, as on a connection with many mails."""
        channel, known = self._channel, self._session
        if known is None or (known.helo, known.login, known.tls) != (sender.helo, sender.login, channel.tls):
            known = self._session = SessionInfo(
                listener=self._endpoint.listener.name,
                side=self._endpoint.listener.side,
                client_ip=channel.client_ip,
                helo=sender.helo,
                tls=channel.tls,
                login=sender.login,
                local_ip=channel.local_ip,
                local_port=channel.local_port,
            )
        return known

    async def receive_data(self, transaction: Transaction, sender: Sender) -> Reply:
        """Say 354, receive up to the end of data, commit. Raises what the spool raises on opening, ConnectionError."""
        receiver = self._open_receiver(transaction, sender)
        try:
            self._channel.reply(replies.SEND_DATA)
            await self._channel.flush()
            if not await self._receive_to_end(receiver):
                await receiver.abandon()
                return replies.FAR_TOO_LARGE
            reply = await receiver.finish()
        except BaseException:
            await receiver.abandon()
            raise
        transaction.is_over = True
        return reply

    async def _receive_to_end(self, receiver: ContentReceiver) -> bool:
        """Receive up to the end of data; False when the peer does not come to an end."""
        scanner = DataScanner()
        pace = self._pace()
        while not scanner.is_done:
            content = scanner.feed(await pace.next_octets(-1))
            if scanner.has_bare:
                await receiver.refuse(replies.BARE_CR_OR_LF)
            await receiver.take(content)
            if receiver.is_hopeless:
                return False
        self._channel.input.give_back(scanner.rest)
        return True

    async def receive_chunk(self, transaction: Transaction, sender: Sender, octets: int, *, is_last: bool) -> Reply:
        """Receive one BDAT chunk and, when it is the last, commit. Raises ConnectionError."""
        receiver = self._begin_chunk(transaction, sender)
        if receiver is None:
            await self.skip(octets)
            transaction.is_over = is_last
            # The same reply again: a 503 here could turn a fault of ours into a bounce for a pipelining client.
            return transaction.failure or replies.INTERNAL_FAULT
        pace = self._pace()
        left = octets
        while left:
            chunk = await pace.next_octets(left)
            left -= len(chunk)
            transaction.checker.feed(chunk)
            if transaction.checker.has_bare:
                await receiver.refuse(replies.BARE_CR_OR_LF)
            await receiver.take(chunk)
        if is_last:
            transaction.checker.finish()
            if transaction.checker.has_bare:
                await receiver.refuse(replies.BARE_CR_OR_LF)
        elif receiver.refusal is None:
            return replies.chunk_taken(octets)
        reply = await receiver.finish()
        transaction.receiver = None
        transaction.failure = reply
        transaction.is_over = is_last
        return reply

    async def skip(self, octets: int) -> None:
        """Throw announced octets away, so that they are not taken for commands. Raises ConnectionError."""
        pace = self._pace()
        while octets:
            octets -= len(await pace.next_octets(octets))

    def _begin_chunk(self, transaction: Transaction, sender: Sender) -> ContentReceiver | None:
        """Return the receiver, or None with the transaction's failure set."""
        if transaction.receiver is None and transaction.failure is None:
            try:
                transaction.receiver = self._open_receiver(transaction, sender)
            except Exception as error:  # the octets must still be consumed before the 4xx
                note_fault(self._service, self._endpoint, error)
                transaction.failure = replies.for_error(error)
        return transaction.receiver

    def _pace(self) -> _Pace:
        return _Pace(self._channel, self._limits.chunk_octets, self._limits.chunk_timeout)


class _Pace:
    """Reads content from a peer that must keep up: so many octets in so many seconds, our own time not counted."""

    __slots__ = ("_channel", "_left", "_octets", "_seconds", "_since")

    def __init__(self, channel: Channel, octets: int, seconds: float) -> None:
        self._channel = channel
        self._octets = octets
        self._seconds = seconds
        self._since = 0
        self._left: float | None = seconds

    async def next_octets(self, most: int) -> bytes:
        """Return what has come. Raises ConnectionError when the peer has closed."""
        self._channel.set_deadline(self._left)
        octets = await self._channel.input.next_octets(most)
        self._left = self._channel.hold_deadline()
        if not octets:
            raise ConnectionResetError
        self._since += len(octets)
        if self._since >= self._octets:
            self._since = 0
            self._left = self._seconds
        return octets
