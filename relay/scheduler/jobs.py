"""The timed jobs of this version: sweeping, shredding, retention, anchors of the log, epochs of the spool key."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from relay.core.clock import DAY, HOUR, MINUTE, SECOND
from relay.core.documents.organisation import Organisation
from relay.core.ports import Actor, Event, KeyStore
from relay.keystore.client import RemoteKeyStore
from relay.scheduler.alerts import AlertJob
from relay.scheduler.asides import AsideJob
from relay.scheduler.main import Job
from relay.spool.epochs import count_keys, rewrap_waiting
from relay.spool.recovery import forget_finished, forget_seen, shred_finished, sweep_leases, sweep_orphans
from relay.store.base import Database
from relay.store.repositories.events import general_events, write_anchor
from relay.store.repositories.reply_links import forget_reply_links
from relay.store.repositories.return_paths import forget_return_paths

EPOCH_MS = DAY
"""How long an epoch's key is the one that new mail is sealed to."""
EPOCH_GRACE_MS = HOUR
"""How long an old epoch stays after the change, for what smtpd sealed in the last moment."""
KEYD_HEAD = "audit.keyd"
EPOCH_BEGUN = "epoch.begun"
EPOCH_DESTROYED = "epoch.destroyed"


def make_jobs(
    database: Database,
    *,
    keystore: RemoteKeyStore,
    organisation: Callable[[], Organisation],
    tenant: str,
    actor: Actor,
    alerts: AlertJob,
    asides: AsideJob,
    joins: Callable[[], str] | None = None,
    approvals: Callable[[], str] | None = None,
) -> Mapping[str, Job]:
    """Return all jobs by name. Where a portal is linked, `joins` reminds of registrations and gives them up, and
    `approvals` ends requests that nobody agreed to."""

    def sweep() -> str:
        return f"orphans {sweep_orphans(database)}, leases {sweep_leases(database)}"

    def shred() -> str:
        total = 0
        while count := shred_finished(database):
            total += count
        return f"messages {total}"

    def forget() -> str:
        keep = max(1, organisation().limits.delivered_days) * DAY
        total = 0
        while count := forget_finished(database, tenant, database.clock.now_ms() - keep):
            total += count
        with database.transaction() as tx:
            links = forget_reply_links(tx, tenant, tx.now_ms() - keep)
            links += forget_return_paths(tx, tenant, tx.now_ms())
        return f"messages {total}, retries {forget_seen(database)}, links {links}"

    def anchor() -> str:
        head = keystore.audit_head()
        with database.transaction() as tx:
            # The one log knows how long the other was: neither can be cut off alone.
            tx.append_event(Event(KEYD_HEAD, actor, tenant, detail={"seq": head.seq, "hash": head.hash}))
            return f"chains {write_anchor(tx, tenant, actor)}"

    jobs = {
        "sweep": Job(20 * SECOND, sweep),
        "shred": Job(5 * SECOND, shred),
        "forget": Job(HOUR, forget),
        "anchor": Job(5 * MINUTE, anchor),
        "epochs": Job(10 * MINUTE, lambda: turn_epochs(database, keystore, tenant, actor)),
        "alerts": Job(MINUTE, alerts.run),
        "asides": Job(MINUTE, asides.run),
    }
    for name, run in (("joins", joins), ("approvals", approvals)):
        if run is not None:
            jobs[name] = Job(MINUTE, run)
    return jobs


def turn_epochs(database: Database, keystore: KeyStore, tenant: str, actor: Actor) -> str:
    """Begin a new epoch when the newest is old enough, empty the older ones and destroy them after the grace."""
    begun, destroyed = _known_epochs(database, tenant)
    now = database.clock.now_ms()
    newest = keystore.spool_public_key().epoch
    if newest not in begun:
        _note(database, tenant, actor, EPOCH_BEGUN, newest)
        begun[newest] = now
    if now - begun[newest] >= EPOCH_MS:
        newest = keystore.begin_epoch(actor).epoch
        _note(database, tenant, actor, EPOCH_BEGUN, newest)
        begun[newest] = now
    moved = gone = 0
    for epoch in [name for name in begun if name != newest and name not in destroyed]:
        moved += rewrap_waiting(database, keystore, epoch, actor)
        if now - begun[newest] >= EPOCH_GRACE_MS and count_keys(database, epoch) == 0:
            keystore.destroy_epoch(epoch, actor)
            _note(database, tenant, actor, EPOCH_DESTROYED, epoch)
            gone += 1
    return f"newest {newest}, moved {moved}, destroyed {gone}"


def _known_epochs(database: Database, tenant: str) -> tuple[dict[str, int], set[str]]:
    with database.reading() as tx:
        events = general_events(tx, tenant, (EPOCH_BEGUN, EPOCH_DESTROYED), limit=1000)
    begun = {str(json.loads(one.detail)["epoch"]): one.at for one in reversed(events) if one.kind == EPOCH_BEGUN}
    destroyed = {str(json.loads(one.detail)["epoch"]) for one in events if one.kind == EPOCH_DESTROYED}
    return begun, destroyed


def _note(database: Database, tenant: str, actor: Actor, kind: str, epoch: str) -> None:
    with database.transaction() as tx:
        tx.append_event(Event(kind, actor, tenant, detail={"epoch": epoch}))
