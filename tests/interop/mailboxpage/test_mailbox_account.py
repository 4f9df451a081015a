"""What happens to an account, seen from its own page: confirmation, sessions, a new password, idle time."""

from __future__ import annotations

import json

from flask import Flask, Response

from relay.core.wire.sealed import DRAFT, open_capsule, open_self, read_b64, read_capsule, read_secret, stretch
from tests.interop.mailboxpage.fake_portal import FakePortal, run_portal
from tests.interop.mailboxpage.sealed_box import LOGIN_NAME, PASSWORD, SealedBox, text_part
from tests.interop.mailboxpage.walking import walk

NEXT = "seven pear trees stand beside them"


def _add_question(box: SealedBox) -> None:
    box.add_mail([text_part("Which papers do you have?")], subject="Questions", snippet="Which papers do you have?")


def _add_test_calls(portal: FakePortal, app: Flask) -> None:
    @app.post("/test/confirm")
    def confirm() -> Response:
        portal.box.add_account()
        _add_question(portal.box)
        return Response(status=204)


def test_account_from_sign_in_to_new_password() -> None:
    """Sign-in, "not yet confirmed", sessions, five refused passwords and a good one, sign-out in another tab."""
    box = SealedBox()
    with run_portal(box, more=_add_test_calls) as portal:
        times = {"current": False, "since": "2026-11-18T08:00:00Z", "seen": "2026-11-19T08:00:00Z"}
        portal.state.others += [
            {"id": "phone", "browser": "Safari on iPhone", **times},
            {"id": "work", "browser": "", **times},
        ]
        result = walk(portal, "states", password=PASSWORD, next=NEXT)
        state = portal.state
        fresh = read_capsule(portal.capsule)

    assert "Example Bank has not confirmed your new password yet." in result["notYet"]
    assert result["axe"] == []
    assert "This browser" in result["sessions"][0]
    assert "Unknown browser" in result["sessions"][2]
    assert result["short"] == "Too short: one character to go."
    assert result["differ"] == "The two passwords are not the same."
    assert "e-mail address" in result["name"]
    assert "Add one more character" in result["first"]
    assert result["wrong"] == "The password you have now is not right."
    assert result["changed"].startswith("Your password was changed.")
    assert result["values"] == ["", "", ""]
    assert "has not confirmed" in result["pending"]
    assert result["why"].startswith("You are signed out. Please sign in again.")
    assert result["back"]
    assert result["errors"] == []
    assert not state.session

    stretched = stretch(box.portal, LOGIN_NAME, 1, read_secret("own", NEXT))
    opened = open_capsule(fresh, stretched.kek, portal=box.portal)
    assert (opened.capsule.gen, opened.body.name) == (box.gen + 1, LOGIN_NAME)
    assert [older.gen for older in opened.body.older] == [box.gen]
    assert fresh.escrow is not None


def test_idle_reader_is_warned_then_signed_out() -> None:
    """The warning can be answered by keyboard or pointer; without an answer the mailbox closes."""
    box = SealedBox()
    box.add_account()
    _add_question(box)
    with run_portal(box) as portal:
        result = walk(portal, "idle", message=box.messages[-1].id, **portal.open_session())
        drafts = [open_self(box.keys, DRAFT, id_, read_b64(one["sealed"])) for id_, one in portal.state.drafts.items()]
        requests = [path for _, path in portal.state.requests]

    assert result["warning"].startswith("Are you still there?")
    assert "second" in result["warning"]
    assert result["axe"] == []
    assert result["stayed"]
    assert requests.count("/api/logout") == 1
    assert [json.loads(draft)["text"] for draft in drafts] == ["not lost"]


def test_nothing_is_shown_when_somebody_else_may_hold_the_account() -> None:
    """Another key under this generation: a warning with a phone number, and no mail."""
    box = SealedBox()
    _add_question(box)
    box.add_account(enc=bytes(32))
    with run_portal(box) as portal:
        result = walk(portal, "idle", somebodyElse=True, **portal.open_session())

    assert "Somebody else may have set a password" in result["note"]
    assert "+49 241 123456" in result["note"]
    assert result["rows"] == 0
