"""What the link keeps in order over months: confirmations, locks, hints of the past, what was seen, restores."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest

from relay.core.clock import DAY, HOUR
from relay.core.errors import KeyStoreError
from relay.core.ids import new_id
from relay.core.wire.sealed import stretch
from relay.link import keeper, reconcile
from relay.link.wire import HeldBox, InventoryPage, Report
from relay.mailbox.boxes import recall_message
from relay.mailbox.incoming_desk import RECEIPT_MS
from relay.mailbox.incoming_sweep import KEEP_MS, sweep_entries
from relay.store.repositories.mailbox_entries import (
    find_seen,
    list_quarantine,
    note_entry,
    quarantine_entry,
)
from relay.store.repositories.mailbox_messages import account_words, messages_of_box
from tests.contract.link.world import ACTOR, MARIA, PORTAL, TENANT, Linked, Wire
from tests.contract.mailbox.test_reply_boxes_contract import pdf_password, reply_box, send_pdf, token_of


def words(linked: Linked) -> list[int]:
    """Return the generations that the inside has a word on."""
    with linked.inside.db.reading() as tx:
        return [one.gen for one in account_words(tx, TENANT, linked.inside.box().id)]


def test_a_confirmed_mailbox_stays_confirmed(linked: Linked) -> None:
    reader = linked.open_mailbox()
    linked.clock.advance(200 * DAY)
    assert linked.keeper.run_once() == "ok"
    linked.go()
    assert words(linked) == [2]
    # A restore, or a portal of before: the word is gone, and comes again.
    with linked.inside.db.transaction() as tx:
        (word,) = account_words(tx, TENANT, linked.inside.box().id)
        recall_message(tx, TENANT, word.box, word.id, ACTOR, why="expiry")
    linked.go()
    linked.clock.advance(HOUR)
    linked.keeper.run_once()
    linked.go()
    (again,) = reader.read_all("account")
    assert again.manifest.of is not None
    assert (again.manifest.of.gen, again.manifest.of.enc) == (2, reader.keys.enc)
    # Nothing more to do, and the next password takes the word on the one before away.
    linked.clock.advance(HOUR)
    linked.keeper.run_once()
    assert linked.waiting() == []
    reader = linked.sign_in(reader.browser.password)
    reader.choose_password("winterregen73")
    linked.go()
    assert words(linked) == [3]
    assert [one.manifest.of.gen for one in reader.read_all("account") if one.manifest.of] == [3]


def test_a_receipt_outlives_what_the_reader_sees_as_sent(linked: Linked) -> None:
    reader = linked.open_mailbox()
    (mail,) = reader.read_all()
    days = linked.site.settings.limits.sent_days

    def kept_for() -> int:
        with linked.inside.db.reading() as tx:
            found = [one for one in messages_of_box(tx, TENANT, reader.box) if one.kind == "receipt"]
        return found[-1].expires_at - found[-1].created_at

    # Before the portal has said how long, and with one that never says it.
    linked.reconciler.marks.sent_days = None
    reader.reply(mail.manifest.id)
    linked.go()
    assert kept_for() == RECEIPT_MS
    linked.keeper.run_once()
    reader.reply(mail.manifest.id)
    linked.go()
    assert days * DAY < kept_for() < (days + 60) * DAY


def test_a_locked_reply_page_opens_again_after_a_day(linked: Linked) -> None:
    first = send_pdf(linked.inside)
    linked.go()
    password = pdf_password(linked.inside.mails(MARIA)[0])
    box, token = reply_box(linked.inside), token_of(linked.inside, first)
    right = stretch(PORTAL, box.id, 2, password.replace("-", "").encode()).auth
    client = linked.site.first.browser()
    for number in range(11):
        linked.clock.advance(HOUR)
        answer = client.login_token(token, bytes([number]) * 32)
    assert answer.status_code == 423
    linked.keeper.run_once()
    assert client.login_token(token, right).status_code == 423
    told = [mail["Subject"] for mail in linked.inside.mails(MARIA)]
    assert sum("Too many wrong passwords" in str(subject) for subject in told) == 1
    linked.clock.advance(DAY + HOUR)
    linked.keeper.run_once()
    linked.go()
    assert client.login_token(token, right).status_code == 200


def test_a_hint_about_an_earlier_password_ends_no_later_one(linked: Linked) -> None:
    linked.send()
    linked.go()
    box = linked.inside.box()
    late = Report(1, "locked", box.id, 10, gen=box.gen + 1)
    linked.keeper._apply(late)
    assert linked.waiting() == []
    linked.keeper._apply(dataclasses.replace(late, gen=None))
    assert [kind for kind, _ in linked.waiting()] == ["renew"]


class _Endless(Wire):
    """Names mailboxes that nobody knows, and always more."""

    asked = 0

    def get_inventory(self, after: str, limit: int = 100) -> InventoryPage:
        self.asked += 1
        return InventoryPage(tuple(_strangers(20)), frozenset(), frozenset(), has_more=True)


def _strangers(count: int) -> Sequence[HeldBox]:
    return [HeldBox(new_id(), 1, None, "active", frozenset()) for _ in range(count)]


def test_an_inventory_without_an_end_ends(linked: Linked, monkeypatch: pytest.MonkeyPatch) -> None:
    linked.open_mailbox()
    monkeypatch.setattr(reconcile, "_MOST_ODD", 100)
    monkeypatch.setattr(reconcile, "_PAGES_A_TURN", 3)
    wire = _Endless(linked)
    linked.reconciler.marks.note_reconciled()
    linked.reconciler.marks._has_failed = True
    linked.reconciler.compare(wire)
    assert (wire.asked, linked.reconciler.is_due) == (3, True)
    linked.reconciler.compare(wire)
    assert wire.asked == 6
    # What it did not name is given again; then it is over.
    linked.go()
    linked.reconciler.compare(wire)
    assert wire.asked == 6
    assert any("had no end" in alert for alert in linked.alerts())


def test_one_of_the_hours_jobs_that_fails_keeps_no_other_from_its_turn(
    linked: Linked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key daemon is away: what a hostile portal left here is swept all the same, and the rest is tried again."""
    failing: list[str] = []

    def renew() -> int:
        failing.append("once")
        raise KeyStoreError("away")

    with linked.inside.db.transaction() as tx:
        quarantine_entry(tx, TENANT, new_id(), new_id(), kind="item", code="size", data=b"...")
    linked.clock.advance(KEEP_MS + HOUR)
    monkeypatch.setattr(linked.keeper, "_renew_words", renew)
    monkeypatch.setattr(keeper, "reopen_locked", lambda *_: 1 // 0)
    assert linked.keeper.run_once() == "failed: hourly"
    with linked.inside.db.reading() as tx:
        assert list_quarantine(tx, TENANT) == []
    assert linked.keeper.run_once() == "failed: hourly"
    assert failing == ["once", "once"]


def test_what_was_seen_and_refused_has_an_age_and_answers_are_never_taken_twice(linked: Linked) -> None:
    reader = linked.open_mailbox()
    (mail,) = reader.read_all()
    item = reader.reply(mail.manifest.id)
    linked.go()
    with linked.inside.db.transaction() as tx:
        note_entry(tx, TENANT, reader.box, "forgot/2027-01-04", kind="report", result="taken")
        quarantine_entry(tx, TENANT, reader.box, new_id(), kind="item", code="size", data=b"...")
    linked.clock.advance(KEEP_MS + HOUR)
    assert sweep_entries(linked.inside.db, TENANT) >= 2
    with linked.inside.db.reading() as tx:
        assert find_seen(tx, TENANT, reader.box, "forgot/2027-01-04") is None
        assert list_quarantine(tx, TENANT) == []
        # Under the same generation it could be handed over once more.
        assert find_seen(tx, TENANT, reader.box, item.id) == "taken"
    linked.sign_in(reader.browser.password).choose_password("winterregen73")
    linked.go()
    linked.clock.advance(KEEP_MS + HOUR)
    sweep_entries(linked.inside.db, TENANT)
    with linked.inside.db.reading() as tx:
        assert find_seen(tx, TENANT, reader.box, item.id) is None
