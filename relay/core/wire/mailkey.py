"""How a message's key is sealed to the spool: HPKE to the epoch's public key, bound to epoch and message id.

smtpd and whoever makes mail seals here with the public half alone; only the key store opens. Moving a wrapped key from
one message to another, or from one epoch to another, does not open (RFC 9180 `info`).
"""

from __future__ import annotations

from relay.core.ports import SpoolPublicKey, WrappedMailKey
from relay.core.wire.chunks import MAIL_KEY_LENGTH, new_mail_key
from relay.core.wire.hpke import Opener, Recipient
from relay.core.wire.pae import encode_pae

_LABEL = "letterlock/mail-key"


def mail_key_info(epoch: str, message_id: str) -> bytes:
    """Return the HPKE info that binds a wrapped mail key to its place."""
    return encode_pae(_LABEL, epoch, message_id)


class MailKeySealer:
    """Makes and seals message keys to one epoch; holds the parsed public key. Safe to share between threads."""

    __slots__ = ("_recipient", "public")

    def __init__(self, public: SpoolPublicKey) -> None:
        """Take the epoch's public half. Raises EncodingError."""
        self.public = public
        self._recipient = Recipient(public.suite, public.public)

    def seal(self, message_id: str, mail_key: bytes) -> WrappedMailKey:
        """Seal an existing key. Raises ValueError unless it has 32 octets."""
        if len(mail_key) != MAIL_KEY_LENGTH:
            raise ValueError("a mail key has 32 octets")
        data = self._recipient.seal(mail_key_info(self.public.epoch, message_id), mail_key)
        return WrappedMailKey(epoch=self.public.epoch, suite=self.public.suite, data=data)

    def make(self, message_id: str) -> tuple[bytes, WrappedMailKey]:
        """Return a new key for this message, in the clear for sealing its content now, and wrapped for storing."""
        mail_key = new_mail_key()
        return mail_key, self.seal(message_id, mail_key)


def open_mail_key(opener: Opener, message_id: str, wrapped: WrappedMailKey) -> bytes:
    """Open a wrapped key with the epoch's private key; for key stores only. Raises SealedDataError."""
    return opener.open(mail_key_info(wrapped.epoch, message_id), wrapped.data)
