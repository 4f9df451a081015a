"""From the octets of a mail to the decision: the real parser, keyword table and loop check feed the real policy."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from relay.core.decision import Decision, HeaderChange, Method, Reason
from relay.core.documents.organisation import Organisation
from relay.core.documents.sample import SamplePorts, sample_organisation
from relay.core.envelope import SessionInfo, Side
from relay.message.parse import parse_message
from relay.policy.decide import decide
from relay.policy.facts import Facts, gather_facts, gather_recipient
from relay.policy.ruleset import compile_ruleset
from tests.unit.policy.cases import organisation

ANNA, JONAS = "anna@bank.example", "jonas@partner.example"


def raw_mail(*fields: str, body: str = "Hello\r\n", kind: str = "text/plain; charset=utf-8") -> bytes:
    given = {line.partition(":")[0].lower() for line in fields}
    shipped = {
        "from": "From: Anna <anna@bank.example>",
        "to": "To: Jonas <jonas@partner.example>",
        "subject": "Subject: Offer",
        "content-type": f"Content-Type: {kind}",
        "mime-version": "MIME-Version: 1.0",
    }
    lines = [*fields, *(line for name, line in shipped.items() if name not in given)]
    return "\r\n".join([*lines, "", body]).encode()


def read(raw: bytes, where: Organisation, reverse_path: str = ANNA, session: SessionInfo | None = None) -> Facts:
    parsed = parse_message(io.BytesIO(raw))
    found = compile_ruleset(where).keyword_table.find(parsed.subject)
    return gather_facts(
        parsed,
        reverse_path=reverse_path,
        session=session or SessionInfo("inside", Side.INSIDE, "10.0.0.1", "mail.bank.example"),
        organisation=where,
        time_ms=1_790_000_000_000,
        keywords=found.found,
    )


def decided(
    raw: bytes, to: str = JONAS, reverse_path: str = ANNA, session: SessionInfo | None = None, **parts: Any
) -> Decision:
    where = organisation(**parts)
    return decide(
        read(raw, where, reverse_path, session), gather_recipient(to, organisation=where), compile_ruleset(where)
    )


@pytest.mark.parametrize(
    ("subject", "token"),
    [
        ("{confidential} Offer", "{confidential}"),
        ("Re: Fwd: AW: {CONFIDENTIAL} Offer", "{confidential}"),
        ("=?utf-8?Q?=7BConfidential=7D_Gr=C3=BC=C3=9Fe?=", "{confidential}"),
        ("=?utf-8?B?e2NvbmZpZGVudGlhbH0gT2ZmZXI=?=", "{confidential}"),
        ("Offer\r\n {confidential}", "{confidential}"),
    ],
)
def test_keyword_in_any_subject_encoding_hides_the_subject(subject: str, token: str) -> None:
    decision = decided(raw_mail(f"Subject: {subject}"), rules=[{"id": "p", "then": [{"action": "pass"}]}])
    assert (decision.method, decision.reason, decision.confidential) == (Method.PDF, Reason.KEYWORD, True)
    assert decision.subject_strip == (token,)
    assert f"keyword {token}" in decision.rules
    assert token in decision.explanation


def test_outlook_sensitivity_and_header_fields() -> None:
    assert decided(raw_mail("Sensitivity: Company-Confidential")).confidential
    assert not decided(raw_mail("Sensitivity: Personal")).confidential
    decision = decided(raw_mail("X-Letterlock-Password: Show"))
    assert decision.show_password
    assert decision.headers == (HeaderChange("x-letterlock-password", None),)


def multipart(subtype: str, *parts: tuple[str, str]) -> tuple[str, str]:
    body = "".join(f"--b\r\nContent-Type: {kind}\r\n\r\n{text}\r\n" for kind, text in parts) + "--b--\r\n"
    return f"multipart/{subtype}; boundary=b", body


STATUS = ("message/delivery-status", "Reporting-MTA: dns; mail.bank.example\r\n\r\nAction: failed\r\nStatus: 5.1.1")
NOTICE = ("message/disposition-notification", "Disposition: manual-action/MDN-sent-manually; displayed")
EVENT = ("text/calendar; method=REQUEST", "BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nEND:VCALENDAR")


@pytest.mark.parametrize(
    ("parts", "subtype", "fields", "reverse_path", "source"),
    [
        ((("text/plain", "x"), STATUS), 'report; report-type="delivery-status"', (), "", "switch:dsn"),
        ((("text/plain", "x"), STATUS), 'report; report-type="delivery-status"', (), ANNA, "default:policy"),
        ((("text/plain", "x"), NOTICE), "report; report-type=disposition-notification", (), "", "switch:mdn"),
        ((("text/plain", "x"),), "mixed", ("Auto-Submitted: auto-replied",), ANNA, "switch:auto_replies"),
        ((("text/plain", "x"),), "mixed", ("Auto-Submitted: auto-generated",), ANNA, "default:policy"),
        ((("text/plain", "x"), EVENT), "alternative", (), ANNA, "default:policy"),
        ((("text/plain", "x"),), "mixed", ("List-Id: <a.bank.example>",), ANNA, "default:policy"),
    ],
)
def test_special_mail_is_recognised(
    parts: tuple[tuple[str, str], ...], subtype: str, fields: tuple[str, ...], reverse_path: str, source: str
) -> None:
    kind, body = multipart(subtype, *parts)
    decision = decided(raw_mail(*fields, kind=kind, body=body), reverse_path=reverse_path)
    assert decision.rules[-1] == source
    assert decision.method is (Method.PASS if source.startswith("switch:") else Method.PDF)


def test_opaque_signed_mail_is_not_taken_for_encrypted() -> None:
    signed = raw_mail(
        kind="application/pkcs7-mime; smime-type=signed-data; name=smime.p7m", body="MIAGCSqGSIb3DQEHAg=="
    )
    assert decided(signed, switches={"encrypted": "pass"}).method is Method.PDF


@pytest.mark.parametrize(
    "author",
    [
        "From: x@elsewhere.example, anna@bank.example",
        "From: x@elsewhere.example\r\nFrom: anna@bank.example",
        'From: "anna@bank.example" <x@elsewhere.example>',
        "From: x@elsewhere.example\r\nSender: anna@bank.example",
        "From: x@elsewhere.example (\r\nResent-From: Anna <anna@bank.example>",
        "From: =?utf-8?Q?anna=40bank.example?= <x@elsewhere.example>",
        "From: <>",
        "From: nobody",
        "X-No: From",
    ],
)
def test_header_tricks_do_not_make_our_mail_foreign(author: str) -> None:
    fields = author.split("\r\n")
    raw = raw_mail(*fields) if not author.startswith("X-No") else raw_mail(author).replace(b"From: Anna", b"X-F: Anna")
    assert decided(raw, reverse_path="x@elsewhere.example").method is not Method.PASS


def test_foreign_mail_passes() -> None:
    decision = decided(raw_mail("From: x@elsewhere.example"), reverse_path="x@elsewhere.example")
    assert (decision.method, decision.headers, decision.subject_strip) == (Method.PASS, (), ())


def test_bcc_recipient_is_kept_apart() -> None:
    raw = raw_mail("Cc: Group: Eva <eva@partner.example>;", "Bcc: max@partner.example")
    assert decided(raw, to="eva@partner.example").options == {}
    assert decided(raw, to="max@partner.example").options == {"bcc": "max@partner.example"}


SAMPLE = sample_organisation(SamplePorts("127.0.0.1", 1, 2, 3, 4, 5))
EXE = multipart("mixed", ("text/plain", "x"), ('application/octet-stream; name="Run.EXE"', "MZ"))


@pytest.mark.parametrize(
    ("fields", "content", "to", "method", "source"),
    [
        ((), None, JONAS, Method.PDF, "default:*@partner.example"),
        ((), None, "press@news.example", Method.PASS, "default:press@news.example"),
        ((), None, "ben@bank.example", Method.PASS, "default:internal"),
        ((), EXE, JONAS, Method.HOLD, "hold-programs"),
        (("From: board@bank.example", "Subject: {webmail} x"), None, "press@news.example", Method.PDF, "board"),
        (("From: newsletter@bank.example", "List-Id: <news.bank.example>"), None, JONAS, Method.PASS, "newsletter"),
        (("From: newsletter@bank.example",), None, JONAS, Method.PDF, "default:*@partner.example"),
        ((), None, "old@legacy.example", Method.PDF, "old-reader"),
        (
            ("From: press.office@bank.example", "Subject: {plain} x"),
            None,
            "a@news.example",
            Method.PASS,
            "keyword plain",
        ),
        (("Subject: {plain} x",), None, "a@news.example", Method.PDF, "default:policy"),
    ],
)
def test_sample_organisation(
    fields: tuple[str, ...], content: tuple[str, str] | None, to: str, method: Method, source: str
) -> None:
    extra: Mapping[str, str] = {} if content is None else {"kind": content[0], "body": content[1]}
    raw = raw_mail(*fields, **extra)
    decision = decide(read(raw, SAMPLE), gather_recipient(to, organisation=SAMPLE), compile_ruleset(SAMPLE))
    assert (decision.method, decision.rules[-1]) == (method, source)


def test_one_mail_five_recipients_five_paths() -> None:
    raw = raw_mail("Subject: Quarterly figures")
    rules = [
        {"id": "clear", "when": {"recipient": ["press@news.example"]}, "then": [{"action": "pass"}]},
        {"id": "wait", "when": {"recipient_domain": ["slow.example"]}, "then": [{"action": "hold"}]},
        {"id": "gone", "when": {"recipient_domain": ["gone.example"]}, "then": [{"action": "discard"}]},
    ]
    addresses = (JONAS, "press@news.example", "a@slow.example", "a@gone.example", "ben@bank.example")
    where = organisation(rules=rules)
    facts, ready = read(raw, where), compile_ruleset(where)
    decisions = [decide(facts, gather_recipient(one, organisation=where), ready) for one in addresses]
    assert [one.method for one in decisions] == [Method.PDF, Method.PASS, Method.HOLD, Method.DISCARD, Method.PASS]
    assert (
        decide(replace(facts, is_loop=True), gather_recipient(JONAS, organisation=where), ready).reason is Reason.LOOP
    )
