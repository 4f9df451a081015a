"""Row 26 of the fault table: the link is down, or minds change before the push: mail waits, nobody is told early."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.gateway import Gateway, Left, password_of
from tests.system.portal.dmz_host import DmzHost
from tests.system.portal.partner import Partner
from tests.system.portal_walk import ANNA, OWN, text_of, to, wait_for_first_password, write_to

pytestmark = pytest.mark.timeout(400)
WAITING = ("queued", "deferred")
PATIENCE = 120.0


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path_factory.mktemp("link-down") / "state", portal=True).start()
    yield gateway
    assert gateway.stop() == 0


def about(left: list[Left], partner: str) -> list[Left]:
    """Return every mail that was sent to the partner or names the partner in its subject."""
    return [one for one in left if one.rcpt_to == [partner] or partner in str(one.message["Subject"])]


def wait_for_tries(gateway: Gateway, *ids: str) -> None:
    """Wait until these mails are sealed, and the inside has noticed that the portal is away."""
    gateway.wait_until(lambda: all(gateway.copies(one)[0].state in WAITING for one in ids), PATIENCE)
    gateway.wait_until(lambda: "LinkDownError" in str(gateway.health()), PATIENCE)


def test_mail_waits_for_the_portal_and_what_changes_its_way_is_not_pushed(gateway: Gateway) -> None:
    host = DmzHost(gateway)
    names = {name: f"{name}.waits@kanzlei.example" for name in ("sofia", "held", "dropped", "other")}
    with host.away():
        ids = {
            name: gateway.send(write_to(partner, f"Plan for {name}", f"Waiting text for {name}\n"), ANNA, partner)
            for name, partner in names.items()
        }
        wait_for_tries(gateway, *ids.values())
        assert [one for name in names.values() for one in about(gateway.outbox(), name)] == []
        gateway.cli("queue", "hold", ids["held"], "--reason", "test")
        gateway.cli("queue", "drop", ids["dropped"], "--reason", "test")
        # The policy is another one by now: what is decided anew leaves as a PDF, what was decided stays as decided.
        gateway.put("policy", lambda policy: policy.update(methods=["pdf"]))
        gateway.cli("queue", "hold", ids["other"], "--reason", "test")
        gateway.cli("queue", "release", ids["other"])
        left = gateway.wait(lambda left: to(left, names["other"]) and to(left, ANNA, names["other"]), PATIENCE)
        assert len(to(left, names["other"])) == 1
        assert to(left, names["other"])[0].pdf
        assert password_of(to(left, ANNA, names["other"])[0])
        gateway.put("policy", lambda policy: policy.update(methods=["webmail"]))

    first, _ = wait_for_first_password(gateway, names["sofia"])
    sofia = Partner(gateway, names["sofia"]).begin(first, OWN)
    assert sofia.subjects() == ["Plan for sofia"]
    assert gateway.copies(ids["sofia"])[0].state == "delivered"
    assert gateway.copies(ids["held"])[0].state == "held"
    assert gateway.copies(ids["dropped"])[0].state == "discarded"
    # Time for what must not come: the queue is empty, and the inside has heard of the first login.
    gateway.wait(lambda left: to(left, ANNA, f"{names['sofia']} has opened"), PATIENCE)
    left = gateway.outbox()
    assert len(to(left, names["sofia"])) == 2  # the notice, and that the password was changed
    assert len(to(left, ANNA, names["sofia"])) == 2  # the first password, and that it was used
    assert about(left, names["held"]) == []
    assert about(left, names["dropped"]) == []
    assert [one.hop for one in to(left, names["other"])] == ["outside"]
    assert gateway.sql("SELECT count(*) FROM mailbox_message WHERE kind = 'mail' AND pushed_at > 0") == [(1,)]
    for one in left:
        assert b"Waiting text" not in one.raw

    # What was held goes on when it is let go.
    gateway.cli("queue", "release", ids["held"])
    first, _ = wait_for_first_password(gateway, names["held"])
    assert Partner(gateway, names["held"]).begin(first, OWN).subjects() == ["Plan for held"]


def test_readers_go_on_while_the_inside_is_cut_off(gateway: Gateway) -> None:
    host = DmzHost(gateway)
    partner = "nils.cut@kanzlei.example"
    gateway.send(write_to(partner, "Before the cut", "first text\n"), ANNA, partner)
    first, _ = wait_for_first_password(gateway, partner)
    nils = Partner(gateway, partner).begin(first, OWN)
    # A rekey that the inside has heard of; until then no reply is taken (its generation is not known).
    gateway.wait(lambda left: to(left, ANNA, f"{partner} has opened"), PATIENCE)
    (message,) = nils.inbox()
    with host.away("link"):
        waiting = gateway.send(write_to(partner, "During the cut", "second text\n"), ANNA, partner)
        item = nils.reply(message.manifest.id, "An answer during the cut.", {"answer.bin": b"7" * 3_000_000})
        gateway.wait_until(lambda: gateway.copies(waiting)[0].state in WAITING, PATIENCE)
        assert nils.subjects() == ["Before the cut"]
        assert nils.sent_states() == {item.id: "waiting"}
        assert to(gateway.outbox(), ANNA, "Re: ") == []
    gateway.wait(lambda left: to(left, ANNA, "Re: "), PATIENCE)
    gateway.wait_settled(waiting, seconds=PATIENCE)
    gateway.wait_until(lambda: nils.sent_states() == {item.id: "taken"}, PATIENCE)
    assert nils.subjects() == ["Before the cut", "During the cut"]
    (arrived,) = to(gateway.outbox(), ANNA, "Re: ")
    assert "An answer during the cut." in text_of(arrived)


def test_a_link_that_stays_down_is_told_in_words_and_ends(gateway: Gateway) -> None:
    host = DmzHost(gateway)
    partner = "late.waits@kanzlei.example"
    with host.away():
        mail = gateway.send(write_to(partner, "Too late", "Secret of the late mail\n"), ANNA, partner)
        gateway.wait_until(lambda: gateway.copies(mail)[0].state in WAITING, PATIENCE)
        assert about(gateway.outbox(), partner) == []
        gateway.set_clock(5 * 3600)
        gateway.wait_until(lambda: reports(gateway, partner, "delayed"), PATIENCE)
        assert gateway.copies(mail)[0].state in WAITING
        gateway.set_clock(6 * 86400)
        gateway.wait_until(lambda: reports(gateway, partner, "failed"), PATIENCE)
        assert gateway.copies(mail)[0].state == "failed"
    # The portal is back: nobody hears of a mail that was given up.
    marker = "mark.waits@kanzlei.example"
    gateway.send(write_to(marker, "Afterwards", "x\n"), ANNA, marker)
    wait_for_first_password(gateway, marker)
    left = gateway.outbox()
    assert to(left, partner) == []
    assert to(left, ANNA, f"mailbox of {partner}") == []
    assert len(reports(gateway, partner, "delayed")) == 1
    assert len(reports(gateway, partner, "failed")) == 1
    for one in reports(gateway, partner, "delayed") + reports(gateway, partner, "failed"):
        assert one.rcpt_to == [ANNA]
        assert one.mail_from == ""
        assert partner in text_of(one)
        assert b"Secret of the late mail" not in one.raw


def reports(gateway: Gateway, partner: str, action: str) -> list[Left]:
    """Return the delivery status notifications of this kind about a partner (RFC 3464)."""
    found = []
    for one in gateway.outbox():
        if one.message.get_content_type() == "multipart/report":
            status = next(part for part in one.message.walk() if part.get_content_type() == "message/delivery-status")
            if partner in status.as_string() and f"Action: {action}" in status.as_string():
                found.append(one)
    return found
