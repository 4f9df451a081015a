"""The engine in Chromium and Firefox against the real portal: real cookies, storage, worker, policy and reloads."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask, Response, send_from_directory

from relay.core.wire.pae import encode_b64
from tests.interop.browser.conftest import write_page
from tests.interop.browser.driver import Page
from tests.interop.browser.engines import Engine, engine_in
from tests.interop.browser.world import World

FIRST = "K7QM-2XWP-9FTD"
OWN = "vierzehn kleine Igel"
NAME = "anna@partner.example"
MIB = 2**20


@pytest.fixture
def world(tmp_path: Path, scripts: Path) -> Iterator[World]:
    """A portal that has the engine's test page beside its own."""
    made: list[World] = []

    def add_routes(app: Flask) -> None:
        @app.get("/engine")
        def show_engine() -> str:
            return write_page(scripts, "engine_page.js", app.config["PORTAL"])

        @app.get("/static/engine_page.js")
        def show_script() -> Response:
            return send_from_directory(scripts, "engine_page.js")

        @app.get("/static/argon-worker.js")
        def show_worker() -> Response:
            return send_from_directory(scripts, "argon-worker.js")

    made.append(World(tmp_path, add_routes=add_routes))
    yield made[0]
    made[0].close()


@pytest.fixture
def engine(world: World, page: Page) -> Engine:
    page.goto(f"{world.url}/engine")
    page.wait_for_text("ready")
    return engine_in(page)


def reload(page: Page) -> None:
    page.reload()
    page.wait_for_text("ready")


def test_from_the_first_password_to_a_reply_that_arrived(world: World, page: Page, engine: Engine) -> None:
    account = world.make_first(code="7F3K-9QXD-M2WA")
    assert engine("checkSupport") is True
    typed = {"loginName": NAME, "password": FIRST, "code": "7F3K9QXDM2WA"}
    assert engine("signIn", typed)["mustChange"]
    assert engine("changePassword", {"newPassword": OWN})["gen"] == 2
    world.pull(account)
    octets = (bytes(range(251)) * 8355)[: 2 * MIB]
    message = world.push(account, files={"Gr\u00fc\u00dfe.bin": octets}, html="<p>Gr\u00fc\u00dfe</p>")
    reload(page)
    assert engine("resume")["gen"] == 2
    shown = engine("open")
    assert (shown["account"], [one["id"] for one in shown["messages"]]) == ("confirmed", [message])
    assert engine("openBody", message)["html"] == "<p>Gr\u00fc\u00dfe</p>"
    part = next(one for one in shown["messages"][0]["parts"] if one["role"] == "file")
    assert engine("download", {"id": message, "i": part["i"]})["sha256"] == encode_b64(hashlib.sha256(octets).digest())
    engine("markRead", message)
    engine("compose", {"re": message, "subject": "canary-subject"})
    engine("edit", {"text": "canary-text \U0001f600"})
    engine("attach", {"name": "canary-name", "size": MIB + 1})
    engine("send")
    read, reply = (one for one in world.pull(account) if one.item)
    assert read.item is not None
    assert reply.item is not None
    assert (read.item.kind, reply.item.kind, reply.item.subject) == ("read", "reply", "canary-subject")
    assert {len(part) for part in reply.parts.values()} == {len("canary-text \U0001f600".encode()), MIB + 1}
    assert engine("refresh")["receipts"] == {reply.item.id: "arrived"}
    assert engine("listSent")[0]["text"] == "canary-text \U0001f600"
    # What is stored in the tab and what left it shows nothing of what was typed or read.
    seen = json.dumps([engine("stored"), page.requests(), page.evaluate("() => document.cookie")])
    for canary in ("canary", OWN, FIRST, NAME, "2AA7F3K"):
        assert canary not in seen
    engine("signOut")
    assert engine("stored") == {}
    reload(page)
    assert engine("resume") is None
    assert page.problems() == []


def test_an_answer_from_a_pdf_leaves_nothing_in_the_tab(world: World, page: Page, engine: Engine) -> None:
    account = world.make_reply_box()
    token = world.push_ticket(account, text="the quote")
    typed = {"token": token, "box": account.box, "form": "b32", "secret": "dghz4eb67gncxxd6"}
    assert engine("openReply", typed)["quote"] == "the quote"
    engine("attachToReply", {"name": "a.bin", "size": 9})
    engine("sendReply", {"text": "yes"})
    (taken,) = world.pull(account)
    assert sorted(taken.parts.values()) == [bytes(range(9)), b"yes"]
    assert engine("stored") == {}
    assert page.problems() == []


def test_a_registration(world: World, engine: Engine) -> None:
    id_, link = world.invite()
    assert engine("openJoin", {"id": id_, "fragment": f"#{link.fragment()}"})["org"] == "Example Bank"
    engine("chooseMailbox", {"loginName": NAME, "password": OWN})
    join = world.take_join(id_, link)
    assert join.capsule is not None
    account = world.accept_join(join.capsule, NAME)
    engine("signIn", {"loginName": NAME, "password": OWN})
    message = world.push(account)
    assert [one["id"] for one in engine("open")["messages"]] == [message]


def test_two_readers_of_one_browser_stay_apart(world: World, page: Page, engine: Engine) -> None:
    world.make_first()
    engine("signIn", {"loginName": NAME, "password": FIRST})
    other = page.browser.new_page("other")
    try:
        # The same cookies, another tab: the session is there, the tab's half is not.
        other.goto(f"{world.url}/engine")
        other.wait_for_text("ready")
        assert engine_in(other)("resume") is None
        assert engine("resume")["gen"] == 1
    finally:
        other.close()
