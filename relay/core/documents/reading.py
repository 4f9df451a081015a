"""Reading untrusted JSON strictly: each key is asked for once, and what nobody asked for is refused.

It must not guess: a wrong type is an error that names the path of the key, what is wrong and what to write instead.
RFC 8259 values as Python's json module gives them.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Final, TypeAlias, TypeVar, cast

from relay.core.address import normalise_address, normalise_domain
from relay.core.errors import AddressError, ConfigurationError

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
JsonObject: TypeAlias = "dict[str, Json]"

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)

_IDENTIFIER = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
_HOST = re.compile(
    r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*"
)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_MAX_ITEMS: Final = 10_000


class DocumentError(ConfigurationError):
    """A document cannot be used. `key` is the path of the key, `fix` says what to do. Nothing was changed."""

    temporary = False
    status = "5.3.5"
    public = "The configuration document is not valid"


class _Required:
    """Stands for: this key has no default."""


REQUIRED: Final = _Required()


class Fields:
    """One JSON object, read key by key. Call `finish` at the end: it refuses the keys that nobody asked for."""

    def __init__(self, untrusted_value: object, path: str) -> None:
        """Raises DocumentError when the value is not a JSON object."""
        if not isinstance(untrusted_value, dict) or not all(isinstance(key, str) for key in untrusted_value):
            raise DocumentError(path or "document", "must be a JSON object", 'Write {"key": value, ...}')
        self._raw = cast("dict[str, object]", untrusted_value)
        self._asked: set[str] = set()
        self.path = path

    def at(self, key: str) -> str:
        """Return the full path of a key, for errors."""
        return f"{self.path}.{key}" if self.path else key

    def has(self, key: str) -> bool:
        """Tell whether the key is there."""
        return key in self._raw

    def raw(self, key: str, default: object = REQUIRED) -> object:
        """Return the unread value and mark the key as asked for. Raises DocumentError when it is missing."""
        self._asked.add(key)
        if key in self._raw:
            return self._raw[key]
        if isinstance(default, _Required):
            raise DocumentError(self.at(key), "is missing", "Add it")
        return default

    def text(self, key: str, default: str | _Required = REQUIRED, *, longest: int = 500, empty: bool = True) -> str:
        """Return a text without control characters (line ends and tabs are allowed), at most `longest` characters."""
        return check_text(self.raw(key, default), self.at(key), longest=longest, empty=empty)

    def line(self, key: str, default: str | _Required = REQUIRED, *, longest: int = 200, empty: bool = True) -> str:
        """Return a text of one line."""
        value = self.text(key, default, longest=longest, empty=empty)
        if "\n" in value or "\r" in value:
            raise DocumentError(self.at(key), "has more than one line", "Write it on one line")
        return value

    def name(self, key: str, default: str | _Required = REQUIRED) -> str:
        """Return an identifier: 1 to 64 of a-z, 0-9, dot, dash, underscore."""
        value = self.text(key, default)
        if not _IDENTIFIER.fullmatch(value):
            raise DocumentError(self.at(key), "is not a name", "Use 1 to 64 of a-z 0-9 . _ - and begin with a-z or 0-9")
        return value

    def flag(self, key: str, default: bool | _Required = REQUIRED) -> bool:
        """Return true or false."""
        value = self.raw(key, default)
        if not isinstance(value, bool):
            raise DocumentError(self.at(key), "must be true or false", "Write true or false without quotes")
        return value

    def number(self, key: str, default: int | _Required, low: int, high: int) -> int:
        """Return a whole number from `low` to `high`."""
        return check_number(self.raw(key, default), self.at(key), low, high)

    def optional_number(self, key: str, low: int, high: int) -> int | None:
        """Return a whole number or None when the key is missing or null."""
        value = self.raw(key, None)
        return None if value is None else check_number(value, self.at(key), low, high)

    def choice(self, key: str, kind: type[E], default: E | _Required = REQUIRED) -> E:
        """Return one of the words of an enumeration."""
        return check_choice(self.raw(key, default), self.at(key), kind)

    def items(
        self, key: str, read: Callable[[object, str], T], default: Sequence[T] | _Required = REQUIRED
    ) -> tuple[T, ...]:
        """Return the items of a list, each read by `read(value, path)`."""
        if not self.has(key) and not isinstance(default, _Required):
            self._asked.add(key)
            return tuple(default)
        return check_items(self.raw(key), self.at(key), read)

    def mapping(self, key: str, read: Callable[[object, str], T]) -> dict[str, T]:
        """Return an object of free keys, each value read by `read(value, path)`; empty when missing."""
        value = self.raw(key, {})
        if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
            raise DocumentError(self.at(key), "must be a JSON object", 'Write {"key": value, ...}')
        return {name: read(item, f"{self.at(key)}.{name}") for name, item in value.items()}

    def finish(self) -> None:
        """Raise DocumentError on the first key that nobody asked for."""
        for key in self._raw:
            if key not in self._asked:
                near = difflib.get_close_matches(key[:80], self._asked, 1)
                fix = (
                    f"Did you mean {near[0]!r}?" if near else f"Known keys: {', '.join(sorted(self._asked)) or 'none'}"
                )
                raise DocumentError(self.at(key[:80]), "is not a known key", fix)


def check_text(untrusted_value: object, path: str, *, longest: int = 500, empty: bool = True) -> str:
    """Return the value as a text. Raises DocumentError on another type, control characters, or too many characters."""
    if not isinstance(untrusted_value, str):
        raise DocumentError(path, "must be a text", 'Write it in "quotes"')
    if len(untrusted_value) > longest:
        raise DocumentError(path, f"is longer than {longest} characters", "Shorten it")
    if _CONTROL.search(untrusted_value):
        raise DocumentError(path, "holds control characters", "Remove them")
    if not empty and not untrusted_value.strip():
        raise DocumentError(path, "is empty", "Write a text")
    return untrusted_value


def check_number(untrusted_value: object, path: str, low: int, high: int) -> int:
    """Return the value as a whole number within its bounds. Raises DocumentError."""
    if not isinstance(untrusted_value, int) or isinstance(untrusted_value, bool):
        raise DocumentError(path, "must be a whole number", "Write it without quotes and fraction")
    if not low <= untrusted_value <= high:
        raise DocumentError(path, "is out of range", f"Choose a number from {low} to {high}")
    return untrusted_value


def check_choice(untrusted_value: object, path: str, kind: type[E]) -> E:
    """Return the member of a StrEnum that the value names. Raises DocumentError that lists the words."""
    if isinstance(untrusted_value, str):
        for member in kind:
            if member.value == untrusted_value:
                return member
    raise DocumentError(path, "is not one of the words allowed", f"Use one of: {', '.join(m.value for m in kind)}")


def check_items(untrusted_value: object, path: str, read: Callable[[object, str], T]) -> tuple[T, ...]:
    """Return the items of a list, each read by `read(value, path)`. Raises DocumentError."""
    if not isinstance(untrusted_value, (list, tuple)):
        raise DocumentError(path, "must be a list", "Write [ ... ]")
    if len(untrusted_value) > _MAX_ITEMS:
        raise DocumentError(path, f"has more than {_MAX_ITEMS} items", "Shorten it")
    return tuple(read(item, f"{path}[{index}]") for index, item in enumerate(untrusted_value))


def read_line(untrusted_value: object, path: str) -> str:
    """Item reader: a non-empty text of one line, at most 500 characters."""
    value = check_text(untrusted_value, path, empty=False)
    if "\n" in value or "\r" in value:
        raise DocumentError(path, "has more than one line", "Write it on one line")
    return value


def read_address(untrusted_value: object, path: str) -> str:
    """Item reader: one mail address, returned in normal form; no pattern."""
    value = check_text(untrusted_value, path)
    if "*" in value:
        raise DocumentError(path, "is a pattern", "Write one address; a star cannot stand here")
    try:
        return normalise_address(value)
    except AddressError as error:
        raise DocumentError(path, f"is not a mail address ({error})", "Write local-part@domain") from error


def read_optional_address(untrusted_value: object, path: str) -> str:
    """Item reader: a mail address in normal form, or an empty text."""
    return "" if untrusted_value == "" else read_address(untrusted_value, path)


def read_domain(untrusted_value: object, path: str) -> str:
    """Item reader: a domain name, returned in normal form (A-labels, lower case)."""
    value = check_text(untrusted_value, path, longest=255)
    try:
        normal = normalise_domain(value)
    except AddressError as error:
        raise DocumentError(path, f"is not a domain ({error})", "Write it like bank.example") from error
    if not _HOST.fullmatch(normal) or len(normal) > 253:
        raise DocumentError(path, "is not a domain", "Write it like bank.example")
    return normal


def read_host(untrusted_value: object, path: str) -> str:
    """Item reader: a host name or an IPv4 or IPv6 address, lower case."""
    value = check_text(untrusted_value, path, longest=255)
    import ipaddress

    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        return read_domain(value, path)


def read_network(untrusted_value: object, path: str) -> str:
    """Item reader: an IP network or address, returned as `address/prefix`."""
    import ipaddress

    value = check_text(untrusted_value, path, longest=100)
    try:
        return str(ipaddress.ip_network(value))
    except ValueError as error:
        raise DocumentError(path, "is not an IP network", "Write it like 10.1.0.0/16 or 2001:db8::/32") from error


def copy_json(untrusted_value: object, path: str, *, depth: int = 24, budget: list[int] | None = None) -> Json:
    """Return a deep copy of a JSON value. Raises DocumentError on other types, over `depth`, or over 20,000 nodes."""
    left = [20_000] if budget is None else budget
    left[0] -= 1
    if depth < 0 or left[0] < 0:
        raise DocumentError(path, "is too deep or too large", "Split it into several rules")
    if untrusted_value is None or isinstance(untrusted_value, (bool, int)):
        return untrusted_value
    if isinstance(untrusted_value, str):
        return check_text(untrusted_value, path, longest=4000)
    if isinstance(untrusted_value, (list, tuple)):
        return [copy_json(v, f"{path}[{i}]", depth=depth - 1, budget=left) for i, v in enumerate(untrusted_value)]
    if isinstance(untrusted_value, Mapping):
        result: JsonObject = {}
        for key, value in untrusted_value.items():
            if not isinstance(key, str):
                raise DocumentError(path, "has a key that is not a text", "Write keys in quotes")
            result[key] = copy_json(value, f"{path}.{key[:80]}", depth=depth - 1, budget=left)
        return result
    raise DocumentError(path, "is not a JSON value", "Use texts, whole numbers, true, false, lists and objects")


def require_unique(values: Sequence[str], path: str, what: str) -> None:
    """Raise DocumentError when a value stands twice."""
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise DocumentError(path, f"names the {what} {value!r} twice", "Keep one of them")
        seen.add(value)
