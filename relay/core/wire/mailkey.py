"""How a message's key is sealed to the spool: HPKE to the epoch's public key, bound to epoch and message id.

smtpd and whoever makes mail seals here with the public half alone; only the key store opens. Moving a wrapped key from
one message to another, or from one epoch to another, does not open.

Two forms of WrappedMailKey, told apart by its suite number:
    single        suite of sealed-mailbox 4     data = enc || ct                  epoch and id in `info`
    in a context  that number + IN_CONTEXT      data = enc || u32be(seq) || ct    epoch in `info`, both in the AAD
Intake uses the second: mails of one moment share one key agreement (RFC 9180 5.2), each key is a message of its own.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

from relay.core.ports import SpoolPublicKey, WrappedMailKey
from relay.core.wire.chunks import MAIL_KEY_LENGTH, new_mail_key
from relay.core.wire.errors import SealedDataError
from relay.core.wire.hpke import ENC_LENGTHS, TAG_LENGTH, Opener, Recipient
from relay.core.wire.hpke_context import MessageKeys, SealingContext, open_context
from relay.core.wire.pae import encode_pae

IN_CONTEXT = 0x100
"""Added to the suite's number when the key is a message of an HPKE context."""
CONTEXT_SECONDS = 1.0
CONTEXT_MESSAGES = 256
"""A context ends with whichever comes first."""

_LABEL = "letterlock/mail-key"
_CONTEXT_LABEL = "letterlock/mail-keys"
_NUMBER_LENGTH = 4
_KEPT_CONTEXTS = 64


def mail_key_info(epoch: str, message_id: str) -> bytes:
    """Return the HPKE info, or in a context the AAD, that binds a wrapped mail key to its place."""
    return encode_pae(_LABEL, epoch, message_id)


def context_info(epoch: str) -> bytes:
    """Return the HPKE info of a context for many mail keys."""
    return encode_pae(_CONTEXT_LABEL, epoch)


class MailKeySealer:
    """Makes and seals message keys to one epoch; holds the parsed public key. Safe to share between threads."""

    __slots__ = ("_recipient", "public")

    def __init__(self, public: SpoolPublicKey) -> None:
        """Take the epoch's public half. Raises EncodingError."""
        self.public = public
        self._recipient = Recipient(public.suite, public.public)

    def seal(self, message_id: str, mail_key: bytes) -> WrappedMailKey:
        """Seal an existing key by itself. Raises ValueError unless it has 32 octets."""
        _check_length(mail_key)
        data = self._recipient.seal(mail_key_info(self.public.epoch, message_id), mail_key)
        return WrappedMailKey(epoch=self.public.epoch, suite=self.public.suite, data=data)

    def make(self, message_id: str) -> tuple[bytes, WrappedMailKey]:
        """Return a new key for this message, in the clear for sealing its content now, and wrapped for storing."""
        mail_key = new_mail_key()
        return mail_key, self.seal(message_id, mail_key)

    def begin_batch(self) -> MailKeyBatch:
        """Return what seals the keys of the mails of the next moment."""
        return MailKeyBatch(self.public, SealingContext(self._recipient, context_info(self.public.epoch)))


class MailKeyBatch:
    """Seals many messages' keys with one key agreement, for a second at most. Safe to share between threads.

    Whoever could read its memory in that second could read the mails themselves there; it is dropped with it.
    """

    __slots__ = ("_context", "_end", "_place", "_suite", "public")

    def __init__(self, public: SpoolPublicKey, context: SealingContext) -> None:
        """Use MailKeySealer.begin_batch."""
        self.public = public
        self._suite = public.suite + IN_CONTEXT
        self._place = encode_pae(_LABEL, public.epoch)
        self._context = context
        self._end = time.monotonic() + CONTEXT_SECONDS

    @property
    def is_over(self) -> bool:
        """Tell whether a new one is due."""
        return self._context.count >= CONTEXT_MESSAGES or time.monotonic() >= self._end

    def seal(self, message_id: str, mail_key: bytes) -> WrappedMailKey:
        """Seal a key. Raises ValueError unless it has 32 octets."""
        _check_length(mail_key)
        # The same octets as mail_key_info gives: a PAE's beginning is the PAE of its beginning.
        number, sealed = self._context.seal(self._place + encode_pae(message_id), mail_key)
        data = self._context.enc + number.to_bytes(_NUMBER_LENGTH, "big") + sealed
        return WrappedMailKey(self.public.epoch, self._suite, data)


class MailKeyOpener:
    """Opens wrapped keys of either form with one epoch's private key. Safe to share between threads.

    It remembers the latest contexts, which go with it when the epoch's key is destroyed.
    """

    __slots__ = ("_contexts", "_lock", "opener")

    def __init__(self, opener: Opener) -> None:
        self.opener = opener
        self._contexts: OrderedDict[bytes, MessageKeys] = OrderedDict()
        self._lock = threading.Lock()

    def accepts(self, suite: int) -> bool:
        """Tell whether a wrapped key's suite number is one of this key's two forms."""
        return suite in (self.opener.suite, self.opener.suite + IN_CONTEXT)

    def open(self, message_id: str, untrusted_wrapped: WrappedMailKey) -> bytes:
        """Return a message's key. Raises SealedDataError."""
        wrapped = untrusted_wrapped
        if wrapped.suite == self.opener.suite:
            return self.opener.open(mail_key_info(wrapped.epoch, message_id), wrapped.data)
        start = ENC_LENGTHS[self.opener.suite] + _NUMBER_LENGTH
        if not self.accepts(wrapped.suite) or len(wrapped.data) != start + MAIL_KEY_LENGTH + TAG_LENGTH:
            raise SealedDataError("mail key: neither of the two forms")
        enc, number = wrapped.data[: start - _NUMBER_LENGTH], wrapped.data[start - _NUMBER_LENGTH : start]
        keys = self._context(wrapped.epoch, enc)
        aad = mail_key_info(wrapped.epoch, message_id)
        return keys.open(int.from_bytes(number, "big"), aad, wrapped.data[start:])

    def _context(self, epoch: str, untrusted_enc: bytes) -> MessageKeys:
        place = epoch.encode() + b"\0" + untrusted_enc
        with self._lock:
            known = self._contexts.get(place)
            if known is not None:
                self._contexts.move_to_end(place)
                return known
        made = open_context(self.opener, context_info(epoch), untrusted_enc)
        with self._lock:
            self._contexts[place] = made
            while len(self._contexts) > _KEPT_CONTEXTS:
                self._contexts.popitem(last=False)
        return made


def open_mail_key(opener: Opener, message_id: str, wrapped: WrappedMailKey) -> bytes:
    """Open one wrapped key with the epoch's private key; for key stores only. Raises SealedDataError."""
    return MailKeyOpener(opener).open(message_id, wrapped)


def _check_length(mail_key: bytes) -> None:
    if len(mail_key) != MAIL_KEY_LENGTH:
        raise ValueError("a mail key has 32 octets")
