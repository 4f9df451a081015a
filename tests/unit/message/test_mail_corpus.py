"""Every mail of the corpus: what a reader must find in it, written by hand beside the mail."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from relay.message.parse import ParsedMessage, parse_message

DATA = Path(__file__).parents[2] / "data" / "mail"
EXPECTED: dict[str, dict[str, Any]] = json.loads((DATA / "expected.json").read_text("utf-8"))
FLAGS = (
    "is_auto_submitted", "is_list", "is_bulk", "is_mdn", "is_dsn", "is_invitation", "is_encrypted",
    "is_encrypted_smime", "is_encrypted_openpgp", "is_signed",
)  # fmt: skip


@pytest.fixture(params=sorted(EXPECTED))
def case(request: pytest.FixtureRequest) -> Iterator[tuple[ParsedMessage, dict[str, Any]]]:
    with (DATA / f"{request.param}.eml").open("rb") as stream:
        yield parse_message(stream), EXPECTED[request.param]


def test_every_mail_has_an_expectation() -> None:
    assert {path.stem for path in DATA.glob("*.eml")} == set(EXPECTED)
    assert len(EXPECTED) >= 40


def test_header_is_read(case: tuple[ParsedMessage, dict[str, Any]]) -> None:
    parsed, expected = case
    if "subject" in expected:
        assert parsed.subject == expected["subject"]
    if "author" in expected:
        assert (parsed.author.address if parsed.author else None) == expected["author"]
    if "author_name" in expected:
        assert parsed.author is not None
        assert parsed.author.name == expected["author_name"]
    if "authors" in expected:
        assert [one.address for one in parsed.authors] == expected["authors"]
    for field in ("to", "cc"):
        if field in expected:
            assert [one.address for one in getattr(parsed, field)] == expected[field]
    if "to_names" in expected:
        assert [one.name for one in parsed.to] == expected["to_names"]
    if "to_count" in expected:
        assert len(parsed.to) == expected["to_count"]
    if "date" in expected:
        assert parsed.date is None
    for field in ("importance", "sensitivity"):
        if field in expected:
            assert getattr(parsed, field) == expected[field]
    if "language" in expected:
        assert parsed.content_language == expected["language"]


def test_body_is_read(case: tuple[ParsedMessage, dict[str, Any]]) -> None:
    parsed, expected = case
    text, html = parsed.body_text(), parsed.body_html()
    if expected["text"] is None:
        assert text is None
    else:
        assert text is not None
        assert expected["text"] in text
    if "html" in expected and expected["html"] is None:
        assert html is None
    for key in ("html", "html_also"):
        if expected.get(key):
            assert html is not None
            assert expected[key] in html
    assert "\r" not in (text or "")
    assert [image.content_id for image in parsed.inline_images()] == expected.get("images", [])


def test_files_are_read(case: tuple[ParsedMessage, dict[str, Any]]) -> None:
    parsed, expected = case
    files = parsed.attachments()
    assert [(one.name, one.media_type) for one in files] == [(name, kind) for name, kind, _ in expected["files"]]
    for one, (_, _, content) in zip(files, expected["files"], strict=True):
        with one.open() as stream:
            octets = stream.read()
        if content is not None:
            assert octets.decode("utf-8") == content
        if one.size is not None:
            assert one.size == len(octets)
        assert one.estimated_size >= len(octets) * 0.7


def test_kind_is_known(case: tuple[ParsedMessage, dict[str, Any]]) -> None:
    parsed, expected = case
    assert {flag for flag in FLAGS if getattr(parsed, flag)} == set(expected.get("flags", []))


def test_offsets_fit(case: tuple[ParsedMessage, dict[str, Any]]) -> None:
    parsed, _ = case
    for field in parsed.fields:
        assert field.offset + len(field.raw) <= parsed.body_offset
    previous = 0
    for part in parsed.root.walk():
        assert previous <= part.header_start <= part.body_start <= part.body_end <= parsed.size
        previous = part.header_start


def test_one_octet_reads_make_no_difference(case: tuple[ParsedMessage, dict[str, Any]]) -> None:
    class Slow(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(size, 7) if size is not None and size > 0 else size)

    parsed, _ = case
    parsed._reader._stream.seek(0)
    octets = parsed._reader._stream.read()
    slow = parse_message(Slow(octets))
    assert slow.size == parsed.size == len(octets)
    assert [(p.media_type, p.body_start, p.body_end) for p in slow.root.walk()] == [
        (p.media_type, p.body_start, p.body_end) for p in parsed.root.walk()
    ]
