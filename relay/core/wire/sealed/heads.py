"""What heads of messages and items share: persons and the list of parts (sealed-mailbox 7, 8, 17)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from relay.core.wire.sealed.errors import MailboxDataError
from relay.core.wire.sealed.jsontext import Fields

MAX_HEAD = 64 * 1024
"""Octets of a manifest or an item."""
MAX_SEALED_HEAD = MAX_HEAD + 64 + 65 + 16
"""With signature, the larger `enc` and the tag."""
MAX_PARTS = 100
MAX_MESSAGE = 2 * 2**30
"""Octets of all parts; what a portal or policy allows is less."""
MAX_PERSONS = 2000
ROLES = ("html", "text", "inline", "file", "preview")


@dataclass(frozen=True, slots=True)
class Person:
    """A name and an address as in the header; the name may be empty.

    `inside`: whether an answer to all reaches this person, None where nothing is said of it.
    """

    name: str
    addr: str
    inside: bool | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """Head of a part. `i` is its number under this id, `size` its octets; inline parts are named by content id."""

    i: int
    role: str
    name: str
    type: str
    size: int


def write_persons(persons: Sequence[Person]) -> list[dict[str, Any]]:
    """Return the JSON values."""
    return [write_person(person) for person in persons]


def write_person(person: Person) -> dict[str, Any]:
    """Return the JSON value."""
    written: dict[str, Any] = {"name": person.name, "addr": person.addr}
    return written if person.inside is None else {**written, "inside": person.inside}


def read_person(untrusted_value: object) -> Person:
    """Read one person. Raises MailboxDataError."""
    fields = Fields(untrusted_value)
    inside = fields.boolean("inside") if fields.has("inside") else None
    return Person(fields.text("name"), fields.text("addr"), inside)


def read_persons(fields: Fields, name: str) -> tuple[Person, ...]:
    """Read a list of persons. Raises MailboxDataError."""
    return tuple(map(read_person, fields.list(name, MAX_PERSONS)))


def write_parts(parts: Sequence[Part]) -> list[dict[str, Any]]:
    """Return the JSON values."""
    return [{"i": part.i, "role": part.role, "name": part.name, "type": part.type, "size": part.size} for part in parts]


def read_parts(fields: Fields) -> tuple[Part, ...]:
    """Read the list of parts: numbers distinct, at most MAX_PARTS and MAX_MESSAGE. Raises MailboxDataError."""
    parts = tuple(
        Part(
            entry.number("i"),
            entry.check("role", ROLES, "unknown"),
            entry.text("name"),
            entry.text("type"),
            entry.number("size"),
        )
        for entry in map(Fields, fields.list("parts", MAX_PARTS))
    )
    if len({part.i for part in parts}) != len(parts):
        raise MailboxDataError("duplicate", "parts: a number twice")
    if sum(part.size for part in parts) > MAX_MESSAGE:
        raise MailboxDataError("size", "parts: too large")
    return parts
