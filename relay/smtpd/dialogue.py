"""The SMTP dialogue: which command may come when, and what is answered (RFC 5321 4.1.4).

Does: read commands one by one, keep the mail transaction, hand content to a ContentReceiver. Extensions: SIZE
(RFC 1870), 8BITMIME (6152), PIPELINING (2920), CHUNKING (3030), STARTTLS (3207), DSN (3461), AUTH (4954),
ENHANCEDSTATUSCODES (2034), SMTPUTF8 (6531), LIMITS (9422).
Must not: touch transports (channel.py does), write codes (replies.py does), judge addresses (grammar, admission).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from relay.log import Log
from relay.smtpd import authentication, grammar, replies
from relay.smtpd.buffer import OverlongLineError
from relay.smtpd.limits import client_key
from relay.smtpd.logins import Login
from relay.smtpd.reception import Reception, Sender, Transaction
from relay.smtpd.replies import RefusalError, Reply
from relay.smtpd.service import Endpoint, Service, note_fault

if TYPE_CHECKING:
    from relay.smtpd.channel import Channel

_log = Log("smtpd")
_BURST = 64
_BEFORE_TLS = frozenset({"NOOP", "EHLO", "STARTTLS", "QUIT"})  # RFC 3207 4
# RFC 2920 3.1: these end a group. What stands behind one before its reply is out of step, and behind DATA or STARTTLS
# it is how commands are smuggled.
_LAST_IN_GROUP = frozenset({"EHLO", "HELO", "DATA", "STARTTLS", "AUTH"})


class Dialogue:
    """The dialogue with one peer."""

    def __init__(self, channel: Channel, service: Service, endpoint: Endpoint) -> None:
        self._channel = channel
        self._service = service
        self._endpoint = endpoint
        self._limits = endpoint.limits
        self._reception = Reception(channel, service, endpoint)
        self._helo: str | None = None
        self._is_extended = False
        self._login: Login | None = None
        self._transaction: Transaction | None = None
        self._errors = 0
        self._messages = 0
        self._is_over = False

    async def run(self) -> None:
        """Talk until one side has had enough. Raises ConnectionError when the peer vanishes."""
        if self._endpoint.admission.is_client_allowed(self._channel.client_ip):
            self._channel.reply(replies.greeting(self._service.config.hostname))
            answer: Callable[[bytes], Awaitable[Reply | None]] = self._answer
        else:
            self._service.stats.connections_refused += 1
            self._channel.reply(replies.CLIENT_DENIED)
            answer = _answer_denied
        burst = 0
        while not self._is_over:
            reply = await self._next_reply(answer)
            if reply is None:
                continue
            if reply.is_refusal:
                self._errors += reply.code >= 500
                _log.info(
                    "refused",
                    listener=self._endpoint.listener.name,
                    client=self._channel.client_ip,
                    reply_code=reply.code,
                    status=reply.status,
                )
            self._channel.reply(reply)
            if reply.closes:
                return
            if self._errors >= self._limits.errors_per_connection:
                self._channel.reply(replies.TOO_MANY_ERRORS)
                return
            burst += 1
            if burst % _BURST == 0:
                # A full buffer of commands must not keep the others waiting.
                await asyncio.sleep(0)

    async def close(self) -> None:
        """Give up what is half received."""
        await self._reset()

    async def _next_reply(self, answer: Callable[[bytes], Awaitable[Reply | None]]) -> Reply | None:
        try:
            line = await self._channel.next_command(authentication.LINE_OCTETS)
            if line is None:
                self._is_over = True
                return None
            self._channel.set_deadline(None)
            return await answer(line)
        except OverlongLineError as error:
            return replies.LINE_FAR_TOO_LONG if error.hopeless else replies.LINE_TOO_LONG
        except RefusalError as refusal:
            return refusal.reply
        except ConnectionError:
            raise
        except Exception as error:  # whatever it is, it is ours: 4xx and nothing told
            note_fault(self._service, self._endpoint, error)
            return replies.for_error(error)

    async def _answer(self, line: bytes) -> Reply | None:
        if not line.endswith(b"\r\n"):
            return replies.BARE_LINE_END
        verb, rest = grammar.decode_line(line[:-2])
        if len(line) > self._limits.command_octets + 2 and verb != "AUTH":
            return replies.LINE_TOO_LONG
        command = _COMMANDS.get(verb)
        if command is None:
            return replies.UNKNOWN_COMMAND
        if verb in _LAST_IN_GROUP and self._channel.input.has_input():
            return replies.OUT_OF_STEP
        if self._endpoint.listener.require_tls and self._channel.tls is None and verb not in _BEFORE_TLS:
            return replies.TLS_FIRST
        return await command(self, rest)

    # --- greeting, TLS, login -----------------------------------------------------------------------------------------

    async def _ehlo(self, rest: str) -> Reply:
        self._helo = grammar.parse_helo(rest)
        self._is_extended = True
        await self._reset()
        return Reply(250, "", "\n".join([self._service.config.hostname, *self._extensions()]))

    async def _helo_command(self, rest: str) -> Reply:
        self._helo = grammar.parse_helo(rest)
        self._is_extended = False
        await self._reset()
        return Reply(250, "", self._service.config.hostname)

    def _extensions(self) -> list[str]:
        limits = self._limits
        lines = [
            "PIPELINING",
            f"SIZE {limits.message_octets}",
            "8BITMIME",
            "SMTPUTF8",
            "ENHANCEDSTATUSCODES",
            "CHUNKING",
            "DSN",
            f"LIMITS MAILMAX={limits.messages_per_connection} RCPTMAX={limits.recipients}",
            "HELP",
        ]
        if self._can_start_tls():
            lines.append("STARTTLS")
        if self._can_log_in():
            lines.append(f"AUTH {authentication.MECHANISMS}")
        return lines

    def _can_start_tls(self) -> bool:
        return self._endpoint.tls is not None and self._channel.tls is None

    def _can_log_in(self) -> bool:
        listener = self._endpoint.listener
        return listener.needs_auth and (self._channel.tls is not None or listener.loopback_demo)

    async def _starttls(self, rest: str) -> Reply | None:
        if rest:
            return replies.NO_ARGUMENT
        if self._channel.tls is not None:
            return replies.TLS_RUNNING
        context = self._endpoint.tls
        if context is None:
            return replies.TLS_NOT_AVAILABLE
        self._channel.reply(replies.START_TLS)
        await self._channel.flush()
        try:
            await self._channel.start_tls(context)
        except OSError as error:
            _log.info("tls-failed", listener=self._endpoint.listener.name, error=type(error).__name__)
            raise ConnectionResetError from error
        # RFC 3207 4.2: everything said before is forgotten.
        await self._reset()
        self._helo, self._is_extended, self._login = None, False, None
        return None

    async def _auth(self, rest: str) -> Reply:
        if not self._endpoint.listener.needs_auth:
            return replies.NOT_IMPLEMENTED
        if not self._is_extended:
            return replies.HELO_FIRST
        if not self._can_log_in():
            return replies.LOGIN_NEEDS_TLS
        if self._login is not None or self._transaction is not None:
            return replies.BAD_SEQUENCE  # RFC 4954 4
        self._login = await authentication.authenticate(self._channel, self._service, rest)
        return replies.LOGGED_IN

    # --- envelope -----------------------------------------------------------------------------------------------------

    async def _mail(self, rest: str) -> Reply:
        if self._helo is None:
            return replies.HELO_FIRST
        if self._endpoint.listener.needs_auth and self._login is None:
            return replies.LOGIN_FIRST
        if self._transaction is not None:
            return replies.NESTED_MAIL
        mail = grammar.parse_mail(rest, extended=self._is_extended, auth=self._can_log_in())
        if mail.size > self._limits.message_octets:
            return replies.TOO_LARGE
        if self._messages >= self._limits.messages_per_connection:
            return replies.TOO_MANY_MESSAGES
        self._check_rate()
        admission = self._endpoint.admission
        admission.check_sender(mail.reverse_path, self._login)
        await admission.check_client_name(self._channel.client_ip)
        if not self._service.intake.has_room(mail.size):
            return replies.STORAGE_FULL
        self._transaction = Transaction(mail)
        self._messages += 1
        return replies.SENDER_OK

    def _check_rate(self) -> None:
        most = self._limits.messages_per_client_minute
        if most:
            rate = self._endpoint.message_rate
            client = client_key(self._channel.client_ip)
            now = self._channel.loop.time()
            if rate.count(client, now) >= most:
                raise RefusalError(replies.RATE_EXCEEDED)
            rate.add(client, now)

    async def _rcpt(self, rest: str) -> Reply:
        transaction = self._transaction
        if transaction is None:
            return replies.MAIL_FIRST
        if transaction.has_chunks:
            return replies.BDAT_RUNNING
        try:
            command = grammar.parse_rcpt(rest, extended=self._is_extended, smtputf8=transaction.mail.smtputf8)
            if len(transaction.recipients) >= self._limits.recipients:
                raise RefusalError(replies.TOO_MANY_RECIPIENTS)  # RFC 5321 4.5.3.1.10: temporary
            recipient = await self._endpoint.admission.check_recipient(command)
        except RefusalError:
            transaction.had_recipient_refused = True
            self._service.stats.recipients_refused += 1
            raise
        # The same path twice is one recipient; it would get the message once anyway.
        transaction.recipients.setdefault(recipient.forward_path, recipient)
        self._service.stats.recipients_accepted += 1
        return replies.RECIPIENT_OK

    async def _rset(self, rest: str) -> Reply:
        if rest:
            return replies.NO_ARGUMENT
        await self._reset()
        return replies.OK

    async def _reset(self) -> None:
        transaction, self._transaction = self._transaction, None
        if transaction is not None and transaction.receiver is not None:
            await transaction.receiver.abandon()

    # --- content (reception.py) ---------------------------------------------------------------------------------------

    def _content_ready(self) -> Transaction:
        transaction = self._transaction
        if transaction is None:
            raise RefusalError(replies.MAIL_FIRST)
        if not transaction.recipients:
            raise RefusalError(replies.NO_VALID_RECIPIENTS if transaction.had_recipient_refused else replies.RCPT_FIRST)
        return transaction

    def _sender(self) -> Sender:
        return Sender(self._helo or "", self._is_extended, None if self._login is None else self._login.name)

    async def _data(self, rest: str) -> Reply:
        if rest:
            return replies.NO_ARGUMENT
        transaction = self._content_ready()
        if transaction.has_chunks:
            return replies.BDAT_RUNNING
        return self._note_outcome(await self._reception.receive_data(transaction, self._sender()))

    async def _bdat(self, rest: str) -> Reply:
        octets, is_last = grammar.parse_bdat(rest)
        if octets > self._limits.message_octets + self._limits.overrun_octets:
            return replies.FAR_TOO_LARGE
        try:
            transaction = self._content_ready()
        except RefusalError as refusal:
            # RFC 3030 2: the announced octets are consumed whatever the reply will be.
            await self._reception.skip(octets)
            return refusal.reply
        return self._note_outcome(
            await self._reception.receive_chunk(transaction, self._sender(), octets, is_last=is_last)
        )

    def _note_outcome(self, reply: Reply) -> Reply:
        if self._transaction is not None and self._transaction.is_over:
            self._transaction = None
        if not reply.is_refusal:
            self._errors = 0
        return reply

    # --- the rest -----------------------------------------------------------------------------------------------------

    async def _noop(self, _rest: str) -> Reply:
        return replies.OK

    async def _help(self, _rest: str) -> Reply:
        return replies.HELP

    async def _vrfy(self, rest: str) -> Reply:
        return replies.VERIFY if rest else replies.ARGUMENT_MISSING

    async def _not_implemented(self, _rest: str) -> Reply:
        return replies.NOT_IMPLEMENTED

    async def _quit(self, rest: str) -> Reply:
        return replies.NO_ARGUMENT if rest else replies.BYE


async def _answer_denied(line: bytes) -> Reply:
    # RFC 5321 3.1: after a 554 greeting everything but QUIT is answered with 503.
    return replies.BYE if line.strip().upper() == b"QUIT" else replies.BAD_SEQUENCE


_COMMANDS: dict[str, Callable[[Dialogue, str], Awaitable[Reply | None]]] = {
    "EHLO": Dialogue._ehlo,
    "HELO": Dialogue._helo_command,
    "STARTTLS": Dialogue._starttls,
    "AUTH": Dialogue._auth,
    "MAIL": Dialogue._mail,
    "RCPT": Dialogue._rcpt,
    "DATA": Dialogue._data,
    "BDAT": Dialogue._bdat,
    "RSET": Dialogue._rset,
    "NOOP": Dialogue._noop,
    "HELP": Dialogue._help,
    "VRFY": Dialogue._vrfy,
    "EXPN": Dialogue._not_implemented,
    "ETRN": Dialogue._not_implemented,
    "QUIT": Dialogue._quit,
}
