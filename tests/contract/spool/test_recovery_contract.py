"""Clean-up: finished mail is shredded, the trace stays; notices exist exactly if their step happened; epochs move."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay.core.clock import DAY, HOUR, SystemClock
from relay.core.decision import Method, Reason
from relay.core.errors import KeyDestroyedError, LeaseLostError
from relay.core.lifecycle import State
from relay.core.ports import Actor, Grant
from relay.keystore.software import SoftwareToken
from relay.spool.claims import claim_delivery, claim_work
from relay.spool.content import open_content
from relay.spool.epochs import count_keys, rewrap_waiting
from relay.spool.errors import ContentMissingError
from relay.spool.recovery import forget_finished, forget_seen, give_back_space, shred_finished, sweep_orphans
from relay.spool.settle import Settlement, settle_many
from relay.spool.system_mail import SystemMail, new_system_message
from relay.store.base import Database
from relay.store.errors import NotFoundError
from relay.store.repositories.decisions import decisions_of
from relay.store.repositories.events import events_of, verify
from relay.store.repositories.messages import get_key, get_message
from tests.contract.spool.spool import ACTOR, TENANT, Spool


def _deliver(spool: Spool, limit: int = 100, state: State = State.DELIVERED) -> int:
    count = 0
    for delivery in claim_delivery(spool.db, "d", limit):
        with spool.db.transaction() as tx:
            settle_many(tx, [Settlement(c.id, c.fence, state, status="2.0.0") for c in delivery.copies], ACTOR)
        count += len(delivery.copies)
    return count


def test_content_and_key_go_with_the_last_copy_and_the_trace_stays(spool: Spool) -> None:
    message_id = spool.put("a@partner.example", "b@partner.example", content=b"x" * 600_000)
    key = spool.key(message_id)
    spool.queue()
    assert _deliver(spool, 1) == 1
    assert shred_finished(spool.db) == 0
    assert spool.content(message_id)
    assert _deliver(spool) == 1
    assert shred_finished(spool.db) == 1
    assert shred_finished(spool.db) == 0
    assert (spool.count("chunk"), spool.count("mail_key"), spool.count("finished")) == (0, 0, 0)
    with pytest.raises(ContentMissingError):
        open_content(spool.db, message_id, 0, key)
    with spool.db.reading() as tx:
        assert get_message(tx, TENANT, message_id).shredded_at is not None
        kinds = [event.kind for event in events_of(tx, message_id)]
        with pytest.raises(NotFoundError):
            get_key(tx, message_id)
    assert kinds[-1] == "message.shredded"
    assert kinds.count("copy.delivered") == 2
    assert {copy.state for copy in spool.copies(message_id)} == {State.DELIVERED}


def test_held_and_shunted_mail_is_never_shredded(spool: Spool) -> None:
    message_id = spool.put("a@partner.example", "b@partner.example")
    (work,) = claim_work(spool.db, "w", 1)
    one, two = work.copies
    with spool.db.transaction() as tx:
        settle_many(tx, [Settlement(one.id, one.fence, State.FAILED), Settlement(two.id, two.fence, State.HELD)], ACTOR)
    assert shred_finished(spool.db) == 0
    assert spool.content(message_id)


def test_retention_takes_shredded_mail_only_and_keeps_events(spool: Spool) -> None:
    done, waiting = spool.put(), spool.put()
    spool.queue()
    _deliver(spool, 1)
    shred_finished(spool.db)
    spool.clock.advance(30 * DAY)
    later = spool.clock.now_ms() - DAY
    assert forget_finished(spool.db, "other", later) == 0
    assert forget_finished(spool.db, TENANT, later) == 1
    remaining = {m for m in (done, waiting) if spool.copies(m)}
    assert len(remaining) == 1
    with spool.db.reading() as tx:
        assert all(events_of(tx, message_id) for message_id in (done, waiting))
    assert verify(spool.db) == []


def test_retries_are_remembered_for_two_days(spool: Spool) -> None:
    spool.put()
    spool.clock.advance(47 * HOUR)
    assert forget_seen(spool.db) == 0
    spool.clock.advance(2 * HOUR)
    assert forget_seen(spool.db) == 1


@pytest.mark.parametrize("by", ["call", "sweep"])
def test_space_is_given_back(spool: Spool, monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    spool.put(content=bytes(3_000_000))
    spool.queue()
    _deliver(spool)
    shred_finished(spool.db)
    if by == "call":
        give_back_space(spool.db)
    else:
        sweep_orphans(spool.db)
        assert not spool.db.is_space_short()
        monkeypatch.setattr(Database, "is_space_short", lambda _self: True)
        sweep_orphans(spool.db)
    if spool.db.path is not None:
        with spool.db.reading() as tx:
            assert tx.fetch_one("PRAGMA freelist_count") == (0,)
        assert spool.db.path.stat().st_size < 1_000_000
        assert Path(f"{spool.db.path}-wal").stat().st_size == 0


# --- mail of our own --------------------------------------------------------------------------------------------------


def _notice(spool: Spool, **options: object) -> SystemMail:
    values: dict[str, object] = {
        "kind": "password-notice",
        "reverse_path": "",
        "recipients": ("anna@bank.example",),
        "content": b"Subject: notice\r\n\r\ntext\r\n",
        "hop": "inside",
    }
    return SystemMail(**{**values, **options})  # type: ignore[arg-type]


def test_a_notice_exists_exactly_if_its_step_happened(spool: Spool) -> None:
    message_id = spool.put()
    (work,) = claim_work(spool.db, "w", 1)
    copy = work.copies[0]

    def fail_with_notice(fence: int) -> str:
        with spool.db.transaction() as tx:
            made = new_system_message(tx, lambda: spool.public, TENANT, _notice(spool, cause=message_id), ACTOR)
            settle_many(tx, [Settlement(copy.id, fence, State.FAILED)], ACTOR)
            return made

    with pytest.raises(LeaseLostError):
        fail_with_notice(copy.fence + 1)
    assert spool.count("message") == 1
    notice_id = fail_with_notice(copy.fence)
    (delivery,) = claim_delivery(spool.db, "d", 9)
    assert delivery.message.id == notice_id
    assert (delivery.message.origin, delivery.message.cause, delivery.hop) == ("system", message_id, "inside")
    assert (delivery.variant.number, delivery.variant.reverse_path) == (0, "")
    assert delivery.copies[0].method is Method.PASS
    assert delivery.copies[0].notify == {"NEVER"}
    assert spool.content(notice_id) == b"Subject: notice\r\n\r\ntext\r\n"
    with spool.db.reading() as tx:
        (decision,) = decisions_of(tx, notice_id)
        assert decision.decision.reason is Reason.SYSTEM
        assert decision.id == delivery.copies[0].decision_id
        assert "notice.made" in [event.kind for event in events_of(tx, message_id)]


def test_a_large_report_and_one_for_the_worker(spool: Spool) -> None:
    content = b"Subject: dsn\r\n\r\n" + b"x" * 700_000
    with spool.db.transaction() as tx:
        mail = _notice(spool, content=content, state=State.RECEIVED, recipients=("eva@partner.example",))
        message_id = new_system_message(tx, lambda: spool.public, TENANT, mail, ACTOR)
    (work,) = claim_work(spool.db, "w", 1)
    assert work.message.id == message_id
    assert work.copies[0].decision_id is None
    assert spool.content(message_id) == content


@pytest.mark.parametrize("options", [{"state": State.DELIVERED}, {"recipients": ()}])
def test_nonsense_is_refused(spool: Spool, options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="begins as"), spool.db.transaction() as tx:
        new_system_message(tx, lambda: spool.public, TENANT, _notice(spool, **options), ACTOR)


# --- epochs -----------------------------------------------------------------------------------------------------------


def test_waiting_mail_moves_to_the_new_epoch_and_outlives_the_old_one(spool: Spool, tmp_path: Path) -> None:
    token = SoftwareToken.create(tmp_path / "token", b"pin-of-a-test", SystemClock())
    scheduler = Actor("process", "scheduler")
    spool.intake._spool_public = token.spool_public_key
    ids = spool.put_many(7)
    with spool.db.reading() as tx:
        before = {message_id: get_key(tx, message_id) for message_id in ids}
    old = token.spool_public_key().epoch
    with pytest.raises(ValueError, match="no newer epoch"):
        rewrap_waiting(spool.db, token, old, scheduler)
    token.begin_epoch(scheduler)
    assert count_keys(spool.db, old) == 7
    assert rewrap_waiting(spool.db, token, old, scheduler, batch=3) == 7
    assert count_keys(spool.db, old) == 0
    token.destroy_epoch(old, scheduler)
    for message_id in ids:
        with spool.db.reading() as tx:
            now = get_key(tx, message_id)
        grant = Grant("deliver", message_id, "test")
        assert len(token.open_mail_key(message_id, now, grant)) == 32
        # What a back-up of yesterday still holds opens no more.
        with pytest.raises(KeyDestroyedError):
            token.open_mail_key(message_id, before[message_id], grant)
    assert verify(spool.db) == []
    token.close()
