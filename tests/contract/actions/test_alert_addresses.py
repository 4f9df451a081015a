"""Each own domain's alert address hears of its own mail, the first one's of all that is nobody's."""

from __future__ import annotations

import pytest

from relay.core.clock import MINUTE, SECOND
from relay.core.ports import Actor, Event
from relay.scheduler import alerts
from relay.scheduler.alerts import AlertJob
from tests.contract.actions.stage import Stage, text_of

HOLD = {"rules": [{"id": "all", "then": [{"action": "hold"}]}]}
DOMAINS = {
    "domains": [
        {"name": "bank.example", "alert": "ops@bank.example"},
        {"name": "trust.example", "alert": "ops@trust.example", "language": "de"},
        {"name": "fund.example", "alert": "ops@bank.example"},
    ]
}


def test_what_is_held_is_told_to_the_address_of_its_domain(stage: Stage) -> None:
    stage.change(policy=HOLD, domains=DOMAINS)
    ours = stage.send(sender="anna@bank.example")
    theirs = stage.send(sender="eva@trust.example")
    shared = stage.send(sender="kim@fund.example")
    inbound = stage.send("eva@trust.example", sender="x@elsewhere.example")
    stage.work()
    job = Actor("process", "test/scheduler")
    with stage.db.transaction() as tx:
        tx.append_event(Event("alert.raised", job, "default", detail={"reason": "hop 192.0.2.1 stays dead"}))
    stage.clock.advance(10 * SECOND)
    assert AlertJob(stage.db, lambda: stage.organisation, stage.mailer(job)).run() == "told 5"
    (bank,), (trust,) = stage.told("ops@bank.example"), stage.told("ops@trust.example")
    named = {one for one in (ours, theirs, shared, inbound) if one in text_of(bank)}
    assert named == {ours, shared}
    assert "stays dead" in text_of(bank)
    assert {one for one in (ours, theirs, shared, inbound) if one in text_of(trust)} == {theirs, inbound}
    assert "Meldungen" in str(trust["Subject"])


def test_the_flood_of_one_domain_takes_no_report_from_another(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.change(policy=HOLD, domains=DOMAINS)
    early = stage.send(sender="eva@trust.example")
    stage.work()
    stage.clock.advance(10)
    flood = []
    for _ in range(5):
        flood.append(stage.send(sender="anna@bank.example"))
        stage.work()
        stage.clock.advance(10)
    late = stage.send(sender="eva@trust.example")
    stage.work()
    stage.clock.advance(10 * SECOND)
    monkeypatch.setattr(alerts, "_READ", 4)
    job = AlertJob(stage.db, lambda: stage.organisation, stage.mailer(Actor("process", "test/scheduler")))
    told: dict[str, list[str]] = {"ops@trust.example": [], "ops@bank.example": []}
    for _ in range(3):
        job.run()
        for address, texts in told.items():
            texts += [text_of(mail) for mail in stage.told(address)]
        stage.clock.advance(6 * MINUTE)
    # Each once, in the order in which it happened, and to the address that it concerns.
    assert [[one for one in (early, late) if one in text] for text in told["ops@trust.example"]] == [[early], [late]]
    bank = "".join(told["ops@bank.example"])
    assert [bank.count(one) for one in flood] == [1] * 5
    assert sorted(flood, key=bank.index) == flood
    assert job.run() == "waiting 0"
