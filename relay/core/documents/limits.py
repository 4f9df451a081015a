"""Document `limits`: sizes, counts and times (A6). Octets and seconds unless a name says otherwise.

The loop limit follows RFC 5321 6.3, recipients RFC 5321 4.5.3.1.8.
"""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from typing import ClassVar

from relay.core.documents.reading import Fields, Json, JsonObject

_LISTENER_BOUNDS: dict[str, tuple[int, int]] = {
    "message_octets": (65_536, 1 << 40),
    "recipients": (100, 100_000),
    "connections": (1, 100_000),
    "connections_per_client": (1, 100_000),
    "messages_per_client_per_minute": (1, 10_000_000),
    "command_seconds": (5, 3600),
    "chunk_seconds": (5, 3600),
    "commit_seconds": (5, 600),
}
_BOUNDS: dict[str, tuple[int, int]] = {
    "received_fields": (5, 1000),
    "mime_depth": (5, 200),
    "mime_parts": (10, 100_000),
    "header_octets": (16_384, 1 << 26),
    "delivered_days": (0, 3650),
    "pdf_pages": (1, 10_000),
    "outside_message_octets": (65_536, 1 << 40),
}


@dataclass(frozen=True, slots=True)
class ListenerLimits:
    """Limits of one listener."""

    message_octets: int = 50 * 1024 * 1024
    recipients: int = 1000
    connections: int = 1000
    connections_per_client: int = 100
    messages_per_client_per_minute: int = 6000
    command_seconds: int = 300
    chunk_seconds: int = 180
    commit_seconds: int = 60

    @classmethod
    def from_json(cls, untrusted_value: object, path: str) -> ListenerLimits:
        """Read and check. Raises DocumentError that names the key and the fix."""
        return cls(**_read_numbers(untrusted_value, path, cls(), _LISTENER_BOUNDS))

    def to_json(self) -> JsonObject:
        """Return plain JSON that reads back to an equal value."""
        return _write_numbers(self)


@dataclass(frozen=True, slots=True)
class LimitsDocument:
    """Limits of the whole gateway."""

    KIND: ClassVar[str] = "limits"

    received_fields: int = 50
    """A mail with more Received fields is in a loop."""
    mime_depth: int = 50
    mime_parts: int = 2000
    header_octets: int = 1_048_576
    delivered_days: int = 7
    """How long delivered mail is kept for tracing; its content goes at once."""
    pdf_pages: int = 300
    outside_message_octets: int = 50 * 1024 * 1024
    """Largest mail that partners take where nothing else is known."""

    @classmethod
    def from_json(cls, untrusted_value: object) -> LimitsDocument:
        """Read and check. Raises DocumentError that names the key and the fix."""
        return cls(**_read_numbers(untrusted_value, cls.KIND, cls(), _BOUNDS))

    def to_json(self) -> JsonObject:
        """Return plain JSON that reads back to an equal value."""
        return _write_numbers(self)


def _read_numbers(
    untrusted_value: object, path: str, shipped: object, bounds: dict[str, tuple[int, int]]
) -> dict[str, int]:
    fields = Fields(untrusted_value, path)
    values = {name: fields.number(name, int(getattr(shipped, name)), *bound) for name, bound in bounds.items()}
    fields.finish()
    return values


def _write_numbers(value: ListenerLimits | LimitsDocument) -> JsonObject:
    written: dict[str, Json] = {one.name: getattr(value, one.name) for one in dataclass_fields(value)}
    return written
