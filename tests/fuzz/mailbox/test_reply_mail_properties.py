"""Whatever a browser names its files and writes in its subject, the answer is one mail that others read the same."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from relay.mailbox.replies import ReplyMail, ReplyPart, clean_file_name, clean_media_type, write_reply
from relay.message.addresses import Mailbox
from relay.message.limits import ParseLimits
from relay.message.parse import parse_message

TEXT = st.text(max_size=80) | st.sampled_from(
    ["x\r\nBcc: thief@elsewhere.example", "=?utf-8?q?x?=", "a" * 2000, "../../etc/passwd", "C:\\a\\b.txt", ".", "\x00"]
)
FILES = st.lists(st.tuples(TEXT, TEXT, st.binary(max_size=3000)), max_size=4)


def make(subject: str, body: str, files: list[tuple[str, str, bytes]]) -> bytes:
    mail = ReplyMail(
        author=Mailbox("anna@partner.example (Portal)", "anna@partner.example"),
        to=(Mailbox("Maria", "maria@bank.example"),),
        cc=(),
        untrusted_subject=subject,
        date=datetime(2027, 1, 4, 8, tzinfo=UTC),
        message_id="A" * 22,
        header_message_id="<1@gw.bank.example>",
        hostname="gw.bank.example",
        references=("<0@bank.example>",),
    )

    def part(role: str, name: str, kind: str, data: bytes) -> ReplyPart:
        def pieces() -> Iterator[bytes]:
            for at in range(0, len(data), 1000):
                yield data[at : at + 1000]

        return ReplyPart(role, name, kind, len(data), pieces)

    parts = [part("text", "", "text/plain", body.encode("utf-8", "replace"))]
    parts += [part("file", name, kind, data) for name, kind, data in files]
    out: list[bytes] = []
    write_reply([(mail, out.append)], parts)
    return b"".join(out)


@settings(deadline=None)
@given(TEXT, TEXT, FILES)
def test_the_mail_holds_what_was_written_and_nothing_else(
    subject: str, body: str, files: list[tuple[str, str, bytes]]
) -> None:
    octets = make(subject, body, files)
    header, _, _ = octets.partition(b"\r\n\r\n")
    assert all(len(line) <= 998 for line in octets.split(b"\r\n"))
    assert octets.isascii()
    names = [line.partition(b":")[0] for line in header.split(b"\r\n") if not line.startswith((b" ", b"\t"))]
    assert len(names) == len(set(names))
    assert b"Bcc" not in names
    parsed = email.message_from_bytes(octets, policy=email.policy.default)
    found = list(parsed.iter_attachments()) if files else []  # type: ignore[attr-defined]
    assert [part.get_payload(decode=True) for part in found] == [data for _, _, data in files]
    for number, (part, (name, _, _)) in enumerate(zip(found, files, strict=True), 1):
        assert part.get_filename() == (clean_file_name(name) or f"file-{number}")


@settings(deadline=None)
@given(FILES)
def test_our_own_parser_sees_the_same_files(files: list[tuple[str, str, bytes]]) -> None:
    import io

    octets = make("Re: x", "hello\n", files)
    parsed = parse_message(io.BytesIO(octets), ParseLimits())
    assert [part.open().read() for part in parsed.attachments()] == [data for _, _, data in files]


@given(st.text(max_size=400))
def test_names_lead_nowhere_and_hide_nothing(name: str) -> None:
    clean = clean_file_name(name)
    assert len(clean) <= 150
    assert not set(clean) & set('/\\:*?"<>|\x00\r\n\u202e\u2066')
    assert clean not in (".", "..")
    assert clean_file_name(clean) == clean


@given(st.text(max_size=60) | st.sampled_from(["message/rfc822", "multipart/mixed", "TEXT/HTML", "text/plain; x=y"]))
def test_media_types_may_carry_base64(kind: str) -> None:
    clean = clean_media_type(kind)
    assert clean.count("/") == 1
    assert not clean.startswith(("multipart/", "message/"))
