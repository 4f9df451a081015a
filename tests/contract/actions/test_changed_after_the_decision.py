"""Row 22 at the worker: documents change between the decision and the protection. The stored decision counts alone."""

from __future__ import annotations

import pytest

from relay.actions.clear import PassAction
from relay.core.clock import MINUTE
from relay.core.errors import KeyStoreError
from relay.store.repositories.partners import find_partner
from relay.store.repositories.passwords import current_pair_password
from tests.contract.actions.stage import ANNA, BEN, JONAS, TENANT, Stage, text_of


def wait_decided(stage: Stage, message_id: str) -> None:
    """Walk a mail as far as the decision and let the next try be due."""
    stage.work()
    assert set(stage.states(message_id).values()) == {"decided"}
    stage.clock.advance(2 * MINUTE)


def test_the_password_is_told_to_whose_pair_it_is(stage: Stage) -> None:
    stage.keys.away = {"seal"}
    message_id = stage.send(subject="{pdf} Contract", sender=ANNA, Sender=BEN)
    wait_decided(stage, message_id)
    stage.keys.away = set()
    # By the documents of now the pair would be Ben's, and no word would be a keyword.
    stage.change(policy={"switches": {"pair_owner": "sender"}}, keywords={"keywords": {}})
    stage.work()
    assert stage.states(message_id) == {JONAS: "queued"}
    assert stage.left(message_id)["Subject"] == "Contract"
    (notice,) = stage.told(ANNA)
    assert JONAS in text_of(notice)
    assert not stage.told(BEN)
    with stage.db.reading() as tx:
        partner = find_partner(tx, TENANT, JONAS)
        assert partner is not None
        assert current_pair_password(tx, TENANT, ANNA, partner.id) is not None
        assert current_pair_password(tx, TENANT, BEN, partner.id) is None


def test_a_sender_who_is_none_of_ours_any_more_is_still_the_one(stage: Stage) -> None:
    stage.keys.away = {"seal"}
    message_id = stage.send()
    wait_decided(stage, message_id)
    stage.keys.away = set()
    stage.change(domains={"domains": [{"name": "other.example"}]})
    stage.work()
    assert stage.states(message_id) == {JONAS: "queued"}
    assert len(stage.told(ANNA)) == 1


def test_a_keyword_that_was_obeyed_leaves_in_no_clear_subject(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = {"senders": [ANNA]}
    stage.change(keywords={**stage.organisation.keywords.to_json(), "plain": plain})
    real = PassAction.run

    def fail(*_: object) -> None:
        raise KeyStoreError("away")

    monkeypatch.setattr(PassAction, "run", fail)
    message_id = stage.send(subject="{plain} Release")
    wait_decided(stage, message_id)
    monkeypatch.setattr(PassAction, "run", real)
    stage.change(keywords={"keywords": {}, "plain": plain})
    stage.work()
    assert stage.states(message_id) == {JONAS: "queued"}
    assert stage.left(message_id)["Subject"] == "Release"
