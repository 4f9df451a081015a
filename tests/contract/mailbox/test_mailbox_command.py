"""`letterlock mailbox`, through its own parser, over a world with a mailbox in it."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from relay.cli import mailbox
from relay.cli.main import main
from relay.store.repositories.mailbox_pushes import waiting_pushes
from tests.contract.mailbox.test_reply_boxes_contract import send_pdf
from tests.contract.mailbox.world import ANNA, MARIA, OTTO, TENANT, World, code_in, password_in

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command; return its exit code and what it wrote."""

    @contextmanager
    def open_here(_: object) -> Iterator[tuple[Any, Any]]:
        yield SimpleNamespace(host=SimpleNamespace(tenant=TENANT)), world.db

    monkeypatch.setattr(mailbox, "open_inside", open_here)

    def run(*words: str) -> tuple[int, str]:
        code = main(["mailbox", *words])
        shown = capsys.readouterr()
        return code, shown.out + shown.err

    return run


@pytest.fixture
def secret(world: World) -> str:
    """A mailbox with one mail; return its first password."""
    world.send(subject="Canary-Subject")
    world.work()
    world.link()
    return password_in(world.mails(MARIA)[0])


def test_list_and_show_tell_states_and_no_secret(world: World, run: Run, secret: str) -> None:
    code, shown = run("list")
    assert (code, shown) == (0, f"{ANNA}  first    messages 1  unread 1\n")
    assert run("list", "--state", "active") == (0, "There is no such mailbox.\n")
    code, shown = run("show", ANNA)
    assert code == 0
    assert f"told to {MARIA}" in shown
    assert "in the portal, kept until" in shown
    assert "password 1" in shown
    assert secret not in shown
    assert "Canary" not in shown


def test_unlock_opens_reply_pages_by_pushing_them_again(world: World, run: Run) -> None:
    assert run("unlock", ANNA)[0] == 65
    send_pdf(world)
    world.link()
    assert run("unlock", ANNA) == (0, "1 reply pages take passwords again as soon as the portal is reached.\n")
    with world.db.reading() as tx:
        assert [(one.kind, one.ref) for one in waiting_pushes(tx, TENANT)] == [("box", "1")]


def test_reset_goes_to_the_only_sender_or_to_the_one_named(world: World, run: Run, secret: str) -> None:
    world.choose_password(world.sign_in(secret), "a long password of mine")
    code, shown = run("resend", ANNA)
    assert code == 65
    assert "use reset" in shown
    code, shown = run("reset", ANNA)
    assert (code, MARIA in shown) == (0, True)
    code, shown = run("reset", ANNA)
    assert code == 65
    world.mails(MARIA)
    world.mails(ANNA)
    world.link()
    assert world.sign_in(password_in(world.mails(MARIA)[0]), code_in(world.mails(ANNA)[0]))


def test_reset_with_several_senders_asks_which(world: World, run: Run, secret: str) -> None:
    world.send(sender=OTTO)
    world.work()
    code, shown = run("reset", ANNA)
    assert code == 65
    assert MARIA in shown
    assert OTTO in shown
    assert run("reset", ANNA, "--sender", OTTO)[0] == 0
    assert run("reset", ANNA, "--sender", "eva@bank.example")[0] == 65


def test_revoke_takes_a_message_out_once(world: World, run: Run, secret: str) -> None:
    message_id = next(iter(world.portal[world.box().id].messages))
    assert run("revoke", ANNA, message_id)[0] == 0
    assert run("revoke", ANNA, message_id)[0] == 65
    assert run("revoke", ANNA, "AAAAAAAAAAAAAAAAAAAAAA")[0] == 65
    world.link()
    assert world.portal[world.box().id].messages == {}
    assert "removed" in run("show", ANNA)[1]


def test_close_asks_first(world: World, run: Run, secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("no\n"))
    assert "Nothing was done" in run("close", ANNA)[1]
    assert world.box().state == "first"
    monkeypatch.setattr(sys, "stdin", io.StringIO("yes\n"))
    assert run("close", ANNA)[0] == 0
    assert world.box().state == "closed"
    assert run("show", ANNA)[0] == 65
    assert run("close", ANNA, "--yes")[0] == 65


def test_expire_ends_the_first_password(world: World, run: Run, secret: str) -> None:
    assert run("expire", ANNA)[0] == 0
    assert run("expire", ANNA)[0] == 0
    world.link()
    assert world.box().state == "expired"
    assert run("expire", ANNA)[0] == 65


def test_must_change_is_asked_of_mailboxes_in_use_until_they_have_it(world: World, run: Run, secret: str) -> None:
    assert run("must-change", "--all") == (0, "0 mailboxes ask for a new password as soon as the portal is reached.\n")
    world.choose_password(world.sign_in(secret), "a long password of mine")
    assert run("must-change", ANNA)[1].startswith("1 mailboxes")
    assert run("must-change", "--all")[1].startswith("0 mailboxes")
    assert world.box().must_change
    world.link()
    mailbox = world.sign_in("a long password of mine")
    world.choose_password(mailbox, "another long password")
    assert not world.box().must_change
    assert run("must-change", "--all")[1].startswith("1 mailboxes")
    assert run("must-change")[0] == 64
    assert run("must-change", ANNA, "--all")[0] == 64


def test_nobody_there(world: World, run: Run) -> None:
    assert run("show", "eva@partner.example")[0] == 65
    assert run("show", "not an address")[0] == 65
