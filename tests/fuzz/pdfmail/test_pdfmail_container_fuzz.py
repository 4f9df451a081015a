"""The file writer against libqpdf: whatever goes in comes out the same, and only with the password."""

from __future__ import annotations

import io
import subprocess
import zlib
from pathlib import Path

import pikepdf
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pdfmail.container import PdfFile, literal
from pdfmail.model import Cipher
from tests.data.pdfmail.samples import PASSWORD, OneWay

PASSWORDS = st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), min_size=12, max_size=32)
TEXTS = st.text(max_size=60)
CONTENTS = st.binary(max_size=300)


# ISO 32000-1, 7.6.3.3, algorithm 2 step a
_FILLING = bytes.fromhex("28bf4e5e4e758a4164004e56fffa01082e2e00b6d0683e802f0ca9fe6453697a")


def pad_password(password: str) -> bytes:
    """What AES-128 (revision 4) makes of a password before it is hashed."""
    return (password.encode("latin-1") + _FILLING)[:32]


class Pieces:
    """A content in random pieces."""

    def __init__(self, content: bytes, cuts: list[int]) -> None:
        places = sorted(cut % (len(content) + 1) for cut in cuts)
        self.pieces = [content[a:b] for a, b in zip([0, *places], [*places, len(content)], strict=True)]


def write_minimal(
    cipher: Cipher,
    password: str,
    texts: list[str],
    streams: list[bytes],
    flows: list[tuple[bytes, list[int], bool]],
    at_most: int | None = None,
) -> bytes:
    """A document without pages worth mentioning that holds these strings and streams."""
    out = OneWay(at_most)
    file = PdfFile(out, cipher, password)  # type: ignore[arg-type]
    catalog, pages = file.reserve(), file.reserve()
    packed = [file.add_packed(b"", content) for content in streams]
    flowing = []
    for content, cuts, deflate in flows:
        number, size = file.add_flowing(b"", Pieces(content, cuts).pieces, deflate=deflate)
        assert size == len(content)
        flowing.append(number)
    strings = [file.add(b"[%s]" % literal(text)) for text in texts]
    file.add(b"<</Type/Pages/Count 0/Kids[]>>", pages)
    listed = b" ".join(b"%d 0 R" % number for number in [*packed, *flowing, *strings])
    file.add(b"<</Type/Catalog/Pages %d 0 R/X[%s]>>" % (pages, listed), catalog)
    octets = file.finish(catalog, file.reserve())
    assert octets == len(out.content) == file.octets
    return bytes(out.content)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    cipher=st.sampled_from(Cipher),
    password=PASSWORDS,
    texts=st.lists(TEXTS, max_size=8),
    streams=st.lists(CONTENTS, max_size=4),
    flows=st.lists(st.tuples(CONTENTS, st.lists(st.integers(0, 1000), max_size=3), st.booleans()), max_size=4),
    at_most=st.sampled_from([None, 1, 7, 1000]),
)
def test_qpdf_reads_back_what_was_written(
    cipher: Cipher,
    password: str,
    texts: list[str],
    streams: list[bytes],
    flows: list[tuple[bytes, list[int], bool]],
    at_most: int | None,
) -> None:
    content = write_minimal(cipher, password, texts, streams, flows, at_most)
    with pikepdf.open(io.BytesIO(content), password=password) as document:
        assert document.check_pdf_syntax() == []
        items = list(document.Root.X)
        expected = [*streams, *(content for content, _, _ in flows)]
        assert [bytes(item.read_bytes()) for item in items[: len(expected)]] == expected
        read = [str(item[0]) for item in items[len(expected) :]]
        assert read == [text.encode("utf-16-be", "replace").decode("utf-16-be") for text in texts]
    # A longer one with the same 32 octets would open AES-128, which counts no more: that is the standard's.
    other = ("b" if password[0] == "a" else "a") + password[1:]
    for wrong in ("", password[:-1], other):
        if cipher is Cipher.AES_128 and pad_password(wrong) == pad_password(password):
            continue  # "…(" and "…" are one password to it: the filling begins with "(".
        with pytest.raises(pikepdf.PasswordError):
            pikepdf.open(io.BytesIO(content), password=wrong)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(Cipher), st.integers(0, 700))
def test_any_number_of_objects(cipher: Cipher, count: int) -> None:
    content = write_minimal(cipher, PASSWORD, [f"text {number}" for number in range(count)], [], [])
    with pikepdf.open(io.BytesIO(content), password=PASSWORD) as document:
        assert [str(item[0]) for item in document.Root.X] == [f"text {number}" for number in range(count)]


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(Cipher), st.integers(0, 10_000), st.integers(0, 255))
def test_a_changed_octet_never_opens_without_the_password(cipher: Cipher, place: int, value: int) -> None:
    content = bytearray(write_minimal(cipher, PASSWORD, ["secret words"], [b"secret stream"], []))
    content[place % len(content)] = value
    try:
        with pikepdf.open(io.BytesIO(bytes(content)), suppress_warnings=True) as document:
            found = b"".join(item.unparse(resolved=True) for item in document.objects)
    except (pikepdf.PdfError, pikepdf.PasswordError):
        return
    assert b"secret" not in found


@pytest.mark.parametrize("cipher", list(Cipher))
def test_the_qpdf_command_agrees(cipher: Cipher, tmp_path: Path) -> None:
    big = bytes(range(256)) * 9000
    flows = [(big, [1 << 20], False), (big, [5], True), (b"", [], False)]
    path = tmp_path / "file.pdf"
    path.write_bytes(write_minimal(cipher, PASSWORD, ["a(b)c\\", "ü€", "\n"], [b"x", b""], flows))
    result = subprocess.run(
        ["qpdf", "--check", f"--password={PASSWORD}", str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_file_is_written_forward_in_bounded_pieces() -> None:
    class Watcher(OneWay):
        largest = 0

        def write(self, data: object) -> int:
            self.largest = max(self.largest, len(bytes(data)))  # type: ignore[call-overload]
            return super().write(data)

        def seek(self, offset: int, whence: int = 0) -> int:
            raise AssertionError("the sink cannot seek")

        def tell(self) -> int:
            raise AssertionError("the sink cannot tell")

    out = Watcher()
    file = PdfFile(out, Cipher.AES_256, PASSWORD)  # type: ignore[arg-type]
    file.add_flowing(b"", [bytes(5_000_000)], deflate=False)
    assert out.largest <= (1 << 20) + 16


def test_a_bomb_is_not_made_worse() -> None:
    """Text-like content is deflated once, at level 1, and inflates to itself."""
    out = OneWay()
    file = PdfFile(out, Cipher.AES_256, PASSWORD)  # type: ignore[arg-type]
    number, size = file.add_flowing(b"", (b"a" * 65536 for _ in range(100)), deflate=True)
    assert size == 6_553_600
    assert file.octets < 60_000
    catalog = file.add(
        b"<</Type/Catalog/Pages %d 0 R/X %d 0 R>>" % (file.add(b"<</Type/Pages/Count 0/Kids[]>>"), number)
    )
    file.finish(catalog, file.reserve())
    with pikepdf.open(io.BytesIO(bytes(out.content)), password=PASSWORD) as document:
        assert zlib.decompress(document.Root.X.read_raw_bytes()) == b"a" * size
