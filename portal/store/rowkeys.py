"""Sealing rows at rest, and shredding them: gcm under pepper || row key (sealed-mailbox 2, 14).

The keys lie in a database of their own. Order makes one commit of two databases unnecessary: a key is stored before the
row that needs it, and deleted after the row is gone. A crash between leaves a key without a row, which `sweep` removes;
a row without its key, as in an old back-up, counts as not there.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, insert, select

from portal.store.engine import Database
from portal.store.models import row_key
from relay.core.clock import Clock
from relay.core.ids import new_id
from relay.core.wire.errors import SealedDataError
from relay.core.wire.sealed.rows import open_row, seal_row

KEY_OCTETS = 32
_MOST_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class SealedRow:
    """A sealed value and the name of its row key."""

    row_key: str
    sealed: bytes


class RowKeys:
    """Seals, opens and shreds rows. Safe to share between threads."""

    def __init__(self, database: Database, pepper: bytes, clock: Clock, old_pepper: bytes | None = None) -> None:
        """`old_pepper` still opens what was sealed before the pepper was changed."""
        self._database = database
        self._pepper = pepper
        self._old_pepper = old_pepper
        self._clock = clock

    def seal(self, table: str, box: str, id_: str, plaintext: bytes) -> SealedRow:
        """Seal one value under a new row key, which is stored at once."""
        return self.seal_all([(table, box, id_, plaintext)])[0]

    def seal_all(self, values: Sequence[tuple[str, str, str, bytes]]) -> list[SealedRow]:
        """Seal (table, box, id, plaintext) values, each under a new row key; one commit for all keys."""
        rows, keys = [], []
        now = self._clock.now_ms()
        for table, box, id_, plaintext in values:
            name, key = new_id(), os.urandom(KEY_OCTETS)
            keys.append({"id": name, "key": key, "made": now})
            rows.append(SealedRow(name, seal_row(self._pepper, key, plaintext, table=table, box=box, id_=id_)))
        with self._database.write() as connection:
            connection.execute(insert(row_key), keys)
        return rows

    def make(self) -> tuple[str, bytes]:
        """Store a new row key; return its name and the key, for what is sealed under another secret than the pepper."""
        name, key = new_id(), os.urandom(KEY_OCTETS)
        with self._database.write() as connection:
            connection.execute(insert(row_key), {"id": name, "key": key, "made": self._clock.now_ms()})
        return name, key

    def find(self, names: Iterable[str]) -> dict[str, bytes]:
        """Return the keys that are there, by name."""
        wanted = list(names)
        found: dict[str, bytes] = {}
        if not wanted:
            return found
        with self._database.read() as connection:
            for start in range(0, len(wanted), _MOST_AT_ONCE):
                some = wanted[start : start + _MOST_AT_ONCE]
                query = select(row_key.c.id, row_key.c.key).where(row_key.c.id.in_(some))
                found.update((row.id, bytes(row.key)) for row in connection.execute(query))
        return found

    def open(self, table: str, box: str, id_: str, row: SealedRow) -> bytes | None:
        """Return the plaintext, or None when the row was shredded or does not open under this pepper."""
        return self.open_with(self.find([row.row_key]), table, box, id_, row)

    def open_with(self, keys: Mapping[str, bytes], table: str, box: str, id_: str, row: SealedRow) -> bytes | None:
        """Return the plaintext with keys that were found before, or None."""
        key = keys.get(row.row_key)
        if key is None:
            return None
        for pepper in (self._pepper, self._old_pepper):
            if pepper is not None:
                with contextlib.suppress(SealedDataError):
                    return open_row(pepper, key, row.sealed, table=table, box=box, id_=id_)
        return None

    def is_old(self, keys: Mapping[str, bytes], table: str, box: str, id_: str, row: SealedRow) -> bool:
        """Tell whether a row opens under the old pepper alone."""
        key = keys.get(row.row_key)
        if key is None or self._old_pepper is None:
            return False
        try:
            open_row(self._old_pepper, key, row.sealed, table=table, box=box, id_=id_)
        except SealedDataError:
            return False
        return True

    def shred(self, names: Iterable[str | None]) -> None:
        """Delete keys, after the rows they open are gone."""
        wanted = [name for name in names if name]
        for start in range(0, len(wanted), _MOST_AT_ONCE):
            with self._database.write() as connection:
                connection.execute(delete(row_key).where(row_key.c.id.in_(wanted[start : start + _MOST_AT_ONCE])))
