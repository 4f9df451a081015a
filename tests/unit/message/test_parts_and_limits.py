"""Which parts are shown and which are files, at the edges; limits on texts and pictures; streams."""

from __future__ import annotations

import base64
import io
import os
import struct
import threading

import pytest

from relay.core.errors import MessageError
from relay.message.limits import ParseLimits
from relay.message.parse import ParsedMessage, parse_message, parse_source
from relay.message.tnef import read_tnef

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4


def parse(text: str | bytes, limits: ParseLimits | None = None) -> ParsedMessage:
    octets = text.encode() if isinstance(text, str) else text
    return parse_message(io.BytesIO(octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")), limits)


def multipart(kind: str, *parts: str, more: str = "") -> str:
    body = "".join(f"--{kind}-b\n{part}\n" for part in parts)
    return f"Content-Type: multipart/{kind}; boundary={kind}-b{more}\n\n{body}--{kind}-b--\n"


def image(cid: str, disposition: str = "") -> str:
    head = f"Content-Type: image/png; name=p.png\nContent-Transfer-Encoding: base64\nContent-ID: <{cid}>\n"
    return f"{head}{disposition}\n{base64.encodebytes(PNG).decode()}"


HTML = 'Content-Type: text/html\n\n<img src="cid:one@x"><img src=cid:two%40x>'


def test_pictures_that_the_html_names_are_inline_and_the_others_files() -> None:
    parsed = parse(multipart("related", HTML, image("one@x"), image("two@x"), image("three@x")))
    assert [one.content_id for one in parsed.inline_images()] == ["one@x", "two@x"]
    assert parsed.inline_images()[0].content == PNG
    assert [one.name for one in parsed.attachments()] == ["p.png"]


def test_a_named_picture_marked_as_attachment_is_both() -> None:
    parsed = parse(multipart("mixed", HTML, image("one@x", "Content-Disposition: attachment\n")))
    assert len(parsed.inline_images()) == len(parsed.attachments()) == 1


def test_pictures_over_the_limit_are_files() -> None:
    message = multipart("related", HTML, image("one@x"), image("two@x"))
    one = len(base64.encodebytes(PNG)) + 40
    assert parse(message, ParseLimits(image_octets=100)).inline_images() == ()
    parsed = parse(message, ParseLimits(images_octets=one))
    assert (len(parsed.inline_images()), len(parsed.attachments())) == (1, 1)


def test_pictures_without_html_are_files() -> None:
    parsed = parse(multipart("mixed", "\ntext", image("one@x", "Content-Disposition: inline\n")))
    assert (len(parsed.inline_images()), len(parsed.attachments())) == (0, 1)


def test_related_may_name_its_root() -> None:
    root = "Content-Type: text/html\nContent-ID: <root>\n\n<p>root"
    parsed = parse(multipart("related", "Content-Type: text/html\n\n<p>other", root, more='; start="<root>"'))
    assert parsed.body_html() == "<p>root"
    assert [one.media_type for one in parsed.attachments()] == ["text/html"]


def test_a_resource_fork_is_left_out() -> None:
    fork = "Content-Type: application/applefile\n\nfork"
    parsed = parse(multipart("appledouble", fork, "Content-Type: application/pdf\n\nx"))
    assert [one.media_type for one in parsed.attachments()] == ["application/pdf"]


def test_amp_is_no_attachment() -> None:
    amp = "Content-Type: text/x-amp-html\n\n<html amp4email>"
    parsed = parse(multipart("alternative", "\nplain", amp, "Content-Type: text/html\n\n<p>rich"))
    assert (parsed.body_text(), parsed.body_html(), parsed.attachments()) == ("plain", "<p>rich", ())


def test_html_and_plain_parts_in_a_row_are_shown_in_order() -> None:
    parsed = parse(multipart("mixed", "\n1 < 2", "Content-Type: text/html\n\n<p>two &amp; <b>bold</b></p>", "\nthree"))
    html = parsed.body_html() or ""
    assert html.index("1 &lt; 2") < html.index("<p>two") < html.index("three")
    assert (parsed.body_text() or "").split("\n\n") == ["1 < 2", "two & bold", "three\n"]


def test_a_named_text_is_a_file_unless_it_is_the_whole_mail() -> None:
    named = 'Content-Type: text/plain; name="log.txt"\n\nlog'
    parsed = parse(multipart("mixed", "\nsee log", named))
    assert (parsed.body_text(), [one.name for one in parsed.attachments()]) == ("see log", ["log.txt"])
    assert parse(named).body_text() == "log"


def test_long_texts_are_cut_and_offered_whole() -> None:
    limits = ParseLimits(text_octets=100)
    parsed = parse("Content-Type: text/plain\n\n" + "word " * 100, limits)
    assert parsed.body_text() == "word " * 20 + "\n\n[…]\n"
    [file] = parsed.attachments()
    with file.open() as stream:
        assert stream.read() == b"word " * 100
    assert parsed.body_text(whole=True) == "word " * 100
    parsed = parse("Content-Type: text/html\n\n" + "<p>" * 100, limits)
    assert parsed.body_html() is None
    assert [one.media_type for one in parsed.attachments()] == ["text/html"]


def test_too_many_texts_become_files() -> None:
    parsed = parse(multipart("mixed", *["\ntext"] * 10), ParseLimits(shown_parts=4))
    assert (parsed.body_text() or "").count("text") == 4
    assert len(parsed.attachments()) == 6


def test_a_nested_message_stays_one_file_with_all_its_octets() -> None:
    inner = "From: a@b.example\nSubject: inner\nContent-Type: multipart/mixed; boundary=in\n\n--in\n\nx\n--in--\n"
    parsed = parse(multipart("mixed", "\nouter", f"Content-Type: message/rfc822\n\n{inner}"))
    [file] = parsed.attachments()
    assert file.name == "inner.eml"
    with file.open() as stream:
        assert stream.read() == inner.replace("\n", "\r\n").encode()


def test_a_digest_holds_messages() -> None:
    parsed = parse(multipart("digest", "\nSubject: one\n\nx", "\nSubject: two\n\ny"))
    assert [one.name for one in parsed.attachments()] == ["one.eml", "two.eml"]


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\a.pdf", "a.pdf"),
        ("a\r\nb\x00.pdf", "a b .pdf"),
        ("..", "attachment-1.pdf"),
        ("x" * 300 + ".pdf", "x" * 196 + ".pdf"),
        ("dir/", "attachment-1.pdf"),
    ],
)
def test_file_names_are_names(name: str, clean: str) -> None:
    encoded = base64.b64encode(name.encode()).decode()
    parsed = parse(f'Content-Type: application/pdf; name="=?utf-8?b?{encoded}?="\n\nx')
    assert [one.name for one in parsed.attachments()] == [clean]


def test_limits_count_what_they_name() -> None:
    message = multipart("mixed", *["\ntext"] * 5)
    assert len(list(parse(message, ParseLimits(parts=6)).root.walk())) == 6
    with pytest.raises(MessageError, match="more than 5 parts"):
        parse(message, ParseLimits(parts=5))
    nested = "\ntext"
    for depth in range(3):
        nested = multipart(f"x{depth}", nested)
    assert parse(nested, ParseLimits(depth=3)).body_text() == "text"
    with pytest.raises(MessageError, match="deeper than 2"):
        parse(nested, ParseLimits(depth=2))


def test_a_part_as_large_as_several_blocks_has_exact_borders() -> None:
    # The delimiter is moved across the border of the walker's blocks, octet by octet.
    for size in range((1 << 20) - 700, (1 << 20) + 100, 7):
        body = b"x" * size
        octets = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: a/b\r\n\r\n" + body
        octets += b"\r\n--b\r\nContent-Type: c/d\r\n\r\nlast\r\n--b--\r\n"
        first, last = parse_message(io.BytesIO(octets)).attachments()
        assert first.size == size
        with last.open() as stream:
            assert stream.read() == b"last"


class Source:
    """Stored content that counts its open streams."""

    def __init__(self, octets: bytes) -> None:
        self.octets = octets
        self.opened: list[io.BytesIO] = []

    def open(self) -> io.BytesIO:
        self.opened.append(io.BytesIO(self.octets))
        return self.opened[-1]

    @property
    def size(self) -> int:
        return len(self.octets)


def make_large() -> tuple[bytes, list[bytes]]:
    files = [os.urandom(700_000) for _ in range(3)]
    parts = b"".join(
        b"--b\r\nContent-Type: application/x-%d\r\nContent-Transfer-Encoding: base64\r\n\r\n" % n
        + base64.encodebytes(file).replace(b"\n", b"\r\n")
        for n, file in enumerate(files)
    )
    return b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + parts + b"--b--\r\n", files


def test_files_can_be_read_side_by_side_over_one_stream() -> None:
    octets, files = make_large()
    streams = [one.open() for one in parse_message(io.BytesIO(octets)).attachments()]
    read = [b""] * 3
    chunks = [b"more"] * 3
    while any(chunks):
        chunks = [stream.read(10_000) for stream in streams]
        read = [before + chunk for before, chunk in zip(read, chunks, strict=True)]
    assert read == files
    for stream in streams:
        stream.close()


def test_stored_content_gives_each_file_a_stream_of_its_own() -> None:
    octets, files = make_large()
    source = Source(octets)
    attachments = parse_source(source).attachments()
    found: dict[int, bytes] = {}

    def read(number: int) -> None:
        with attachments[number].open() as stream:
            found[number] = stream.read()

    threads = [threading.Thread(target=read, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[n] for n in range(3)] == files
    assert len(source.opened) == 4
    assert all(stream.closed for stream in source.opened[1:]), "a file's own stream is closed with it"


def test_winmail_with_a_body_that_cannot_be_shown_is_handed_out_too() -> None:
    properties = struct.pack("<I", 1) + struct.pack("<HHII", 258, 0x1009, 1, 4) + b"LZFu"
    data = struct.pack("<IH", 0x223E9F78, 1)
    for level, attribute, value in (
        (1, 0x00069003, properties),
        (2, 0x00069002, bytes(14)),
        (2, 0x00018010, b"a.txt\0"),
        (2, 0x0006800F, b"file"),
    ):
        data += bytes([level]) + struct.pack("<II", attribute, len(value)) + value + b"\0\0"
    winmail = (
        'Content-Type: application/ms-tnef; name="winmail.dat"\nContent-Transfer-Encoding: base64\n\n'
        + base64.encodebytes(data).decode()
    )
    assert [one.name for one in parse(winmail).attachments()] == ["a.txt", "winmail.dat"]
    assert [one.name for one in parse(multipart("mixed", "\n  \n", winmail)).attachments()] == ["a.txt", "winmail.dat"]
    with_text = parse(multipart("mixed", "\ntext", winmail))
    assert [one.name for one in with_text.attachments()] == ["a.txt"]


def test_winmail_with_an_object_inside_stays_whole() -> None:
    data = struct.pack("<IH", 0x223E9F78, 1) + b"\x02" + struct.pack("<II", 0x00069002, 14) + bytes(16)
    assert read_tnef(lambda: io.BytesIO(data)) is None


def test_bodies_that_no_library_should_see_are_only_text() -> None:
    # Codecs that are slow or no text codecs must not be reachable by a label.
    for label in ("idna", "punycode", "rot13", "zip", "hex", "undefined", "unicode_escape", "raw_unicode_escape"):
        assert parse(f"Content-Type: text/plain; charset={label}\n\nabc\\x41").body_text() == "abc\\x41"


@pytest.mark.parametrize(
    ("fields", "hint"),
    [
        ("Content-Type: text/plain; charset=iso-2022-jp", "ja"),
        ("Content-Type: text/plain; charset=Big5", "zh-TW"),
        ("Content-Type: text/plain; charset=GB2312", "zh-CN"),
        ("Content-Type: text/plain; charset=ks_c_5601-1987", "ko"),
        ("Content-Type: text/plain; charset=utf-8", None),
        ("Content-Type: text/plain; charset=big5\nContent-Language: de-AT, en", "de-AT"),
        ("Content-Language: ???", None),
    ],
)
def test_the_language_is_told_or_follows_from_the_charset(fields: str, hint: str | None) -> None:
    assert parse(f"{fields}\n\nx").language_hint == hint
