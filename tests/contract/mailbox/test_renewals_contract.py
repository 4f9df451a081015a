"""Resend, reset, expiry, close, recall: who gets what, what opens afterwards, and the code rule."""

from __future__ import annotations

import os

import pytest

from relay.core.clock import DAY, HOUR, MINUTE
from relay.core.ports import Actor, Grant
from relay.core.wire.sealed import MailboxDataError
from relay.mailbox.boxes import close_box, recall_message
from relay.mailbox.generations import RESEND, RESET
from relay.mailbox.renewals import RenewalRefusedError, queue_due_expiries, request_expiry, request_renewal
from relay.mailbox.states import BoxStateError
from relay.store.errors import ConflictError
from relay.store.repositories.mailbox_boxes import get_box
from relay.store.repositories.mailbox_generations import generations_of
from relay.store.repositories.mailbox_messages import messages_of_box
from relay.store.repositories.mailbox_pushes import RENEW, waiting_pushes
from tests.contract.mailbox.browser import Browser
from tests.contract.mailbox.world import (
    ANNA,
    LINK,
    MARIA,
    OTTO,
    TENANT,
    World,
    code_in,
    password_in,
)

OPERATOR = Actor("operator", "eva")
OWN = "a long password of mine"


def deliver(world: World, sender: str = MARIA, body: str = "hello\n") -> None:
    world.send(sender=sender, body=body)
    world.work()
    world.link()


def open_mailbox(world: World) -> Browser:
    """Bring the first mail, and let the reader choose a password."""
    deliver(world, body="first\n")
    browser = world.choose_password(world.sign_in(password_in(world.mails(MARIA)[0])), OWN)
    world.mails(MARIA)
    world.mails(ANNA)
    return browser


def renew(world: World, cause: str, told: str = MARIA) -> None:
    with world.db.transaction() as tx:
        request_renewal(tx, TENANT, world.box().id, cause, OPERATOR, told=told)
    world.link()


def texts(world: World, browser: Browser) -> list[str]:
    return [browser.read(one).part("text").decode().strip() for one in world.inbox(browser)]


def test_reset_gives_the_sender_a_password_that_opens_all_kept_mail(world: World) -> None:
    open_mailbox(world)
    deliver(world, body="second\n")
    world.mails(ANNA)
    renew(world, RESET)
    (told,), (recipient,) = world.mails(MARIA), world.mails(ANNA)
    with pytest.raises(MailboxDataError):
        world.sign_in(OWN)
    # A used mailbox holds what its reader wrote: a code, though nobody but this sender ever wrote to it.
    with pytest.raises(MailboxDataError):
        world.sign_in(password_in(told))
    browser = world.sign_in(password_in(told), code_in(recipient))
    assert texts(world, browser) == ["first", "second"]
    assert "new first password" in recipient["Subject"]
    assert (world.box().state, world.box().gen) == ("first", 3)
    again = world.choose_password(browser, "another long password")
    assert texts(world, again) == ["first", "second"]


def test_mailbox_with_mail_of_a_colleague_needs_a_code_that_only_the_recipient_gets(world: World) -> None:
    open_mailbox(world)
    deliver(world, sender=OTTO, body="of otto\n")
    world.mails(ANNA)
    renew(world, RESET)
    (told,), (recipient,) = world.mails(MARIA), world.mails(ANNA)
    password, code = password_in(told), code_in(recipient)
    assert code not in told.as_string()
    assert password not in recipient.as_string()
    with pytest.raises(MailboxDataError):
        world.sign_in(password)
    browser = world.sign_in(password, code.lower())
    assert texts(world, browser) == ["first", "of otto"]


@pytest.mark.parametrize("is_opened", [False, True])
def test_colleague_whose_mail_has_expired_still_brings_the_code(world: World, is_opened: bool) -> None:
    """The portal keeps what the reader answered to Otto, for longer than Otto's mail: Maria shall not read it."""
    if is_opened:
        open_mailbox(world)
    else:
        deliver(world, body="first\n")
        world.mails(MARIA)
    deliver(world, sender=OTTO, body="of otto\n")
    with world.db.transaction() as tx:
        (of_otto,) = [one for one in messages_of_box(tx, TENANT, world.box().id, is_kept=True) if one.sender == OTTO]
        assert recall_message(tx, TENANT, world.box().id, of_otto.id, LINK, why="expiry")
    world.link()
    world.mails(ANNA)
    renew(world, RESET)
    (told,), (recipient,) = world.mails(MARIA), world.mails(ANNA)
    with pytest.raises(MailboxDataError):
        world.sign_in(password_in(told))
    assert texts(world, world.sign_in(password_in(told), code_in(recipient))) == ["first"]


@pytest.mark.parametrize("column", ["capsule", "key"])
@pytest.mark.parametrize("gen", [1, 2])
def test_reset_goes_on_without_one_damaged_capsule_and_says_so(world: World, gen: int, column: str) -> None:
    open_mailbox(world)
    deliver(world, body="second\n")
    world.mails(ANNA)
    with world.db.transaction() as tx:
        tx.run(
            f"UPDATE mailbox_generation SET {column} = ? WHERE box = ? AND gen = ?",
            [os.urandom(300), world.box().id, gen],
        )
    renew(world, RESET)
    (told,), (recipient,) = world.mails(MARIA), world.mails(ANNA)
    browser = world.sign_in(password_in(told), code_in(recipient))
    is_lost = gen == 2  # the first one's seed stands in the body of the second, the second's nowhere else
    words = " ".join(told.get_body(("plain",)).get_content().split())  # type: ignore[union-attr]
    assert ("cannot be opened any more" in words) is is_lost
    listed = world.inbox(browser)
    assert browser.read(listed[0]).part("text") == b"first\n"
    if is_lost:
        with pytest.raises(MailboxDataError):
            browser.read(listed[1])
    else:
        assert browser.read(listed[1]).part("text") == b"second\n"
    with world.db.reading() as tx:
        (alert,) = tx.fetch_all("SELECT detail FROM event WHERE kind = 'alert.raised'")
    assert f"password {gen} are damaged" in alert[0]
    assert ("stays shut" in alert[0]) is is_lost


def test_mail_of_a_colleague_in_the_moment_of_a_reset_brings_the_code(world: World) -> None:
    """The code rule holds for what lies in the mailbox when the password is stored, not when it is made."""
    deliver(world)
    world.mails(MARIA)
    with world.db.transaction() as tx:
        request_renewal(tx, TENANT, world.box().id, RESEND, OPERATOR, told=MARIA)
        (push,) = [one for one in waiting_pushes(tx, TENANT) if one.kind == RENEW]
    renewal = world.renewals.prepare(push, Grant("mailbox", push.box, str(LINK)))
    assert renewal is not None
    world.send(sender=OTTO, body="of otto\n")
    world.work()
    with pytest.raises(ConflictError), world.db.transaction() as tx:
        world.renewals.record(tx, renewal)
    world.link()
    told = next(mail for mail in world.mails(MARIA) if "First password" in mail["Subject"])
    with pytest.raises(MailboxDataError):
        world.sign_in(password_in(told))


def test_first_account_needs_no_code_and_a_colleagues_mail_makes_no_second_password(world: World) -> None:
    deliver(world)
    deliver(world, sender=OTTO, body="of otto\n")
    assert len(world.mails(MARIA)) == 1
    assert world.mails(OTTO) == []
    assert world.box().code_needed is False


def test_resend_before_the_first_login(world: World) -> None:
    deliver(world)
    old = password_in(world.mails(MARIA)[0])
    world.mails(ANNA)
    renew(world, RESEND)
    new = password_in(world.mails(MARIA)[0])
    with pytest.raises(MailboxDataError):
        world.sign_in(old)
    assert texts(world, world.sign_in(new)) == ["hello"]
    assert len(world.mails(ANNA)) == 1


def test_resend_after_the_first_login_is_refused_with_what_to_do(world: World) -> None:
    open_mailbox(world)
    with world.db.transaction() as tx, pytest.raises(BoxStateError, match="use reset"):
        request_renewal(tx, TENANT, world.box().id, RESEND, OPERATOR, told=MARIA)


def test_reader_who_is_just_in_time_keeps_his_password(world: World) -> None:
    deliver(world)
    browser = world.sign_in(password_in(world.mails(MARIA)[0]))
    with world.db.transaction() as tx:
        request_renewal(tx, TENANT, world.box().id, RESEND, OPERATOR, told=MARIA)
    world.choose_password(browser, OWN)
    world.mails(MARIA)
    world.link()
    assert world.sign_in(OWN)
    assert world.mails(MARIA) == []


def test_once_a_day_and_only_to_somebody_who_wrote(world: World) -> None:
    open_mailbox(world)
    with world.db.transaction() as tx, pytest.raises(RenewalRefusedError):
        request_renewal(tx, TENANT, world.box().id, RESET, OPERATOR, told=OTTO)
    renew(world, RESET)
    with world.db.transaction() as tx, pytest.raises(RenewalRefusedError):
        request_renewal(tx, TENANT, world.box().id, RESET, OPERATOR, told=MARIA)
    world.clock.advance(DAY + MINUTE)
    renew(world, RESET)
    assert world.box().gen == 4


def test_two_requests_at_once_make_one_password(world: World) -> None:
    open_mailbox(world)
    with world.db.transaction() as tx:
        request_renewal(tx, TENANT, world.box().id, RESET, OPERATOR, told=MARIA)
    with world.db.transaction() as tx, pytest.raises(RenewalRefusedError):
        request_renewal(tx, TENANT, world.box().id, RESET, OPERATOR, told=MARIA)


def test_unused_first_password_expires_and_the_next_mail_makes_another(world: World) -> None:
    deliver(world, body="first\n")
    old = password_in(world.mails(MARIA)[0])
    world.clock.advance(7 * DAY + HOUR)
    assert queue_due_expiries(world.db, TENANT, LINK) == 1
    world.link()
    assert queue_due_expiries(world.db, TENANT, LINK) == 0
    assert world.box().state == "expired"
    (void,) = world.mails(MARIA)
    assert void["Subject"] == f"The first password for {ANNA} is void"
    deliver(world, body="second\n")
    new = password_in(world.mails(MARIA)[0])
    browser = world.sign_in(new)
    assert new != old
    # The mail that waited under the void password is there too.
    assert texts(world, browser) == ["first", "second"]
    assert [one.gen for one in world.inbox(browser)] == [1, 2]


def test_colleague_who_writes_after_an_expiry_needs_the_recipients_code(world: World) -> None:
    deliver(world, body="of maria\n")
    world.mails(ANNA)
    with world.db.transaction() as tx:
        request_expiry(tx, TENANT, world.box().id, LINK, why="tries")
    world.link()
    deliver(world, sender=OTTO, body="of otto\n")
    password = password_in(world.mails(OTTO)[0])
    with pytest.raises(MailboxDataError):
        world.sign_in(password)
    code = code_in(next(mail for mail in world.mails(ANNA) if "new first password" in mail["Subject"]))
    assert texts(world, world.sign_in(password, code)) == ["of maria", "of otto"]


def test_without_escrow_a_reset_after_the_first_login_loses_old_mail_and_says_so(world: World) -> None:
    world.new_card(escrow=False)
    open_mailbox(world)
    renew(world, RESET)
    (told,), (recipient,) = world.mails(MARIA), world.mails(ANNA)
    assert "cannot be opened any more" in " ".join(told.get_body(("plain",)).get_content().split())  # type: ignore[union-attr]
    browser = world.sign_in(password_in(told), code_in(recipient))
    (listed,) = world.inbox(browser)
    with pytest.raises(MailboxDataError):
        browser.read(listed)
    deliver(world, body="after\n")
    assert browser.read(world.inbox(browser)[1]).part("text") == b"after\n"


def test_without_escrow_a_resend_before_the_first_login_loses_nothing(world: World) -> None:
    world.new_card(escrow=False)
    deliver(world, body="first\n")
    world.mails(MARIA)
    renew(world, RESEND)
    browser = world.sign_in(password_in(world.mails(MARIA)[0]))
    assert texts(world, browser) == ["first"]
    with world.db.reading() as tx:
        assert all(one.seed for one in generations_of(tx, TENANT, world.box().id))


def test_closed_mailbox_is_destroyed_and_the_next_mail_makes_another_one(world: World) -> None:
    open_mailbox(world)
    box = world.box()
    with world.db.transaction() as tx:
        close_box(tx, get_box(tx, TENANT, box.id, lock=True), OPERATOR)
    world.link()
    assert world.portal[box.id].ended == ["close"]
    with world.db.reading() as tx:
        assert all(one.capsule is None and one.seed is None for one in generations_of(tx, TENANT, box.id))
        assert all(one.sealed == b"" for one in messages_of_box(tx, TENANT, box.id))
    assert world.spool.count("mailbox_chunk") == 0
    with world.db.transaction() as tx, pytest.raises(BoxStateError):
        close_box(tx, get_box(tx, TENANT, box.id, lock=True), OPERATOR)
    deliver(world, body="anew\n")
    assert world.box().id != box.id
    assert texts(world, world.sign_in(password_in(world.mails(MARIA)[0]))) == ["anew"]


def test_recalled_message_is_gone_on_both_sides(world: World) -> None:
    browser = open_mailbox(world)
    box = world.box()
    (listed,) = world.inbox(browser)
    with world.db.transaction() as tx:
        assert recall_message(tx, TENANT, box.id, listed.id, OPERATOR, why="recall")
    with world.db.transaction() as tx:
        assert not recall_message(tx, TENANT, box.id, listed.id, OPERATOR, why="recall")
    world.link()
    assert world.inbox(browser) == []
    assert world.spool.count("mailbox_chunk") == 0


def test_password_that_was_never_told_goes_with_its_generation(world: World) -> None:
    world.send()
    world.work()
    # The portal is away; meanwhile an operator closes the box.
    box = world.box()
    with world.db.transaction() as tx:
        held = get_box(tx, TENANT, box.id, lock=True)
        close_box(tx, held, OPERATOR)
        world.notices.box_closed(tx, held)
    world.link()
    assert [mail for mail in world.mails(MARIA) if "First password" in mail["Subject"]] == []


@pytest.mark.parametrize("why", ["time", "tries"])
def test_an_end_that_waited_behind_a_resend_does_not_end_the_new_password(world: World, why: str) -> None:
    deliver(world)
    world.mails(MARIA)
    with world.db.transaction() as tx:
        request_renewal(tx, TENANT, world.box().id, RESEND, OPERATOR, told=MARIA)
        request_expiry(tx, TENANT, world.box().id, LINK, why=why)
    world.link()
    assert (world.box().state, world.box().gen) == ("first", 2)
    told = next(mail for mail in world.mails(MARIA) if "First password" in mail["Subject"])
    assert texts(world, world.sign_in(password_in(told))) == ["hello"]


def test_resend_is_made_though_the_end_of_the_password_before_it_still_waits(world: World) -> None:
    deliver(world)
    world.mails(MARIA)
    with world.db.transaction() as tx:
        request_expiry(tx, TENANT, world.box().id, LINK, why="time")
        request_renewal(tx, TENANT, world.box().id, RESEND, OPERATOR, told=MARIA)
    world.link()
    assert (world.box().state, world.box().gen) == ("first", 2)
    told = next(mail for mail in world.mails(MARIA) if "First password" in mail["Subject"])
    assert texts(world, world.sign_in(password_in(told))) == ["hello"]
