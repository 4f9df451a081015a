"""Any sequence of mails, rekeys, resets, expiries and cards (sealed-mailbox 19, property 7), through the real database.

All kept mail opens with the newest password; nothing of generation g opens what was sealed to g+1.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.core.clock import DAY, MINUTE
from relay.core.ports import Actor
from relay.core.wire.sealed import MailboxDataError
from relay.mailbox.renewals import RenewalRefusedError, queue_due_expiries, request_expiry, request_renewal
from relay.mailbox.states import BoxStateError
from relay.store.base import Database
from tests.contract.mailbox.browser import Browser
from tests.contract.mailbox.world import ANNA, MARIA, OTTO, TENANT, World, code_in, make_world, password_in
from tests.contract.store.databases import SteppedClock, new_sqlite_url

OPERATOR = Actor("operator", "eva")
STEPS = st.lists(
    st.sampled_from(["maria", "otto", "rekey", "reset", "resend", "expire", "card", "card", "day"]),
    min_size=1,
    max_size=10,
)


@dataclass
class Story:
    """What happened so far, and what the reader knows."""

    world: World
    secret: tuple[str, str] = ("", "")
    sent: list[str] = field(default_factory=list)
    older: list[Browser] = field(default_factory=list)
    spent: list[tuple[str, str]] = field(default_factory=list)
    count: int = 0

    def do(self, step: str) -> None:
        world = self.world
        self.count += 1
        if step in ("maria", "otto"):
            self.sent.append(f"message {self.count}")
            world.send(sender=MARIA if step == "maria" else OTTO, body=self.sent[-1] + "\n")
            world.work()
        elif step == "card":
            world.new_card()
        elif step == "day":
            world.clock.advance(DAY + MINUTE)
            queue_due_expiries(world.db, TENANT, OPERATOR)
        elif step == "rekey" and world.box().state != "expired":
            new = f"my own password number {self.count}"
            self._spend()
            world.choose_password(self.read(), new)
            self.secret = (new, "")
        elif step in ("reset", "resend", "expire"):
            self._ask(step)
        world.link()
        self._listen()

    def _ask(self, step: str) -> None:
        try:
            with self.world.db.transaction() as tx:
                if step == "expire":
                    request_expiry(tx, TENANT, self.world.box().id, OPERATOR, why="operator")
                else:
                    request_renewal(tx, TENANT, self.world.box().id, step, OPERATOR, told=MARIA)
        except (BoxStateError, RenewalRefusedError):
            return

    def _listen(self) -> None:
        """The sender passes on what he was told; the reader has his e-mail."""
        told = [mail for who in (MARIA, OTTO) for mail in self.world.mails(who) if "First password" in mail["Subject"]]
        notices = [mail for mail in self.world.mails(ANNA) if "new first password" in mail["Subject"]]
        assert len(told) <= 1
        if told:
            self._spend()
            has_code = bool(notices) and "Code for this mailbox" in notices[-1].as_string()
            self.secret = (password_in(told[0]), code_in(notices[-1]) if has_code else "")

    def _spend(self) -> None:
        if self.secret[0]:
            self.spent.append(self.secret)

    def read(self) -> Browser:
        return self.world.sign_in(*self.secret)

    def check(self) -> None:
        if self.world.box().state == "expired":
            return
        browser = self.read()
        listed = self.world.inbox(browser)
        mails = [read for read in map(browser.read, listed) if read.manifest.kind == "mail"]
        assert [mail.part("text").decode().strip() for mail in mails] == self.sent
        for old in self.older:
            for one in listed:
                if one.gen > old.opened.keys.gen:
                    with pytest.raises(MailboxDataError):
                        old.read(one)
        for secret in self.spent:
            if secret != self.secret:
                with pytest.raises(MailboxDataError):
                    self.world.sign_in(*secret)
        if not self.older or self.older[-1].opened.keys.gen < browser.opened.keys.gen:
            self.older.append(browser)


def play(steps: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        clock = SteppedClock()
        db = Database.open(new_sqlite_url(Path(name)), clock, "test/main")
        world = make_world(db, clock, Path(name))
        try:
            world.new_card()
            story = Story(world)
            for step in ("maria", *steps):
                story.do(step)
                story.check()
        finally:
            world.spool.intake.close()
            world.token.close()
            db.close()


@given(STEPS)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_all_kept_mail_opens_with_the_newest_password_alone(cheap_passwords: None, steps: list[str]) -> None:
    play(steps)


def test_a_long_story(cheap_passwords: None) -> None:
    play(
        ["rekey", "otto", "card", "rekey", "reset", "card", "maria", "day", "reset", "expire", "otto", "rekey", "maria"]
    )
