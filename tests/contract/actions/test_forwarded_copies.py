"""A copy that a rule forwards asks for the same reports as the one that came in: nothing acknowledged ends unheard."""

from __future__ import annotations

import json

import pytest

from relay.actions.base import DecidedCopy
from relay.actions.refuse import forward_recipients
from relay.core.decision import Decision, Method, Reason
from relay.core.envelope import Recipient, Side
from relay.core.errors import ConfigurationError
from relay.core.lifecycle import State
from relay.delivery.reports import DsnReports
from relay.store.repositories.copies import COPY_COLUMNS, StoredCopy
from relay.store.repositories.decisions import insert_decision
from tests.contract.actions.stage import ANNA, JONAS, Stage

MIA = "mia@partner.example"
FORWARD = {
    "rules": [
        {"id": "moved", "when": {"recipient": [JONAS]}, "then": [{"action": "forward", "to": [MIA]}]},
        {"id": "clear", "when": {"recipient": [MIA]}, "then": [{"action": "pass"}]},
    ]
}


def refuse(_: object, command: str) -> str | None:
    return "550 5.1.1 no such user" if command.startswith("RCPT") else None


def copy_that_asks(notify: frozenset[str] | None) -> StoredCopy:
    filled = dict.fromkeys(COPY_COLUMNS, "") | {"forward_path": JONAS, "notify": notify, "state": State.DECIDED}
    return StoredCopy(**filled)  # type: ignore[arg-type]


def walk(stage: Stage, to: Recipient, **more: object) -> list[str]:
    """Send to a forwarded recipient whose new hop refuses; return the commands that the hop saw for it."""
    stage.change(policy=FORWARD)
    message_id = stage.send(to, **more)  # type: ignore[arg-type]
    stage.work()
    stage.clock.advance(20)
    hop = stage.deliver(refuse)
    assert stage.states(message_id) == {JONAS: "discarded", MIA: "failed"}
    return [one for one in hop.commands if one.startswith("RCPT")]


def test_the_sender_hears_that_the_new_address_refused(stage: Stage) -> None:
    asked = Recipient(JONAS, frozenset({"FAILURE"}), "rfc822;jonas@partner.example")
    (rcpt,) = walk(stage, asked)
    assert "NOTIFY=FAILURE" in rcpt
    assert "ORCPT=rfc822;jonas@partner.example" in rcpt
    (report,) = stage.told(ANNA)
    status = report.as_string()
    assert "Original-Recipient: rfc822; jonas@partner.example" in status
    assert f"Final-Recipient: rfc822; {MIA}" in status
    assert not stage.alerts()


def test_without_notify_the_sender_hears_too(stage: Stage) -> None:
    (rcpt,) = walk(stage, Recipient(JONAS))
    assert "NOTIFY" not in rcpt
    assert len(stage.told(ANNA)) == 1


@pytest.mark.parametrize(
    ("notify", "more"),
    [
        (frozenset({"NEVER"}), {}),
        (None, {"sender": "anna@elsewhere.example", "reverse_path": "", "side": Side.INSIDE}),
    ],
)
def test_where_the_sender_may_not_be_told_an_operator_is(
    stage: Stage, notify: frozenset[str], more: dict[str, object]
) -> None:
    walk(stage, Recipient(JONAS, notify), **more)
    assert not stage.told(ANNA)
    (alert,) = stage.alerts()
    assert "forwarded" in json.loads(alert)["reason"]


def test_of_two_copies_that_meet_the_one_that_asks_for_more_counts() -> None:
    decision = Decision(Method.FORWARD, Reason.RULE, "", forward_to=(MIA,))

    def ask(*asked: set[str] | None) -> object:
        copies = [copy_that_asks(None if one is None else frozenset(one)) for one in asked]
        (found,) = forward_recipients([DecidedCopy(one, "d", decision, None) for one in copies])
        return None if found.notify is None else set(found.notify)

    assert ask({"NEVER"}, {"NEVER"}) == {"NEVER"}
    assert ask({"NEVER"}, None) is None
    assert ask({"NEVER"}, {"DELAY"}) == {"DELAY"}
    assert ask({"SUCCESS"}, None) == {"SUCCESS", "FAILURE", "DELAY"}
    assert ask({"SUCCESS"}, {"FAILURE"}) == {"SUCCESS", "FAILURE"}


def test_a_report_that_cannot_be_made_is_an_operator_s_affair(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ConfigurationError("brands", "broken", "Mend it")

    monkeypatch.setattr(DsnReports, "make", fail)
    walk(stage, Recipient(JONAS))
    assert not stage.told(ANNA)
    (alert,) = stage.alerts()
    assert "could not be made" in json.loads(alert)["reason"]


def test_an_automatic_answer_that_was_passed_on_and_refused_is_an_operator_s_affair(stage: Stage) -> None:
    stage.change(policy={"methods": ["pass"]})
    message_id = stage.send(Recipient(JONAS, frozenset({"NEVER"})))
    stage.work()
    with stage.db.transaction() as tx:
        came = Decision(Method.RETURN, Reason.SYSTEM, "An answer to a mail of ours.")
        insert_decision(tx, "default", message_id, stage.copies(message_id)[JONAS].id, came)
    stage.clock.advance(20)
    stage.deliver(refuse)
    (alert,) = stage.alerts()
    assert "automatic answer" in json.loads(alert)["reason"]
