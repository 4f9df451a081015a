"""What real readers make of our PDFs: poppler, mupdf, pdfium and qpdf are the judges."""

from __future__ import annotations

import io
import re
import subprocess
from pathlib import Path

import pikepdf
import pypdfium2
import pypdfium2.raw as pdfium
import pytest

from pdfmail.model import Cipher
from pdfmail.template import TemplateCache
from tests.data.pdfmail.samples import (
    CIPHERS,
    PASSWORD,
    REPLY_URL,
    SENTENCE,
    make_attachment,
    make_brand,
    make_logo,
    make_mail,
    make_options,
    write_bytes,
)

FILES = {
    "Angebot Müller & Söhne.pdf": (bytes(range(256)) * 300, "application/pdf"),
    "報告書.docx": (b"PK" + bytes(5000), "application/zip"),
    "terms.txt": (b"The same words again and again. " * 500, "text/plain"),
    "empty.bin": (b"", "application/octet-stream"),
}
ORIGINAL = b"Subject: Your contract\r\n\r\n" + SENTENCE.encode() + b"\r\n"


@pytest.fixture(scope="module", params=CIPHERS, ids=[cipher.value for cipher in CIPHERS])
def sample(request: pytest.FixtureRequest, templates: TemplateCache, tmp_path_factory: pytest.TempPathFactory) -> Path:
    attachments = tuple(make_attachment(name, content, kind) for name, (content, kind) in FILES.items())
    mail = make_mail(attachments=attachments, message_eml=ORIGINAL)
    brand = make_brand(logo=make_logo())
    content, _ = write_bytes(templates, mail, make_options(cipher=request.param, language="de"), brand)
    path = tmp_path_factory.mktemp("pdf") / f"{request.param.value}.pdf"
    path.write_bytes(content)
    return path


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60, check=False)


# -- qpdf


def test_qpdf_finds_nothing_wrong(sample: Path) -> None:
    result = run("qpdf", "--check", f"--password={PASSWORD}", sample)
    assert result.returncode == 0, result.stderr + result.stdout
    assert "No syntax or stream encoding errors" in result.stdout
    assert "Supplied password is user password" in result.stdout
    method = "AESv3" if sample.stem == "aes-256" else "AESv2"
    assert result.stdout.count(f"encryption method: {method}") == 3
    assert not result.stderr


@pytest.mark.parametrize("password", ["", "dghz-4eb6-7gnc-xxd7", PASSWORD.replace("-", ""), PASSWORD.upper()])
def test_no_reader_opens_it_without_the_password(sample: Path, password: str) -> None:
    assert run("qpdf", "--check", f"--password={password}", sample).returncode == 2
    assert "Incorrect password" in run("pdfinfo", "-upw", password, sample).stderr
    assert "Incorrect password" in run("pdfinfo", "-opw", password, sample).stderr
    assert "Incorrect password" in run("pdftotext", "-upw", password, sample, "-").stderr
    mutool = run("mutool", "draw", "-F", "text", "-p", password, sample)
    assert mutool.returncode != 0
    assert SENTENCE not in mutool.stdout
    with pytest.raises(pypdfium2.PdfiumError, match=r"[Pp]assword"):
        pypdfium2.PdfDocument(str(sample), password=password)
    with pytest.raises(pikepdf.PasswordError):
        pikepdf.open(sample, password=password)


def test_no_reader_opens_it_with_no_password_at_all(sample: Path) -> None:
    assert run("qpdf", "--check", sample).returncode == 2
    assert "Incorrect password" in run("pdfinfo", sample).stderr
    assert run("mutool", "draw", "-F", "text", sample).returncode != 0
    with pytest.raises(pypdfium2.PdfiumError, match=r"[Pp]assword"):
        pypdfium2.PdfDocument(str(sample))


# -- poppler


def test_poppler_reads_text_in_order(sample: Path) -> None:
    text = run("pdftotext", "-upw", PASSWORD, sample, "-").stdout
    assert SENTENCE in text
    assert "Grüße aus Köln; Привет; Γειά σου; 100 €." in text
    assert REPLY_URL in text
    order = [text.index(word) for word in ("Eine vertrauliche Nachricht", "Anlagen (4)", SENTENCE, "Sicher antworten")]
    assert order == sorted(order)
    assert "報告書" in text  # by ActualText, since the cover's font has no such glyphs


def test_poppler_tells_title_tags_and_nothing_about_us(sample: Path) -> None:
    info = run("pdfinfo", "-upw", PASSWORD, sample)
    assert not info.stderr
    assert re.search(r"^Title: +Verschlüsselte Nachricht$", info.stdout, re.MULTILINE)
    assert re.search(r"^Tagged: +yes$", info.stdout, re.MULTILINE)
    assert re.search(r"^JavaScript: +no$", info.stdout, re.MULTILINE)
    assert re.search(r"^Form: +none$", info.stdout, re.MULTILINE)
    assert "Producer" not in info.stdout
    assert "Creator" not in info.stdout
    assert "Author" not in info.stdout


def test_poppler_reads_the_structure(sample: Path) -> None:
    result = run("pdfinfo", "-upw", PASSWORD, "-struct-text", sample)
    assert not result.stderr
    tree = result.stdout
    for tag in ("Document", "Sect", "H1", "P ", "Table", "TR", "TH", "TD", "Figure", "Link"):
        assert tag in tree, tag
    assert tree.index("Figure") < tree.index("H1") < tree.index("Table") < tree.index(SENTENCE)
    assert "Object" in tree  # the link's annotation


def test_poppler_detaches_every_file_unchanged(sample: Path, tmp_path: Path) -> None:
    listing = run("pdfdetach", "-list", "-upw", PASSWORD, sample)
    assert "5 embedded files" in listing.stdout
    result = run("pdfdetach", "-saveall", "-upw", PASSWORD, "-o", tmp_path, sample)
    assert result.returncode == 0, result.stderr
    saved = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert saved == {name: content for name, (content, _) in FILES.items()} | {"message.eml": ORIGINAL}


def test_poppler_finds_all_fonts_embedded_with_their_text(sample: Path) -> None:
    rows = run("pdffonts", "-upw", PASSWORD, sample).stdout.splitlines()[2:]
    assert rows
    for row in rows:
        assert row.split()[-5:-2] == ["yes", "yes", "yes"], row  # embedded, subset, with ToUnicode


# -- mupdf


def test_mupdf_reads_text_and_links(sample: Path) -> None:
    text = run("mutool", "draw", "-F", "text", "-p", PASSWORD, sample)
    assert text.returncode == 0
    # Debian builds mupdf without colour profiles and says so each time.
    assert text.stderr.lower().replace("warning: icc support is not available", "").strip() == ""
    assert SENTENCE in text.stdout
    shown = run("mutool", "show", "-p", PASSWORD, sample, "pages/3/Annots")
    assert shown.returncode == 0
    links = run("mutool", "show", "-b", "-p", PASSWORD, sample, "grep")
    assert f"/URI({REPLY_URL})" in links.stdout


def test_mupdf_gives_every_file_unchanged(sample: Path) -> None:
    command = ("mutool", "show", "-b", "-p", PASSWORD, str(sample))
    for place, (name, content) in enumerate(
        [*((name, one[0]) for name, one in FILES.items()), ("message.eml", ORIGINAL)]
    ):
        entry = f"trailer/Root/Names/EmbeddedFiles/Names/{2 * place + 2}"
        shown = subprocess.run([*command, f"{entry}/EF/F"], capture_output=True, timeout=60, check=True)
        assert shown.stdout == content
        title = run(*command, f"{entry}/UF").stdout.strip()
        assert title in (f"({name})", f"<FEFF{name.encode('utf-16-be').hex().upper()}>")


# -- pdfium


def test_pdfium_reads_text_files_and_links(sample: Path) -> None:
    document = pypdfium2.PdfDocument(str(sample), password=PASSWORD)
    try:
        page = document[1]
        text_page = page.get_textpage()
        assert SENTENCE in text_page.get_text_range().replace("\r\n", "\n")
        text_page.close()
        page.close()
        files = [document.get_attachment(index) for index in range(document.count_attachments())]
        assert {item.get_name(): bytes(item.get_data()) for item in files if item.get_name() != "empty.bin"} == {
            name: content for name, (content, _) in FILES.items() if content
        } | {"message.eml": ORIGINAL}
        assert pdfium.FPDFCatalog_IsTagged(document)
    finally:
        document.close()


def test_pdfium_draws_every_page(sample: Path) -> None:
    document = pypdfium2.PdfDocument(str(sample), password=PASSWORD)
    try:
        assert len(document) == 3
        for page in document:
            picture = page.render(scale=1).to_pil().convert("L")
            assert sum(picture.histogram()[:128]) > 800, "the page is almost empty"
            page.close()
    finally:
        document.close()


# -- the file itself


def test_nothing_of_the_mail_lies_in_the_file_in_the_clear(sample: Path) -> None:
    content = sample.read_bytes()
    # Six octets or more: shorter ones turn up in random octets.
    for secret in (b"contract", b"4711-0815", b"Keller", b"bank.example", b"Example", b"message.eml", b"CreationDate"):
        assert secret not in content, secret
    for secret in ("Müller", "Vertrag", "報告書"):
        assert secret.encode("utf-16-be") not in content
        assert secret.encode() not in content
    assert PASSWORD.encode() not in content
    # Fonts and artwork are not told apart either: only the envelope of the format is readable.
    assert b"/FontDescriptor" not in content
    assert b"NotoSans" not in content


def test_the_catalog_holds_no_action_and_the_rules_for_files(sample: Path) -> None:
    with pikepdf.open(sample, password=PASSWORD) as document:
        root = document.Root
        for name in ("/OpenAction", "/AA", "/AcroForm"):
            assert name not in root
        assert "/JavaScript" not in root.Names
        assert root.PageMode == "/UseAttachments"
        assert root.ViewerPreferences.DisplayDocTitle is True
        assert root.Lang == "de"
        assert document.encryption.P == -4
        tree = root.Names.EmbeddedFiles.Names
        assert [str(tree[place]) for place in range(0, len(tree), 2)] == ["0000", "0001", "0002", "0003", "0004"]
        for place, (name, (content, kind)) in enumerate(FILES.items()):
            item = tree[2 * place + 1]
            assert str(item.UF) == name
            assert str(item.F).isascii()
            assert item.AFRelationship == "/Supplement"
            assert str(item.EF.F.Subtype) == "/" + kind
            assert item.EF.F.Params.Size == len(content)
            assert ("/Filter" in item.EF.F) is (kind == "text/plain")


def test_two_writings_share_no_key_and_no_id(templates: TemplateCache) -> None:
    first, second = (pikepdf.open(io.BytesIO(write_bytes(templates)[0]), password=PASSWORD) for _ in range(2))
    with first, second:
        assert bytes(first.trailer.ID[0]) != bytes(second.trailer.ID[0])
        for name in ("/O", "/OE", "/U", "/UE"):
            assert bytes(first.trailer.Encrypt[name]) != bytes(second.trailer.Encrypt[name])
        assert first.encryption.encryption_key != second.encryption.encryption_key


def test_the_pane_opens_for_the_senders_files_only(templates: TemplateCache) -> None:
    content, _ = write_bytes(templates, make_mail(message_eml=ORIGINAL))
    with pikepdf.open(io.BytesIO(content), password=PASSWORD) as document:
        assert "/PageMode" not in document.Root
        assert "/EmbeddedFiles" in document.Root.Names


def test_without_files_no_pane_opens_and_without_address_nothing_to_click(templates: TemplateCache) -> None:
    content, _ = write_bytes(templates, make_mail(text="No link here."), make_options(reply_url=None))
    with pikepdf.open(io.BytesIO(content), password=PASSWORD) as document:
        assert "/Names" not in document.Root
        assert "/PageMode" not in document.Root
        assert all("/Annots" not in page for page in document.pages)
        everything = b"".join(item.unparse(resolved=True) for item in document.objects)
    assert b"/Figure" not in everything
    assert b"/URI" not in everything


@pytest.mark.parametrize("url", [REPLY_URL, "https://mail.example/r/zZ9_-0123456789~abcdef", "https://a.example/x"])
def test_the_reply_address_stands_on_the_last_page_as_link_text_and_code(
    templates: TemplateCache, tmp_path: Path, url: str
) -> None:
    content, _ = write_bytes(templates, options=make_options(reply_url=url))
    path = tmp_path / "reply.pdf"
    path.write_bytes(content)
    with pikepdf.open(path, password=PASSWORD) as document:
        links = [item for item in document.pages[-1].Annots if item.Subtype == "/Link"]
        assert {str(item.A.URI) for item in links} == {url}
        assert all(item.A.S == "/URI" and "/StructParent" in item for item in links)
    assert url in run("pdftotext", "-f", "3", "-upw", PASSWORD, path, "-").stdout
    run("pdftoppm", "-f", "3", "-r", "110", "-png", "-upw", PASSWORD, path, tmp_path / "page")
    (picture,) = tmp_path.glob("page*.png")
    assert run("zbarimg", "-q", "--raw", picture).stdout.strip() == url


@pytest.mark.parametrize("logo", [make_logo("PNG"), make_logo("JPEG"), make_logo("PNG", (3000, 200))])
def test_logos_of_every_kind_show(templates: TemplateCache, tmp_path: Path, logo: bytes) -> None:
    pictures = []
    for brand in (make_brand(), make_brand(logo=logo)):
        content, _ = write_bytes(templates, brand=brand)
        document = pypdfium2.PdfDocument(content, password=PASSWORD)
        page = document[0]
        pictures.append(page.render(scale=1).to_pil().convert("RGB").crop((50, 20, 240, 100)).tobytes())
        page.close()
        document.close()
    assert pictures[0] != pictures[1]
    path = tmp_path / "logo.pdf"
    path.write_bytes(content)
    assert run("qpdf", "--check", f"--password={PASSWORD}", path).returncode == 0


def test_the_weaker_cipher_is_what_it_says(templates: TemplateCache) -> None:
    content, _ = write_bytes(templates, options=make_options(cipher=Cipher.AES_128))
    with pikepdf.open(io.BytesIO(content), password=PASSWORD) as document:
        assert (document.encryption.R, document.encryption.V, document.encryption.bits) == (4, 4, 128)
    content, _ = write_bytes(templates)
    with pikepdf.open(io.BytesIO(content), password=PASSWORD) as document:
        assert (document.encryption.R, document.encryption.V, document.encryption.bits) == (6, 5, 256)
