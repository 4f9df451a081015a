"""The renderer's output is not trusted: whatever it is, it becomes a sound document or a BrokenBodyError."""

from __future__ import annotations

import contextlib
import io

import pikepdf
import pytest
import weasyprint
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pdfmail.graft import BrokenBodyError, read_body
from pdfmail.model import DrawnPages
from pdfmail.template import TemplateCache
from tests.data.pdfmail.samples import PASSWORD, make_mail, write_bytes

HTML = """<html lang="en"><h1>Head</h1><p>Text <a href="https://a.example/">link</a></p><ul><li>x</ul>
<table><tr><th>a<td colspan="2">b</table>"""


class Returns:
    """A renderer that returns what it was given."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def render_body(self, body: object) -> DrawnPages:
        return DrawnPages(self._content)


@pytest.fixture(scope="module")
def sound() -> bytes:
    """Uncompressed, so that changes hit structure and not only deflated octets."""
    out = io.BytesIO()
    content = weasyprint.HTML(string=HTML).write_pdf(pdf_tags=True, uncompressed_pdf=True)
    with pikepdf.open(io.BytesIO(content)) as document:
        document.save(out, qdf=True, object_stream_mode=pikepdf.ObjectStreamMode.disable)
    return out.getvalue()


@pytest.fixture(scope="module")
def templates() -> TemplateCache:
    return TemplateCache()


def check(templates: TemplateCache, content: bytes) -> str:
    written, report = write_bytes(templates, make_mail(html="<p>x"), renderer=Returns(content))
    with pikepdf.open(io.BytesIO(written), password=PASSWORD, suppress_warnings=True) as document:
        assert len(document.pages) == report.pages
        everything = b"".join(
            item.unparse(resolved=True) for item in document.objects if isinstance(item, pikepdf.Object)
        )
    assert b"/JavaScript" not in everything
    assert b"/JS" not in everything
    assert report.body in {"html", "text"}
    return report.body


def test_the_unchanged_output_is_taken(templates: TemplateCache, sound: bytes) -> None:
    assert check(templates, sound) == "html"


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(changes=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), min_size=1, max_size=12))
def test_changed_octets(templates: TemplateCache, sound: bytes, changes: list[tuple[int, int]]) -> None:
    content = bytearray(sound)
    for place, value in changes:
        content[place % len(content)] = value
    check(templates, bytes(content))


WORDS = [b"/Type", b"/StructElem", b"/K", b"/Pg", b"/MCID", b"/Kids", b"/P ", b"/S ", b"/Page", b"/Annots", b"/URI"]
NEW = [
    b"null",
    b"/Type",
    b"0",
    b"-1",
    b"99999999999",
    b"[]",
    b"<<>>",
    b"(x)",
    b"/K",
    b"1 0 R",
    b"6 0 R",
    b"/Other",
]


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(old=st.sampled_from(WORDS), new=st.sampled_from(NEW), which=st.integers(0, 40))
def test_changed_words(templates: TemplateCache, sound: bytes, old: bytes, new: bytes, which: int) -> None:
    pieces = sound.split(old)
    place = which % len(pieces)
    content = old.join(pieces[: place + 1]) + (new if place + 1 < len(pieces) else b"") + old.join(pieces[place + 1 :])
    check(templates, content)


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=300))
def test_rubbish(content: bytes) -> None:
    with contextlib.suppress(BrokenBodyError):
        read_body(b"%PDF-1.7\n" + content)


def test_a_tree_that_bites_its_tail_ends(templates: TemplateCache, sound: bytes) -> None:
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(sound)) as document:
        root = document.Root.StructTreeRoot.K
        root = root[0] if isinstance(root, pikepdf.Array) else root
        root.K.append(root)
        document.save(out)
    assert check(templates, out.getvalue()) == "html"
