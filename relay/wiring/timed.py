"""Parts of the scheduler."""

from __future__ import annotations

import threading

from relay.mailbox.approvals import ApprovalKeeper
from relay.mailbox.join_notices import JoinNotices
from relay.mailbox.joins import JoinKeeper
from relay.mailbox.notices import Notices
from relay.organisation import CurrentOrganisation
from relay.scheduler.alerts import AlertJob
from relay.scheduler.asides import AsideJob
from relay.scheduler.jobs import make_jobs
from relay.scheduler.main import run_scheduler
from relay.settings import Settings
from relay.wiring import make_mailer, open_database, open_keystore, process_actor


def run_timed_jobs(settings: Settings, stop: threading.Event) -> None:
    """Run the scheduler until stopped."""
    tenant = settings.host.tenant
    actor = process_actor(settings, "scheduler")
    database = open_database(settings, "scheduler")
    try:
        organisation = CurrentOrganisation(database, tenant)
        mailer = make_mailer(settings, "scheduler", organisation)
        alerts = AlertJob(database, organisation, mailer)
        joins = approvals = None
        if settings.portal is not None and settings.portal.link is not None:
            notices = JoinNotices(mailer, organisation, settings.portal.url)
            joins = JoinKeeper(database, notices, tenant=tenant, actor=actor).run
            tell = Notices(mailer, organisation, settings.portal.url).unapproved
            approvals = ApprovalKeeper(database, tell, tenant=tenant, actor=actor).run
        keystore = open_keystore(settings, "scheduler")
        run_scheduler(
            settings,
            database,
            make_jobs(
                database,
                keystore=keystore,
                organisation=organisation,
                tenant=tenant,
                actor=actor,
                alerts=alerts,
                asides=AsideJob(database, organisation, mailer),
                joins=joins,
                approvals=approvals,
            ),
            stop,
        )
    finally:
        database.close()
