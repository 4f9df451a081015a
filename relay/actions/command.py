"""Orders about a partner's mailbox, given by a mail's keyword: carried out, answered in words, never delivered.

`resend` and `reset` only ask (relay.mailbox.renewals; by policy others have to agree first); the link process makes
the password once the portal is pulled empty. `revoke` takes back the mails of this sender that the order answers.
Nothing of the order's text is kept.
"""

from __future__ import annotations

from collections.abc import Sequence

from relay.actions.base import DecidedCopy, Failure, OpenMessage
from relay.actions.mailer import Mailer
from relay.core.address import domain_of
from relay.core.documents.domains import Language
from relay.core.lifecycle import State
from relay.core.ports import Actor
from relay.mailbox.approvals import order_renewal
from relay.mailbox.boxes import recall_message
from relay.mailbox.renewals import RenewalRefusedError
from relay.mailbox.states import BoxStateError
from relay.spool.settle import Settlement, settle_many
from relay.store.base import Database, Tx
from relay.store.repositories.mailbox_boxes import Box, find_open_mailbox
from relay.store.repositories.mailbox_messages import MAIL, messages_of_box
from relay.store.repositories.partners import find_partner

_REVOKE = "revoke"


class CommandAction:
    """Carries out orders."""

    def __init__(self, database: Database, tenant: str, actor: Actor, mailer: Mailer) -> None:
        self._database = database
        self._tenant = tenant
        self._actor = actor
        self._mailer = mailer

    def run(self, message: OpenMessage, copies: Sequence[DecidedCopy]) -> Sequence[Failure]:
        """See actions.base.Action."""
        with self._database.transaction() as tx:
            settlements = []
            for one in copies:
                word = one.decision.options.get("command", "")
                outcome = self._obey(tx, message, one, word)
                self._answer(tx, message, one, word, outcome)
                settlements.append(
                    Settlement(
                        one.copy.id, one.copy.fence, State.DISCARDED, status="2.1.5", text=f"order {word}: {outcome}"
                    )
                )
            settle_many(tx, settlements, self._actor)
        return ()

    def _obey(self, tx: Tx, message: OpenMessage, one: DecidedCopy, word: str) -> str:
        """Return what became of it, one word of the answer's template."""
        partner = find_partner(tx, self._tenant, one.copy.normal_address)
        box = find_open_mailbox(tx, self._tenant, partner.id) if partner is not None else None
        if box is None:
            return "no_mailbox"
        if word == _REVOKE:
            return self._revoke(tx, message, one, box)
        actor = Actor("user", one.decision.sender)
        try:
            people = message.organisation.policy.switches.reset_approval.people
            told = one.decision.sender
            waits = order_renewal(tx, self._tenant, box.id, word, actor, told=told, people=people)
        except RenewalRefusedError:
            return "refused"
        except BoxStateError:
            return "in_use"
        return "asked" if waits is None else "waits"

    def _revoke(self, tx: Tx, message: OpenMessage, one: DecidedCopy, box: Box) -> str:
        named = {*message.parsed.in_reply_to, *message.parsed.references[-1:]}
        if not named:
            return "unnamed"
        found = [
            kept
            for kept in messages_of_box(tx, self._tenant, box.id)
            if kept.kind == MAIL and kept.header_message_id in named and kept.sender == one.decision.sender
        ]
        if not found:
            return "unknown"
        actor = Actor("user", one.decision.sender)
        gone = [recall_message(tx, self._tenant, box.id, kept.id, actor, why="recall") for kept in found]
        if not any(gone):
            return "gone"
        return "revoked_read" if any(kept.read_at is not None for kept in found) else "revoked"

    def _answer(self, tx: Tx, message: OpenMessage, one: DecidedCopy, word: str, outcome: str) -> None:
        own = message.organisation.domains.find(domain_of(one.decision.sender))
        language = (own.language if own else Language.ENGLISH).value
        values = {"recipient": one.copy.forward_path, "order": word, outcome: "yes"}
        names = ("no_mailbox", "unnamed", "unknown", "gone", "revoked", "revoked_read", "refused", "in_use", "asked")
        self._mailer.send(
            tx,
            self._mailer.make_notice(
                "portal-order",
                one.decision.sender,
                language,
                dict.fromkeys((*names, "waits"), "") | values,
                reference=message.parsed.message_id,
                cause=message.work.message.id,
            ),
        )
