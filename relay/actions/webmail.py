"""Webmail: seal a mail to the mailbox of each partner, queue it for the portal, keep the mails that wait for the push.

Composed once for all partners, sealed to each apart: own key, own manifest, own parts. What is new (mailbox,
generation), the sealed rows, the pushes, the parked password and the state become visible in one transaction. The
copy goes to `queued` with the portal's hop; the link process delivers it and lets the notices go.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from relay.actions.base import Action, DecidedCopy, Failure, OpenMessage, as_decided
from relay.actions.refuse import HoldAction
from relay.actions.tell import SenderTeller
from relay.core.clock import DAY
from relay.core.errors import KeyDestroyedError, LeaseLostError, LetterlockError, StorageError
from relay.core.lifecycle import State
from relay.core.ports import Actor, Grant
from relay.core.wire.sealed import LoginNameError
from relay.mailbox.boxes import Boxes, BoxPlan
from relay.mailbox.compose import ComposedMail, TooLargeForMailboxError, compose_mail
from relay.mailbox.notices import Notices
from relay.mailbox.seal import MailFacts, Place, SealedMessage, Sealer
from relay.mailbox.states import BoxBusyError
from relay.spool.claims import PORTAL_HOP
from relay.spool.settle import Settlement, settle_many
from relay.spool.system_mail import SystemMail
from relay.store.base import Database, EventDetail
from relay.store.repositories import mailbox_pushes as pushes
from relay.store.repositories.mailbox_messages import MAIL, find_answered

Preview = Callable[[OpenMessage], bytes | None]
"""Makes the PDF to keep of a message, or None where it cannot be made."""


@dataclass(frozen=True, slots=True)
class MailboxTools:
    """What the action needs of the room relay.mailbox."""

    boxes: Boxes
    sealer: Sealer
    notices: Notices
    portal: str
    preview: Preview


class WebmailAction:
    """Puts copies into mailboxes."""

    def __init__(
        self,
        database: Database,
        tools: MailboxTools,
        *,
        tenant: str,
        actor: Actor,
        hold: HoldAction,
        teller: SenderTeller,
        without_mailbox: Action,
    ) -> None:
        """`without_mailbox` takes partners whose address can be no login name: they get a PDF (sealed-mailbox 5)."""
        self._database = database
        self._tools = tools
        self._tenant = tenant
        self._actor = actor
        self._hold = hold
        self._teller = teller
        self._without_mailbox = without_mailbox

    def run(self, message: OpenMessage, copies: Sequence[DecidedCopy]) -> Sequence[Failure]:
        """See actions.base.Action."""
        failures: list[Failure] = []
        # Who sends, and what the subject loses, is what was decided, not what the documents of now would say.
        groups: dict[tuple[str, tuple[str, ...]], list[DecidedCopy]] = {}
        for one in copies:
            groups.setdefault((one.decision.sender, one.decision.subject_strip), []).append(one)
        for (sender, _), group in groups.items():
            failures.extend(self._run_some(as_decided(message, group[0].decision), sender, group))
        return failures

    def _run_some(self, message: OpenMessage, sender: str, copies: Sequence[DecidedCopy]) -> Sequence[Failure]:
        if not sender:
            # Nobody inside could be told a first password; only inside senders cause an account.
            return self._hold_all(message, copies, "A mailbox needs a sender of ours who can be told its password.")
        try:
            composed = compose_mail(message.parsed, message.subject, sender, self._tools.preview(message))
        except TooLargeForMailboxError as error:
            return self._hold_all(message, copies, str(error))
        failures: list[Failure] = []
        for one in copies:
            failures.extend(self._run_one(message, one, composed))
        return failures

    def _run_one(self, message: OpenMessage, one: DecidedCopy, composed: ComposedMail) -> Sequence[Failure]:
        try:
            self._put(message, one, composed)
        except LeaseLostError:
            raise
        except TooLargeForMailboxError as error:
            return self._hold_all(message, [one], str(error))
        except LoginNameError:
            return self._without_mailbox.run(message, [one])
        except KeyDestroyedError:
            # A ceremony came between plan and signature: the card before it lost its sign key at once.
            return [Failure(one, BoxBusyError("the card was changed meanwhile"))]
        except LetterlockError as error:
            return [Failure(one, error)]
        except OSError as error:
            # The temporary file's disk: full, read-only or gone. It heals; the mail waits.
            word = errno.errorcode.get(error.errno or 0, "OSError")
            return [Failure(one, StorageError(f"temporary file: {word}"))]
        return ()

    def _put(self, message: OpenMessage, one: DecidedCopy, composed: ComposedMail) -> None:
        assert one.partner is not None
        sender = one.decision.sender
        # Only what stands in the partner's record: else the reader's browser knows better.
        language = one.partner.language
        grant = Grant("protect", message.work.message.id, str(self._actor))
        plan = self._tools.boxes.plan(sender, one.partner, language, grant)
        now = self._database.clock.now_ms()
        place = Place(self._tenant, self._tools.portal, plan.box.id, plan.box.gen, plan.enc, plan.card, plan.no)
        re, thread = (None, None) if plan.is_new else self._find_answered(message, plan.box.id)
        facts = MailFacts(
            kind=MAIL,
            sender=sender,
            copy_id=one.copy.id,
            message_id=message.work.message.id,
            time_ms=now,
            expires_ms=now + message.organisation.policy.switches.keep_message_days * DAY,
            own_domains=message.organisation.domains.names(),
            thread=thread,
            re=re,
        )
        sealed = self._tools.sealer.seal_mail(place, composed, facts)
        try:
            self._queue(one, plan, sealed, self._teller.warning_notice(message, sender, [one]))
        finally:
            sealed.close()

    def _find_answered(self, message: OpenMessage, box_id: str) -> tuple[str | None, str | None]:
        """Return id and thread of the mail in the box that this one answers. Where it answers an answer of the
        partner's, that is the mail which he answered: References name both."""
        parsed = message.parsed
        with self._database.reading() as tx:
            for named in (parsed.in_reply_to, parsed.references):
                found = find_answered(tx, self._tenant, box_id, named)
                if found is not None:
                    return found
        return None, None

    def _queue(self, one: DecidedCopy, plan: BoxPlan, sealed: SealedMessage, warning: SystemMail | None) -> None:
        with self._database.transaction() as tx:
            self._tools.boxes.record(tx, plan)
            if plan.made is not None:
                self._tools.notices.park(tx, plan.box, plan.made)
            sealed.store(tx)
            pushes.add_push(
                tx,
                self._tenant,
                pushes.MESSAGE,
                box=plan.box.id,
                ref=sealed.message.id,
                copy_id=one.copy.id,
            )
            settle_many(tx, [self._settlement(one, plan, sealed)], self._actor)
            self._teller.send(tx, warning)

    def _settlement(self, one: DecidedCopy, plan: BoxPlan, sealed: SealedMessage) -> Settlement:
        detail: dict[str, EventDetail] = {
            "method": "webmail",
            "box": plan.box.id,
            "gen": plan.box.gen,
            "number": plan.no,
            "new_box": plan.is_new,
            "new_password": plan.made is not None,
            "octets": sealed.size,
            "parts": len(sealed.message.parts),
            "card": plan.card,
        }
        return Settlement(one.copy.id, one.copy.fence, State.QUEUED, hop=PORTAL_HOP, detail=detail)

    def _hold_all(self, message: OpenMessage, copies: Sequence[DecidedCopy], text: str) -> Sequence[Failure]:
        return self._hold.run(message, [replace(one, decision=replace(one.decision, text=text)) for one in copies])
