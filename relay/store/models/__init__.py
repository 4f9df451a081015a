"""The tables of the inside database, one file a noun, all on METADATA."""

from relay.store.models.administration import CONFIGURATION, JOB, LOGIN, TENANT
from relay.store.models.base import METADATA
from relay.store.models.copy import COPY
from relay.store.models.decision import DECISION
from relay.store.models.event import EVENT
from relay.store.models.message import CHUNK, FINISHED, INCOMING, MAIL_KEY, MESSAGE, SEEN, VARIANT
from relay.store.models.partner import PAIR_PASSWORD, PARTNER
from relay.store.models.reply_link import REPLY_LINK

__all__ = [
    "CHUNK",
    "CONFIGURATION",
    "COPY",
    "DECISION",
    "EVENT",
    "FINISHED",
    "INCOMING",
    "JOB",
    "LOGIN",
    "MAIL_KEY",
    "MESSAGE",
    "METADATA",
    "PAIR_PASSWORD",
    "PARTNER",
    "REPLY_LINK",
    "SEEN",
    "TENANT",
    "VARIANT",
]
