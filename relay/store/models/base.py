"""The one MetaData and the column kinds that all tables share.

Times are BIGINT milliseconds since 1970 UTC (core.clock); ids are the 22 characters of core.ids; JSON is stored as
text, because signed or hashed octets are kept as they are and never re-serialised.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, ForeignKey, LargeBinary, MetaData, Text

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def id_column(name: str = "id", **options: Any) -> Column[str]:
    """Return a column for an id of core.ids."""
    return Column(name, Text, nullable=options.pop("nullable", False), **options)


def tenant_column(**options: Any) -> Column[str]:
    """Return the tenant column that every row carries."""
    return Column("tenant", Text, nullable=False, **options)


def time_column(name: str, *, nullable: bool = False) -> Column[int]:
    """Return a column for milliseconds since 1970 UTC."""
    return Column(name, BigInteger, nullable=nullable)


def text_column(name: str, *, nullable: bool = False, default: str | None = None) -> Column[str]:
    """Return a text column; `default` is the database's own default."""
    return Column(name, Text, nullable=nullable, server_default=default)


def blob_column(name: str) -> Column[bytes]:
    """Return a column of octets."""
    return Column(name, LargeBinary, nullable=False)


def message_reference() -> Column[str]:
    """Return a message id that must exist."""
    return Column("message_id", Text, ForeignKey("message.id"), nullable=False)
