"""The same mails through Python's own parser: same leaves, same decoded octets, same subjects and addresses."""

from __future__ import annotations

import email
import email.policy
import io
import sys
from email.header import decode_header, make_header
from email.message import Message
from email.utils import getaddresses
from importlib.util import find_spec
from pathlib import Path

import pytest

from relay.message.content import ContentReader
from relay.message.limits import ParseLimits
from relay.message.parse import ParsedMessage, parse_message

OWN = Path(__file__).parents[2] / "data" / "mail"


def python_mails() -> list[Path]:
    found = find_spec("test.test_email") if find_spec("test") else None
    if found is None or found.origin is None:
        return []
    return sorted((Path(found.origin).parent / "data").glob("msg_*.txt"))


# Where the two differ on purpose.
LEAVES_DIFFER = {
    "empty": "Python sees no leaf in nothing",
    "multipart-same-boundary-twice": "Python lets the outer multipart take the inner one's delimiters",
    "multipart-no-delimiter": "Python keeps the label multipart without parts",
    "multipart-no-boundary": "Python keeps the label multipart without parts",
    "plain-broken-quoted-printable": "Python's quopri and binascii differ on a lone = at the end",
    "broken-base64": "Python stops at padding in the middle and keeps the rest undecoded",
    "header-mbox-line": "same leaf, Python keeps the Unix line apart",
}


def leaves(message: Message) -> list[Message]:
    if message.get_content_type() == "message/rfc822" or not message.is_multipart():
        return [message]
    if message.get_content_maintype() == "message":
        return [message]  # delivery-status and the like
    out: list[Message] = []
    for child in message.get_payload():
        assert isinstance(child, Message)
        out += leaves(child)
    return out


def payload(message: Message) -> bytes | None:
    if message.is_multipart():
        return None
    octets = message.get_payload(decode=True)
    assert isinstance(octets, bytes)
    return octets


def parse(octets: bytes) -> tuple[ParsedMessage, ContentReader]:
    stream = io.BytesIO(octets)
    return parse_message(stream), ContentReader(stream, ParseLimits(), None)


@pytest.mark.parametrize(
    "path", [p for p in sorted(OWN.glob("*.eml")) if p.stem not in LEAVES_DIFFER], ids=lambda path: path.stem
)
def test_same_leaves_in_our_corpus(path: Path) -> None:
    octets = path.read_bytes()
    theirs = email.message_from_bytes(octets, policy=email.policy.compat32)
    parsed, reader = parse(octets)
    ours = [part for part in parsed.root.walk() if not part.is_multipart]
    assert len(ours) == len(leaves(theirs))
    for part, leaf in zip(ours, leaves(theirs), strict=True):
        assert part.media_type == leaf.get_content_type()
        expected = payload(leaf)
        if expected is not None:
            found = reader.read_part(part, part.encoded_size)
            assert found.replace(b"\r\n", b"\n") == expected.replace(b"\r\n", b"\n")
            with reader.open_part(part) as stream:
                assert stream.read() == found


@pytest.mark.parametrize("path", python_mails(), ids=lambda path: path.stem)
def test_same_leaves_in_pythons_own_mails(path: Path) -> None:
    # Python's test mails are broken on purpose; both parsers must agree on all that is not a matter of taste.
    octets = path.read_bytes()
    theirs = email.message_from_bytes(octets, policy=email.policy.compat32)
    parsed, reader = parse(octets)
    ours = [part for part in parsed.root.walk() if not part.is_multipart]
    assert parsed.size == len(octets)
    for file in parsed.attachments():
        with file.open() as stream:
            stream.read()
    defects = [defect for part in theirs.walk() for defect in part.defects]
    if not defects:
        assert [p.media_type for p in ours] == [leaf.get_content_type() for leaf in leaves(theirs)]
        for part, leaf in zip(ours, leaves(theirs), strict=True):
            expected = payload(leaf)
            if expected is not None:
                assert reader.read_part(part, part.encoded_size) == expected


@pytest.mark.skipif(not python_mails(), reason="this Python comes without its test mails")
def test_pythons_mails_are_enough_to_mean_something() -> None:
    assert len(python_mails()) > 30, sys.version


HEADERS_DIFFER = {
    "header-raw-8bit",
    "header-smtputf8",
    "header-words-without-space",
    "header-split-character",
    "header-encoded-trap",
    "header-huge",
}


@pytest.mark.parametrize(
    "path", [p for p in sorted(OWN.glob("*.eml")) if p.stem not in HEADERS_DIFFER], ids=lambda path: path.stem
)
def test_same_subject_and_addresses(path: Path) -> None:
    octets = path.read_bytes()
    theirs = email.message_from_bytes(octets, policy=email.policy.compat32)
    parsed, _ = parse(octets)
    raw = str(theirs.get("Subject", ""))
    assert parsed.subject.split() == str(make_header(decode_header(raw))).split()
    for name, ours in (("From", parsed.authors), ("To", parsed.to), ("Cc", parsed.cc)):
        expected = [address for _, address in getaddresses(theirs.get_all(name, [])) if "@" in address]
        assert [one.address for one in ours] == expected
