"""A crash before and after every commit of every call that writes; then the same call again, on a new process.

What a caller repeats after a lost answer ends as if nothing had happened: nothing lost, nothing doubled, no row without
its key.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, text

from portal.store.sweep import count_rows, sweep
from relay.core.ids import new_id
from relay.core.wire.pae import encode_b64
from relay.core.wire.sealed import format_time
from tests.contract.portal.site import Box, Browser, Node, Site, hash_of, hash_of_capsule, item
from tests.contract.portal.test_login_contract import move_cookies

DAY = 86_400_000


class Crash(BaseException):
    """The process is gone; nothing may catch this."""


class Crasher:
    """Ends the process at one commit, before it or right after it."""

    def __init__(self, node: Node, number: int, when: str) -> None:
        self.commits = 0
        for database in node.databases:
            database.write = self._wrap(database.write, number, when)  # type: ignore[method-assign]

    def _wrap(self, original: Any, number: int, when: str) -> Any:
        @contextlib.contextmanager
        def write() -> Iterator[Connection]:
            mine, self.commits = self.commits, self.commits + 1
            with original() as connection:
                yield connection
                if (mine, when) == (number, "before"):
                    raise Crash
            if (mine, when) == (number, "after"):
                raise Crash

        return write


Act = Callable[[Node, Browser], Any]


def every_crash(site: Site, prepare: Callable[[], tuple[Box, Act]]) -> Iterator[tuple[Box, Browser, Any]]:
    """For each commit and each side of it: prepare, act until the crash, act again; give what came of it."""
    for number in range(50):
        for when in ("before", "after"):
            box, act = prepare()
            browser = site.signed_in(box)
            doomed = site.node()
            crasher = Crasher(doomed, number, when)
            on_doomed = Browser(doomed.web.test_client(), browser.address)
            move_cookies(browser, on_doomed)
            try:
                act(doomed, on_doomed)
            except Crash:
                pass
            else:
                # Fewer commits than that: every one of them has crashed.
                assert crasher.commits <= number
                assert number > 0
                return
            yield box, browser, act(site.first, browser)
    pytest.fail("a call with fifty commits")


def all_keys_are_used(site: Site) -> None:
    """After the sweep each sealed row has its key and each key its row."""
    store = site.first.portal.store
    site.clock.advance(2 * DAY)
    sweep(store, 90)
    rows = 0
    with store.main.read() as connection:
        for table, column in (
            ("box", "capsule_key"),
            ("message", "row_key"),
            ("draft", "row_key"),
            ("outbox", "row_key"),
            ("outbox", "self_row_key"),
        ):
            names = connection.execute(text(f"SELECT {column} FROM {table} WHERE {column} IS NOT NULL")).scalars().all()
            assert len(store.rows.find(names)) == len(names)
            rows += len(names)
    assert count_rows(store) == rows


def test_sending(small_site: Site) -> None:
    def prepare() -> tuple[Box, Act]:
        box = small_site.make_box()
        browser, draft = small_site.signed_in(box), new_id()
        assert browser.call("PUT", f"/api/drafts/{draft}/0/0", b"chunk").status_code == 201
        assert browser.call("PUT", f"/api/drafts/{draft}", {"rev": 0, "sealed": "AAAA"}).status_code == 200
        body = item(box, id=draft, parts=[{"i": 0, "chunks": 1}])
        return box, lambda _, browser: browser.call("POST", "/api/send", body)

    for box, browser, answer in every_crash(small_site, prepare):
        assert answer.status_code in (200, 201)
        assert [entry["seq"] for entry in small_site.pull(limit=200) if entry["box"] == box.id] == [1]
        assert len(browser.get("/api/sent").get_json()["sent"]) == 1
        assert browser.get("/api/drafts").get_json()["drafts"] == []
        small_site.ack(*small_site.pull(limit=200))
    all_keys_are_used(small_site)


def test_a_new_password(small_site: Site) -> None:
    new: dict[str, Box] = {}

    def prepare() -> tuple[Box, Act]:
        box = small_site.make_box()
        new[box.id] = box.next()
        body = box.rekey_body(new[box.id], small_site.clock.now_ms())
        return box, lambda _, browser: browser.call("POST", "/api/rekey", body)

    for box, browser, answer in every_crash(small_site, prepare):
        # Where the answer was lost the old session is over: the same octets get another one.
        assert answer.status_code == 200
        assert browser.get("/api/session").get_json()["half"] == answer.get_json()["half"]
        entries = [entry["gen"] for entry in small_site.pull(limit=200) if entry["box"] == box.id]
        assert entries == [2]
        assert small_site.first.browser(f"10.0.0.{len(new)}").login(new[box.id]).status_code == 200
        assert small_site.first.browser(f"10.0.1.{len(new)}").login(box).status_code == 401
        small_site.ack(*small_site.pull(limit=200))
    all_keys_are_used(small_site)


def test_a_draft_and_its_chunk(small_site: Site) -> None:
    def prepare() -> tuple[Box, Act]:
        box, draft, sealed = small_site.make_box(), new_id(), encode_b64(os.urandom(40))

        def act(_: Node, browser: Browser) -> Any:
            chunk = browser.call("PUT", f"/api/drafts/{draft}/0/0", b"chunk")
            assert chunk.status_code in (200, 201)
            return browser.call("PUT", f"/api/drafts/{draft}", {"rev": 0, "sealed": sealed})

        return box, act

    for _, browser, answer in every_crash(small_site, prepare):
        assert (answer.status_code, answer.get_json()) == (200, {"rev": 1})
        assert len(browser.get("/api/drafts").get_json()["drafts"]) == 1
        assert browser.get("/api/session").get_json()["quota"]["used"] == len(b"chunk") + 40 + 28
    all_keys_are_used(small_site)


def test_deleting(small_site: Site) -> None:
    def prepare() -> tuple[Box, Act]:
        box = small_site.make_box()
        message = small_site.push_message(box, 1, {(0, 0): b"chunk"})
        body = item(box, kind="deleted", re=message) | {"self": None}
        return box, lambda _, browser: browser.call("POST", "/api/send", body)

    for _, browser, answer in every_crash(small_site, prepare):
        assert answer.status_code in (200, 201)
        assert browser.get("/api/messages").get_json()["messages"] == []
        assert browser.get("/api/session").get_json()["quota"]["used"] == 0
    all_keys_are_used(small_site)


def test_pushing_a_message(small_site: Site) -> None:
    def prepare() -> tuple[Box, Act]:
        box, id_ = small_site.make_box(), new_id()
        body = small_site.message_body(1, [{"i": 0, "chunks": 1}])

        def act(node: Node, _: Browser) -> Any:
            chunk = node.link("PUT", f"boxes/{box.id}/blobs/{id_}/0/0", b"chunk")
            assert chunk.status_code in (200, 201)
            return node.link("PUT", f"boxes/{box.id}/messages/{id_}", body)

        return box, act

    for _, browser, answer in every_crash(small_site, prepare):
        assert answer.status_code in (200, 201)
        assert len(browser.get("/api/messages").get_json()["messages"]) == 1
    all_keys_are_used(small_site)


def test_pushing_a_capsule(small_site: Site) -> None:
    new: dict[str, Box] = {}

    def prepare() -> tuple[Box, Act]:
        box = small_site.make_box()
        new[box.id] = box.next()
        new[box.id].write_capsule("relay", small_site.clock.now_ms())
        body = {
            "login_id": box.login_id,
            "base": hash_of_capsule(box.capsule),
            "capsule": encode_b64(new[box.id].capsule),
            "state": "first",
            "first_expires": format_time(small_site.clock.now_ms() + 7 * DAY),
            "must_change": False,
            "lang": "en",
        }
        return box, lambda node, _: node.link("PUT", f"boxes/{box.id}", body)

    for box, _, answer in every_crash(small_site, prepare):
        assert answer.status_code in (200, 201)
        assert small_site.first.browser(f"10.0.0.{len(new)}").login(new[box.id]).status_code == 200
        assert small_site.first.browser(f"10.0.1.{len(new)}").login(box).status_code == 401
    all_keys_are_used(small_site)


def test_closing_acknowledging_and_registering(small_site: Site) -> None:
    def prepare() -> tuple[Box, Act]:
        box, join = small_site.make_box(), new_id()
        small_site.push_message(box, 1, {(0, 0): b"chunk"})
        body = item(box)
        assert small_site.signed_in(box).call("POST", "/api/send", body).status_code == 201
        expires = format_time(small_site.clock.now_ms() + DAY)
        assert small_site.first.link("PUT", f"joins/{hash_of(join)}", {"expires": expires}).status_code == 201
        acks = {"acks": [{"box": box.id, "id": body["id"], "result": "taken"}]}

        def act(node: Node, browser: Browser) -> Any:
            joined = browser.call("POST", "/api/join", {"id": join, "card": 1, "sealed": "AAAA"})
            assert joined.status_code in (200, 201)
            assert node.link("POST", "outbox/ack", acks).status_code == 204
            return node.link("POST", f"boxes/{box.id}/end", {"end": "close"})

        return box, act

    for box, browser, answer in every_crash(small_site, prepare):
        assert answer.status_code == 204
        assert browser.get("/api/session").status_code == 401
        found = small_site.pull(limit=200)
        assert [entry["kind"] for entry in found] == ["join"]
        small_site.ack(*found)
        state = small_site.first.link("GET", f"boxes/{box.id}?since=0").get_json()["state"]
        assert state == "closed"
    all_keys_are_used(small_site)
