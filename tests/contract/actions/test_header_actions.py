"""What rules add to a header and remove from it, on a copy in the clear and on the carrier of a PDF."""

from __future__ import annotations

import pytest

from tests.contract.actions.stage import JONAS, Stage

CHANGES = [
    {"action": "add_header", "name": "X-Class", "value": "bänk"},
    {"action": "add_header", "name": "Importance", "value": "low"},
    {"action": "remove_header", "name": "Reply-To"},
]


@pytest.mark.parametrize("way", ["pass", "pdf"])
def test_header_actions_count_in_the_clear_and_on_a_carrier(stage: Stage, way: str) -> None:
    rules = [{"id": "mark", "then": CHANGES}, {"id": "way", "when": {"recipient": [JONAS]}, "then": [{"action": way}]}]
    stage.change(policy={"rules": rules})
    message_id = stage.send(Reply_To="team@bank.example", In_Reply_To="<zero@partner.example>")
    stage.work()
    assert stage.states(message_id) == {JONAS: "queued"}
    left = stage.left(message_id)
    assert left["X-Class"] == "bänk"
    assert left.get_all("Importance") == ["low"]
    assert left["Reply-To"] is None
    assert left["In-Reply-To"] == "<zero@partner.example>"
    assert (left.get_content_type() == "multipart/mixed") is (way == "pdf")
