"""The way of one message through the worker: open, parse, decide, act. The only file that knows this order.

Each stage is stored before the next begins; after a crash a stage is repeated, never guessed. Deciding is pure and its
result is stored before anything changes. An error with no opinion is temporary: the copy waits and is tried again, and
no error path leads to a state from which mail would leave unprotected.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from dataclasses import replace

from relay.actions.base import Action, DecidedCopy, Failure, OpenMessage, OverLimitError
from relay.core.clock import SECOND
from relay.core.decision import Decision, Method, Reason
from relay.core.documents.organisation import Organisation
from relay.core.errors import KeyStoreError, LeaseLostError, LetterlockError, MessageError, StorageError
from relay.core.lifecycle import State
from relay.core.ports import Actor, Event, Grant, KeyStore
from relay.log import Log
from relay.message.limits import ParseLimits
from relay.message.loops import check_loop
from relay.message.parse import parse_source
from relay.policy.decide import decide
from relay.policy.facts import Facts, PartnerFacts, RecipientFacts, gather_facts, gather_recipient
from relay.policy.finish import decide_overrun
from relay.policy.release import complete_release
from relay.policy.ruleset import Ruleset, compile_ruleset
from relay.spool.backoff import is_delay_notice_due, is_expired
from relay.spool.content import open_content
from relay.spool.settle import Settlement, postpone, settle, step
from relay.spool.values import Work
from relay.store.base import Database, EventDetail, Tx
from relay.store.errors import ConflictError
from relay.store.repositories.copies import StoredCopy, copies_of
from relay.store.repositories.decisions import StoredDecision, decisions_of, fetch_decisions, insert_decisions
from relay.store.repositories.logins import find_login
from relay.store.repositories.messages import SYSTEM, StoredMessage
from relay.store.repositories.partners import Partner, find_or_create

_log = Log("pipeline")
_CONFLICTS_AT_ONCE = 5
FAULT_PAUSE_MS = 5 * SECOND
_FAULTS_SOON = 12
"""Tries at this short pause; a fault that lasts longer falls back to the common back-off."""
_COMPLETED = "completed"
"""Marks a decision of a person that was completed from the facts."""


class Pipeline:
    """Walks claimed messages to the queue. One instance a worker child; not for threads."""

    def __init__(
        self,
        database: Database,
        keystore: KeyStore,
        organisation: Callable[[], Organisation],
        actions: dict[Method, Action],
        *,
        tenant: str,
        hostname: str,
        actor: Actor,
        possible: frozenset[Method],
    ) -> None:
        self._database = database
        self._keystore = keystore
        self._organisation = organisation
        self._actions = actions
        self._tenant = tenant
        self._hostname = hostname
        self._actor = actor
        self._possible = possible
        self._ruleset: Ruleset | None = None

    def handle(self, work: Work) -> None:
        """Bring every copy of the message one or more stages on. Raises nothing but StorageError.

        Copies for which something failed stay in their state, due again later; the others are not held up.
        """
        try:
            self._walk(work)
        except LeaseLostError:
            _log.warning("lease-lost", message=work.message.id)
        except MessageError as error:
            # Nobody could read it, so nobody can decide on it: a person has to look.
            self._shunt(work, error)
        except LetterlockError as error:
            self._postpone(work.message, work.copies, error)
        except OSError as error:
            self._postpone(work.message, work.copies, _fault_of_host(error))

    # --- stages ---------------------------------------------------------------------------------------------------

    def _walk(self, work: Work) -> None:
        message = self._open(work)
        decided = self._decide(message)
        while decided:
            # A second round is for what the first one made larger than its recipient takes.
            again: list[DecidedCopy] = []
            for method in Method:
                chosen = [one for one in decided if one.decision.method is method]
                if chosen:
                    again += self._act(message, method, chosen)
            decided = self._decide_overrun(message, again)

    def _open(self, work: Work) -> OpenMessage:
        stored = work.message
        grant = Grant("protect", stored.id, str(self._actor))
        key = self._keystore.open_mail_key(stored.id, work.key, grant)
        source = open_content(self._database, stored.id, 0, key)
        organisation = self._organisation()
        limits = organisation.limits
        parsed = parse_source(
            source,
            ParseLimits(depth=limits.mime_depth, parts=limits.mime_parts, header_octets=limits.header_octets),
        )
        ruleset = self._current_ruleset(organisation)
        found = ruleset.keyword_table.find(parsed.subject)
        loop = check_loop(parsed.fields, self._hostname, max_received=limits.received_fields)
        facts = gather_facts(
            parsed,
            reverse_path=stored.reverse_path,
            session=stored.session(),
            organisation=organisation,
            time_ms=stored.received_at,
            keywords=found.found,
            login_addresses=self._login_addresses(stored.login),
            received_count=loop.received,
            is_loop=loop.is_loop,
            is_system=stored.origin == SYSTEM,
        )
        return OpenMessage(work, key, source, parsed, facts, found.subject, organisation)

    def _decide(self, message: OpenMessage) -> list[DecidedCopy]:
        """Decide what is undecided, store it, and return all decided copies of this claim."""
        work = message.work
        decided: list[DecidedCopy] = []
        with self._database.transaction() as tx:
            stored = fetch_decisions(tx, [copy.decision_id for copy in work.copies if copy.decision_id])
            forwards = self._forwards(tx, work)
            chosen: list[tuple[StoredCopy, Decision, Partner | None]] = []
            for copy in work.copies:
                if copy.state is State.RECEIVED:
                    chosen.append((copy, *self._decide_one(tx, message, copy, forwards, None)))
                    continue
                decision = self._stored(stored, copy)
                if decision.reason is Reason.OPERATOR and _COMPLETED not in decision.options:
                    chosen.append((copy, *self._decide_one(tx, message, copy, forwards, decision)))
                else:
                    partner = self._partner(tx, copy, decision)
                    decided.append(DecidedCopy(copy, copy.decision_id or "", decision, partner))
            ids = insert_decisions(tx, self._tenant, work.message.id, [(copy.id, new) for copy, new, _ in chosen])
            settlements = []
            for (copy, decision, partner), decision_id in zip(chosen, ids, strict=True):
                settlements.append(
                    Settlement(copy.id, copy.fence, State.DECIDED, decision_id=decision_id, detail=_shown(decision))
                )
                moved = replace(copy, state=State.DECIDED, decision_id=decision_id, method=decision.method)
                decided.append(DecidedCopy(moved, decision_id, decision, partner))
            step(tx, settlements, self._actor)
        return decided

    def _decide_one(
        self,
        tx: Tx,
        message: OpenMessage,
        copy: StoredCopy,
        forwards: dict[str, tuple[str, ...]],
        released: Decision | None,
    ) -> tuple[Decision, Partner | None]:
        """Decide for one copy; `released` is a person's own choice that the facts have to complete."""
        recipient = self._recipient(message, copy, None)
        partner = None
        if not recipient.is_inside and not message.facts.is_system:
            partner = find_or_create(tx, self._tenant, recipient.address, self._actor)
        recipient = replace(
            recipient, partner=_partner_facts(partner), forwarded_from=forwards.get(recipient.address, ())
        )
        assert self._ruleset is not None
        if released is not None:
            completed = complete_release(message.facts, recipient, self._ruleset, released)
            return replace(completed, options={**completed.options, _COMPLETED: "yes"}), partner
        return self._decide_safely(message.facts, recipient, self._ruleset), partner

    def _recipient(self, message: OpenMessage, copy: StoredCopy, partner: Partner | None) -> RecipientFacts:
        return gather_recipient(
            copy.forward_path,
            organisation=message.organisation,
            partner=_partner_facts(partner),
            possible=self._possible,
        )

    @staticmethod
    def _decide_safely(facts: Facts, recipient: RecipientFacts, ruleset: Ruleset) -> Decision:
        try:
            return decide(facts, recipient, ruleset)
        except Exception:  # policy promises not to raise; if it does, the mail is held and nothing leaves
            _log.exception("decide-failed")
            return Decision(
                Method.HOLD,
                Reason.SYSTEM,
                "The policy could not be applied because of an internal fault; the mail is held.",
                policy_version=ruleset.version,
            )

    def _decide_overrun(self, message: OpenMessage, copies: Sequence[DecidedCopy]) -> list[DecidedCopy]:
        """Decide anew, and store it, where the finished mail is larger than the recipient takes: webmail, or hold."""
        if not copies:
            return []
        assert self._ruleset is not None
        ruleset = self._ruleset
        changed = []
        for one in copies:
            recipient = self._recipient(message, one.copy, one.partner)
            changed.append(replace(one, decision=decide_overrun(one.decision, recipient, ruleset)))
        with self._database.transaction() as tx:
            new = [(one.copy.id, one.decision) for one in changed]
            ids = insert_decisions(tx, self._tenant, message.work.message.id, new)
            stored = [
                replace(
                    one,
                    decision_id=decision_id,
                    copy=replace(one.copy, decision_id=decision_id, method=one.decision.method),
                )
                for one, decision_id in zip(changed, ids, strict=True)
            ]
            step(
                tx,
                [
                    Settlement(
                        one.copy.id,
                        one.copy.fence,
                        State.DECIDED,
                        decision_id=one.decision_id,
                        detail=_shown(one.decision),
                    )
                    for one in stored
                ],
                self._actor,
            )
        return stored

    def _act(self, message: OpenMessage, method: Method, copies: Sequence[DecidedCopy]) -> list[DecidedCopy]:
        """Act on the copies of one method; return those that turned out too large for their recipients."""
        action = self._actions.get(method) or self._actions[Method.HOLD]
        try:
            failures = action.run(message, copies)
        except LeaseLostError:
            _log.warning("lease-lost", message=message.work.message.id)
            return []
        except LetterlockError as fault:
            failures = [Failure(one, fault) for one in copies]
        except OSError as fault:
            failures = [Failure(one, _fault_of_host(fault)) for one in copies]
        too_large: list[DecidedCopy] = []
        for failure in failures:
            error = failure.error
            if isinstance(error, OverLimitError):
                too_large.append(failure.copy)
                continue
            _log.warning(
                "action-failed",
                message=message.work.message.id,
                method=method.value,
                error=type(error).__name__,
                temporary=error.temporary,
            )
            if error.temporary:
                self._postpone(message.work.message, [failure.copy.copy], error)
            else:
                self._shunt(message.work, error, [failure.copy.copy])
        return too_large

    # --- what is needed on the way --------------------------------------------------------------------------------

    def _current_ruleset(self, organisation: Organisation) -> Ruleset:
        if self._ruleset is None or self._ruleset.organisation is not organisation:
            self._ruleset = compile_ruleset(organisation)
        return self._ruleset

    def _login_addresses(self, login: str | None) -> tuple[str, ...]:
        if login is None:
            return ()
        with self._database.reading() as tx:
            found = find_login(tx, self._tenant, login)
        return found.addresses if found is not None and found.enabled else ()

    @staticmethod
    def _forwards(tx: Tx, work: Work) -> dict[str, tuple[str, ...]]:
        """Return, for each address that a rule forwarded to, the recipients it came through, first one first."""
        forwarding = [one for one in decisions_of(tx, work.message.id) if one.decision.method is Method.FORWARD]
        if not forwarding:
            return {}
        origins = {copy.id: copy.normal_address for copy in copies_of(tx, work.message.id)}
        came: dict[str, tuple[str, ...]] = {}
        for one in forwarding:
            origin = origins.get(one.copy_id, "")
            for address in one.decision.forward_to:
                came[address] = (*came.get(origin, ()), origin)
        return came

    def _partner(self, tx: Tx, copy: StoredCopy, decision: Decision) -> Partner | None:
        if decision.method in (Method.PDF, Method.WEBMAIL, Method.SMIME, Method.OPENPGP):
            return find_or_create(tx, self._tenant, copy.normal_address, self._actor)
        return None

    @staticmethod
    def _stored(stored: dict[str, StoredDecision], copy: StoredCopy) -> Decision:
        found = stored.get(copy.decision_id or "")
        if found is None:
            raise LetterlockError(f"copy {copy.id} stands as decided without a decision")
        return found.decision

    def _postpone(self, message: StoredMessage, copies: Sequence[StoredCopy], error: LetterlockError) -> None:
        _log.warning(
            "postponed", message=message.id, error=type(error).__name__, status=error.status, copies=len(copies)
        )
        for copy in copies:
            try:
                with self._database.transaction() as tx:
                    self._postpone_one(tx, message, copy, error)
            except LeaseLostError:
                continue

    def _postpone_one(self, tx: Tx, message: StoredMessage, copy: StoredCopy, error: LetterlockError) -> None:
        now, text = tx.now_ms(), type(error).__name__
        # What a person held, or what waited for its partner to register, begins anew with the decision that let it go.
        decided = fetch_decisions(tx, [copy.decision_id]) if copy.decision_id else {}
        since = max([message.received_at, *(one.created_at for one in decided.values())])
        if is_expired(since, now):
            # A fault of ours for days: no bounce, a person has to look.
            why = f"given up after days of {text}"
            settle(tx, copy.id, copy.fence, State.SHUNTED, actor=self._actor, status=error.status, text=why)
            return
        is_late = is_delay_notice_due(since, copy.delay_notified_at, now)
        retry_at = None
        if isinstance(error, ConflictError) and copy.attempts <= _CONFLICTS_AT_ONCE:
            # Another mail was faster with the same new row (a pair's first password): it is there now.
            retry_at = now
        elif isinstance(error, KeyStoreError | StorageError) and copy.attempts <= _FAULTS_SOON:
            # A process of this host is being started again: seconds, not the minute that suits a next hop.
            retry_at = now + FAULT_PAUSE_MS
        postpone(
            tx,
            [copy],
            actor=self._actor,
            status=error.status,
            text=text,
            retry_at=retry_at,
            delay_notified=is_late,
        )
        if is_late:
            detail: dict[str, EventDetail] = {"reason": f"waits for hours because of {text}", "status": error.status}
            tx.append_event(Event("alert.raised", self._actor, copy.tenant, copy.message_id, copy.id, detail))

    def _shunt(self, work: Work, error: LetterlockError, copies: Sequence[StoredCopy] | None = None) -> None:
        for copy in work.copies if copies is None else copies:
            try:
                with self._database.transaction() as tx:
                    settle(
                        tx,
                        copy.id,
                        copy.fence,
                        State.SHUNTED,
                        actor=self._actor,
                        status=error.status,
                        text=str(error) or type(error).__name__,
                    )
            except LeaseLostError:
                continue


def _fault_of_host(error: OSError) -> StorageError:
    """A file that cannot be read, a disk that is full: no fault of the mail, and it heals."""
    return StorageError(errno.errorcode.get(error.errno or 0, type(error).__name__))


def _partner_facts(partner: Partner | None) -> PartnerFacts:
    if partner is None:
        return PartnerFacts()
    return PartnerFacts(
        cipher=partner.pdf_cipher or None, size_limit=partner.size_limit, language=partner.language or None
    )


def _shown(decision: Decision) -> dict[str, str | int | bool | list[str] | None]:
    """Return what the event says of a decision, so that the trace explains it without another look-up."""
    return {
        "method": decision.method.value,
        "reason": decision.reason.value,
        "rules": list(decision.rules),
        "policy": decision.policy_version,
        "confidential": decision.confidential,
        "warnings": list(decision.warnings),
    }
