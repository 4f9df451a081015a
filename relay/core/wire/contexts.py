"""Contexts of small sealed values. The label says what a value is; keyd's table allows uses by label.

Whoever seals with the port KeyStore builds the context here, so that a value of one kind never opens as another.
"""

from __future__ import annotations

from relay.core.wire.errors import EncodingError
from relay.core.wire.pae import decode_pae, encode_pae

PAIR_LABEL = "letterlock/pair-password"
MESSAGE_LABEL = "letterlock/message-password"
NEXT_HOP_LABEL = "letterlock/next-hop-password"
CAPSULE_LABEL = "letterlock/mailbox-capsule"
JOIN_LABEL = "letterlock/join-secret"
REPLY_CODE_LABEL = "letterlock/reply-code"
PROBE_LABEL = "letterlock/probe"


def pair_password_context(tenant: str, sender: str, partner_id: str, version: int) -> bytes:
    """Context of the PDF password of a sender-partner pair; `sender` in its normal form."""
    return encode_pae(PAIR_LABEL, tenant, sender, partner_id, version)


def message_password_context(tenant: str, message_id: str, partner_id: str) -> bytes:
    """Context of a PDF password that serves one message only."""
    return encode_pae(MESSAGE_LABEL, tenant, message_id, partner_id)


def next_hop_password_context(tenant: str, route: str) -> bytes:
    """Context of the password that delivery gives to a next hop."""
    return encode_pae(NEXT_HOP_LABEL, tenant, route)


def mailbox_capsule_context(tenant: str, box: str, gen: int) -> bytes:
    """Context of the key under which the inside keeps a mailbox's capsule."""
    return encode_pae(CAPSULE_LABEL, tenant, box, gen)


def join_secret_context(tenant: str, join_id: str) -> bytes:
    """Context of a registration link's secret T."""
    return encode_pae(JOIN_LABEL, tenant, join_id)


def reply_code_context(tenant: str, box: str) -> bytes:
    """Context of the reply code that a PDF prints where its password opens no reply box."""
    return encode_pae(REPLY_CODE_LABEL, tenant, box)


def read_label(untrusted_context: bytes) -> str:
    """Return a context's label. Raises EncodingError when it is not a PAE that begins with a text."""
    elements = decode_pae(untrusted_context)
    if not elements:
        raise EncodingError("context: empty")
    try:
        return elements[0].decode("ascii")
    except UnicodeDecodeError as error:
        raise EncodingError("context: the label is not ASCII") from error
