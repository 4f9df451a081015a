"""The outbox: one folder with NNNNNN.eml and NNNNNN.json for each mail that left, numbered from 000001.

The .json appears by rename and only when the .eml is complete and durable: who sees the one can read the other.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from relay.core.ids import new_id

_JSON_NAME = re.compile(r"(\d{6,9})\.json")


@dataclass(frozen=True, slots=True)
class CaughtEnvelope:
    """What stands in NNNNNN.json. `time` is ISO 8601 in UTC, `hop` inside or outside, a null path is empty."""

    mail_from: str
    rcpt_to: list[str]
    hop: str
    time: str


class OutboxWriter:
    """Writes caught mails. One at a time owns the folder; safe for threads."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._lock = threading.Lock()
        for leftover in folder.glob(".incoming-*"):
            leftover.unlink(missing_ok=True)
        names = [path.stem for path in folder.iterdir() if path.suffix in (".eml", ".json") and path.stem.isdigit()]
        self._last = max((int(name) for name in names), default=0)

    def begin(self) -> tuple[Path, BinaryIO]:
        """Open a temporary file for the octets of one mail. Raises OSError."""
        path = self._folder / f".incoming-{new_id()}"
        return path, path.open("xb")

    def finish(self, path: Path, stream: BinaryIO, envelope: CaughtEnvelope) -> int:
        """Make the mail durable and visible; return its number. Raises OSError, then nothing is visible."""
        stream.flush()
        os.fsync(stream.fileno())
        stream.close()
        notes = path.with_name(path.name + "-json")
        with notes.open("x", encoding="utf-8") as out:
            json.dump(asdict(envelope), out, ensure_ascii=False)
            out.write("\n")
            out.flush()
            os.fsync(out.fileno())
        with self._lock:
            number = self._last + 1
            path.rename(self._folder / f"{number:06d}.eml")
            self._last = number
            notes.rename(self._folder / f"{number:06d}.json")
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return number

    def abort(self, path: Path, stream: BinaryIO) -> None:
        """Drop an unfinished mail. Never raises."""
        with contextlib.suppress(OSError):
            stream.close()
        for leftover in (path, path.with_name(path.name + "-json")):
            with contextlib.suppress(OSError):
                leftover.unlink(missing_ok=True)


class OutboxReader:
    """Reads what the writer made visible; another process may write at the same time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def numbers(self) -> list[int]:
        """Return the numbers of all complete mails, oldest first."""
        try:
            names = os.listdir(self._folder)  # noqa: PTH208 - names only, and fast for thousands
        except FileNotFoundError:
            return []
        return sorted(int(match.group(1)) for name in names if (match := _JSON_NAME.fullmatch(name)))

    def envelope(self, number: int) -> CaughtEnvelope:
        """Return one mail's envelope. Raises FileNotFoundError."""
        return CaughtEnvelope(**json.loads((self._folder / f"{number:06d}.json").read_text("utf-8")))

    def path(self, number: int) -> Path:
        """Return where one mail's octets lie. Raises FileNotFoundError while the mail is not complete."""
        if not (self._folder / f"{number:06d}.json").is_file():
            raise FileNotFoundError(number)
        return self._folder / f"{number:06d}.eml"
