"""What comes back to a mail of ours: the inside sender behind it is told in words, once; then the mail is done with.

A return address is no mailbox: whoever writes there reaches nobody, and nothing of what a stranger wrote is passed on
but the refusing server's one line. Automatic answers of people (out of office) do reach the sender, as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

from relay.actions.base import DecidedCopy, Failure, OpenMessage
from relay.actions.mailer import Mailer
from relay.core.address import domain_of
from relay.core.documents.domains import Language
from relay.core.envelope import Recipient
from relay.core.lifecycle import State
from relay.core.ports import Actor, Event
from relay.core.returns import read_return_token
from relay.message.dsn_read import UntrustedReport, read_delivery_reports
from relay.policy.facts import MailKind
from relay.spool.settle import Settlement, settle_many
from relay.spool.system_mail import SystemMail
from relay.store.base import Database, EventDetail, Tx
from relay.store.repositories.copies import add_copies
from relay.store.repositories.return_paths import ReturnPath, find_return_path, mark_told

_BOUNCED = "notice.bounced"


class ReturnAction:
    """Ends copies that were addressed to a return address."""

    def __init__(self, database: Database, tenant: str, actor: Actor, mailer: Mailer) -> None:
        self._database = database
        self._tenant = tenant
        self._actor = actor
        self._mailer = mailer

    def run(self, message: OpenMessage, copies: Sequence[DecidedCopy]) -> Sequence[Failure]:
        """See actions.base.Action."""
        reports = read_delivery_reports(message.parsed)
        with self._database.transaction() as tx:
            settlements = [self._end(tx, message, one, reports) for one in copies]
            settle_many(tx, settlements, self._actor)
        return ()

    def _end(self, tx: Tx, message: OpenMessage, one: DecidedCopy, reports: Sequence[UntrustedReport]) -> Settlement:
        token = read_return_token(one.copy.normal_address) or ""
        path = find_return_path(tx, self._tenant, token)
        text = "an answer to a mail of ours that nobody waits for"
        if path is not None and message.facts.kind is MailKind.DSN:
            failed = next((report for report in reports if report.action == "failed"), None)
            # RFC 3464 2.3.3: "delayed" and the like are no end; the failure, if it comes, is told.
            text = "a delivery report without a failure"
            if failed is not None:
                text = "a mail of ours bounced"
                if mark_told(tx, self._tenant, token):
                    text = "a mail of ours bounced; its sender is told"
                    self._tell(tx, message, path, failed)
        elif path is not None and message.facts.kind is MailKind.AUTO_REPLY:
            text = "an automatic answer, passed on to the sender"
            add_copies(tx, message.work.message.id, self._tenant, [Recipient(path.sender, frozenset({"NEVER"}))])
        return Settlement(one.copy.id, one.copy.fence, State.DISCARDED, status="2.1.5", text=text)

    def _tell(self, tx: Tx, message: OpenMessage, path: ReturnPath, failed: UntrustedReport) -> None:
        own = message.organisation.domains.find(domain_of(path.sender))
        language = (own.language if own else Language.ENGLISH).value
        values = {
            "recipient": path.recipient,
            "status": failed.status or "-",
            "diagnostic": failed.diagnostic or "-",
            "message_id": path.message_id,
        }
        mail: SystemMail = self._mailer.make_notice(
            "bounced-notice", path.sender, language, values, cause=path.message_id
        )
        self._mailer.send(tx, mail)
        detail: dict[str, EventDetail] = {"kind": path.kind, "status": failed.status}
        tx.append_event(Event(_BOUNCED, self._actor, self._tenant, path.message_id, None, detail))
