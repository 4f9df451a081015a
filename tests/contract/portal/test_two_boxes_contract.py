"""Two boxes in one browser: its one session is of the box that was opened last, and the other page's calls say so."""

from __future__ import annotations

import os

import pytest
from sqlalchemy import func, select

from portal.store.models import chunk, draft, outbox, session
from relay.core.clock import MINUTE
from relay.core.ids import new_id
from relay.core.wire.pae import encode_b64
from tests.contract.portal.site import Box, Browser, Site, hash_of, item

HEADER = "X-Letterlock-Box"
ID = "ENJHhdjed6rBfPOxg9HE-w"
SEALED = encode_b64(bytes(90))


@pytest.fixture
def opened(small_site: Site) -> tuple[Browser, Box, Box]:
    """A browser that opened one box and then, in another tab, a second; both are of the same generation."""
    first, second = small_site.make_box(), small_site.make_box()
    browser = small_site.signed_in(first)
    assert browser.login(second).status_code == 200
    return browser, first, second


def count_rows(site: Site) -> int:
    with site.first.portal.store.main.read() as connection:
        tables = (chunk, draft, outbox)
        return sum(connection.execute(select(func.count()).select_from(table)).scalar_one() for table in tables)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/session", None),
        ("GET", "/api/sessions", None),
        ("GET", "/api/messages", None),
        ("GET", "/api/sent", None),
        ("GET", "/api/drafts", None),
        ("GET", f"/api/drafts/{ID}", None),
        ("GET", f"/api/blobs/{ID}/0/0", None),
        ("PUT", f"/api/drafts/{ID}", {"rev": 0, "sealed": SEALED}),
        ("PUT", f"/api/drafts/{ID}/0/0", b"sealed"),
        ("DELETE", f"/api/drafts/{ID}", None),
        ("POST", "/api/sessions/end", {"all": True}),
    ],
)
def test_a_call_for_the_box_opened_before_is_signed_out(
    small_site: Site, opened: tuple[Browser, Box, Box], method: str, path: str, body: object
) -> None:
    browser, first, second = opened
    assert browser.call("PUT", f"/api/drafts/{ID}", {"rev": 0, "sealed": SEALED}).status_code == 200
    before = count_rows(small_site)
    answer = browser.call(method, path, body, **{HEADER: first.id})
    assert (answer.status_code, answer.get_json()["error"]) == (401, "signed-out")
    assert count_rows(small_site) == before
    # The page of the box that is open goes on.
    assert browser.call("GET", "/api/session", None, **{HEADER: second.id}).get_json()["box"] == second.id


def test_an_answer_never_lands_in_another_box(small_site: Site, opened: tuple[Browser, Box, Box]) -> None:
    browser, first, second = opened
    written = item(first)
    refused = browser.call("POST", "/api/send", written, **{HEADER: first.id})
    assert (refused.status_code, refused.get_json()["error"]) == (401, "signed-out")
    assert small_site.pull() == []
    # With the password again it leaves as it was.
    assert browser.login(first).status_code == 200
    assert browser.call("POST", "/api/send", written, **{HEADER: first.id}).status_code == 201
    assert [(entry["box"], entry["id"]) for entry in small_site.pull()] == [(first.id, written["id"])]
    # Now it is the second page that has to ask.
    assert browser.call("POST", "/api/send", item(second), **{HEADER: second.id}).status_code == 401


def test_a_reply_page_beside_a_mailbox(small_site: Site) -> None:
    """Every reply box is of generation 1, as is a mailbox that never had another password."""
    mailbox, reply, token = small_site.make_box(), small_site.make_box(kind="reply"), new_id()
    ticket = small_site.push_message(reply, 1)
    link = {"box": reply.id, "id": ticket, "expires": None}
    assert small_site.first.link("PUT", f"tokens/{hash_of(token)}", link).status_code == 201
    browser = small_site.signed_in(mailbox)
    assert browser.login_token(token, reply.auth).status_code == 200
    # The mailbox neither shows nor forgets another box's list.
    assert browser.call("GET", "/api/messages", None, **{HEADER: mailbox.id}).status_code == 401
    assert browser.call("POST", "/api/send", item(mailbox), **{HEADER: mailbox.id}).status_code == 401
    assert small_site.pull() == []
    assert len(browser.call("GET", "/api/messages", None, **{HEADER: reply.id}).get_json()["messages"]) == 1


def test_a_new_password_goes_to_its_own_box_alone(small_site: Site, opened: tuple[Browser, Box, Box]) -> None:
    browser, first, second = opened
    body = first.rekey_body(first.next(), small_site.clock.now_ms())
    refused = browser.call("POST", "/api/rekey", body, **{HEADER: first.id})
    assert (refused.status_code, refused.get_json()["error"]) == (401, "signed-out")
    assert small_site.pull() == []
    assert browser.call("GET", "/api/session", None, **{HEADER: second.id}).get_json()["gen"] == 1
    assert browser.login(first).status_code == 200
    assert browser.call("POST", "/api/rekey", body, **{HEADER: first.id}).status_code == 200


def test_signing_out_ends_no_other_boxs_session(small_site: Site, opened: tuple[Browser, Box, Box]) -> None:
    browser, first, second = opened
    left = browser.call("POST", "/api/logout", {}, **{HEADER: first.id})
    assert left.status_code == 204
    assert "Set-Cookie" not in left.headers
    assert "Clear-Site-Data" not in left.headers
    assert browser.call("GET", "/api/session", None, **{HEADER: second.id}).status_code == 200
    assert browser.call("POST", "/api/logout", {}, **{HEADER: second.id}).headers["Clear-Site-Data"]
    assert browser.get("/api/session").status_code == 401


def test_a_box_in_the_header_opens_nothing(small_site: Site) -> None:
    """It narrows a session and never widens it: nobody reaches a box by naming it."""
    mine, other = small_site.make_box(), small_site.make_box()
    small_site.push_message(other, 1)
    stranger = small_site.first.browser()
    assert stranger.call("GET", "/api/messages", None, **{HEADER: other.id}).status_code == 401
    browser = small_site.signed_in(mine)
    with small_site.first.portal.store.main.read() as connection:
        before = connection.execute(select(session.c.seen)).scalars().all()
    small_site.clock.advance(10 * MINUTE)
    for named in (other.id, "", "x" * 300, os.urandom(8).hex()):
        assert browser.call("GET", "/api/messages", None, **{HEADER: named}).status_code == 401
    with small_site.first.portal.store.main.read() as connection:
        # Nor does a call for another box keep a session alive.
        assert connection.execute(select(session.c.seen)).scalars().all() == before
    assert browser.call("GET", "/api/messages", None, **{HEADER: mine.id}).get_json()["messages"] == []
