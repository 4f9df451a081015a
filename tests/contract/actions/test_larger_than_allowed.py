"""The least of what policy, partner and route take counts, for the mail as it came and for the finished one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from relay.core.documents.routes import RoutesDocument
from relay.store.repositories.partners import change_partner, find_or_create
from tests.contract.actions.stage import ANNA, JONAS, TENANT, WORKER, Stage, text_of

LIMIT = 65_536


def limit_by(stage: Stage, who: str) -> None:
    """Let the policy, the partner or the route take less than a small PDF mail."""
    organisation = stage.organisation
    if who == "policy":
        limits = replace(organisation.limits, outside_message_octets=LIMIT)
        stage.organisation = replace(organisation, limits=limits)
    elif who == "route":
        route = {"pattern": "partner.example", "hop": "outside", "host": "127.0.0.1", "size_limit": LIMIT}
        stage.organisation = replace(organisation, routes=RoutesDocument.from_json({"routes": [route]}))
    else:
        with stage.db.transaction() as tx:
            partner = find_or_create(tx, TENANT, JONAS, WORKER)
            change_partner(tx, TENANT, partner.id, WORKER, size_limit=LIMIT)


@pytest.mark.parametrize("who", ["policy", "partner", "route"])
def test_a_finished_mail_over_the_limit_is_held_by_a_decision_of_its_own(stage: Stage, who: str) -> None:
    limit_by(stage, who)
    message_id = stage.send()
    stage.work()
    assert stage.states(message_id) == {JONAS: "held"}
    before, after = (one.decision for one in stage.decisions(message_id))
    assert (before.method, after.method, after.reason) == ("pdf", "hold", "too-large")
    (told,) = stage.told(ANNA)
    assert str(LIMIT) in text_of(told)
