"""Unsigned hints for the relay: wrong tries, locks, forgotten passwords. Unknown logins count too, never shown."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, select, text, update

from portal.store.models import report

# What was handed out has its own slot, so that the same hint afterwards is a new row.
_ADD = text(
    "INSERT INTO report (kind, subject, slot, known, count, time, gen)"
    " VALUES (:kind, :subject, 0, :known, :count, :now, :gen) ON CONFLICT (kind, subject, slot)"
    " DO UPDATE SET count = excluded.count, time = excluded.time, gen = excluded.gen"
)
_ADD_TO = text(
    "INSERT INTO report (kind, subject, slot, known, count, time) VALUES (:kind, :subject, 0, :known, :count, :now) "
    "ON CONFLICT (kind, subject, slot) DO UPDATE SET count = report.count + excluded.count, time = excluded.time"
)


@dataclass(frozen=True, slots=True)
class Report:
    """One hint. `count`: for `wrong` the wrong tries in all, for `simple` the openings since the last hint."""

    seq: int
    kind: str
    box: str
    time: int
    count: int
    gen: int | None
    """The generation whose password was tried; None for a hint that is about none."""


def add_report(
    connection: Connection, kind: str, subject: str, *, is_known: bool, count: int, now: int, gen: int | None = None
) -> None:
    """Add a hint or renew the one that was not handed out yet."""
    values = {"kind": kind, "subject": subject, "known": int(is_known), "count": count, "now": now, "gen": gen}
    connection.execute(_ADD, values)


def add_opening(connection: Connection, box: str, now: int) -> None:
    """Add an opening in server mode; each counts."""
    connection.execute(_ADD_TO, {"kind": "simple", "subject": box, "known": 1, "count": 1, "now": now})


def take_reports(connection: Connection, limit: int) -> list[Report]:
    """Return the oldest hints about boxes; they stay until `drop_reports`."""
    query = select(report).where(report.c.known == 1).order_by(report.c.seq).limit(limit)
    rows = connection.execute(query).all()
    seqs = [row.seq for row in rows if row.slot == 0]
    if seqs:
        connection.execute(update(report).where(report.c.seq.in_(seqs)).values(slot=report.c.seq))
    return [Report(row.seq, row.kind, row.subject, row.time, row._mapping[report.c.count], row.gen) for row in rows]


def drop_reports(connection: Connection, seq: int) -> None:
    """Drop what was handed out, up to and with this number."""
    connection.execute(delete(report).where(report.c.seq <= seq, report.c.known == 1, report.c.slot != 0))
