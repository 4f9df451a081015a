"""Header edits as octets, keywords, loops."""

from __future__ import annotations

import io

import pytest

from relay.core.errors import MessageError
from relay.message.headers import (
    encode_field,
    prepend_fields,
    remove_fields,
    replace_subject,
    split_header,
    strip_subject_keywords,
)
from relay.message.keywords import KeywordTable, find_keywords
from relay.message.limits import ParseLimits
from relay.message.loops import TRACE_FIELD, check_loop, make_trace
from relay.message.parse import parse_message

ODD = (
    b"Received: from a\r\n\tby b; now\r\nsUBJECT : Re: {PDF}  hello\r\nX-Odd:no space\r\n"
    b"subject: second {pdf}\r\nX-Eight: \xff\xfe\r\n folded\r\n\r\n"
)
TABLE = KeywordTable(["{pdf}", "{plain}", "{confidential}", "{new_password}", "{password}", "GEHEIM!"])


def test_a_header_is_split_where_the_body_begins() -> None:
    assert split_header(io.BytesIO(ODD + b"body\r\n\r\nmore")) == (ODD, len(ODD))
    assert split_header(io.BytesIO(b"\r\nbody")) == (b"\r\n", 2)
    assert split_header(io.BytesIO(b"A: b\r\nno field\r\n\r\nx")) == (b"A: b\r\n", 6)
    assert split_header(io.BytesIO(b"A: b")) == (b"A: b", 4)
    assert split_header(io.BytesIO(b"")) == (b"", 0)


def test_a_header_without_blank_line_is_split_alike_by_both() -> None:
    for octets in (b":\r\n:", b"A: b\r\n\r", b"A: b\n:", b"\n", b"\r", b"A: b\r\n \r\n"):
        header, offset = split_header(io.BytesIO(octets))
        assert (header, offset) == (octets[:offset], parse_message(io.BytesIO(octets)).body_offset)


def test_a_long_header_is_split_across_blocks() -> None:
    header = b"X: " + b"y" * (64 * 1024 - 5) + b"\r\n\r\n"
    for shift in range(6):
        moved = b"A" * shift + header
        assert split_header(io.BytesIO(moved + b"body")) == (moved, len(moved))


def test_a_header_over_the_limit_is_refused() -> None:
    with pytest.raises(MessageError, match="larger than 1000"):
        split_header(io.BytesIO(b"X: y\r\n" * 100_000), ParseLimits(header_octets=1000, header_fields=1 << 20))


def test_prepending_leaves_the_rest_alone() -> None:
    assert prepend_fields(ODD, [("X-A", "1"), ("X-B", "zwei")]) == b"X-A: 1\r\nX-B: zwei\r\n" + ODD


def test_prepending_to_no_header_at_all_keeps_the_text_a_text() -> None:
    new = prepend_fields(b"", [("X-A", "1")])
    assert parse_message(io.BytesIO(new + b"Dear: all\r\n")).body_text() == "Dear: all\n"


def test_removing_takes_every_field_of_that_name_in_any_case() -> None:
    assert remove_fields(ODD, ["SUBJECT", "x-odd"]) == (
        b"Received: from a\r\n\tby b; now\r\nX-Eight: \xff\xfe\r\n folded\r\n\r\n"
    )


def test_a_new_subject_stands_where_the_old_one_stood() -> None:
    assert replace_subject(ODD, "neu") == (
        b"Received: from a\r\n\tby b; now\r\nSubject: neu\r\nX-Odd:no space\r\nX-Eight: \xff\xfe\r\n folded\r\n\r\n"
    )
    assert replace_subject(b"A: b\r\n\r\n", "neu") == b"A: b\r\nSubject: neu\r\n\r\n"
    assert replace_subject(b"A: b", "neu") == b"A: b\r\nSubject: neu\r\n"


def test_keywords_leave_every_subject_field() -> None:
    stripped = strip_subject_keywords(ODD, TABLE)
    assert b"pdf" not in stripped.lower()
    assert b"Subject: Re: hello\r\n" in stripped
    untouched = b"Subject: hello\r\n\r\n"
    assert strip_subject_keywords(untouched, TABLE) is untouched


def test_the_copy_of_the_subject_in_thread_topic_loses_its_keyword_too() -> None:
    header = b"Thread-Topic: {pdf} plan\r\nX: y\r\nSubject: Re: {pdf} plan\r\n\r\n"
    assert strip_subject_keywords(header, TABLE) == b"Thread-Topic: plan\r\nX: y\r\nSubject: Re: plan\r\n\r\n"


def test_a_keyword_in_encoded_words_is_found_and_leaves() -> None:
    header = b"Subject: =?utf-8?b?e3BkZn0gR3LDvMOfZQ==?=\r\n\r\n"
    stripped = strip_subject_keywords(header, TABLE)
    assert parse_message(io.BytesIO(stripped)).subject == "Grüße"


@pytest.mark.parametrize(
    ("subject", "found", "rest"),
    [
        ("{pdf} Hello", ("{pdf}",), "Hello"),
        ("Re: {PDF} Hello", ("{pdf}",), "Re: Hello"),
        ("Hello {Pdf}", ("{pdf}",), "Hello"),
        ("Fwd: AW: Hello{pdf}there", ("{pdf}",), "Fwd: AW: Hellothere"),
        ("a {pdf} {confidential} b {pdf}", ("{pdf}", "{confidential}"), "a b"),
        ("{ pdf } x", ("{pdf}",), "x"),
        ("{new_password}{password}", ("{new_password}", "{password}"), ""),
        ("geheim! x", ("GEHEIM!",), "x"),
        ("{p{pdf}df} nested", ("{pdf}",), "nested"),
        ("{pdfx} (pdf) pdf", (), "{pdfx} (pdf) pdf"),
        ("  odd   spacing  ", (), "  odd   spacing  "),
        ("", (), ""),
    ],
)
def test_keywords_are_found_and_taken_out(subject: str, found: tuple[str, ...], rest: str) -> None:
    hit = TABLE.find(subject)
    assert (hit.found, hit.subject) == (found, rest)


def test_a_table_without_keywords_finds_nothing_and_an_empty_keyword_is_refused() -> None:
    assert find_keywords("{pdf}", []).found == ()
    with pytest.raises(ValueError, match="empty"):
        KeywordTable(["{pdf}", " "])


def test_a_field_cannot_be_broken_out_of() -> None:
    field = encode_field("X-A", "a\r\nBcc: victim@partner.example\x00\u2028b")
    assert field == b"X-A: a Bcc: victim@partner.example b\r\n"
    for name in ("", "A b", "A:", "A\r\nB", "Ä"):
        with pytest.raises(ValueError, match="field name"):
            encode_field(name, "x")


def test_long_fields_are_folded() -> None:
    field = encode_field("Subject", "Grüße " * 60)
    assert all(len(line) <= 76 for line in field.split(b"\r\n"))
    assert parse_message(io.BytesIO(field + b"\r\n")).subject == ("Grüße " * 60).strip()
    assert all(len(line) <= 998 for line in encode_field("X", "y" * 5000).split(b"\r\n"))


def received(*hosts: str) -> bytes:
    return b"".join(
        f"Received: from x ([192.0.2.1])\r\n\tby {host} with ESMTP id 1; now\r\n".encode() for host in hosts
    )


def test_a_loop_is_seen_by_our_own_received_fields() -> None:
    own = "gw.bank.example"
    fields = parse_message(io.BytesIO(received(*[own] * 4, *["mx.other.example"] * 20) + b"\r\n")).fields
    verdict = check_loop(fields, own)
    assert (verdict.is_loop, verdict.received, verdict.own_passes) == (False, 24, 4)
    fields = parse_message(io.BytesIO(received(*["GW.Bank.Example"] * 5) + b"\r\n")).fields
    assert check_loop(fields, own).is_loop


def test_a_loop_is_seen_by_many_received_fields() -> None:
    fields = parse_message(io.BytesIO(received(*["mx.other.example"] * 51) + b"\r\n")).fields
    assert check_loop(fields, "gw.bank.example").is_loop
    assert not check_loop(fields, "gw.bank.example", max_received=60).is_loop


def test_the_trace_field_carries_the_count_where_received_fields_are_gone() -> None:
    own = "gw.bank.example"
    passes = 0
    header = b""
    while passes < 10:
        passes += 1
        fields = parse_message(io.BytesIO(received(own) + header + b"\r\n")).fields
        if check_loop(fields, own).is_loop:
            break
        header = encode_field(*make_trace(fields, own))
    assert passes == 5


@pytest.mark.parametrize("value", ["", "other.example; passes=99", "gw.bank.example; passes=many", "gw.bank.example"])
def test_a_foreign_or_broken_trace_counts_nothing(value: str) -> None:
    fields = parse_message(io.BytesIO(f"{TRACE_FIELD}: {value}\r\n\r\n".encode())).fields
    assert check_loop(fields, "gw.bank.example").own_passes == 0
