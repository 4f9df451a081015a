"""JSON logs with redaction: one object a line on stderr.

A log line names things by id. Passwords, keys, codes, subjects, file names and mail text never reach it: fields with
such names are replaced, and of an exception only its class and the code places are written, because its message may
hold mail text.
"""

from __future__ import annotations

import functools
import json
import logging
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from json.encoder import encode_basestring
from typing import Any, TextIO

_FORBIDDEN = (
    "password",
    "passphrase",
    "secret",
    "private",
    "pin",
    "code",
    "subject",
    "filename",
    "file_name",
    "text",
    "body",
    "content",
    "plaintext",
    "key_data",
)
_ENCODER = json.JSONEncoder(ensure_ascii=False, default=str)
_ALLOWED = frozenset({"exit_code", "reply_code", "body_type", "content_size", "pinned", "mapping"})
_PLAIN = frozenset({str, int, bool, float, type(None)})
"""Asked first: whether something is a Mapping costs more than all the rest of a line's field."""
_OWN_NAMES = frozenset({"time", "level", "process", "event", "logger", "error", "places"})
_MOST_HEADS = 512
REDACTED = "[redacted]"


@functools.lru_cache(maxsize=1024)
def _is_forbidden(name: str) -> bool:
    lowered = name.lower()
    if lowered in _ALLOWED:
        return False
    parts = lowered.split("_")
    return any(word in parts or (len(word) > 4 and word in lowered) for word in _FORBIDDEN)


def redact(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields with everything under a forbidden name replaced, at any depth; octets are never shown."""
    out: dict[str, Any] = {}
    for name, value in fields.items():
        if _is_forbidden(name):
            out[name] = REDACTED
        elif type(value) in _PLAIN:
            out[name] = value
        elif isinstance(value, Mapping):
            out[name] = redact(value)
        elif isinstance(value, bytes | bytearray | memoryview):
            out[name] = f"[{len(value)} octets]"
        else:
            out[name] = value
    return out


@functools.lru_cache(maxsize=1024)
def _spell_name(name: str) -> str | None:
    """Return what stands before a field's value, None where the field may not be shown or would replace another."""
    return None if name in _OWN_NAMES or _is_forbidden(name) else f", {encode_basestring(name)}: "


def _spell_plain(fields: Mapping[str, Any]) -> str | None:
    """Return the fields as `_ENCODER` would write them, or None unless all are texts and whole numbers to be shown.

    One line is written for each mail that comes in; this takes a third of the time.
    """
    parts: list[str] = []
    for name, value in fields.items():
        head = _spell_name(name)
        if head is None:
            return None
        if type(value) is str:
            parts += (head, encode_basestring(value))
        elif type(value) is int:
            parts += (head, str(value))
        else:
            return None
    return "".join(parts)


def _format_time(created: float) -> str:
    second, rest = divmod(created, 1)
    return f"{_format_second(int(second))}.{int(rest * 1000):03}+00:00"


@functools.lru_cache(maxsize=4)
def _format_second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object: time, level, process, event, then the fields."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process
        self._heads: dict[tuple[str, str], str] = {}

    def format(self, record: logging.LogRecord) -> str:
        """Return the line without its newline."""
        if record.exc_info is None and not record.args:
            fields = getattr(record, "fields", None)
            plain = _spell_plain(fields) if type(fields) is dict else None
            if plain is not None:
                return f"{self._spell_head(record.levelname, str(record.msg), _format_time(record.created))}{plain}}}"
        return self._format_any(record)

    def _spell_head(self, level: str, event: str, time: str) -> str:
        known = self._heads.get((level, event))
        if known is None:
            line = {"level": level.lower(), "process": self._process, "event": event}
            known = _ENCODER.encode(line).removeprefix("{").removesuffix("}")
            # Events are words of ours and few; the bound is for those that are not.
            if len(self._heads) < _MOST_HEADS:
                self._heads[level, event] = known
        return f'{{"time": "{time}", {known}'

    def _format_any(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _format_time(record.created),
            "level": record.levelname.lower(),
            "process": self._process,
            "event": record.getMessage() if not record.args else record.msg,
        }
        fields = getattr(record, "fields", None)
        if isinstance(fields, Mapping):
            line.update(redact(fields))
        elif not record.name.startswith("letterlock"):
            # Libraries' lines may quote what they read: only where they come from is kept.
            line["event"] = "library"
            line["logger"] = record.name
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
            line["places"] = [
                f"{frame.filename.rpartition('/')[2]}:{frame.lineno}:{frame.name}"
                for frame in traceback.extract_tb(record.exc_info[2])[-8:]
            ]
        return _ENCODER.encode(line)


class Log:
    """Writes events with fields: `log.info("mail-accepted", message=id)`."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(f"letterlock.{name}")

    def debug(self, event: str, **fields: Any) -> None:
        """For developers."""
        self._write(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """Something happened as it should."""
        self._write(logging.INFO, event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Something an operator should see some day."""
        self._write(logging.WARNING, event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Something an operator must see."""
        self._write(logging.ERROR, event, fields)

    def exception(self, event: str, **fields: Any) -> None:
        """An error with its class and code places; never its message."""
        self._logger.error(event, extra={"fields": fields}, exc_info=True)

    def _write(self, level: int, event: str, fields: dict[str, Any]) -> None:
        # Logger's own methods walk the stack for the caller's place, which no line of ours shows.
        if self._logger.isEnabledFor(level):
            record = logging.LogRecord(self._logger.name, level, "", 0, event, None, None)
            record.__dict__["fields"] = fields
            self._logger.handle(record)


def configure_logging(process: str, level: str = "info", stream: TextIO | None = None) -> None:
    """Send every log line of this process to the stream (stderr) as JSON. Called once, by the process's entry."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter(process))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("letterlock").setLevel(level.upper())
    # No line of ours shows these, and asking for them costs a third of a record (logging: "Optimization").
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    # aiosmtpd's logger prints message lines at DEBUG.
    logging.getLogger("mail.log").setLevel(logging.WARNING)
    logging.captureWarnings(True)
