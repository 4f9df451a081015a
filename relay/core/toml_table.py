"""A settings table read key by key, so that what nobody asked for can be refused. For both hosts' settings; no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from relay.core.errors import ConfigurationError

_KIND_WORDS: Mapping[type, str] = {str: 'a text in "quotes"', int: "a whole number"}


class TomlTable:
    """One table of a TOML file. `program` is the command that writes a complete example."""

    def __init__(self, name: str, raw: object, program: str) -> None:
        """Raises ConfigurationError unless `raw` is a table."""
        if not isinstance(raw, dict):
            raise ConfigurationError(name, "must be a table", f"Write [{name}] and its keys below it")
        self._name = name
        self._raw: dict[str, Any] = dict(raw)
        self._program = program

    def _full(self, key: str) -> str:
        return f"{self._name}.{key}" if self._name else key

    def _take(self, key: str, kind: type, default: object) -> Any:
        if key not in self._raw:
            return default
        value = self._raw.pop(key)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise ConfigurationError(self._full(key), f"must be {_KIND_WORDS[kind]}", f"Found {type(value).__name__}")
        return value

    def text(self, key: str, default: str = "") -> str:
        """Return a text. Raises ConfigurationError."""
        return str(self._take(key, str, default))

    def optional_text(self, key: str) -> str | None:
        """Return a text, None when it is left out. Raises ConfigurationError."""
        found: str | None = self._take(key, str, None)
        return found

    def required_text(self, key: str) -> str:
        """Return a text that must be there. Raises ConfigurationError."""
        found = self.optional_text(key)
        if found is None:
            fix = f"Add it, or run `{self._program} init` for a complete example"
            raise ConfigurationError(self._full(key), "is missing", fix)
        return found

    def number(self, key: str, default: int, low: int, high: int) -> int:
        """Return a whole number within its bounds. Raises ConfigurationError."""
        value: int = self._take(key, int, default)
        if not low <= value <= high:
            raise ConfigurationError(self._full(key), f"is {value}", f"Choose a number from {low} to {high}")
        return value

    def table(self, key: str) -> TomlTable:
        """Return a table below, an empty one when it is left out. Raises ConfigurationError."""
        return TomlTable(self._full(key), self._raw.pop(key, {}), self._program)

    def tables(self, key: str) -> tuple[Mapping[str, Any], ...]:
        """Return an array of tables as it stands. Raises ConfigurationError."""
        value = self._raw.pop(key, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise ConfigurationError(key, "must be tables", f"Write [[{key}]] and its keys below it")
        return tuple(value)

    def finish(self) -> None:
        """Raises ConfigurationError for a key that nobody asked for."""
        for key in self._raw:
            raise ConfigurationError(self._full(key), "is not a known setting", "Remove it or correct its spelling")
