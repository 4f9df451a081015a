"""The tables of the inside database, one file a noun, all on METADATA."""

from relay.store.models.administration import CONFIGURATION, JOB, LOGIN, TENANT
from relay.store.models.approval import APPROVAL, APPROVAL_VOTE
from relay.store.models.base import METADATA
from relay.store.models.copy import COPY
from relay.store.models.decision import DECISION
from relay.store.models.event import EVENT
from relay.store.models.mailbox import (
    MAILBOX,
    MAILBOX_CARD,
    MAILBOX_CHUNK,
    MAILBOX_GENERATION,
    MAILBOX_MESSAGE,
    MAILBOX_QUARANTINE,
    MAILBOX_SEEN,
    PORTAL_MARK,
    PORTAL_PUSH,
)
from relay.store.models.message import CHUNK, FINISHED, INCOMING, MAIL_KEY, MESSAGE, SEEN, VARIANT
from relay.store.models.partner import PAIR_PASSWORD, PARTNER
from relay.store.models.registration import MAILBOX_JOIN, REPLY_CODE
from relay.store.models.reply_link import REPLY_LINK
from relay.store.models.return_path import RETURN_PATH

__all__ = [
    "APPROVAL",
    "APPROVAL_VOTE",
    "CHUNK",
    "CONFIGURATION",
    "COPY",
    "DECISION",
    "EVENT",
    "FINISHED",
    "INCOMING",
    "JOB",
    "LOGIN",
    "MAILBOX",
    "MAILBOX_CARD",
    "MAILBOX_CHUNK",
    "MAILBOX_GENERATION",
    "MAILBOX_JOIN",
    "MAILBOX_MESSAGE",
    "MAILBOX_QUARANTINE",
    "MAILBOX_SEEN",
    "MAIL_KEY",
    "MESSAGE",
    "METADATA",
    "PAIR_PASSWORD",
    "PARTNER",
    "PORTAL_MARK",
    "PORTAL_PUSH",
    "REPLY_CODE",
    "REPLY_LINK",
    "RETURN_PATH",
    "SEEN",
    "TENANT",
    "VARIANT",
]
