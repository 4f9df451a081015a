"""What waits until other people have agreed to it: new first passwords of mailboxes, cards of the portal."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Integer, PrimaryKeyConstraint, Table, Text, text

from relay.store.models.base import METADATA, id_column, tenant_column, text_column, time_column

_WAITING = text("state = 'waiting'")

APPROVAL = Table(
    "approval",
    METADATA,
    id_column(primary_key=True),
    tenant_column(),
    text_column("kind"),
    text_column("box", default=""),
    text_column("told", default=""),
    text_column("detail", default="{}"),
    text_column("asked_by"),
    Column("needed", Integer, nullable=False),
    text_column("state"),
    time_column("asked_at"),
    time_column("expires_at"),
    time_column("ended_at", nullable=True),
    text_column("ended_by", default=""),
    time_column("told_at", nullable=True),
    Index("uq_approval_waiting", "tenant", "box", unique=True, sqlite_where=_WAITING, postgresql_where=_WAITING),
)
"""`kind`: resend, reset, card; `box`: of a mailbox, "" for a card; `told`: the inside sender who gets the password;
`detail`: JSON, what a card is to be; `asked_by`, `ended_by`: actors; `needed`: how many have to agree; `state`:
waiting, approved, done, refused, expired; `told_at`: when the sender heard that it was not done."""

APPROVAL_VOTE = Table(
    "approval_vote",
    METADATA,
    Column("approval", Text, ForeignKey("approval.id"), nullable=False),
    text_column("actor"),
    tenant_column(),
    time_column("at"),
    PrimaryKeyConstraint("approval", "actor"),
)
"""Who has agreed."""
