"""Pictures of the mail: looked up by Content-ID, checked by content, made smaller, bombs left out."""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from pdfmail.html import pictures
from pdfmail.html.pictures import KEEP_EDGE, PictureBook, make_samples
from pdfmail.model import InlineImage


def make_picture(kind: str, size: tuple[int, int], mode: str = "RGB") -> bytes:
    out = io.BytesIO()
    Image.new(mode, size, 1).save(out, kind)
    return out.getvalue()


def make_bomb(width: int, height: int) -> bytes:
    """A PNG whose header promises far more than its few octets."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(10))) + chunk(b"IEND", b"")
    )


def book_of(content: bytes, content_id: str = "a@b") -> PictureBook:
    return PictureBook([InlineImage(content_id, "image/png", content)])


@pytest.mark.parametrize("name", ["a@b", "<a@b>", "A%40B", " a@b "])
def test_a_content_id_is_found_in_each_of_its_forms(name: str) -> None:
    found = book_of(make_picture("PNG", (3, 2)), "<a@b>").find(name)
    assert found is not None
    assert (found[0], found[1].width, found[1].height) == ("p0", 3, 2)


def test_every_format_is_shown_as_png_or_jpeg() -> None:
    book = PictureBook(make_samples())
    for name in ("png", "jpeg", "gif", "webp", "bmp"):
        found = book.find(name)
        assert found is not None, name
        with Image.open(io.BytesIO(found[1].content)) as image:
            assert image.format in {"PNG", "JPEG"}
            assert found[1].media_type == f"image/{image.format.lower()}"


def test_a_photograph_is_made_smaller() -> None:
    found = book_of(make_picture("JPEG", (5000, 3000))).find("a@b")
    assert found is not None
    assert (found[1].width, found[1].height) == (KEEP_EDGE, KEEP_EDGE * 3 // 5)


def test_a_large_picture_with_transparency_stays_transparent() -> None:
    found = book_of(make_picture("PNG", (3000, 3000), "RGBA")).find("a@b")
    assert found is not None
    with Image.open(io.BytesIO(found[1].content)) as image:
        assert (image.mode, image.format) == ("RGBA", "PNG")


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"GIF89a",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.7",
        make_bomb(30_000, 30_000),
        make_bomb(0xFFFFFFF, 0xFFFFFFF),
        make_picture("TIFF", (4, 4)),
        make_picture("PPM", (4, 4)),
    ],
)
def test_what_cannot_be_shown_is_left_out(content: bytes) -> None:
    assert book_of(content).find("a@b") is None


@pytest.mark.parametrize("is_tolerant", [True, False])
def test_a_cut_picture_is_shown_as_far_as_it_goes(monkeypatch: pytest.MonkeyPatch, is_tolerant: bool) -> None:
    # WeasyPrint, which the child has loaded, switches this on for the whole process.
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", is_tolerant)
    found = book_of(make_picture("PNG", (40, 40))[:60]).find("a@b")
    assert (found is not None) is is_tolerant


def test_many_large_pictures_run_out_of_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MAX_PIXELS_ALL", 1000)
    content = make_picture("PNG", (20, 20))
    book = PictureBook([InlineImage(f"i{n}", "image/png", content) for n in range(4)])
    assert [book.find(f"i{n}") is not None for n in range(4)] == [True, True, False, False]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=200), st.sampled_from(["", "\x89PNG\r\n\x1a\n", "GIF89a", "\xff\xd8\xff\xe0", "RIFF", "BM"]))
def test_no_octets_raise(octets: bytes, head: str) -> None:
    book_of(head.encode("latin-1") + octets).find("a@b")
