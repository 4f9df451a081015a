"""PostgreSQL: what the web process's own role may do, table by table, as SQL (portal.md 1.6).

It adds answers and never reads them; it reads messages and never adds one. The other role is the owner of all tables:
link, the sweep and the commands, which push, pull and clear up. Row keys are needed to seal and open at all, so web may
read them; without the column `outbox.sealed` they open no answer. Run again after each upgrade: every table must be
named here, so a new one is refused to web until this page says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from sqlalchemy import MetaData

from portal.store.base import Store
from portal.store.models import KEYS_METADATA, METADATA

_FREELY = ("SELECT", "INSERT", "UPDATE", "DELETE")
_CAPSULE = "gen, state, must_change, first_expires, capsule_sha, capsule_key, capsule"
_SENT = "position, box, seq, kind, id, gen, card, self_row_key, self_sealed, parts, digest, state, at, acked"

_WEB: Mapping[str, tuple[str, ...]] = {
    # A new password replaces the capsule; sending counts. Only link makes boxes, freezes and ends them.
    "box": ("SELECT", f"UPDATE ({_CAPSULE}, next_seq, used, hour, hour_items)"),
    "message": ("SELECT", "UPDATE (seen)", "DELETE"),
    "chunk": ("SELECT", "INSERT", "DELETE"),
    "draft": _FREELY,
    # Sent is the copy that a reader's browser sealed to itself. What goes inside is not among these columns.
    "outbox": ("INSERT", f"SELECT ({_SENT})"),
    "lease": (),
    "session": _FREELY,
    "visit": _FREELY,
    "throttle": ("SELECT", "INSERT", "UPDATE"),
    "card": ("SELECT",),
    "token": ("SELECT",),
    "registration": ("SELECT", "UPDATE (used)"),
    "report": ("SELECT", "INSERT", "UPDATE (count, time, gen)"),
    "mark": ("SELECT", "UPDATE (waiting)"),
    "revision": ("SELECT",),
    "row_key": ("SELECT", "INSERT", "DELETE"),
}
_SEQUENCES = {"outbox": "position", "report": "seq"}
_ROWS: Mapping[str, Mapping[str, str]] = {
    # Chunks of messages come from link alone.
    "chunk": {"SELECT": "USING (true)", "INSERT": "WITH CHECK (side = 'up')", "DELETE": "USING (true)"},
    # Web may shut a portal whose mark is old; only the relay, through link, opens it again.
    "mark": {"SELECT": "USING (true)", "UPDATE": "USING (true) WITH CHECK (waiting = 1)"},
    "registration": {"SELECT": "USING (true)", "UPDATE": "USING (true) WITH CHECK (used = 1)"},
}


@dataclass(frozen=True, slots=True)
class Grants:
    """The statements for one database, in their order, to be run by the owner of its tables in one transaction."""

    role: str
    schema: str
    statements: tuple[str, ...]

    @property
    def script(self) -> str:
        """Return them as a script for psql."""
        return "".join(f"{line};\n" for line in ("BEGIN", *self.statements, "COMMIT"))


def main_grants(url: str, role: str) -> Grants:
    """Return what web's role gets in the database of everything, whose owner comes by this address."""
    return _make(METADATA, find_schema(url), role)


def keys_grants(url: str, role: str) -> Grants:
    """Return what web's role gets in the database of the row keys."""
    return _make(KEYS_METADATA, find_schema(url), role)


def apply_grants(store: Store, grants: Grants, *, is_main: bool) -> None:
    """Run the statements as the role that the store was opened with. Raises StorageError."""
    database = store.main if is_main else store.keys
    with database.write() as connection:
        for statement in grants.statements:
            connection.exec_driver_sql(statement)


def find_schema(url: str) -> str:
    """Return the schema that an address names as its search path, else `public`."""
    for option in parse_qs(urlsplit(url).query).get("options", []):
        _, found, schema = option.partition("search_path=")
        if found:
            return schema.split(",")[0].split()[0].strip('"')
    return "public"


def _make(metadata: MetaData, schema: str, role: str) -> Grants:
    to, place = _quote(role), _quote(schema)
    lines = [
        f"GRANT USAGE ON SCHEMA {place} TO {to}",
        f"REVOKE ALL ON ALL TABLES IN SCHEMA {place} FROM {to}",
        f"REVOKE ALL ON ALL SEQUENCES IN SCHEMA {place} FROM {to}",
    ]
    for table in metadata.sorted_tables:
        name = f"{place}.{_quote(table.name)}"
        lines.extend(f"GRANT {right} ON {name} TO {to}" for right in _WEB[table.name])
        if table.name in _SEQUENCES:
            sequence = _quote(f"{table.name}_{_SEQUENCES[table.name]}_seq")
            lines.append(f"GRANT USAGE ON SEQUENCE {place}.{sequence} TO {to}")
        if table.name in _ROWS:
            # The owner is not bound by these.
            lines.append(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY")
        for action, rule in _ROWS.get(table.name, {}).items():
            policy = _quote(f"letterlock_web_{action.lower()}")
            lines.append(f"DROP POLICY IF EXISTS {policy} ON {name}")
            lines.append(f"CREATE POLICY {policy} ON {name} FOR {action} TO {to} {rule}")
    return Grants(role, schema, tuple(lines))


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
