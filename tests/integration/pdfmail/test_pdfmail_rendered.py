"""Bodies of the real, confined renderer inside the document: pages, tags, links, running heads."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pikepdf
import pypdfium2
import pytest

from pdfmail.html.confined import ConfinedRenderer
from pdfmail.model import DrawnPages, InlineImage
from pdfmail.template import TemplateCache
from tests.data.pdfmail.samples import PASSWORD, make_logo, make_mail, make_options, write_bytes

HTML = (
    """<html lang="en"><body><h1>Quarterly report</h1>
<p>Please see <a href="https://service.bank.example/report?q=3">the report</a>.</p>
<ul><li>first point</li><li>second point</li></ul>
<table border="1"><tr><th>Month</th><th>Sum</th></tr><tr><td>July</td><td>100</td></tr></table>
<p>日本語 שלום हिन्दी 🎉</p><p><img src="cid:logo@bank" alt="our logo"></p>
<p style="page-break-before: always">"""
    + "<p>More text to fill the pages.</p>" * 60
)


@pytest.fixture(scope="module")
def renderer() -> Iterator[ConfinedRenderer]:
    with ConfinedRenderer() as confined:
        yield confined


@pytest.fixture(scope="module")
def rendered(renderer: ConfinedRenderer, templates: TemplateCache) -> bytes:
    mail = make_mail(html=HTML, subject="Quarter 3", images=(InlineImage("logo@bank", "image/png", make_logo()),))
    content, report = write_bytes(templates, mail, renderer=renderer)
    assert (report.body, report.cause) == ("html", None)
    assert report.pages >= 4
    return content


def run(content: bytes, path: Path, *command: str) -> subprocess.CompletedProcess[str]:
    path.write_bytes(content)
    line = [str(path) if part == "FILE" else part for part in command]
    return subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)


def test_qpdf_finds_nothing_wrong(rendered: bytes, tmp_path: Path) -> None:
    result = run(rendered, tmp_path / "a.pdf", "qpdf", "--check", f"--password={PASSWORD}", "FILE")
    assert result.returncode == 0, result.stdout + result.stderr


def test_poppler_reads_all_scripts_and_both_heads(rendered: bytes, tmp_path: Path) -> None:
    result = run(rendered, tmp_path / "a.pdf", "pdftotext", "-upw", PASSWORD, "FILE", "-")
    assert not result.stderr
    for text in ("Quarterly report", "日本語", "שלום", "हिन्दी", "Reply securely"):
        assert text in result.stdout
    pages = result.stdout.split("\f")
    for number, page in enumerate(pages[:-1], 1):
        assert f"Page {number} of {len(pages) - 1}" in page
    assert "Quarter 3" in pages[1]


def test_poppler_reads_one_structure_in_reading_order(rendered: bytes, tmp_path: Path) -> None:
    result = run(rendered, tmp_path / "a.pdf", "pdfinfo", "-struct-text", "-upw", PASSWORD, "FILE")
    assert not result.stderr
    tree = result.stdout
    assert tree.count("Document") == 1
    places = [
        tree.index(text)
        for text in ("A confidential message", "Quarterly report", "first point", "Month", "More text", "Reply conf")
    ]
    assert places == sorted(places)
    for tag in ("LI", "LBody", "TH", "TD", "Figure"):
        assert tag in tree


def test_links_are_made_anew_and_belong_to_their_element(rendered: bytes) -> None:
    with pikepdf.open(io.BytesIO(rendered), password=PASSWORD) as document:
        links = [item for page in document.pages[1:-1] for item in page.get("/Annots", [])]
        assert "https://service.bank.example/report?q=3" in {str(item.A.URI) for item in links}
        for item in links:
            assert set(item.keys()) == {
                "/Type", "/Subtype", "/P", "/Rect", "/Border", "/F", "/StructParent", "/Contents", "/A",
            }  # fmt: skip
            assert set(item.A.keys()) == {"/S", "/URI"}
        for name in ("/Outlines", "/OpenAction", "/Names"):
            assert name not in document.Root
        assert b"WeasyPrint" not in document.Root.Metadata.read_bytes()
        assert b"pdfuaid" not in document.Root.Metadata.read_bytes()  # a claim for pages of our own only
        assert "/Producer" not in document.docinfo


def test_the_pages_look_like_pages(rendered: bytes) -> None:
    document = pypdfium2.PdfDocument(rendered, password=PASSWORD)
    for page in document:
        picture = page.render(scale=1).to_pil().convert("L")
        assert sum(picture.histogram()[:128]) > 800
        page.close()
    document.close()


def test_text_in_another_script_and_a_head_that_needs_the_renderer(
    renderer: ConfinedRenderer, templates: TemplateCache, tmp_path: Path
) -> None:
    mail = make_mail(subject="請求書 🎉", text="こんにちは、\n世界。")
    content, report = write_bytes(templates, mail, make_options(language="de"), renderer=renderer)
    assert (report.body, report.cause) == ("preformatted", None)
    text = run(content, tmp_path / "a.pdf", "pdftotext", "-upw", PASSWORD, "FILE", "-").stdout
    assert "こんにちは" in text
    assert "請求書" in text
    assert "請求書" in text.split("\f")[1]


@pytest.mark.parametrize(
    "trap",
    [
        {"/Subtype": "/Link", "/A": {"/S": "/JavaScript", "/JS": "app.alert(1)"}},
        {"/Subtype": "/Link", "/A": {"/S": "/URI", "/URI": "file:///etc/passwd"}},
        {"/Subtype": "/Link", "/A": {"/S": "/Launch", "/F": "cmd.exe"}},
        {"/Subtype": "/Screen", "/AA": {"/PO": {"/S": "/JavaScript", "/JS": "x"}}},
        {"/Subtype": "/FileAttachment", "/Contents": "x"},
    ],
)
def test_a_hostile_renderer_brings_no_actions_into_the_document(
    templates: TemplateCache, trap: dict[str, object]
) -> None:
    class Hostile:
        def render_body(self, body: object) -> DrawnPages:
            document = pikepdf.new()
            page = document.add_blank_page(page_size=(595, 842))
            page.obj.Annots = pikepdf.Array([document.make_indirect(convert({"/Rect": [0, 0, 9, 9], **trap}))])
            page.obj.AA = convert({"/O": {"/S": "/JavaScript", "/JS": "app.alert(1)"}})
            document.Root.OpenAction = convert({"/S": "/JavaScript", "/JS": "app.alert(1)"})
            document.attachments["evil.exe"] = b"MZ"
            out = io.BytesIO()
            document.save(out)
            return DrawnPages(out.getvalue())

    content, report = write_bytes(templates, make_mail(html="<p>x"), renderer=Hostile())
    assert report.body == "html"
    with pikepdf.open(io.BytesIO(content), password=PASSWORD) as document:
        everything = b"".join(item.unparse(resolved=True) for item in document.objects)
        assert len(document.pages) == 3
    for word in (b"JavaScript", b"Launch", b"file:", b"evil", b"/AA", b"/Screen", b"/FileAttachment"):
        assert word not in everything


def convert(value: object) -> object:
    if isinstance(value, dict):
        return pikepdf.Dictionary({key: convert(item) for key, item in value.items()})
    if isinstance(value, list):
        return pikepdf.Array(value)
    if isinstance(value, str) and value.startswith("/") and value.count("/") == 1:
        return pikepdf.Name(value)
    return pikepdf.String(value) if isinstance(value, str) else value
