"""One recipient's copy of a message: where it stands, who works on it, when it is due.

The lease lies in the copy's own row, guarded by a fence number that moves on with each claim (relay design 2.2).
The partial indexes hold only what is due or leased, so that a claim costs the same with 100 and with 100,000 rows.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, Table, text

from relay.core.lifecycle import FOR_DELIVER, FOR_WORKER, State
from relay.store.models.base import (
    METADATA,
    id_column,
    message_reference,
    tenant_column,
    text_column,
    time_column,
)


def state_list(states: frozenset[State]) -> str:
    """Return the states as an SQL list of literals.

    Literals and not parameters: PostgreSQL proves that a query fits a partial index only from constants.
    """
    return "(" + ", ".join(f"'{state.value}'" for state in sorted(states)) + ")"


WORKER_STATES = state_list(FOR_WORKER)
DELIVER_STATES = state_list(FOR_DELIVER)
PERSON_STATES = "('awaiting_registration', 'held', 'shunted')"
_FOR_WORKER = text(f"state IN {WORKER_STATES}")
_FOR_DELIVER = text(f"state IN {DELIVER_STATES}")
_LEASED = text("owner <> ''")
_WAITING_FOR_A_PERSON = text(f"state IN {PERSON_STATES}")

COPY = Table(
    "copy",
    METADATA,
    id_column(primary_key=True),
    message_reference(),
    tenant_column(),
    text_column("forward_path"),
    text_column("normal_address"),
    text_column("notify", nullable=True),
    text_column("orcpt", nullable=True),
    text_column("state"),
    Column("variant", Integer, nullable=True),
    text_column("hop", default=""),
    text_column("decision_id", nullable=True),
    time_column("next_at"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("crashes", Integer, nullable=False, server_default="0"),
    Column("lease_until", BigInteger, nullable=False, server_default="0"),
    text_column("owner", default=""),
    Column("fence", BigInteger, nullable=False, server_default="0"),
    text_column("last_status", default=""),
    text_column("last_text", default=""),
    time_column("first_queued_at", nullable=True),
    time_column("delay_notified_at", nullable=True),
    time_column("updated_at"),
    Index("ix_copy_message_id", "message_id"),
    Index("ix_copy_for_worker", "next_at", sqlite_where=_FOR_WORKER, postgresql_where=_FOR_WORKER),
    Index("ix_copy_for_deliver", "hop", "next_at", sqlite_where=_FOR_DELIVER, postgresql_where=_FOR_DELIVER),
    Index("ix_copy_leased", "owner", "lease_until", sqlite_where=_LEASED, postgresql_where=_LEASED),
    Index(
        "ix_copy_for_person",
        "tenant",
        "updated_at",
        sqlite_where=_WAITING_FOR_A_PERSON,
        postgresql_where=_WAITING_FOR_A_PERSON,
    ),
    Index("ix_copy_normal_address", "tenant", "normal_address"),
    # Rows change several times in their short life: leave room on the page, and vacuum long before a fifth is dead.
    postgresql_with={
        "fillfactor": "70",
        "autovacuum_vacuum_scale_factor": "0.01",
        "autovacuum_vacuum_threshold": "1000",
    },
)
"""`next_at`: due from then on; `attempts`: of the present stage; `crashes`: claims in a row that nobody settled."""
