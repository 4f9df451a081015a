"""Timed jobs: due in the database, leased by one scheduler at a time, fenced like mail."""

from __future__ import annotations

from dataclasses import dataclass

from relay.core.errors import LeaseLostError
from relay.store.base import Tx


@dataclass(frozen=True, slots=True)
class JobLease:
    """A job to run now. Times in milliseconds."""

    tenant: str
    name: str
    interval_ms: int
    fence: int
    last_at: int | None


def ensure_job(tx: Tx, tenant: str, name: str, interval_ms: int) -> None:
    """Make a job exist with this interval; a new one is due at once, an old one keeps its time."""
    tx.run(
        "INSERT INTO job (tenant, name, next_at, interval_ms) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (tenant, name) DO UPDATE SET interval_ms = excluded.interval_ms",
        [tenant, name, tx.now_ms(), interval_ms],
    )


def claim_job(tx: Tx, owner: str, lease_ms: int, names: tuple[str, ...] | None = None) -> JobLease | None:
    """Lease the job that is due longest, if any (of these names, if given)."""
    now = tx.now_ms()
    # A time further away than one interval was written before the clock was set back: it would stop the job till then.
    where = "(next_at <= ? OR next_at > ? + interval_ms) AND (lease_until <= ? OR lease_until > ?)"
    parameters: list[object] = [now, now, now, now + lease_ms]
    if names is not None:
        where += f" AND name IN ({', '.join('?' * len(names))})"
        parameters += names
    locking = " FOR UPDATE SKIP LOCKED" if tx.is_postgresql else ""
    row = tx.fetch_one(
        "SELECT tenant, name, interval_ms, fence, last_at FROM job"  # noqa: S608
        f" WHERE {where} ORDER BY next_at LIMIT 1{locking}",
        parameters,
    )
    if row is None:
        return None
    fence = int(row[3]) + 1
    tx.run(
        "UPDATE job SET lease_until = ?, owner = ?, fence = ? WHERE tenant = ? AND name = ?",
        [now + lease_ms, owner, fence, row[0], row[1]],
    )
    return JobLease(row[0], row[1], int(row[2]), fence, row[4])


def finish_job(tx: Tx, lease: JobLease, status: str, *, next_at: int | None = None) -> None:
    """End a run with a short status; due again after its interval, or at `next_at`. Raises LeaseLostError."""
    now = tx.now_ms()
    count = tx.run(
        "UPDATE job SET lease_until = 0, owner = '', last_at = ?, last_status = ?, next_at = ?"
        " WHERE tenant = ? AND name = ? AND fence = ?",
        [now, status, next_at or now + lease.interval_ms, lease.tenant, lease.name, lease.fence],
    )
    if not count:
        raise LeaseLostError(f"job {lease.name}")


def extend_job(tx: Tx, lease: JobLease, lease_ms: int) -> None:
    """Extend the lease of a job that runs long. Raises LeaseLostError."""
    count = tx.run(
        "UPDATE job SET lease_until = ? WHERE tenant = ? AND name = ? AND fence = ?",
        [tx.now_ms() + lease_ms, lease.tenant, lease.name, lease.fence],
    )
    if not count:
        raise LeaseLostError(f"job {lease.name}")


def list_jobs(tx: Tx) -> list[tuple[str, str, int, str]]:
    """Return tenant, name, next time and last status of all jobs."""
    rows = tx.fetch_all("SELECT tenant, name, next_at, last_status FROM job ORDER BY name, tenant")
    return [(str(r[0]), str(r[1]), int(r[2]), str(r[3])) for r in rows]
