"""Four eyes before a new password: who may agree, how often, what happens then, and who hears of it."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from relay.cli import mailbox, mailbox_approvals
from relay.cli.main import main
from relay.core.clock import DAY, MINUTE
from relay.core.ports import Actor
from relay.mailbox.approvals import ApprovalKeeper, ApprovalRefusedError, approve, is_same_person, order_renewal, refuse
from relay.mailbox.boxes import close_box
from relay.mailbox.generations import RESEND, RESET
from relay.mailbox.renewals import RenewalRefusedError
from relay.store.repositories.approvals import Approval
from relay.store.repositories.configuration import activate, add_draft
from relay.store.repositories.mailbox_boxes import Box, get_box
from relay.store.repositories.mailbox_cards import list_cards
from tests.contract.mailbox.test_renewals_contract import OWN, deliver, open_mailbox, texts
from tests.contract.mailbox.world import ANNA, LINK, MARIA, OTTO, TENANT, World, code_in, password_in

BEN = "ben@partner.example"
EVA, IVO, UDO = (Actor("operator", name) for name in ("eva", "ivo", "udo"))


def ask(world: World, people: int = 1, by: Actor = EVA, told: str = MARIA) -> Approval:
    with world.db.transaction() as tx:
        one = order_renewal(tx, TENANT, world.box().id, RESET, by, told=told, people=people)
    assert one is not None
    return one


def agree(world: World, one: Approval, by: Actor) -> Approval:
    with world.db.transaction() as tx:
        return approve(tx, TENANT, one.id, by)


def keep(world: World) -> None:
    ApprovalKeeper(world.db, world.notices.unapproved, tenant=TENANT, actor=LINK).run()


def events(world: World, kind: str) -> list[str]:
    with world.db.reading() as tx:
        return [row[0] for row in tx.fetch_all("SELECT actor FROM event WHERE kind = ? ORDER BY seq", [kind])]


@pytest.mark.parametrize("people", [1, 2])
def test_nothing_is_made_before_enough_others_agree(world: World, people: int) -> None:
    open_mailbox(world)
    one = ask(world, people)
    for actor in (IVO, UDO)[:people]:
        world.link()
        assert world.box().gen == 2
        assert world.sign_in(OWN)
        one = agree(world, one, actor)
    assert one.state == "done"
    world.link()
    told, recipient = world.mails(MARIA)[0], world.mails(ANNA)[0]
    assert texts(world, world.sign_in(password_in(told), code_in(recipient))) == ["first"]
    assert events(world, "approval.asked") == ["operator:eva"]
    assert events(world, "approval.given") == ["operator:ivo", "operator:udo"][:people]


def test_nobody_agrees_twice_to_his_own_wish_or_to_a_password_that_he_is_told(world: World) -> None:
    open_mailbox(world)
    one = ask(world, 2)
    agree(world, one, IVO)
    for actor in (EVA, IVO, Actor("operator", "Maria"), Actor("user", MARIA)):
        with pytest.raises(ApprovalRefusedError):
            agree(world, one, actor)
    world.link()
    assert world.box().gen == 2
    assert events(world, "approval.given") == ["operator:ivo"]


def test_refused_or_forgotten_the_sender_hears_of_it_once(world: World) -> None:
    open_mailbox(world)
    one = ask(world)
    with world.db.transaction() as tx:
        refuse(tx, TENANT, one.id, IVO)
    keep(world)
    keep(world)
    (mail,) = world.mails(MARIA)
    assert mail["Subject"] == f"No new password for {ANNA}"
    assert "looked at here and refused" in words_of(mail)
    with pytest.raises(ApprovalRefusedError):
        agree(world, one, UDO)
    late = ask(world)
    world.clock.advance(3 * DAY + MINUTE)
    with pytest.raises(ApprovalRefusedError):
        agree(world, late, UDO)
    keep(world)
    (mail,) = world.mails(MARIA)
    assert "within 3 days" in words_of(mail)
    assert events(world, "approval.refused") == ["operator:ivo"]
    assert len(events(world, "approval.expired")) == 1
    assert world.sign_in(OWN)


def test_one_request_at_a_time_and_by_the_rules_of_any_reset(world: World) -> None:
    open_mailbox(world)
    ask(world)
    with pytest.raises(RenewalRefusedError):
        ask(world, by=IVO)
    with pytest.raises(RenewalRefusedError):
        ask(world, told=OTTO)


def test_names_that_may_be_the_same_person() -> None:
    assert is_same_person("operator:eva", "user:Eva@bank.example")
    assert is_same_person("operator:eva", "eva@bank.example")
    assert not is_same_person("operator:eva", "maria@bank.example")


@pytest.mark.parametrize("login", ["4294967295", "not a number", None])
def test_without_a_login_uid_the_process_counts_and_never_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, login: str | None
) -> None:
    """One person who is root twice is one person, whatever he calls himself the second time."""
    if login is not None:
        (tmp_path / "loginuid").write_text(login)
    monkeypatch.setattr(mailbox_approvals, "_LOGIN_UID", tmp_path / "loginuid")
    for name in ("SUDO_USER", "LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "ben")
    assert mailbox_approvals.approving_actor() == Actor("operator", pwd.getpwuid(os.getuid()).pw_name)


def test_the_login_uid_stays_who_one_is_behind_sudo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "loginuid").write_text("1")
    monkeypatch.setattr(mailbox_approvals, "_LOGIN_UID", tmp_path / "loginuid")
    assert mailbox_approvals.approving_actor() == Actor("operator", pwd.getpwuid(1).pw_name)
    (tmp_path / "loginuid").write_text("3999999999")
    assert mailbox_approvals.approving_actor() == Actor("operator", "uid-3999999999")


def test_the_commands(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(world, monkeypatch, capsys)
    open_mailbox(world)
    with world.db.transaction() as tx:
        draft = add_draft(tx, TENANT, "policy", '{"switches": {"reset_approval": "one"}}', EVA)
        activate(tx, TENANT, "policy", draft.version, EVA)
    assert "Nothing waits" in run("requests", by="eva")[1]
    code, shown = run("reset", ANNA, by="eva")
    assert (code, "waits until 1 more" in shown) == (0, True)
    request = shown.split()[-1]
    code, shown = run("requests", by="ivo")
    assert (code, shown.split()[:4]) == (0, [request, "reset", ANNA, "for"])
    assert run("approve", request, by="eva")[0] == 65
    assert run("approve", "nonsense", by="ivo")[0] == 65
    assert "Ordered" in run("approve", request, by="ivo")[1]
    assert run("refuse", request, by="ivo")[0] == 65
    world.link()
    assert world.box().gen == 3


def test_after_a_leak_of_the_root_every_mailbox_is_reset(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(world, monkeypatch, capsys)
    open_mailbox(world)
    assert run("list", "--old-root", by="eva") == (0, "There is no such mailbox.\n")
    world.new_root()
    code, shown = run("list", "--old-root", by="eva")
    assert code == 0
    assert shown.startswith(f"{ANNA}  active")
    deliver(world, sender=OTTO)
    world.mails(ANNA)
    assert "1 resets ordered" in run("reset", "--all", "--yes", by="eva")[1]
    world.link()
    browser = world.sign_in(password_in(world.mails(OTTO)[0]), code_in(world.mails(ANNA)[0]))
    with world.db.reading() as tx:
        assert len(list_cards(tx, TENANT)) == 2
    assert browser.opened.body.root == browser.cards.newest.root
    assert run("list", "--old-root", by="eva") == (0, "There is no such mailbox.\n")
    # Asked for twice by mistake: what is ordered already is left alone, a day or not.
    world.choose_password(browser, "another long password")
    assert "1 resets ordered" in run("reset", "--all", "--yes", by="eva")[1]
    assert run("reset", "--all", "--yes", by="eva")[0] == 65


def test_a_mailbox_closed_in_the_middle_ends_no_reset_of_all(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(world, monkeypatch, capsys)
    world.send(to=BEN)
    deliver(world)
    listed = [world.box(ANNA), world.box(BEN)]
    with world.db.transaction() as tx:
        close_box(tx, get_box(tx, TENANT, listed[0].id, lock=True), EVA)

    def list_as_before(*_: object, state: str, **__: object) -> list[Box]:
        return [one for one in listed if one.state == state]

    monkeypatch.setattr("relay.store.repositories.mailbox_boxes.list_boxes", list_as_before)
    code, shown = run("reset", "--all", "--yes", by="eva")
    assert (code, ANNA in shown, "1 resets ordered; 1 left" in shown) == (65, True, True)


def test_resend_waits_like_a_reset(world: World) -> None:
    deliver(world)
    with world.db.transaction() as tx:
        one = order_renewal(tx, TENANT, world.box().id, RESEND, Actor("user", MARIA), told=MARIA, people=1)
    assert one is not None
    world.link()
    assert world.box().gen == 1
    agree(world, one, IVO)
    world.link()
    assert world.box().gen == 2


def test_a_browser_that_takes_new_keys_by_itself_says_so(world: World) -> None:
    """Yearly new cards ask for no new password; but a thief may choose one with them, and nobody here can tell."""
    browser = open_mailbox(world)
    world.new_card()
    browser.cards = world.sign_in(OWN).cards
    browser = world.choose_password(browser, OWN)
    (mail,) = world.mails(ANNA)
    assert "uses new keys" in str(mail["Subject"]) or "neue Schlüssel" in str(mail["Subject"])
    said = words_of(mail)
    assert "we cannot see" in said
    assert "können wir nicht sehen" in said
    assert "was not changed" not in said
    assert "nicht geändert" not in said
    world.choose_password(browser, "another long password")
    (mail,) = world.mails(ANNA)
    assert "was changed" in str(mail["Subject"]) or "geändert" in str(mail["Subject"])


def words_of(mail: EmailMessage) -> str:
    return " ".join(mail.get_body(("plain",)).get_content().split())  # type: ignore[union-attr]


def make_run(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    @contextmanager
    def open_here(_: object) -> Any:
        yield SimpleNamespace(host=SimpleNamespace(tenant=TENANT)), world.db

    for module in (mailbox, mailbox_approvals):
        monkeypatch.setattr(module, "open_inside", open_here)

    def run(*words: str, by: str) -> tuple[int, str]:
        for module in (mailbox, mailbox_approvals):
            monkeypatch.setattr(module, "approving_actor", lambda: Actor("operator", by))
        code = main(["mailbox", *words])
        shown = capsys.readouterr()
        return code, shown.out + shown.err

    return run
