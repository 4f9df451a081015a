"""One mail transaction: MAIL, RCPT, DATA and the stream, with an outcome for every copy (RFC 5321 3.3).

Extensions are used only where the peer offers them: SIZE (1870), 8BITMIME (6152), SMTPUTF8 (6531), DSN (3461),
PIPELINING (2920), REQUIRETLS (8689). Stated rules:
- Mail that passes is never converted. 8-bit content towards a peer without 8BITMIME fails with 5.6.3, BINARYMIME always
  (RFC 6152 3, RFC 3030 3); an address or header that needs SMTPUTF8 fails with 5.6.7 or 5.6.9 (RFC 6531 3.2, 3.7.4.1).
- BODY=8BITMIME is said when the sender said so or the first block shows it.
- Over the peer's announced SIZE: 5.3.4 without sending (RFC 1870 6.1).
- REQUIRETLS without verified TLS or the peer's word: deferred with 4.7.30, it expires into a DSN.
- Without DSN at the peer its parameters are left out and Delivered says so (RFC 3461 5.2.2).
"""

from __future__ import annotations

from typing import BinaryIO

from relay.core.address import parse_address
from relay.core.envelope import BodyType
from relay.core.errors import AddressError, LetterlockError
from relay.delivery.errors import ConnectionLostError, ContentFaultError, DeliveryError, HopError, Why
from relay.delivery.outcome import Deferred, Delivered, Failed, Outcome, classify_refusal, defer_for
from relay.delivery.parcel import Parcel, ParcelCopy
from relay.delivery.reply import Reply
from relay.delivery.smtp import SmtpSession
from relay.delivery.stuffing import BLOCK, stuff_blocks


class StaleSessionError(DeliveryError):
    """A session from the cache was gone before the peer took anything: try once more on a new one."""

    why = Why.LOST
    status = "4.4.2"


def run_transaction(session: SmtpSession, parcel: Parcel) -> dict[str, Outcome]:
    """Hand one parcel over and return the outcome of each copy by its id.

    Raises StaleSessionError only, and only for a session that was used before. The session is closed when its state
    is in doubt; else `needs_reset` says what it needs. The content is read from its start.
    """
    parcel.check()
    transaction = _Transaction(session, parcel)
    try:
        with parcel.content.open() as stream:
            transaction.run(stream)
    except StaleSessionError:
        session.close()
        raise
    except DeliveryError as error:
        session.close()
        transaction.settle_rest(defer_for(error, session.hop.host))
    except (LetterlockError, OSError) as error:
        # Our store or key daemon failed under way: without an end of data the peer drops what it has.
        session.close()
        status = error.status if isinstance(error, LetterlockError) and error.temporary else "4.3.0"
        transaction.settle_rest(Deferred(status, "stored content could not be read", Why.CONTENT))
    return transaction.outcomes


class _Transaction:
    def __init__(self, session: SmtpSession, parcel: Parcel) -> None:
        self._session = session
        self._parcel = parcel
        self._remote = session.hop.host
        self._open = {copy.copy_id: copy for copy in parcel.copies}
        self.outcomes: dict[str, Outcome] = {}

    def settle_rest(self, outcome: Outcome) -> None:
        """Give all copies without an outcome this one."""
        for copy_id in self._open:
            self.outcomes[copy_id] = outcome
        self._open.clear()

    def _settle(self, copy_id: str, outcome: Outcome) -> None:
        del self._open[copy_id]
        self.outcomes[copy_id] = outcome

    def run(self, stream: BinaryIO) -> None:
        first = stream.read(BLOCK)
        eight_bit = self._check_body(first)
        utf8 = self._check_utf8(first)
        self._check_size_and_tls()
        if not self._open:
            return
        copies = list(self._open.values())
        lines = [self._mail_line(eight_bit, utf8), *(self._rcpt_line(copy) for copy in copies), "DATA"]
        try:
            go_ahead = self._exchange(lines, copies)
        except HopError:
            self._session.is_lost_early = True
            raise
        self._session.needs_reset = True
        if go_ahead is None or not self._open:
            if go_ahead is not None and go_ahead.code == 354:
                # A peer that wants data for nobody: leaving is safer than an empty mail.
                self._session.close()
            return
        if go_ahead.code != 354:
            self.settle_rest(classify_refusal(go_ahead, self._remote))
            return
        self._send_content(stream, first)

    # --- before MAIL --------------------------------------------------------------------------------------------------

    def _check_body(self, first: bytes) -> bool:
        """Settle what cannot go for want of 8BITMIME; tell whether BODY=8BITMIME is to be said."""
        if self._parcel.body_type is BodyType.BINARY_MIME:
            self.settle_rest(Failed("5.6.3", "binary content would need a conversion", Why.CONVERSION, self._remote))
            return False
        if "8BITMIME" in self._session.features:
            return self._parcel.body_type is BodyType.EIGHT_BIT_MIME or not first.isascii()
        if not first.isascii() or self._has_eight_bit_later(len(first)):
            text = "8-bit content, and the next hop does not offer 8BITMIME"
            self.settle_rest(Failed("5.6.3", text, Why.CONVERSION, self._remote))
        return False

    def _has_eight_bit_later(self, offset: int) -> bool:
        if offset >= self._parcel.content.size:
            return False
        with self._parcel.content.open() as stream:
            while block := stream.read(BLOCK):
                if not block.isascii():
                    return True
        return False

    def _check_utf8(self, first: bytes) -> bool:
        """Settle what cannot go for want of SMTPUTF8; tell whether the parameter is to be said."""
        offered = "SMTPUTF8" in self._session.features
        needing = [c for c in self._open.values() if not c.forward_path.isascii()]
        whole = not self._parcel.reverse_path.isascii()
        header = self._parcel.smtputf8 and not first.partition(b"\r\n\r\n")[0].isascii()
        if offered:
            return self._parcel.smtputf8 or whole or bool(needing)
        if whole or header:
            status = "5.6.7" if whole else "5.6.9"
            text = "internationalised mail, and the next hop does not offer SMTPUTF8"
            self.settle_rest(Failed(status, text, Why.CONVERSION, self._remote))
            return False
        for copy in needing:
            text = "internationalised address, and the next hop does not offer SMTPUTF8"
            self._settle(copy.copy_id, Failed("5.6.7", text, Why.CONVERSION, self._remote))
        return False

    def _check_size_and_tls(self) -> None:
        limit = self._session.size_limit
        if limit and self._parcel.content.size > limit:
            text = f"the mail has {self._parcel.content.size} octets, the next hop takes {limit}"
            self.settle_rest(Failed("5.3.4", text, Why.SIZE, self._remote))
        if self._parcel.requiretls and not (self._session.is_verified and "REQUIRETLS" in self._session.features):
            # RFC 8689 4.2.1: a verified server that promises the same, or no sending.
            text = "REQUIRETLS is asked for and the next hop does not support it"
            self.settle_rest(Deferred("4.7.30", text, Why.TLS, self._remote))

    # --- commands -----------------------------------------------------------------------------------------------------

    def _mail_line(self, eight_bit: bool, utf8: bool) -> str:
        parcel, features = self._parcel, self._session.features
        words = [f"MAIL FROM:<{_check_path(parcel.reverse_path) if parcel.reverse_path else ''}>"]
        if "SIZE" in features:
            words.append(f"SIZE={parcel.content.size}")
        if eight_bit:
            words.append("BODY=8BITMIME")
        if utf8:
            words.append("SMTPUTF8")
        if parcel.requiretls:
            words.append("REQUIRETLS")
        if "DSN" in features:
            if parcel.dsn_ret:
                words.append(f"RET={_check_word(parcel.dsn_ret)}")
            if parcel.dsn_envid:
                words.append(f"ENVID={_check_word(parcel.dsn_envid)}")
        return " ".join(words)

    def _rcpt_line(self, copy: ParcelCopy) -> str:
        words = [f"RCPT TO:<{_check_path(copy.forward_path)}>"]
        if "DSN" in self._session.features:
            if copy.notify is not None:
                words.append(f"NOTIFY={_check_word(','.join(sorted(copy.notify)) or 'NEVER')}")
            if copy.orcpt:
                words.append(f"ORCPT={_check_word(copy.orcpt)}")
        return " ".join(words)

    def _exchange(self, lines: list[str], copies: list[ParcelCopy]) -> Reply | None:
        """Send MAIL, RCPTs and DATA, settle refused copies; return the reply to DATA or None when it was not said."""
        session = self._session
        pipelined = "PIPELINING" in session.features
        try:
            session.send_lines(lines if pipelined else lines[:1])
            mail = session.read_reply()
        except HopError as error:
            if session.transactions > 0:
                raise StaleSessionError(error.text) from error
            raise
        if mail.code == 421 and session.transactions > 0:
            raise StaleSessionError(mail.line)
        session.transactions += 1
        if not mail.is_positive:
            self.settle_rest(classify_refusal(mail, self._remote))
            if not pipelined or not session.is_usable:
                return None
        accepted = self._read_recipients(lines, copies, pipelined)
        if not pipelined:
            return session.command("DATA", session.timeouts.data_init) if accepted else None
        return session.read_reply(session.timeouts.data_init)

    def _read_recipients(self, lines: list[str], copies: list[ParcelCopy], pipelined: bool) -> int:
        session, accepted = self._session, 0
        for line, copy in zip(lines[1:-1], copies, strict=True):
            reply = session.read_reply() if pipelined else session.command(line)
            if reply.code == 421:
                self.settle_rest(classify_refusal(reply, self._remote))
                raise ConnectionLostError(reply.line)
            if reply.is_positive:
                accepted += 1
            elif copy.copy_id in self._open:
                outcome = classify_refusal(reply, self._remote, is_rcpt=True)
                if accepted and reply.code in (452, 552) and isinstance(outcome, Deferred):
                    outcome = Deferred(outcome.status, outcome.text, outcome.why, outcome.remote, is_overflow=True)
                self._settle(copy.copy_id, outcome)
        return accepted

    # --- content ------------------------------------------------------------------------------------------------------

    def _send_content(self, stream: BinaryIO, first: bytes) -> None:
        session = self._session
        pieces = stuff_blocks(stream, self._parcel.content.size, first)
        piece = next(pieces)
        for following in pieces:
            self._send_piece(piece)
            piece = following
        # From here on the peer may have the whole mail: whatever goes wrong is in doubt (fault row 15).
        try:
            session.link.send(piece, session.timeouts.block)
            reply = session.read_reply(session.timeouts.final_dot)
        except HopError as error:
            session.close()
            text = f"{error.text} after the end of data: the mail may arrive twice"
            self.settle_rest(Deferred("4.4.2", text, Why.DOUBTFUL, self._remote))
            return
        # Whatever the reply, the transaction is over (RFC 5321 4.1.1.4).
        session.needs_reset = False
        if reply.is_positive:
            has_dsn = "DSN" in session.features
            self.settle_rest(Delivered(reply.status, reply.line, self._remote, has_dsn, session.tls))
        else:
            self.settle_rest(classify_refusal(reply, self._remote))

    def _send_piece(self, piece: bytes) -> None:
        try:
            self._session.link.send(piece, self._session.timeouts.block)
        except ConnectionLostError:
            # A peer that had enough may have said why before it closed.
            try:
                reply = self._session.link.read_reply(1.0)
            except HopError:
                reply = None
            if reply is None or reply.code < 400:
                raise
            self._session.close()
            self.settle_rest(classify_refusal(reply, self._remote))
            raise


def _check_path(path: str) -> str:
    # `postmaster` without a domain is the one path that is no address (RFC 5321 4.5.1).
    try:
        return path if path.lower() == "postmaster" else str(parse_address(path))
    except AddressError as error:
        raise ContentFaultError("a stored path is no address") from error


def _check_word(word: str) -> str:
    if not word or any(not "!" <= c <= "~" for c in word):
        raise ContentFaultError("a stored DSN parameter breaks its grammar")
    return word
