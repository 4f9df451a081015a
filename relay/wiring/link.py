"""Parts of the link process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from pdfmail.passphrase import generate_password
from relay.core.documents.policy import ReplyFiles
from relay.core.errors import ConfigurationError
from relay.core.ports import Actor, Event, Grant
from relay.core.resources import static_folder
from relay.delivery.endings import plan_ending
from relay.delivery.errors import Why
from relay.delivery.outcome import Deferred, Delivered, Outcome
from relay.delivery.reports import DsnReports, Reports
from relay.keystore.client import RemoteKeyStore
from relay.keystore.public import SpoolPublicFile
from relay.link.catch_up import CatchUp
from relay.link.client import PortalLink, Timeouts
from relay.link.config import LinkSettings
from relay.link.errors import LinkDownError
from relay.link.gate import Gate
from relay.link.keeper import Keeper
from relay.link.page_watch import PageWatch
from relay.link.pages import Release, open_fetch
from relay.link.ports import CopyEnd, Renew
from relay.link.pulls import Puller
from relay.link.pushes import Pusher
from relay.link.reconcile import Reconciler
from relay.link.scanner import ClamdScanner
from relay.link.steps import Steps
from relay.log import Log
from relay.mailbox.account_words import AccountWords
from relay.mailbox.incoming import Incoming, IncomingPolicy
from relay.mailbox.incoming_desk import Desk, receipt_ms
from relay.mailbox.incoming_join import IncomingJoins
from relay.mailbox.incoming_reply import Replies
from relay.mailbox.joins import Joins
from relay.mailbox.notices import Notices
from relay.mailbox.renewals import EXPIRE, Renewals
from relay.organisation import CurrentOrganisation, make_is_own
from relay.process.health import HealthSocket
from relay.process.life import note_start, say_ready
from relay.process.wake import WakeReceiver
from relay.protect.passwords import PairPasswords
from relay.settings import Settings
from relay.spool.claims import PORTAL_HOP
from relay.spool.values import Delivery
from relay.store.base import Database, Tx
from relay.store.repositories.events import append
from relay.store.repositories.mailbox_generations import Generation
from relay.store.repositories.mailbox_pushes import Push
from relay.wiring import make_hop_for, make_mailer, open_database, open_keystore, process_actor
from relay.wiring.mailboxes import MAX_MESSAGE_OCTETS, make_generations, make_sealer

_log = Log("link")
_PULL_TIMEOUTS = Timeouts(answer=30.0)
"""A chunk has to come within this time: what was written ahead of its mail is swept after 40 s."""


@dataclass(frozen=True, slots=True)
class PortalEndings:
    """Ends of copies for the portal, planned as for any next hop (relay.link.pushes.CopyEndings)."""

    reports: Reports
    host: str

    def delivered(self, delivery: Delivery) -> CopyEnd:
        """See CopyEndings. A report is sent only where NOTIFY asks for success: `relayed`, as the portal sends none."""
        return self._plan(delivery, Delivered("2.0.0", "the portal has it", self.host, dsn_passed_on=False))

    def deferred(self, delivery: Delivery, status: str, text: str) -> CopyEnd:
        """See CopyEndings."""
        return self._plan(delivery, Deferred(status, text, Why.CONNECT, self.host))

    def _plan(self, delivery: Delivery, outcome: Outcome) -> CopyEnd:
        endings = [plan_ending(delivery, copy, outcome, PORTAL_HOP) for copy in delivery.copies]
        settlements = [ending.settlement for ending in endings if ending.settlement is not None]
        return CopyEnd(settlements, self.reports.make(delivery, endings))


@dataclass(frozen=True, slots=True)
class LinkParts:
    """The threads' work, made of one process's parts. Tests drive them by hand."""

    pusher: Pusher
    puller: Puller
    keeper: Keeper
    gate: Gate
    database: Database
    watch: PageWatch

    def report(self) -> dict[str, object]:
        """Return counters for the health endpoint."""
        return {**self.gate.report(), **self.pusher.counts, **self.puller.counts}


def make_renew(renewals: Renewals, actor: Actor) -> Renew:
    """Return what makes or ends first passwords for the pusher."""

    def renew(push: Push) -> Callable[[Tx], None] | None:
        if push.ref == EXPIRE:
            return lambda tx: _forget_result(renewals.expire(tx, push))
        renewal = renewals.prepare(push, Grant("mailbox", push.box, str(actor)))
        return None if renewal is None else lambda tx: _forget_result(renewals.record(tx, renewal))

    return renew


def _forget_result(_result: object) -> None:
    """Both answer the box as it is now, which nobody here asks for."""


def make_link_settings(settings: Settings) -> LinkSettings:
    """Return where the portal is. Raises ConfigurationError."""
    portal = settings.portal
    if portal is None or portal.link is None:
        raise ConfigurationError("portal.link", "is missing", 'Write link = "https://dmz-host:8443" and its files')
    link = portal.link
    return LinkSettings(portal.portal_id, link.url, link.certificate, link.key, link.peer_certificate)


def make_parts(
    settings: Settings,
    database: Database,
    keystore: RemoteKeyStore,
    open_link: Callable[[Timeouts | None, Callable[[], None]], PortalLink],
) -> LinkParts:
    """Put the process together. `keystore` is keyd's client of the role `link`; `open_link` makes a connection for each
    thread and takes what is to be called when it breaks."""
    assert settings.portal is not None
    tenant, portal_id = settings.host.tenant, settings.portal.portal_id
    has_server_mode = settings.portal.has_server_mode
    actor = process_actor(settings, "link")
    organisation = CurrentOrganisation(database, tenant)
    spool_public = SpoolPublicFile(settings.keys.public_file).current
    notices = Notices(make_mailer(settings, "link", organisation), organisation, settings.portal.url)
    generations = make_generations(keystore, keystore, tenant, portal_id)
    renewals = Renewals(database, generations, notices, tenant=tenant, actor=actor)

    def open_capsule(stored: Generation) -> bytes:
        return generations.open(stored, Grant("mailbox", stored.box, str(actor)))

    temporary_dir = settings.state_dir / "tmp"
    temporary_dir.mkdir(parents=True, exist_ok=True)
    sealer = make_sealer(keystore, actor, temporary_dir, purpose="mailbox")
    joins = IncomingJoins(
        database=database,
        tenant=tenant,
        portal_id=portal_id,
        actor=actor,
        keys=keystore,
        generations=generations,
        sealer=sealer,
        # To seal alone: this role of keyd opens no PDF password.
        passwords=PairPasswords(database, keystore, tenant, actor, generate_password),
        joins=Joins(database, keystore, notices.joins, tenant=tenant, actor=actor),
        notices=notices.joins,
    )
    incoming = Incoming(
        database=database,
        tenant=tenant,
        portal_id=portal_id,
        actor=actor,
        keys=keystore,
        generations=generations,
        sealer=sealer,
        replies=Replies(
            database=database,
            tenant=tenant,
            hostname=settings.host.hostname,
            actor=actor,
            organisation=organisation,
            spool_public=spool_public,
            scanner=ClamdScanner(settings.portal.scanner) if settings.portal.scanner else None,
        ),
        policy=lambda: IncomingPolicy(
            MAX_MESSAGE_OCTETS,
            server_mode=has_server_mode,
            reply_files=organisation().policy.switches.reply_files is ReplyFiles.ON,
        ),
        tidings=notices,
        joins=joins,
        # Asked with each receipt: the portal says it with its mark.
        receipt_ms=lambda: receipt_ms(marks.sent_days),
    )
    reports = DsnReports(
        database,
        keystore,
        settings.host.hostname,
        actor,
        make_hop_for(organisation),
        is_own=make_is_own(organisation),
    )
    reconciler = Reconciler(database, tenant, actor, incoming)
    marks = reconciler.marks
    gate = Gate(lambda error: _alert_of_link(database, tenant, actor, error), marks.note_trouble)
    pusher = Pusher(
        database=database,
        tenant=tenant,
        actor=actor,
        steps=Steps(database, tenant, portal_id, open_capsule),
        make_link=lambda: open_link(None, marks.note_trouble),
        gate=gate,
        endings=PortalEndings(reports, "portal"),
        after=notices,
        renew=make_renew(renewals, actor),
        spool_public=spool_public,
        marks=marks,
    )
    puller = Puller(
        lambda: open_link(_PULL_TIMEOUTS, marks.note_trouble),
        incoming,
        gate,
        lambda entry: _alert(database, tenant, actor, f"an entry of mailbox {entry.box} cannot be taken for minutes"),
        CatchUp(database, tenant, incoming).prepare,
    )
    keeper = Keeper(
        database=database,
        tenant=tenant,
        actor=actor,
        make_link=lambda: open_link(None, marks.note_trouble),
        gate=gate,
        hints=notices,
        look_after_late=pusher.look_after_late,
        compare=reconciler.compare,
        is_mark_due=lambda: reconciler.is_due,
        renew_words=AccountWords(Desk(database, tenant, portal_id, actor), sealer).renew,
    )
    watch = PageWatch(database, tenant, actor, open_fetch(settings.portal.url), read_release)
    return LinkParts(pusher, puller, keeper, gate, database, watch)


def read_release() -> Release:
    """Return the pages' files of this release. Raises ConfigurationError."""
    return Release.read(static_folder() / "portal" / "dist" / "manifest.json")


def run_link(settings: Settings, stop: threading.Event) -> None:
    """Run the link until stopped."""
    link_settings = make_link_settings(settings)
    # Said now, and not by each thread: a certificate that cannot be read, a key that does not fit.
    PortalLink(link_settings).close()
    database = open_database(settings, "link")
    wake = WakeReceiver(settings.run_dir, "link")

    def open_link(timeouts: Timeouts | None, on_break: Callable[[], None]) -> PortalLink:
        return PortalLink(link_settings, timeouts, puller=settings.host.node, on_break=on_break)

    parts = make_parts(settings, database, open_keystore(settings, "link"), open_link)
    health = HealthSocket(settings.run_dir, "link", parts.report)
    threads = [
        threading.Thread(target=parts.puller.run, args=(stop,), name="pull"),
        threading.Thread(target=parts.keeper.run, args=(stop,), name="keep"),
    ]
    # Nobody waits for it at the end: a public side that gives no answer must hold up no stop.
    watch = threading.Thread(target=parts.watch.run, args=(stop,), name="watch", daemon=True)
    try:
        parts.pusher.begin(host_fell=note_start(settings.run_dir, "link"))
        for thread in (*threads, watch):
            thread.start()
        say_ready()
        parts.pusher.run(stop, lambda seconds: _wait(wake, stop, seconds))
    finally:
        stop.set()
        parts.puller.close()
        parts.keeper.close()
        for thread in threads:
            if thread.ident is not None:
                thread.join()
        health.close()
        wake.close()
        database.close()


def _wait(wake: WakeReceiver, stop: threading.Event, seconds: float) -> None:
    if not stop.is_set():
        wake.wait(seconds)


def _alert_of_link(database: Database, tenant: str, actor: Actor, error: LinkDownError) -> None:
    _log.error("link-down", error=type(error).__name__)
    _alert(database, tenant, actor, f"the portal link cannot be used: {error}", error.status)


def _alert(database: Database, tenant: str, actor: Actor, reason: str, status: str = "4.3.0") -> None:
    try:
        with database.transaction() as tx:
            append(tx, Event("alert.raised", actor, tenant, detail={"reason": reason, "status": status}))
    except Exception:  # the health page says it as well
        _log.exception("alert-failed")
