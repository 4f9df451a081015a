"""Strict JSON and the values inside it (sealed-mailbox 3). Schema only; no key is known here.

UTF-8, one object; integers 0..2^53-1 and nothing else that looks like a number; no name twice; no half of a surrogate
pair. What is signed or sealed is kept as octets and never written again from what was read. Every refusal is a
MailboxDataError with the code `format`, or the one named.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, NoReturn

from relay.core.wire.errors import EncodingError
from relay.core.wire.pae import decode_b64, encode_b64
from relay.core.wire.sealed.errors import MailboxDataError

MAX_INTEGER = 2**53 - 1
ID_LENGTH = 16
VERSION = 1

Random = Callable[[int], bytes]
"""A source of random octets; tests alone give another one than os.urandom."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_ID = re.compile(r"[A-Za-z0-9_-]{21}[AQgw]")


def _refuse(words: str) -> NoReturn:
    raise MailboxDataError("format", words)


def _read_integer(untrusted_digits: str) -> int:
    if untrusted_digits.startswith("-") or len(untrusted_digits) > 16:
        _refuse("JSON: an integer out of range")
    number = int(untrusted_digits)
    if number > MAX_INTEGER:
        _refuse("JSON: an integer out of range")
    return number


def _read_other_number(_untrusted: str) -> NoReturn:
    _refuse("JSON: a number that is no integer")


def _check_text(untrusted_text: str) -> None:
    if _SURROGATE.search(untrusted_text):
        _refuse("JSON: half of a surrogate pair")


def _read_pairs(untrusted_pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(untrusted_pairs)
    if len(values) != len(untrusted_pairs):
        _refuse("JSON: a name twice")
    for name, value in untrusted_pairs:
        _check_text(name)
        _check_value(value)
    return values


def _check_value(untrusted_value: object) -> None:
    if isinstance(untrusted_value, str):
        _check_text(untrusted_value)
    elif isinstance(untrusted_value, list):
        for element in untrusted_value:
            _check_value(element)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_read_pairs,
    parse_int=_read_integer,
    parse_float=_read_other_number,
    parse_constant=_read_other_number,
)


def read_object(untrusted_octets: bytes, limit: int) -> dict[str, Any]:
    """Return the object that the octets are. Raises MailboxDataError: `size` above `limit` octets, else `format`."""
    if len(untrusted_octets) > limit:
        raise MailboxDataError("size", "JSON: too large")
    try:
        value = _DECODER.decode(untrusted_octets.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise MailboxDataError("format", "JSON: not well-formed UTF-8 or JSON") from error
    if not isinstance(value, dict):
        _refuse("JSON: not an object")
    return value


def write_object(fields: dict[str, Any]) -> bytes:
    """Return an object's octets, names in the order given."""
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode("utf-8")


def make_id(random: Random = os.urandom) -> str:
    """Return a new id: 16 random octets as 22 characters."""
    return encode_b64(random(ID_LENGTH))


def is_id(untrusted_text: object) -> bool:
    """Tell whether this is an id in its one spelling."""
    return isinstance(untrusted_text, str) and _ID.fullmatch(untrusted_text) is not None


def format_time(at_ms: int) -> str:
    """Return a time in ms since 1970 as the formats write it; fractions of a second are dropped."""
    return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(untrusted_text: str) -> int:
    """Return ms since 1970. Raises MailboxDataError."""
    if not _TIME.fullmatch(untrusted_text):
        _refuse("a time is not written as it should be")
    try:
        return int(datetime.fromisoformat(untrusted_text).timestamp()) * 1000
    except ValueError as error:
        raise MailboxDataError("format", "a time does not exist") from error


def read_b64(untrusted_text: object, length: int | None = None) -> bytes:
    """Return the octets of base64url without padding, exactly `length` if given. Raises MailboxDataError."""
    if not isinstance(untrusted_text, str):
        _refuse("a value is no text")
    try:
        octets = decode_b64(untrusted_text)
    except EncodingError as error:
        raise MailboxDataError("format", "a value is not base64url without padding") from error
    if length is not None and len(octets) != length:
        _refuse("a value has the wrong length")
    return octets


class Fields:
    """An object that was read, asked field by field. Unknown names stay where they are."""

    __slots__ = ("_values",)

    def __init__(self, untrusted_values: object) -> None:
        """Take the object. Raises MailboxDataError when it is none."""
        if not isinstance(untrusted_values, dict):
            _refuse("a value is no object")
        self._values: dict[str, Any] = untrusted_values

    @classmethod
    def read(cls, untrusted_octets: bytes, limit: int) -> Fields:
        """Read octets; the version must be ours (`version`)."""
        fields = cls(read_object(untrusted_octets, limit))
        fields.check_version()
        return fields

    @property
    def values(self) -> dict[str, Any]:
        """The object itself."""
        return self._values

    def has(self, name: str) -> bool:
        """Tell whether the object has this name."""
        return name in self._values

    def check_version(self) -> None:
        """Raises MailboxDataError with the code `version`."""
        if type(self._values.get("v")) is not int or self._values["v"] != VERSION:
            raise MailboxDataError("version", "the version is not known")

    def check(self, name: str, known: Iterable[str], code: str = "format") -> str:
        """Return a text that is one of `known`; else raise MailboxDataError with `code`."""
        value = self._values.get(name)
        if not isinstance(value, str):
            _refuse(f"{name}: is no text")
        if value not in known:
            raise MailboxDataError(code, f"{name}: is not known or not the one expected")
        return value

    def text(self, name: str) -> str:
        """Return a text."""
        value = self._values.get(name)
        if not isinstance(value, str):
            _refuse(f"{name}: is no text")
        return value

    def number(self, name: str) -> int:
        """Return an integer from 0."""
        value = self._values.get(name)
        if type(value) is not int or not 0 <= value <= MAX_INTEGER:
            _refuse(f"{name}: is no whole number")
        return value

    def boolean(self, name: str) -> bool:
        """Return true or false."""
        value = self._values.get(name)
        if not isinstance(value, bool):
            _refuse(f"{name}: is neither true nor false")
        return value

    def octets(self, name: str, length: int | None = None) -> bytes:
        """Return octets from their base64url."""
        return read_b64(self._values.get(name), length)

    def id(self, name: str) -> str:
        """Return an id."""
        value = self._values.get(name)
        if not is_id(value):
            _refuse(f"{name}: is no id")
        assert isinstance(value, str)
        return value

    def time(self, name: str) -> str:
        """Return a time, as text."""
        value = self.text(name)
        parse_time(value)
        return value

    def object(self, name: str) -> Fields:
        """Return an object inside."""
        return Fields(self._values.get(name))

    def is_null(self, name: str) -> bool:
        """Tell whether the name is there and its value null."""
        return name in self._values and self._values[name] is None

    def list(self, name: str, limit: int) -> list[Any]:
        """Return a list of at most `limit` elements; more is `size`."""
        value = self._values.get(name)
        if not isinstance(value, list):
            _refuse(f"{name}: is no list")
        if len(value) > limit:
            raise MailboxDataError("size", f"{name}: too many")
        return value
