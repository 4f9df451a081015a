"""A random walk over both sides (sealed-mailbox 19, property 6): sends, answers, passwords, broken calls, restores.

Each answer comes into the spool exactly once, or its reader is told that it was refused; nothing is forged, nobody is
locked out, every mail opens with the newest password.
"""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from portal.store.boxes import load_box, open_capsule_row
from relay.core.clock import HOUR
from relay.core.lifecycle import State
from relay.core.wire.sealed import MailboxDataError
from relay.mailbox.renewals import RenewalRefusedError, request_renewal
from relay.mailbox.states import BoxStateError
from relay.store.base import Database
from tests.contract.link.world import ACTOR, ANNA, MARIA, PORTAL, TENANT, Linked, Reader, make_linked, password_in
from tests.contract.mailbox.browser import Browser
from tests.contract.mailbox.world import code_in
from tests.contract.store.databases import SteppedClock, new_sqlite_url

FAULTS = st.none() | st.tuples(st.integers(1, 9), st.sampled_from(["before", "after"]))


class LinkMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        folder = Path(self.directory.name)
        self.clock = SteppedClock()
        self.db = Database.open(new_sqlite_url(folder), self.clock, "test/main")  # type: ignore[arg-type]
        self.linked: Linked = make_linked(self.db, self.clock, folder)
        self.passwords: list[str] = []
        self.codes: list[str] = []
        """Those that the reader got by e-mail."""
        """Everything that opened the mailbox once, the newest last."""
        self.answers: dict[str, str] = {}
        """Text by item id, of what the portal took."""
        self.may_be_lost: set[str] = set()
        """Taken by a portal that was restored to before."""
        self.mails: list[str] = []
        self.copies: list[tuple[dict[Path, bytes], frozenset[str]]] = []
        self.shown_state = ""

    @initialize()
    def begin(self) -> None:
        self.linked.keeper.run_once()
        self.send()
        self.linked.push()

    def teardown(self) -> None:
        try:
            self._come_to_rest()
            self._check_all()
        finally:
            self.linked.inside.spool.intake.close()
            self.linked.inside.token.close()
            for node in self.linked.site.nodes:
                node.close()
            self.db.close()
            self.directory.cleanup()

    # --- what happens -------------------------------------------------------------------------------------------------

    @rule()
    def send(self) -> None:
        self.mails.append(self.linked.inside.send(subject=f"mail {len(self.mails)}"))
        self.linked.inside.work()

    @rule(fault=FAULTS)
    def push(self, fault: tuple[int, str] | None) -> None:
        self._with(fault, self.linked.push)

    @rule(fault=FAULTS)
    def pull(self, fault: tuple[int, str] | None) -> None:
        self._with(fault, self.linked.pull)

    @rule(fault=FAULTS)
    def minute(self, fault: tuple[int, str] | None) -> None:
        self.clock.advance(61_000)
        self._with(fault, self.linked.keeper.run_once)

    @rule(hours=st.sampled_from([1, 5]))
    def wait(self, hours: int) -> None:
        self.clock.advance(hours * HOUR)

    @rule()
    def crash(self) -> None:
        self.linked.start()

    @rule()
    def answer(self) -> None:
        reader = self._sign_in()
        if reader is None or self.shown_state == "first":
            return
        mails = reader.read_all()
        if not mails:
            return
        text = f"answer {len(self.answers)}\n"
        item, chunks = reader.make_reply(mails[-1].manifest.id, text)
        sent = reader.send(item, chunks)
        if sent.status_code == 201:
            self.answers[item.id] = text

    @rule()
    def choose_password(self) -> None:
        reader = self._sign_in()
        if reader is None or self._is_frozen():
            return
        password = f"einlangeswort{len(self.passwords)}"
        self.passwords.append(password)
        reader.choose_password(password)

    @rule()
    def reset(self) -> None:
        try:
            with self.db.transaction() as tx:
                request_renewal(tx, TENANT, self.linked.inside.box().id, "reset", ACTOR, told=MARIA)
        except (RenewalRefusedError, BoxStateError):
            return

    @rule()
    def back_up_portal(self) -> None:
        self.copies.append((self.linked.back_up(), frozenset(self.answers)))

    @precondition(lambda self: self.copies)
    @rule(data=st.data())
    def restore_portal(self, data: st.DataObject) -> None:
        copy, known = data.draw(st.sampled_from(self.copies))
        self.may_be_lost |= set(self.answers) - known
        self.clock.advance(HOUR)
        self.linked.restore(copy)

    # --- what holds ---------------------------------------------------------------------------------------------------

    @invariant()
    def nothing_comes_twice_and_nothing_is_forged(self) -> None:
        texts = [mail.get_content().strip() for mail in self.linked.arrived()]
        assert len(texts) == len(set(texts))
        assert set(texts) <= {text.strip() for text in self.answers.values()}

    # --- helpers ------------------------------------------------------------------------------------------------------

    def _with(self, fault: tuple[int, str] | None, act: object) -> None:
        if fault is not None:
            self.linked.break_call(*fault)
        act()  # type: ignore[operator]
        self.linked.mend()

    def _is_frozen(self) -> bool:
        node = self.linked.site.first
        with node.portal.store.main.read() as connection:
            row = load_box(connection, self.linked.inside.box().id)
        return row is not None and row.is_frozen

    def _sign_in(self) -> Reader | None:
        """Sign in with whatever opens the mailbox now; a person knows which."""
        for mail in self.linked.inside.mails(MARIA):
            try:
                self.passwords.append(password_in(mail))
            except StopIteration:
                continue
        for mail in self.linked.inside.mails(ANNA):
            with contextlib.suppress(StopIteration):
                self.codes.append(code_in(mail))
        if self.linked.site.first.link("GET", "mark").get_json()["waiting"]:
            return None
        box = self.linked.inside.box()
        node = self.linked.site.first
        with node.portal.store.main.read() as connection:
            row = load_box(connection, box.id)
        capsule = None if row is None or row.capsule is None else open_capsule_row(node.portal.store, row)
        if capsule is None or row is None or row.state not in ("first", "active"):
            return None
        self.shown_state = row.state
        for password, code in itertools.product(reversed(self.passwords), ("", *reversed(self.codes))):
            try:
                Browser.sign_in(PORTAL, box.login_name or "", capsule, self.linked.inside.cards, password, code)
            except MailboxDataError:
                continue
            return self.linked.sign_in(password, code)
        # The portal has it, its answer was lost: the sender is told when it is asked again.
        assert self.linked.waiting(), "nobody knows a password for this mailbox"
        return None

    def _come_to_rest(self) -> None:
        self.linked.mend()
        for _ in range(6):
            self.clock.advance(16 * 60_000)
            self.linked.keeper.run_once()
            self.linked.go()

    def _check_all(self) -> None:
        if not self.mails:
            return
        self.nothing_comes_twice_and_nothing_is_forged()
        assert all(self.linked.state(one) in (State.DELIVERED, State.FAILED) for one in self.mails)
        reader = self._sign_in()
        assert reader is not None, "locked out"
        if self.shown_state == "first":
            self.passwords.append("einletzteswort99")
            reader.choose_password("einletzteswort99")
            self._come_to_rest()
            reader = self._sign_in()
            assert reader is not None
        shown = {one.manifest.mail.subject for one in reader.read_all() if one.manifest.mail}
        delivered = [n for n, one in enumerate(self.mails) if self.linked.state(one) is State.DELIVERED]
        assert shown == {f"mail {n}" for n in delivered}
        arrived = {mail.get_content().strip() for mail in self.linked.arrived()}
        states = reader.sent_states()
        for item_id, text in self.answers.items():
            if text.strip() in arrived or item_id in self.may_be_lost:
                continue
            # Refused, and the reader is told.
            assert states[item_id] == "refused", text
            assert self.linked.quarantined()


def walk(examples: int, steps: int) -> None:
    # Without shrinking: a history takes seconds, and the steps of the failing one are printed anyway.
    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.reuse, Phase.generate],
        report_multiple_bugs=False,
    )
    run_state_machine_as_test(LinkMachine, settings=chosen)


def test_any_history_of_both_sides(cheap_passwords: None) -> None:
    walk(8, 25)


@pytest.mark.long
@pytest.mark.timeout(3000)
def test_many_histories_of_both_sides(cheap_passwords: None) -> None:
    walk(300, 60)
