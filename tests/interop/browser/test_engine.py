"""The engine against the real portal, in Node: accounts, mail, replies, drafts, registration, and what goes wrong.

What Python's half of the formats makes is opened by JavaScript's and the reverse, over the real API.
sealed-mailbox 5 to 16.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from portal.store.models import chunk, outbox
from relay.core.wire.pae import decode_b64, encode_b64
from relay.core.wire.sealed import Account, Item, OlderSeed, Person, login_id, make_id, open_escrow, read_capsule
from tests.interop.browser.engines import Engine, start_engine
from tests.interop.browser.world import BoxAccount, World, stretch_fast

FIRST = "K7QM-2XWP-9FTD"
OWN = "vierzehn kleine Igel"
NAME = "anna@partner.example"
MIB = 2**20

Start = Callable[[], Engine]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, stretch=stretch_fast)
    yield made
    made.close()


@pytest.fixture
def start(world: World) -> Iterator[Start]:
    """Start another reader's engine."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(start_engine(world.url, world.portal))


@pytest.fixture
def engine(start: Start) -> Engine:
    return start()


def first_login(world: World, engine: Engine, **more: Any) -> BoxAccount:
    """A mailbox whose reader has chosen a password, with the relay's answer not pulled yet."""
    account = world.make_first(**more)
    session = engine("signIn", {"loginName": NAME, "password": FIRST})
    assert session["mustChange"]
    engine("changePassword", {"newPassword": OWN})
    return account


def opened(world: World, engine: Engine) -> BoxAccount:
    """The same, confirmed by the relay, with the mailbox open."""
    account = first_login(world, engine)
    world.pull(account)
    engine("open")
    return account


def wait_for_items(world: World, account: BoxAccount) -> list[Item]:
    """Reports go out by themselves, beside what was asked for."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        items = [one.item for one in world.pull(account) if one.item]
        if items:
            return items
        time.sleep(0.05)
    raise AssertionError("nothing was reported")


def make_octets(size: int, factor: int = 251) -> bytes:
    return (bytes(range(factor)) * (size // factor + 1))[:size]


def sha256(octets: bytes) -> str:
    return encode_b64(hashlib.sha256(octets).digest())


# --- account ---------------------------------------------------------------------------------------------------------


def test_a_first_login_changes_the_password_before_any_mail(world: World, engine: Engine) -> None:
    account = world.make_first()
    session = engine("signIn", {"loginName": " Anna@Partner.example ", "password": "k7qm 2xwp 9ftd"})
    assert (session["state"], session["mustChange"], session["firstPassword"]) == ("first", True, True)
    assert (session["org"], session["name"], session["recoverable"]) == ("Example Bank", NAME, True)
    assert engine.refused("open").status in (401, 403, 409)
    session = engine("changePassword", {"newPassword": OWN})
    assert (session["state"], session["gen"], session["mustChange"]) == ("active", 2, False)
    shown = engine("open")
    assert (shown["account"], shown["messages"]) == ("not-yet", [])
    (taken,) = world.pull(account)
    assert taken.opened is not None
    assert [older.gen for older in taken.opened.body.older] == [1]
    assert engine("refresh")["account"] == "confirmed"
    engine("signOut")
    assert engine("resume") is None
    assert engine.refused("signIn", {"loginName": NAME, "password": FIRST}).code == "wrong"
    assert engine("signIn", {"loginName": NAME, "password": OWN})["gen"] == 2


def test_a_first_password_opens_no_mail_whatever_the_portal_says(world: World, engine: Engine) -> None:
    world.make_first()
    lie = {"state": "active", "must_change": False}
    engine("fault", {"method": "POST", "path": "/login$", "when": "answer", "body": lie})
    assert engine("signIn", {"loginName": NAME, "password": FIRST})["mustChange"]


def test_the_code_of_the_notice_belongs_to_the_first_password(world: World, engine: Engine) -> None:
    world.make_first(code="7F3K-9QXD-M2WA")
    assert engine.refused("signIn", {"loginName": NAME, "password": FIRST}).code == "wrong"
    assert engine.refused("signIn", {"loginName": NAME, "password": FIRST, "code": "7F3K"}).code == "code"
    assert engine("signIn", {"loginName": NAME, "password": FIRST, "code": "7f3k 9qxd m2wa"})["mustChange"]


def test_a_name_that_nobody_has_is_wrong_like_a_password(world: World, engine: Engine) -> None:
    world.make_first()
    wrong = engine.refused("signIn", {"loginName": NAME, "password": "not the password"})
    unknown = engine.refused("signIn", {"loginName": "nobody@partner.example", "password": "not the password"})
    assert (
        (wrong.name, wrong.status, wrong.code)
        == (unknown.name, unknown.status, unknown.code)
        == ("ApiError", 401, "wrong")
    )
    assert engine.refused("signIn", {"loginName": "anna", "password": "x"}).code == "name"
    engine("forgot", NAME)
    engine("forgot", "nobody@partner.example")


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("short", "short"),
        ("x" * 129, "long"),
        ("abcd-efgh-jkmn", "first-form"),
        (NAME.upper(), "login-name"),
        ("passwort12345", "common"),
    ],
)
def test_passwords_that_may_not_be_are_refused_before_anything_is_sent(
    world: World, engine: Engine, password: str, code: str
) -> None:
    world.make_first()
    engine("signIn", {"loginName": NAME, "password": FIRST})
    engine("log")
    refused = engine.refused("changePassword", {"newPassword": password})
    assert (refused.name, refused.code) == ("InputError", code)
    assert engine("log") == []


def test_a_reload_opens_with_both_halves_and_not_with_one(world: World, engine: Engine, start: Start) -> None:
    account = opened(world, engine)
    message = world.push(account)
    stored = engine("stored")
    engine("forgetAll")
    assert engine("resume")["gen"] == 2
    assert [one["id"] for one in engine("open")["messages"]] == [message]
    assert engine("stored") == stored
    # The tab's half alone opens nothing, and no secret lies in it.
    text = json.dumps(stored)
    assert OWN not in text
    assert FIRST not in text
    engine("signOut")
    assert "letterlock-tab" not in engine("stored")
    assert start()("resume") is None


def test_another_session_does_not_open_the_tab(world: World, engine: Engine) -> None:
    opened(world, engine)
    (session,) = engine("listSessions")
    assert session["current"]
    engine("endSession", session["id"])
    engine("forgetAll")
    assert engine("resume") is None
    assert engine("stored") == {}


def test_a_new_password_keeps_all_mail_and_ends_other_sessions(world: World, engine: Engine, start: Start) -> None:
    account = opened(world, engine)
    old = world.push(account)
    other = start()
    other("signIn", {"loginName": NAME, "password": OWN})
    other("open")
    engine("forgetAll")
    engine("resume")
    assert engine.refused("changePassword", {"newPassword": "ein anderes Passwort"}).code == "secret"
    wrong = engine.refused("changePassword", {"newPassword": "ein anderes Passwort", "password": "not it, I fear"})
    assert (wrong.status, wrong.code) == (401, "wrong")
    assert engine.refused("changePassword", {"newPassword": OWN, "password": OWN}).code == "same"
    assert engine("changePassword", {"newPassword": "ein anderes Passwort", "password": OWN})["gen"] == 3
    world.pull(account)
    new = world.push(account)
    shown = engine("open")
    assert [one["id"] for one in shown["messages"]] == [new, old]
    assert (shown["account"], engine("openBody", old)["text"]) == ("confirmed", "Dear Anna,\nhere is your contract.")
    assert other.refused("refresh").status == 401
    assert other("resume") is None
    # The seed is never wrapped again: what the old password opens stays what it was.
    assert other.refused("signIn", {"loginName": NAME, "password": OWN}).code == "wrong"


def test_two_sessions_that_change_the_password_at_once(world: World, engine: Engine, start: Start) -> None:
    opened(world, engine)
    other = start()
    other("signIn", {"loginName": NAME, "password": OWN})
    other("changePassword", {"newPassword": "zuerst gewinnt hier", "password": OWN})
    late = engine.refused("changePassword", {"newPassword": "zu spaet gekommen", "password": OWN})
    assert late.status in (401, 409)
    assert engine("resume") is None


def test_a_lost_answer_to_a_new_password_is_asked_for_again(world: World, engine: Engine) -> None:
    account = world.make_first()
    engine("signIn", {"loginName": NAME, "password": FIRST})
    engine("fault", {"method": "POST", "path": "/rekey$", "when": "before"})
    assert engine("changePassword", {"newPassword": OWN})["gen"] == 2
    assert len(world.pull(account)) == 1
    # The portal has acted and ended the session: the same octets are answered again, without one.
    engine("fault", {"method": "POST", "path": "/rekey$", "when": "after"})
    assert engine("changePassword", {"newPassword": "noch ein Passwort", "password": OWN})["gen"] == 3
    assert len(world.pull(account)) == 1
    assert engine("open")["account"] == "confirmed"


def test_a_new_password_without_any_answer_counts_when_it_is_saved_again(world: World, engine: Engine) -> None:
    account = opened(world, engine)
    change = {"newPassword": "noch ein Passwort", "password": OWN}
    engine("fault", {"method": "POST", "path": "/rekey$", "when": "after", "times": 2})
    assert engine.refused("changePassword", change).name == "OfflineError"
    assert engine("changePassword", change)["gen"] == 3
    assert len(world.pull(account)) == 1
    # Unanswered again, and the reader thinks of another one meanwhile: it goes on top of the one that counts.
    change = {"newPassword": "das dritte Passwort", "password": "noch ein Passwort"}
    engine("fault", {"method": "POST", "path": "/rekey$", "when": "after", "times": 2})
    assert engine.refused("changePassword", change).name == "OfflineError"
    change["newPassword"] = "das vierte Passwort"
    assert engine("changePassword", change)["gen"] == 5
    assert len(world.pull(account)) == 2
    engine("signIn", {"loginName": NAME, "password": "das vierte Passwort"})


def test_a_reset_opens_old_mail_with_the_new_first_password(world: World, engine: Engine) -> None:
    account = opened(world, engine)
    old = world.push(account)
    (rekey,) = world.link("GET", f"boxes/{account.box}?since=1")["rekeys"]
    capsule = read_capsule(decode_b64(rekey["capsule"]))
    assert capsule.escrow is not None
    body = open_escrow(capsule, world.organisation.opener("escrow", capsule.escrow.card))
    older = (*body.body.older, OlderSeed(body.keys.gen, 1, body.keys.seed))
    world.make_first(after=account, older=older, password="ABCD-EFGH-JKMN")
    session = engine("signIn", {"loginName": NAME, "password": "abcdefghjkmn"})
    assert (session["gen"], session["mustChange"], session["firstPassword"]) == (3, True, True)
    engine("changePassword", {"newPassword": "wieder ein eigenes"})
    world.pull(account)
    shown = engine("open")
    assert [one["id"] for one in shown["messages"]] == [old]
    assert engine("openBody", old)["text"] == "Dear Anna,\nhere is your contract."


def test_must_change_asks_for_a_new_password_and_no_mail_before(world: World, engine: Engine) -> None:
    account = opened(world, engine)
    body = {
        "login_id": login_id(world.portal, NAME),
        "base": sha256(account.capsule),
        "capsule": encode_b64(account.capsule),
        "state": "active",
        "first_expires": None,
        "must_change": True,
        "lang": "de",
    }
    world.link("PUT", f"boxes/{account.box}", body)
    session = engine("signIn", {"loginName": NAME, "password": OWN})
    assert (session["mustChange"], session["firstPassword"], session["state"]) == (True, False, "active")
    assert engine.refused("changePassword", {"newPassword": OWN}).code == "same"
    assert not engine("changePassword", {"newPassword": "ein neues Passwort"})["mustChange"]


def test_a_new_escrow_key_makes_a_new_generation_at_the_next_login(world: World, engine: Engine) -> None:
    account = opened(world, engine)
    old = world.push(account)
    assert engine("signIn", {"loginName": NAME, "password": OWN})["gen"] == 2
    assert world.pull(account) == []
    world.organisation.add_card()
    world.push_cards(2)
    session = engine("signIn", {"loginName": NAME, "password": OWN})
    assert (session["gen"], session["mustChange"]) == (3, False)
    (taken,) = world.pull(account)
    assert taken.opened is not None
    assert [one.gen for one in taken.opened.body.older] == [1, 2]
    engine("forgetAll")
    engine("resume")
    assert [one["id"] for one in engine("open")["messages"]] == [old]
    assert engine("signIn", {"loginName": NAME, "password": OWN})["gen"] == 3
    assert world.pull(account) == []


def test_the_same_password_stays_when_the_new_generation_cannot_be_handed_in(world: World, engine: Engine) -> None:
    opened(world, engine)
    world.organisation.add_card()
    world.push_cards(2)
    engine("fault", {"method": "POST", "path": "/rekey$", "when": "before", "times": 9})
    assert engine("signIn", {"loginName": NAME, "password": OWN})["gen"] == 2
    assert engine("open")["account"] == "confirmed"


def test_without_escrow_the_page_can_say_so(tmp_path: Path) -> None:
    world = World(tmp_path, escrow=False, stretch=stretch_fast)
    try:
        with start_engine(world.url, world.portal) as engine:
            account = world.make_first()
            assert engine("signIn", {"loginName": NAME, "password": FIRST})["recoverable"] is False
            engine("changePassword", {"newPassword": OWN})
            (taken,) = world.pull(account)
            assert read_capsule(decode_b64(taken.entry["capsule"])).escrow is None
    finally:
        world.close()


# --- a portal that lies ----------------------------------------------------------------------------------------------


def test_another_password_behind_the_readers_back_is_noticed(world: World, engine: Engine) -> None:
    account = first_login(world, engine)
    # The portal kept the reader's rekey back and handed in one of its own: the relay seals to that.
    stranger = BoxAccount(account.box, NAME)
    other = world._make_capsule(stranger, 2, b"something else entirely", ())
    account.gen, account.capsule = 2, other
    world.push(account, "account")
    assert engine("open")["account"] == "somebody-else"
    engine("compose", {"re": make_id()})
    engine("edit", {"text": "hello"})
    assert engine.refused("send").code == "somebody-else"


def test_an_account_of_other_keys_is_noticed_though_it_opens(world: World, engine: Engine) -> None:
    account = opened(world, engine)
    world.push(account, "account", of=Account(2, bytes(32), bytes(32)))
    assert engine("refresh")["account"] == "somebody-else"


def test_damaged_mail_stands_alone_and_is_reported(world: World, engine: Engine) -> None:
    account = opened(world, engine)
    good = world.push(account)
    account.no += 1
    world.push_sealed(account, bad := make_id(), b"x" * 400, gen=2, card=1)
    shown = engine("refresh")
    assert shown["account"] == "confirmed"
    assert [(one["id"], one["state"]) for one in shown["messages"]] == [(bad, "damaged"), (good, "mail")]
    assert (shown["messages"][0]["code"], shown["messages"][0]["reference"]) == ("auth", bad[:8])
    (report,) = wait_for_items(world, account)
    assert (report.kind, report.re, report.code) == ("damaged", bad, "auth")
    engine("forgetAll")
    engine("resume")
    engine("open")
    assert world.pull(account) == []  # once a tab


def test_a_part_that_was_changed_is_refused_whole_and_reported(world: World, engine: Engine) -> None:
    account = opened(world, engine)
    message = world.push(account, files={"a.bin": make_octets(MIB + 5)})
    engine("refresh")
    engine("fault", {"method": "GET", "path": "/blobs/.*/1/1$", "when": "change"})
    refused = engine.refused("download", {"id": message, "i": 1})
    assert (refused.name, refused.code) == ("SealedDataError", "auth")
    assert engine("download", {"id": message, "i": 1})["sha256"] == sha256(make_octets(MIB + 5))
    assert [(item.kind, item.re) for item in wait_for_items(world, account)] == [("damaged", message)]


def test_a_card_that_is_kept_back_stops_replies_and_says_why(world: World, engine: Engine) -> None:
    account = opened(world, engine)
    world.organisation.add_card()  # not pushed: the portal keeps it back
    message = world.push(account)
    shown = engine("refresh")
    assert shown["cardsBehind"]
    assert [one["code"] for one in shown["messages"]] == ["card"]
    engine("compose", {"re": message})
    engine("edit", {"text": "hello"})
    assert engine.refused("send").code == "cards-behind"
    assert world.pull(account) == []


def test_mail_of_a_withdrawn_card_is_marked(world: World, engine: Engine) -> None:
    account = opened(world, engine)
    world.organisation.add_card()
    world.push_cards(2)
    message = world.push(account, card=2)
    world.organisation.add_card(distrust=(2,))
    world.push_cards(3)
    engine("signIn", {"loginName": NAME, "password": OWN})
    world.pull(account)
    shown = engine("open")
    assert [(one["id"], one["state"], one["withdrawn"]) for one in shown["messages"]] == [(message, "damaged", True)]


def test_cards_of_another_root_open_nothing(world: World, engine: Engine) -> None:
    opened(world, engine)
    stranger = World.__new__(World)
    stranger.organisation = type(world.organisation)(world.portal)
    engine(
        "fault",
        {
            "method": "GET",
            "path": "/cards$",
            "when": "answer",
            "body": {"cards": [stranger.organisation.records[0].to_object()]},
        },
    )
    refused = engine.refused("signIn", {"loginName": NAME, "password": OWN})
    assert (refused.name, refused.code) == ("SealedDataError", "signature")


# --- reading ---------------------------------------------------------------------------------------------------------


def test_mail_is_read_searched_downloaded_and_deleted(world: World, engine: Engine) -> None:
    account = opened(world, engine)
    octets = make_octets(2 * MIB + 17)
    first = world.push(
        account,
        html="<p>Gr\u00fc\u00dfe aus der Abteilung <b>Vertr\u00e4ge</b></p>",
        contents=[("inline", "logo@x", "image/png", b"png"), ("inline", "bad@x", "image/svg+xml", b"<svg>")],
        files={"Gr\u00fc\u00dfe.bin": octets, "empty": b""},
        subject="\u00c4nderung",
        cc=(Person("Ben", "ben@partner.example"),),
    )
    second = world.push(account, thread=(thread := make_id()))
    third = world.push(account, thread=thread)
    shown = engine("refresh")
    assert [one["id"] for one in shown["messages"]] == [third, second, first]
    assert engine("thread", thread) == [second, third]
    message = shown["messages"][2]
    assert message["from"] == {"name": "Maria Keller", "addr": "maria@bank.example"}
    assert (message["subject"], message["seen"], message["receipt"]) == ("\u00c4nderung", False, True)
    body = engine("openBody", first)
    assert "Vertr\u00e4ge" in body["html"]
    assert body["inline"] == {
        "logo@x": {"type": "image/png", "size": 3},
        "bad@x": {"type": "application/octet-stream", "size": 5},
    }
    big = next(part for part in message["parts"] if part["size"] == len(octets))
    got = engine("download", {"id": first, "i": big["i"]})
    assert (got["size"], got["sha256"], got["type"]) == (len(octets), sha256(octets), "application/octet-stream")
    assert got["progress"] == [MIB, 2 * MIB, 2 * MIB + 17]
    assert engine("search", "abteilung vertrage") == [first]
    assert engine("search", "ben@partner") == [first]
    assert engine("search", "grusse.bin") == []
    assert engine("search", "gr\u00fc\u00dfe.bin ANDERUNG") == [first]
    engine("markRead", first)
    engine("markRead", first)
    engine("remove", second)
    assert [one["id"] for one in engine("refresh")["messages"]] == [third, first]
    items = [one.item for one in world.pull(account) if one.item]
    assert [(item.kind, item.re, item.mode) for item in items] == [
        ("read", first, "browser"),
        ("deleted", second, "browser"),
    ]
    assert next(one for one in engine("refresh")["messages"] if one["id"] == first)["seen"]


def test_pages_of_fifty_and_confirmation_far_down(world: World, engine: Engine) -> None:
    account = opened(world, engine)
    ids = [world.push(account, "receipt", re=make_id(), state="arrived") for _ in range(3)]
    assert len(ids) == 3
    mails = [world.push(account, text="x") for _ in range(55)]
    engine("forgetAll")
    engine("resume")
    shown = engine("open")
    assert [one["id"] for one in shown["messages"]] == mails[:4:-1]
    assert shown["more"]
    shown = engine("loadMore")
    assert [one["id"] for one in shown["messages"]] == mails[::-1]
    assert not shown["more"]
    assert len(shown["receipts"]) == 3


def test_recalled_mail_goes_from_the_list(world: World, engine: Engine) -> None:
    account = opened(world, engine)
    message = world.push(account)
    assert len(engine("refresh")["messages"]) == 1
    world.link("DELETE", f"boxes/{account.box}/messages/{message}")
    assert engine("refresh")["messages"] == []


def test_closing_ends_the_box(world: World, engine: Engine) -> None:
    account = opened(world, engine)
    engine("closeBox")
    assert [one.item.kind for one in world.pull(account) if one.item] == ["close"]


# --- writing ---------------------------------------------------------------------------------------------------------


def test_a_reply_with_files_arrives_and_says_so(world: World, engine: Engine) -> None:
    account = opened(world, engine)
    message = world.push(account)
    engine("refresh")
    engine("compose", {"re": message, "subject": "Re: Your contract"})
    engine("edit", {"text": "Gr\u00fc\u00dfe \U0001f600\n", "to": "all"})
    engine("attach", {"name": "\u00dcbersicht.pdf", "size": MIB + 3, "type": "application/pdf"})
    shown = engine("attach", {"name": "empty.txt", "size": 0})
    assert [(one["state"], one["done"]) for one in shown["attachments"]] == [("done", MIB + 3), ("done", 0)]
    assert engine("send")["state"] == "sent"
    (sent,) = engine("listSent")
    assert (sent["state"], sent["text"], sent["re"], sent["to"]) == (
        "handed-over",
        "Gr\u00fc\u00dfe \U0001f600\n",
        message,
        "all",
    )
    (taken,) = world.pull(account)
    assert taken.item is not None
    item = taken.item
    assert (item.kind, item.re, item.to, item.subject, item.mode) == (
        "reply",
        message,
        "all",
        "Re: Your contract",
        "browser",
    )
    assert [(part.role, part.name, part.type) for part in item.parts] == [
        ("text", "", "text/plain"),
        ("file", "\u00dcbersicht.pdf", "application/pdf"),
        ("file", "empty.txt", "application/octet-stream"),
    ]
    assert taken.parts[item.parts[0].i].decode() == "Gr\u00fc\u00dfe \U0001f600\n"
    assert taken.parts[item.parts[1].i] == make_octets(MIB + 3)
    assert engine("refresh")["receipts"] == {item.id: "arrived"}
    assert engine("listSent")[0]["state"] == "arrived"
    assert engine("listDrafts") == []
    # What the portal says counts less than our signed word.
    with world.node.portal.store.main.write() as connection:
        connection.execute(update(outbox).values(state="refused"))
    assert engine("listSent")[0]["state"] == "arrived"


def test_an_empty_reply_and_too_many_files_are_refused(world: World, engine: Engine) -> None:
    account = opened(world, engine)
    message = world.push(account)
    engine("refresh")
    engine("compose", {"re": message})
    engine("edit", {"text": " \n"})
    assert engine.refused("send").code == "empty"
    assert engine.refused("attach", {"name": "big", "size": 50 * MIB + 1, "factor": 0}).code == "too-large"
    assert engine("composer")["attachments"] == []


def test_the_text_counts_into_the_size_of_a_reply(world: World, engine: Engine) -> None:
    settings = world.node.portal.settings
    world.node.portal.settings = replace(settings, limits=replace(settings.limits, message=MIB))
    account = opened(world, engine)
    message = world.push(account)
    engine("refresh")
    engine("compose", {"re": message, "subject": "Re: Your contract"})
    engine("edit", {"text": "0123456789"})
    engine("attach", {"name": "a.bin", "size": MIB - 9})
    assert engine.refused("send").code == "too-large"
    engine("edit", {"text": "012345678"})
    assert engine("send")["state"] == "sent"


def test_a_draft_is_kept_sealed_and_opened_after_a_reload(world: World, engine: Engine) -> None:
    account = opened(world, engine)
    message = world.push(account)
    engine("refresh")
    draft = engine("compose", {"re": message, "subject": "Re: x"})["id"]
    engine("edit", {"text": "halbfertig"})
    engine("save")
    engine("attach", {"name": "a.bin", "size": 2 * MIB})
    # Stopped after the first chunk: paused, and gone with the reload.
    assert engine.refused("attach", {"name": "b.bin", "size": 3 * MIB, "stopAfter": 1}).name == "AbortError"
    assert [one["state"] for one in engine("composer")["attachments"]] == ["done", "failed"]
    engine("forgetAll")
    engine("resume")
    engine("open")
    (row,) = engine("listDrafts")
    assert (row["id"], row["text"], row["attachments"], row["re"]) == (draft, "halbfertig", 2, message)
    shown = engine("openDraft", draft)
    assert [(one["i"], one["state"]) for one in shown["attachments"]] == [(0, "done"), (1, "lost")]
    assert engine.refused("send").code == "unfinished"
    engine("detach", 1)
    again = engine("attach", {"name": "b.bin", "size": 3 * MIB, "factor": 13})["attachments"]
    assert [one["i"] for one in again] == [0, 2]  # a part number is never used twice
    assert engine("send")["state"] == "sent"
    (taken,) = world.pull(account)
    assert taken.item is not None
    assert (taken.item.id, [part.i for part in taken.item.parts]) == (draft, [3, 0, 2])
    assert (taken.parts[0], taken.parts[2]) == (make_octets(2 * MIB), make_octets(3 * MIB, 13))
    assert engine("listDrafts") == []


def test_an_upload_goes_on_where_it_stopped_with_the_same_octets(world: World, engine: Engine) -> None:
    account = opened(world, engine)
    message = world.push(account)
    engine("refresh")
    engine("compose", {"re": message})
    engine("edit", {"text": "x"})
    # The second chunk is stored, and its answer lost three times: the portal takes equal octets again, no others.
    engine("fault", {"method": "PUT", "path": "/drafts/[^/]+/0/1$", "when": "after", "times": 3})
    assert engine.refused("attach", {"name": "a.bin", "size": 3 * MIB}).name == "OfflineError"
    engine("log")
    shown = engine("retry", 0)
    assert shown["attachments"][0]["state"] == "done"
    puts = [
        one["path"].split("/")[-1] for one in engine("log") if one["method"] == "PUT" and one["path"].count("/") == 5
    ]
    assert puts == ["2"]
    engine("send")
    (taken,) = world.pull(account)
    assert taken.parts[0] == make_octets(3 * MIB)


def test_two_tabs_with_one_draft_do_not_lose_a_text(world: World, engine: Engine, start: Start) -> None:
    account = opened(world, engine)
    message = world.push(account)
    engine("refresh")
    draft = engine("compose", {"re": message})["id"]
    engine("edit", {"text": "one"})
    engine("save")
    other = start()
    other("signIn", {"loginName": NAME, "password": OWN})
    other("open")
    other("openDraft", draft)
    other("edit", {"text": "two"})
    other("save")
    engine("edit", {"text": "three"})
    assert engine.refused("save").code == "changed"
    assert engine("composer")["state"] == "conflict"
    assert "conflict" in engine("events")
    assert engine("takeTheirs")["text"] == "two"
    engine("edit", {"text": "four"})
    assert engine("save")["state"] == "saved"
    other("edit", {"text": "five"})
    assert other.refused("save").code == "changed"
    assert other("keepMine")["state"] == "saved"
    assert engine("listDrafts")[0]["text"] == "five"


def test_two_tabs_with_one_draft_never_share_a_part_number(world: World, engine: Engine, start: Start) -> None:
    """Octets of two files under one number and one key would open as one file of both."""
    account = opened(world, engine)
    message = world.push(account)
    engine("refresh")
    draft = engine("compose", {"re": message})["id"]
    engine("edit", {"text": "one"})
    engine("save")
    other = start()
    other("signIn", {"loginName": NAME, "password": OWN})
    other("open")
    other("openDraft", draft)
    engine("attach", {"name": "a.bin", "size": MIB + 1})
    other("edit", {"text": "two"})
    assert other.refused("save").code == "changed"
    assert other("keepMine")["state"] == "saved"
    shown = other("attach", {"name": "b.bin", "size": MIB + 1, "factor": 7})
    assert [(one["i"], one["state"]) for one in shown["attachments"]] == [(1, "done")]
    # And none is taken before the reader has said which text counts.
    engine("edit", {"text": "three"})
    assert engine.refused("save").code == "changed"
    assert engine.refused("attach", {"name": "c.bin", "size": 5, "factor": 3}).code == "changed"
    with world.node.portal.store.main.read() as connection:
        assert set(connection.execute(select(chunk.c.i).where(chunk.c.side == "up")).scalars()) == {0, 1}


def test_a_reply_whose_answer_was_lost_is_sent_once(world: World, engine: Engine) -> None:
    account = opened(world, engine)
    message = world.push(account)
    engine("refresh")
    engine("compose", {"re": message})
    engine("edit", {"text": "once"})
    engine("fault", {"method": "POST", "path": "/send$", "when": "after", "times": 3})
    assert engine.refused("send").name == "OfflineError"
    assert engine("send")["state"] == "sent"
    assert len(world.pull(account)) == 1
    assert len(engine("listSent")) == 1


def test_a_reply_of_a_generation_that_is_over_keeps_its_draft(world: World, engine: Engine, start: Start) -> None:
    account = opened(world, engine)
    message = world.push(account)
    engine("refresh")
    draft = engine("compose", {"re": message})["id"]
    engine("edit", {"text": "not lost"})
    engine("save")
    other = start()
    other("signIn", {"loginName": NAME, "password": OWN})
    other("changePassword", {"newPassword": "ein neues Passwort", "password": OWN})
    assert engine.refused("send").status in (401, 409)
    world.pull(account)
    engine("signIn", {"loginName": NAME, "password": "ein neues Passwort"})
    engine("open")
    # Sealed under the generation before: opened with its seed, sent under the new one.
    assert engine("openDraft", draft)["text"] == "not lost"
    assert engine("send")["state"] == "sent"
    (taken,) = world.pull(account)
    assert taken.item is not None
    assert (taken.item.gen, taken.parts[taken.item.parts[0].i]) == (3, b"not lost")


def test_too_many_long_names_are_refused_before_sending(world: World, engine: Engine) -> None:
    account = opened(world, engine)
    message = world.push(account)
    engine("refresh")
    engine("compose", {"re": message})
    engine("edit", {"text": "x"})
    for number in range(3):
        engine("attach", {"name": f"{number}" + "\u20ac" * 9000, "size": 1})
    assert engine.refused("send").code == "too-many"
    assert world.pull(account) == []


def test_discarding_a_draft_takes_its_parts_along(world: World, engine: Engine) -> None:
    account = opened(world, engine)
    message = world.push(account)
    engine("refresh")
    draft = engine("compose", {"re": message})["id"]
    engine("attach", {"name": "a", "size": 5})
    engine("discard")
    assert engine("listDrafts") == []
    assert engine.refused("openDraft", draft).status == 404


def test_nothing_typed_leaves_in_the_clear(world: World, engine: Engine) -> None:
    account = opened(world, engine)
    message = world.push(account, subject="canary-subject-down")
    engine("refresh")
    engine("openBody", message)
    engine("compose", {"re": message, "subject": "canary-subject-up"})
    engine("edit", {"text": "canary-text-up"})
    engine("attach", {"name": "canary-name.bin", "size": 10})
    engine("send")
    sent = json.dumps(engine("log"))
    for canary in ("canary", OWN, FIRST, NAME, "Anna"):
        assert canary not in sent
        assert encode_b64(canary.encode())[:-2] not in sent
    assert "letterlock" not in sent


# --- PDF replies and registration ------------------------------------------------------------------------------------


def test_an_answer_from_a_pdf(world: World, engine: Engine) -> None:
    account = world.make_reply_box()
    token = world.push_ticket(account, text="the quote", subject="Offer")
    other = world.push_ticket(account, text="another quote", subject="Bill")
    typed = {"token": token, "box": account.box, "form": "b32", "secret": "DGHZ 4eb6 7gnc xxd6"}
    ticket = engine("openReply", typed)
    assert (ticket["subject"], ticket["quote"], ticket["files"], ticket["org"]) == (
        "Offer",
        "the quote",
        True,
        "Example Bank",
    )
    assert ticket["from"]["name"] == "Maria Keller"
    engine("attachToReply", {"name": "a.bin", "size": 7})
    engine("sendReply", {"text": "yes, please"})
    (taken,) = world.pull(account)
    assert taken.item is not None
    assert (taken.item.kind, taken.item.re, taken.item.gen) == ("reply", account.tickets[token], 1)
    assert [octets for _, octets in sorted(taken.parts.items())] == [make_octets(7), b"yes, please"]
    assert engine("stored") == {}
    assert engine("openReply", typed | {"token": other})["subject"] == "Bill"


def test_two_pdfs_in_one_browser_are_answered_into_their_own_boxes(world: World, engine: Engine) -> None:
    """The later page's session took the place of the first one's; both boxes are of generation 1."""
    boxes = [world.make_reply_box(), world.make_reply_box()]
    typed = [
        {"token": world.push_ticket(box, subject=subject), "box": box.box, "form": "b32", "secret": box.password}
        for box, subject in zip(boxes, ("Offer", "Bill"), strict=True)
    ]
    for one in typed:
        engine("openReply", one)
    refused = engine.refused("sendReply", {"page": 0, "text": "about the offer"})
    assert (refused.status, refused.code) == (401, "signed-out")
    assert world.pull() == []
    engine("sendReply", {"page": 1, "text": "about the bill"})
    (taken,) = world.pull(boxes[1])
    assert taken.parts[0] == b"about the bill"
    # The page asks for its password again.
    assert engine("openReply", typed[0])["subject"] == "Offer"
    engine("sendReply", {"text": "about the offer"})
    (taken,) = world.pull(boxes[0])
    assert taken.parts[0] == b"about the offer"


def test_a_pdf_opened_beside_a_mailbox_ends_its_session_and_touches_nothing_of_it(world: World, engine: Engine) -> None:
    account = opened(world, engine)
    message = world.push(account)
    engine("refresh")
    engine("compose", {"re": message, "subject": "Re: Your contract"})
    engine("edit", {"text": "before"})
    engine("save")
    box = world.make_reply_box()
    token = world.push_ticket(box)
    engine("openReply", {"token": token, "box": box.box, "form": "b32", "secret": box.password})
    assert engine.refused("refresh").code == "signed-out"
    # Its list is neither shown another box's rows nor forgotten, and no damage is reported.
    assert [one["id"] for one in engine("show")["messages"]] == [message]
    engine("edit", {"text": "before and after"})
    for call in ("save", "send"):
        assert engine.refused(call).code == "signed-out"
    assert engine.refused("markRead", message).code == "signed-out"
    # Signing out here leaves the reply page its session.
    engine("signOut")
    assert world.pull() == []
    engine("sendReply", {"text": "the answer"})
    assert len(world.pull(box)) == 1
    engine("signIn", {"loginName": NAME, "password": OWN})
    assert [one["id"] for one in engine("open")["messages"]] == [message]
    (draft,) = engine("listDrafts")
    assert draft["text"] == "before"


def test_the_link_of_an_older_pdf_opens_however_many_came_since(world: World, engine: Engine) -> None:
    account = world.make_reply_box()
    token = world.push_ticket(account, text="the quote", subject="Offer")
    for _ in range(205):
        world.push(account, "receipt", re=make_id(), state="arrived")
    typed = {"token": token, "box": account.box, "form": "b32", "secret": "dghz-4eb6-7gnc-xxd6"}
    assert engine("openReply", typed)["subject"] == "Offer"


def test_a_wrong_pdf_password_counts_down_and_locks(world: World, engine: Engine) -> None:
    account = world.make_reply_box(password="1234 5678 9012 3456 7890 1234", form="digits")
    token = world.push_ticket(account)
    typed = {"token": token, "box": account.box, "form": "digits", "secret": "1234"}
    wrong = engine.refused("openReply", typed)
    assert (wrong.code, wrong.body["tries_left"]) == ("wrong", 9)
    assert engine.refused("openReply", typed | {"secret": "-"}).code == "secret"
    unknown = engine.refused("openReply", typed | {"token": make_id()})
    assert unknown.status == 401
    # The box's id comes with the page: another one gives another salt, and so another password.
    assert engine.refused("openReply", typed | {"box": make_id(), "secret": "123456789012345678901234"}).code == "wrong"
    assert engine("openReply", typed | {"secret": "123456789012345678901234"})["subject"] == "Your contract"


def test_a_partner_registers_a_mailbox(world: World, engine: Engine) -> None:
    id_, link = world.invite()
    invitation = engine("openJoin", {"id": id_, "fragment": f"#{link.fragment()}"})
    assert invitation == {"org": "Example Bank", "recoverable": True}
    assert engine.refused("chooseMailbox", {"loginName": NAME, "password": "short"}).code == "short"
    engine("fault", {"method": "POST", "path": "/join$", "when": "after", "times": 1})
    engine("chooseMailbox", {"loginName": "Anna@Partner.example", "password": OWN})
    join = world.take_join(id_, link)
    assert (join.want, join.password) == ("mailbox", None)
    account = world.accept_join(join.capsule, NAME)
    session = engine("signIn", {"loginName": NAME, "password": OWN})
    assert (session["gen"], session["mustChange"], session["firstPassword"]) == (1, False, False)
    assert engine("open")["account"] == "not-yet"
    message = world.push(account)
    shown = engine("refresh")
    assert (shown["account"], [one["id"] for one in shown["messages"]]) == ("confirmed", [message])


def test_a_partner_registers_a_pdf_password(world: World, engine: Engine) -> None:
    id_, link = world.invite()
    engine("openJoin", {"id": id_, "fragment": f"#{link.fragment()}"})
    engine("choosePdf", {"password": "my own pdf password"})
    join = world.take_join(id_, link)
    assert (join.want, join.password, join.capsule) == ("pdf", "my own pdf password", None)
    used = engine.refused("openJoin", {"id": id_, "fragment": f"#{link.fragment()}"})
    assert used.status == 410


def test_a_registration_link_pins_the_organisation(world: World, engine: Engine) -> None:
    id_, link = world.invite()
    assert engine.refused("openJoin", {"id": id_, "fragment": "#abc"}).code == "link"
    stranger = type(link)(link.secret, bytes(16))
    refused = engine.refused("openJoin", {"id": id_, "fragment": f"#{stranger.fragment()}"})
    assert (refused.name, refused.code) == ("SealedDataError", "card")
    assert engine.refused("openJoin", {"id": make_id(), "fragment": f"#{link.fragment()}"}).status == 404
