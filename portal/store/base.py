"""The portal's store: both databases and what every query needs. portal.store.schema opens it."""

from __future__ import annotations

from dataclasses import dataclass

from portal.store.engine import Database
from portal.store.rowkeys import RowKeys
from relay.core.clock import Clock


@dataclass(slots=True)
class Store:
    """Both databases and what every query needs. Safe to share between threads, not between processes."""

    main: Database
    keys: Database
    rows: RowKeys
    clock: Clock

    def close(self) -> None:
        """Close all connections."""
        self.main.close()
        self.keys.close()
