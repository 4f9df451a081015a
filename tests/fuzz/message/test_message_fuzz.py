"""Whatever the octets: the parser answers or raises MessageError, offsets are consistent, and time stays linear."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.core.errors import MessageError
from relay.message.addresses import Mailbox, format_mailboxes, parse_mailboxes
from relay.message.charsets import decode_text
from relay.message.compose import CarrierMail, MailBrand, write_carrier
from relay.message.decode import make_decoder, open_range
from relay.message.dsn import Action, DsnRecipient, DsnReport, write_dsn
from relay.message.eml import full_message_eml, message_eml
from relay.message.fields import parse_fields
from relay.message.header_view import parse_date
from relay.message.headers import (
    encode_field,
    prepend_fields,
    remove_fields,
    replace_subject,
    split_header,
    strip_subject_keywords,
)
from relay.message.keywords import KeywordTable
from relay.message.limits import ParseLimits
from relay.message.parse import ParsedMessage, parse_message
from relay.message.plain import strip_html
from relay.message.texts import MailTexts
from relay.message.tnef import read_tnef
from relay.message.words import decode_words, encode_words

FRAGMENTS = [
    b"From: a@b.example", b"Subject: =?utf-8?b?w6Q=?=", b"Subject: {pdf} x", b"MIME-Version: 1.0", b"To: x <y@z>, w",
    b"Content-Type: multipart/mixed; boundary=b", b'Content-Type: multipart/alternative; boundary="bb"',
    b"Content-Type: multipart/related; boundary=c", b"Content-Type: multipart/signed; boundary=d",
    b"Content-Type: multipart/report; report-type=delivery-status; boundary=b", b"Content-Type: text/html",
    b"Content-Type: text/plain; charset=utf-16; format=flowed", b"Content-Type: message/rfc822",
    b"Content-Type: application/ms-tnef", b"Content-Type: image/png", b"Content-ID: <x>",
    b"Content-Type: text/calendar", b"Received: from x by y", b"Bcc: z@z.example", b"Message-ID: <a@b>", b"X-A: b",
    b"References: <a@b>\t<c@d>", b"List-Id: <x.example>", b"Thread-Topic: {pdf} t", b"Auto-Submitted: no",
    b"Content-Transfer-Encoding: base64", b"Content-Transfer-Encoding: quoted-printable",
    b"Content-Disposition: attachment; filename*0*=utf-8''%E4; filename*1=x", b" folded", b"\tfolded",
    b"Date: Mon, 32 Foo 99999 25:61:61 +9999", b"--b", b"--b--", b"--bb", b"--bb--", b"--c", b"--d", b"--", b"", b"",
    b"text", b"SGVsbG8=", b"=3D=\r", b"<img src=cid:x>", b"\xff\xfe\x00", b"x" * 300, b"From ", b":", b"no field",
]  # fmt: skip
LINES = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.binary(max_size=20)), max_size=60)
ENDS = st.sampled_from([b"\r\n", b"\n"])
MESSAGES = st.one_of(
    st.binary(max_size=400),
    st.tuples(LINES, ENDS).map(lambda both: both[1].join(both[0])),
)
NOW = datetime(2026, 11, 20, 8, 30, tzinfo=UTC)
TEXTS = MailTexts()
SLOW_DATA = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)


def ask_everything(parsed: ParsedMessage) -> None:
    for name in dir(type(parsed)):
        if not name.startswith("_") and isinstance(getattr(type(parsed), name), property):
            getattr(parsed, name)
    parsed.decoded_headers()
    parsed.body_text()
    parsed.body_html()
    parsed.inline_images()
    for file in parsed.attachments():
        with file.open() as stream:
            octets = stream.read()
        assert file.size is None or file.size == len(octets)
        assert file.name.isprintable() or not file.name.isascii()
    for eml in (message_eml(parsed), full_message_eml(parsed, "x\r\nBcc: y")):
        again = parse_message(io.BytesIO(eml))
        assert not {"bcc", "received"} & set(again.fields.names)
        again.body_text()


@given(MESSAGES)
@SLOW_DATA
def test_parser_never_fails_otherwise(octets: bytes) -> None:
    try:
        parsed = parse_message(io.BytesIO(octets), ParseLimits(depth=5, parts=20, header_octets=300, header_fields=20))
    except MessageError:
        return
    ask_everything(parsed)


@given(MESSAGES)
@SLOW_DATA
def test_offsets_are_consistent(octets: bytes) -> None:
    parsed = parse_message(io.BytesIO(octets))
    assert parsed.size == len(octets)
    for field in parsed.fields:
        assert octets[field.offset : field.offset + len(field.raw)] == field.raw
    for part in parsed.root.walk():
        assert 0 <= part.header_start <= part.body_start <= part.body_end <= len(octets)
        for child in part.children:
            assert part.body_start <= child.header_start
            assert child.body_end <= part.body_end
        for before, after in zip(part.children, part.children[1:], strict=False):
            assert before.body_end <= after.header_start


@given(MESSAGES)
@SLOW_DATA
def test_header_edits_touch_nothing_else(octets: bytes) -> None:
    header, offset = split_header(io.BytesIO(octets))
    assert header == octets[:offset]
    assert offset == parse_message(io.BytesIO(octets)).body_offset
    assert remove_fields(header, ["X-Not-There"]) == header
    if header:
        assert prepend_fields(header, [("X-A", "b")]) == b"X-A: b\r\n" + header
    table = KeywordTable(["{pdf}"])
    stripped = strip_subject_keywords(header, table)
    view = parse_message(io.BytesIO(stripped + octets[offset:]))
    assert not table.find(view.subject).found
    edited = ("subject", "thread-topic")
    others = [field.raw for field in view.fields if field.name.lower() not in edited]
    before = [field.raw for field in parse_message(io.BytesIO(octets)).fields if field.name.lower() not in edited]
    assert others == before


@given(MESSAGES, st.text(max_size=60))
@SLOW_DATA
def test_new_subject_is_read_back(octets: bytes, subject: str) -> None:
    header, offset = split_header(io.BytesIO(octets))
    header = header if header.endswith(b"\n") or not header else header + b"\r\n"
    view = parse_message(io.BytesIO(replace_subject(header, subject) + octets[offset:]))
    wanted = "".join(" " if not c.isprintable() and not c.isspace() else c for c in subject)
    assert len(view.headers("Subject")) == 1
    assert view.subject.split() == decode_words(b" ".join(encode_words(" ".join(view.subject.split())))).split()
    if subject.isascii() and subject.isprintable() and "=?" not in subject:
        assert view.subject.split() == wanted.split()


NEVER_LEAVES = ("bcc", "received", "x-a", "content-id", "thread-topic", "sensitivity", "return-path")


@given(MESSAGES, st.binary(max_size=200), st.booleans())
@SLOW_DATA
def test_any_header_makes_a_proper_carrier(octets: bytes, content: bytes, smtputf8: bool) -> None:
    fields = parse_message(io.BytesIO(octets)).fields
    mail = CarrierMail(fields, MailBrand("Example Bank"), "gw.bank.example", subject=None, smtputf8=smtputf8)
    made = b"".join(write_carrier(mail, [content], TEXTS))
    parsed = parse_message(io.BytesIO(made))
    assert [name for name in parsed.fields.names if name in NEVER_LEAVES] == []
    for name in ("From", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type", "X-Letterlock-Trace"):
        assert len(parsed.fields.get_all(name)) == 1
    assert parsed.author is not None
    assert parsed.subject == "Geschützte Nachricht von Example Bank"
    [file] = parsed.attachments()
    assert (file.name, file.media_type) == ("message.pdf", "application/pdf")
    with file.open() as stream:
        assert stream.read() == content
    header = made[: parsed.body_offset]
    assert b"\r" not in header.replace(b"\r\n", b"")
    assert b"\n" not in header.replace(b"\r\n", b"")
    assert header.isascii() or smtputf8


@given(MESSAGES, st.text(max_size=40), st.text(max_size=40), st.booleans())
@SLOW_DATA
def test_any_original_makes_a_proper_report(octets: bytes, path: str, words: str, show_subject: bool) -> None:
    fields = parse_message(io.BytesIO(octets)).fields
    one = DsnRecipient(path, Action.FAILED, "5.1.1", orcpt=f"rfc822;{path}", diagnostic=words, remote_mta=words)
    made = b"".join(
        write_dsn(
            DsnReport(
                "gw.bank.example", Mailbox("", "mailer-daemon@gw.bank.example"), "a@bank.example", NOW, NOW, (one,),
                envid=words, original_fields=fields, show_subject=show_subject,
            ),
            TEXTS,
        )
    )  # fmt: skip
    parsed = parse_message(io.BytesIO(made))
    assert parsed.is_dsn
    assert len(parsed.root.children) == 3
    status = parsed.root.children[1]
    groups = made[status.body_start : status.body_end].strip().split(b"\r\n\r\n")
    assert len(groups) == 2
    assert b"\r\nAction: failed\r\nStatus: 5.1.1\r\n" in groups[1] + b"\r\n"


@given(st.text(max_size=200))
@SLOW_DATA
def test_encoded_words_read_back(text: str) -> None:
    words = encode_words(text)
    assert all(len(word) <= 75 and word.isascii() for word in words)
    clean = text.encode("utf-8", "replace").decode("utf-8")
    if all(c.isprintable() for c in clean):
        assert decode_words(b" ".join(words)) == clean


@given(
    st.binary(max_size=300),
    st.lists(st.integers(1, 40), min_size=1, max_size=20),
    st.sampled_from(["base64", "quoted-printable", "8bit"]),
)
@SLOW_DATA
def test_decoders_do_not_care_about_block_borders(octets: bytes, cuts: list[int], encoding: str) -> None:
    whole = make_decoder(encoding)
    expected = whole.feed(octets) + whole.finish()
    pieces = make_decoder(encoding)
    out = b""
    position = 0
    for cut in cuts:
        out += pieces.feed(octets[position : position + cut])
        position += cut
    out += pieces.feed(octets[position:]) + pieces.finish()
    assert out == expected
    with open_range(io.BytesIO(b"ab" + octets + b"cd"), 2, 2 + len(octets), encoding) as stream:
        assert stream.read() == expected


@given(st.binary(max_size=300))
@SLOW_DATA
def test_address_lists_never_fail(value: bytes) -> None:
    found = parse_mailboxes(value)
    for mailbox in found:
        assert mailbox.address
        assert not any(c in mailbox.address + mailbox.name for c in "\r\n\0")
    field = format_mailboxes("To", found)
    assert field.endswith(b"\r\n")
    assert b"\r\n" not in field.replace(b"\r\n ", b"")[:-2]


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Zl", "Zp"]), max_size=80)


@given(st.lists(NAMES, min_size=1, max_size=4))
@SLOW_DATA
def test_written_addresses_read_back(names: list[str]) -> None:
    mailboxes = [Mailbox(" ".join(name.split()), f"user{n}@bank.example") for n, name in enumerate(names)]
    raw = format_mailboxes("To", mailboxes)
    fields, _ = parse_fields(raw, ParseLimits())
    assert len(fields) == 1
    assert list(parse_mailboxes(fields.get("To") or b"")) == mailboxes


@given(st.binary(max_size=200), st.text(max_size=20))
@SLOW_DATA
def test_text_is_always_text(octets: bytes, label: str) -> None:
    decode_text(octets, label).encode("utf-8")


@given(st.binary(max_size=60))
@SLOW_DATA
def test_dates_never_fail(value: bytes) -> None:
    found = parse_date(value)
    assert found is None or found.tzinfo is not None


@given(st.binary(max_size=300))
@SLOW_DATA
def test_tnef_never_fails(octets: bytes) -> None:
    for data in (octets, bytes.fromhex("789f3e22") + octets):
        content = read_tnef(lambda data=data: io.BytesIO(data))  # type: ignore[misc]
        for file in content.attachments if content else ():
            with file.open() as stream:
                stream.read()


MIB = 1 << 20
NESTED = b"".join(
    b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(10_000)
)  # fmt: skip
BOMBS: dict[str, Callable[[], bytes]] = {
    "nested multiparts": lambda: NESTED,
    "a million header lines": lambda: b"X: y\r\n" * 1_000_000,
    "one endless header line": lambda: b"X: " + b"y" * (8 * MIB),
    "one endless name": lambda: b"y" * (8 * MIB),
    "folds": lambda: b"X: y\r\n" + b" z\r\n" * (2 * MIB),
    "dashes": lambda: b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--\r\n" * (2 * MIB),
    "almost boundaries": lambda: b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--bx\r\n" * MIB,
    "very many parts": lambda: b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\n" * MIB,
    "delimiters without end": lambda: b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n" * MIB,
    "parts without blank lines": lambda: (
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\nX: y\r\n" * MIB
    ),
    "almost boundaries in headers": lambda: (
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + (b"--b\r\n" + b"A: b\r\n" + b"--bx\r\n" * 40) * 1900
    ),
    "spaces behind a boundary": lambda: (
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + (b"--b" + b" " * 400 + b"x\r\n") * 20_000
    ),
    "parameters": lambda: b"Content-Type: text/plain" + b";a*1*=x" * 100_000 + b"\r\n\r\n",
    "spaces in parameters": lambda: b"Content-Type: text/plain;" + b" " * 900_000 + b"\r\n\r\n",
    "quotes in parameters": lambda: b"Content-Type: text/plain;" + b'a="' * 300_000 + b"\r\n\r\n",
    "encoded words": lambda: b"Subject: " + b"=?a?q?" * 150_000 + b"\r\n\r\n",
    "real encoded words": lambda: b"Subject: " + b"=?utf-8?q?x?= " * 70_000 + b"\r\n\r\n",
    "comments": lambda: b"From: " + b"(" * 900_000 + b"\r\n\r\n",
    "quotes in addresses": lambda: b"To: " + b'"\\' * 450_000 + b"\r\n\r\n",
    "commas": lambda: b"To: " + b",a@b" * 200_000 + b"\r\n\r\n",
    "message ids": lambda: b"References: " + b"<" * 900_000 + b"\r\n\r\n",
    "keywords": lambda: b"Subject: " + b"{ " * 400_000 + b"\r\n\r\n",
    "quoted lines": lambda: b"Content-Type: text/plain; format=flowed\r\n\r\n" + b">" * (2 * MIB) + b" \r\n" * 1000,
    "html": lambda: b"Content-Type: text/html\r\n\r\n" + b"<!--<a <script " * 100_000,
    "empty base64 lines": lambda: b"Content-Transfer-Encoding: base64\r\n\r\n" + b"=\r\n" * MIB,
    "quoted-printable without lines": lambda: b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + b"=3D" * MIB,
    "utf-7": lambda: b"Content-Type: text/plain; charset=utf-7\r\n\r\n" + b"+AAA-" * 300_000,
}


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.timeout(100)
def test_bombs_cost_linear_time(name: str) -> None:
    """What were quadratic here would run for hours: the time limit stands for that, not for speed."""
    octets = BOMBS[name]()
    try:
        parsed = parse_message(io.BytesIO(octets))
    except MessageError:
        pass
    else:
        ask_everything(parsed)
        KeywordTable(["{pdf}", "{confidential}"]).find(parsed.subject)
        strip_html(parsed.body_html() or "")
        remove_fields(split_header(io.BytesIO(octets))[0], ["X"])


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (NESTED, "nested deeper than 30"),
        (b"X: y\r\n" * 10_000, "more than 5000 fields"),
        (b"X: " + b"y" * 2 * MIB, "header is larger than"),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\n" * 3000, "more than 2000 parts"),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--bx\r\n" * 200_000, "look like boundaries"),
    ],
)
def test_limits_say_what_is_too_much(octets: bytes, words: str) -> None:
    with pytest.raises(MessageError, match=words) as raised:
        parse_message(io.BytesIO(octets))
    assert not raised.value.temporary


@given(st.text(max_size=300), st.sampled_from(["Subject", "X-A", "X-A-Rather-Long-Name-For-A-Field"]))
@SLOW_DATA
def test_written_fields_have_lines_as_rfc_2047_wants(text: str, name: str) -> None:
    field = encode_field(name, text)
    lines = field.split(b"\r\n")
    assert lines.pop() == b""
    assert all(len(line) <= 76 for line in lines if b"=?utf-8?" in line)
    assert all(line.strip() and len(line) <= 998 for line in lines)
    assert all(line.startswith(b" ") for line in lines[1:])
