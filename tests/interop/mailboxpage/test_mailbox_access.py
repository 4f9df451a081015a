"""T8: the mailbox by axe, at 320 px, at 200 %, in the dark, in both languages, and without a pointer."""

from __future__ import annotations

import os

import pytest

from tests.interop.mailboxpage.fake_portal import run_portal
from tests.interop.mailboxpage.samples import fill_box
from tests.interop.mailboxpage.sealed_box import SealedBox
from tests.interop.mailboxpage.walking import walk

PICTURES = os.environ.get("LETTERLOCK_PICTURES", "")
"""A folder to keep the pictures in, for people to look at."""


@pytest.mark.parametrize(("lang", "schemes"), [("en", ["light", "dark"]), ("de", ["light"])])
def test_every_view_is_accessible(lang: str, schemes: list[str]) -> None:
    """No finding of axe (WCAG 2.2 AA and best practice), nothing wider than the window, no target under 24 px."""
    box = SealedBox()
    samples, withdrawn = fill_box(box), box.add_withdrawn()
    with run_portal(box) as portal:
        portal.state.seen.add(samples.answer.id)
        portal.state.others.append(
            {
                "id": "there",
                "current": False,
                "browser": "Safari on iPhone",
                "since": "2026-11-18T08:00:00Z",
                "seen": "2026-11-19T08:00:00Z",
            }
        )
        faults = walk(
            portal,
            "looking",
            lang=lang,
            schemes=schemes,
            pictures=PICTURES,
            contract=samples.contract.id,
            answer=samples.answer.id,
            damaged=samples.damaged.id,
            withdrawn=withdrawn.id,
            **portal.open_session(),
        )
    assert faults == []


def test_mailbox_without_a_pointer() -> None:
    """Every step of reading and answering by keyboard alone, with the focus where the reader goes on."""
    box = SealedBox()
    fill_box(box)
    with run_portal(box) as portal:
        result = walk(portal, "keys", **portal.open_session())
        kinds = [one["kind"] for one in portal.state.items]

    assert result["first"] == "Skip to content"
    assert result["j"].startswith("Unread: Maria Keller")
    assert result["jj"].startswith("Unread: Support")
    assert (result["help"], result["off"], result["typed"]) == ("Keys", True, "text")
    assert result["order"][0] == "Add files"
    assert "reply" in kinds
    assert not portal.state.session
