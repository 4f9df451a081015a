"""Reports to the sender, from a real refusal to a real mail at the sender's server, judged by Python's own parser."""

from __future__ import annotations

import re
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest

from relay.core.clock import DAY, HOUR, MINUTE
from relay.core.decision import Decision, Method, Reason
from relay.core.envelope import Recipient
from relay.delivery.reports import DsnReports
from relay.store.repositories.decisions import insert_decisions
from relay.store.repositories.events import recent_events
from tests.contract.delivery.conftest import ACTOR, Bench, running
from tests.integration.delivery.fault_server import Dialogue, FaultServer

SENDER = "anna.keller@bank.example"
DATA = (
    b"Message-ID: <offer-1@bank.example>\r\nFrom: Anna Keller <anna.keller@bank.example>\r\n"
    b"Subject: Kreditangebot 4711\r\nX-Intern: secret-field\r\n\r\nVertraulicher Text\r\n"
)


def refusing(words: str, verb: str = "RCPT", at: str = "partner.example") -> object:
    def script(_: Dialogue, command: str) -> str | None:
        return words if command.startswith(verb) and (verb != "RCPT" or at in command) else None

    return script


def run_until(bench: Bench, server: FaultServer, state: str, message: str, mails: int) -> list[EmailMessage]:
    hop = f"outside:127.0.0.1:{server.port}"
    reports = make_reports(bench, hop)
    with running(bench.deliverer(server.port, reports=reports)) as wait_until:
        wait_until(lambda: set(bench.states(message)) == {state})
        bench.clock.advance(50)
        wait_until(lambda: len(server.mails) >= mails)
    return [message_from_bytes(mail.data, policy=policy.default) for mail in server.mails]  # type: ignore[misc]


def make_reports(bench: Bench, hop: str) -> DsnReports:
    is_own = lambda address: address.endswith("@bank.example")  # noqa: E731
    return DsnReports(bench.database, bench.token, "gate.bank.example", ACTOR, lambda _: hop, is_own=is_own)


def status_of(report: EmailMessage) -> tuple[dict[str, str], list[dict[str, str]]]:
    assert report.get_content_type() == "multipart/report"
    assert report.get_param("report-type") == "delivery-status"
    kinds = [part.get_content_type() for part in report.iter_parts()]
    assert kinds[:2] == ["text/plain", "message/delivery-status"]
    groups = [dict(group.items()) for group in list(report.iter_parts())[1].iter_parts()]
    return groups[0], groups[1:]


@pytest.fixture
def hop_server():
    with FaultServer(script=refusing("550 5.1.1 no such user")) as server:
        yield server


def put(bench: Bench, server: FaultServer, *recipients: Recipient, **more: object) -> str:
    return bench.put(*recipients, data=DATA, hop=f"outside:127.0.0.1:{server.port}", **more)


def test_refusal_comes_back_as_a_report(bench, hop_server):
    to = Recipient("jonas@partner.example", orcpt="rfc822;jonas@partner.example")
    message = put(bench, hop_server, to, dsn_envid="QQ+2B7")
    (report,) = run_until(bench, hop_server, "failed", message, 1)
    head, (group,) = status_of(report)
    assert hop_server.mails[0].mail_line.startswith("MAIL FROM:<> ")
    assert hop_server.mails[0].rcpt_lines[0].startswith(f"RCPT TO:<{SENDER}>")
    assert head["Reporting-MTA"] == "dns; gate.bank.example"
    assert head["Original-Envelope-Id"] == "QQ+7"
    assert group["Action"] == "failed"
    assert group["Status"] == "5.1.1"
    assert group["Diagnostic-Code"] == "smtp; 550 5.1.1 no such user"
    assert report["Auto-Submitted"].startswith("auto-")
    assert "Vertraulicher Text" not in report.as_string()
    assert "Kreditangebot 4711" in report.as_string()


@pytest.mark.parametrize(
    ("options", "reverse_path"),
    [
        ({"confidential": True}, SENDER),
        ({"subject_policy": "generic"}, SENDER),
        ({}, "anna@agency.example"),
    ],
)
def test_no_subject_comes_back_that_policy_hides_or_a_stranger_would_read(bench, hop_server, options, reverse_path):
    variant = b"Subject: x\r\n\r\nlocked\r\n"
    message = put(bench, hop_server, method=Method.PDF, variant=variant, reverse_path=reverse_path)
    copy = bench.copies(message)[0]
    decision = Decision(Method.PDF, Reason.KEYWORD, "For the test.", **options)
    with bench.database.transaction() as tx:
        (better,) = insert_decisions(tx, "main", message, [(copy.id, decision)])
        tx.run("UPDATE copy SET decision_id = ? WHERE id = ?", [better, copy.id])
    (report,) = run_until(bench, hop_server, "failed", message, 1)
    text = report.as_string()
    assert "4711" not in text
    assert "secret-field" not in text
    assert "locked" not in text
    assert "Vertraulich" not in text
    assert "offer-1@bank.example" in text


@pytest.mark.parametrize(
    ("reverse_path", "notify"),
    [("", None), (SENDER, frozenset({"NEVER"})), (SENDER, frozenset({"SUCCESS"})), (SENDER, frozenset({"DELAY"}))],
)
def test_nobody_is_told_who_did_not_ask(bench, hop_server, reverse_path, notify):
    message = put(bench, hop_server, Recipient("jonas@partner.example", notify), reverse_path=reverse_path)
    assert run_until(bench, hop_server, "failed", message, 0) == []
    with bench.database.reading() as tx:
        assert tx.fetch_one("SELECT count(*) FROM message") == (1,)


def test_only_the_refused_recipient_is_named(bench, hop_server):
    message = put(bench, hop_server, Recipient("jonas@partner.example"), Recipient("mia@other.example"))
    hop = f"outside:127.0.0.1:{hop_server.port}"
    reports = make_reports(bench, hop)
    with running(bench.deliverer(hop_server.port, reports=reports)) as wait_until:
        wait_until(lambda: bench.states(message) == ["failed", "delivered"])
        bench.clock.advance(50)
        wait_until(lambda: len(hop_server.mails) == 2)
    report = message_from_bytes(hop_server.mails[-1].data, policy=policy.default)
    assert "jonas@partner.example" in report.as_string()
    assert "mia@other.example" not in report.as_string()


def count_delivered(bench: Bench) -> int:
    with bench.database.reading() as tx:
        row = tx.fetch_one("SELECT count(*) FROM copy WHERE state = 'delivered'")
    assert row is not None
    return int(row[0])


def test_delay_then_giving_up(bench):
    with FaultServer(script=refusing("451 4.3.2 full", at="jonas@")) as server:
        message = put(bench, server, Recipient("jonas@partner.example"))
        hop = f"outside:127.0.0.1:{server.port}"
        reports = make_reports(bench, hop)
        bench.clock.advance(4 * HOUR + MINUTE)
        with running(bench.deliverer(server.port, reports=reports)) as wait_until:
            wait_until(lambda: bench.states(message) == ["deferred"])
            bench.clock.advance(50)
            # Settled, too: a lease that the jump ends in the middle would have it sent again.
            wait_until(lambda: count_delivered(bench) == len(server.mails) == 1)
            bench.clock.advance(5 * DAY)
            wait_until(lambda: bench.states(message) == ["failed"])
            bench.clock.advance(50)
            wait_until(lambda: len(server.mails) == 2)
    delayed, failed = (message_from_bytes(mail.data, policy=policy.default) for mail in server.mails)
    _, (group,) = status_of(delayed)  # type: ignore[arg-type]
    assert (group["Action"], group["Status"]) == ("delayed", "4.3.2")
    assert "Will-Retry-Until" in group
    _, (group,) = status_of(failed)  # type: ignore[arg-type]
    assert (group["Action"], group["Status"]) == ("failed", "4.4.7")


def test_relayed_where_the_next_hop_has_no_dsn(bench):
    with FaultServer(("PIPELINING", "8BITMIME")) as server:
        message = put(bench, server, Recipient("jonas@partner.example", frozenset({"SUCCESS"})))
        mails = run_until(bench, server, "delivered", message, 2)
    _, (group,) = status_of(mails[1])
    assert (group["Action"], group["Status"][0]) == ("relayed", "2")


def test_a_report_that_fails_alerts_the_operator_and_makes_no_other(bench):
    with FaultServer(script=refusing("550 5.1.1 no", at="example")) as server:
        message = put(bench, server, Recipient("jonas@partner.example"))
        hop = f"outside:127.0.0.1:{server.port}"
        reports = make_reports(bench, hop)

        def alerts() -> list[str]:
            with bench.database.reading() as tx:
                return [event.detail for event in recent_events(tx, "main", kinds=("alert.raised",))]

        with running(bench.deliverer(server.port, reports=reports)) as wait_until:
            wait_until(lambda: bench.states(message) == ["failed"])
            bench.clock.advance(50)
            wait_until(lambda: len(alerts()) == 1)
        assert server.mails == []
        assert re.search("own was refused", alerts()[0])


def test_words_for_people_where_the_peer_said_nothing(bench):
    with FaultServer(("SIZE 20000", "8BITMIME")) as server:
        big = DATA + b"x" * 70 + b"\r\n" + b"y\r\n" * 10_000
        message = bench.put(data=big, hop=f"outside:127.0.0.1:{server.port}")
        (report,) = run_until(bench, server, "failed", message, 1)
    words = next(iter(report.iter_parts())).get_content()
    assert "größer" in words
    assert "larger" in words
    _, (group,) = status_of(report)
    assert group["Status"] == "5.3.4"
    assert "Diagnostic-Code" not in group
