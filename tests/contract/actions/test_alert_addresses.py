"""Each own domain's alert address hears of its own mail, the first one's of all that is nobody's."""

from __future__ import annotations

from relay.core.clock import SECOND
from relay.core.ports import Actor, Event
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
