"""The sample mails as pages: what poppler and mupdf read back, tags, fonts, languages, links, pictures."""

from __future__ import annotations

import io
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pikepdf
import pytest
from PIL import Image, ImageDraw

from pdfmail.html import ConfinedRenderer
from pdfmail.html.page import SIDE_MM, TOP_MM
from pdfmail.model import HtmlBody, InlineImage

DATA = Path(__file__).parents[2] / "data" / "html"
RIGHT_EDGE = (210 - SIDE_MM) / 25.4 * 72
PETROL = (14, 90, 99)


def make_picture(width: int, height: int) -> bytes:
    image = Image.new("RGB", (width, height), PETROL)
    ImageDraw.Draw(image).ellipse((width * 0.3, height * 0.3, width * 0.7, height * 0.7), fill="white")
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


IMAGES = (
    InlineImage("logo@bank.example", "image/png", make_picture(240, 80)),
    InlineImage("<chart>", "image/png", make_picture(840, 300)),
)


@pytest.fixture(scope="module")
def renderer() -> Iterator[ConfinedRenderer]:
    with ConfinedRenderer() as renderer:
        yield renderer


@pytest.fixture(scope="module")
def pages(renderer: ConfinedRenderer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    written = {}
    for path in sorted(DATA.glob("*.html")):
        language = "de" if path.stem == "outlook" else "en"
        body = HtmlBody(html=path.read_text(encoding="utf-8"), images=IMAGES, language=language)
        written[path.stem] = folder / f"{path.stem}.pdf"
        written[path.stem].write_bytes(renderer.render_body(body).pdf)
    return written


def run(*command: str | Path) -> str:
    return subprocess.run(command, capture_output=True, check=True, timeout=60).stdout.decode("utf-8", "replace")


def squeeze(text: str) -> str:
    """Without blanks and direction marks, which each reader places in its own way."""
    return re.sub(r"[\s\u200b-\u200f\u202a-\u202e\u2066-\u2069]+", "", text)


WORDS = {
    "outlook": ["Sehr geehrte Frau Berger,", "1.250,00 €", "30.09.2026", "Links in dieser Nachricht", "/kontakt"],
    "newsletter": ["Autumn is planting time", "Image: Hazel", "Corylus avellana", "Unsubscribe", "/unsub?id=77"],
    "reply_thread": ["Loan Desk", "first instalment in January", "Hall A 1,200 m²", "Are you still interested?"],
    "phishing": ["this link really leads to: login.evil.example", "xn--bnk-6cd.example", "covering"],
    "statement": ["Opening balance", "-1,180.00", "white text without its dark picture"],
    "dark_columns": ["Your order is on its way", "Two garden chairs", "Exampletown", "Track it"],
    "wide_table": ["September", "130,982", "report-2026-final-version-7", "small icons in a line"],
    "apple_rtl": ["Example Bank", "السيد", "Kind regards"],
    "scripts": [
        "Łódź", "Καλημέρα κόσμε", "Съешь ещё", "مرحبا", "שלום עולם", "สวัสดี", "您好",
        "こんにちは", "안녕하세요", "𠮷", "😀",
        "გამარჯობა", "Բարեւ", "ሰላም", "∑", "0123456789",
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", WORDS)
def test_poppler_and_mupdf_read_the_words_back(name: str, pages: dict[str, Path]) -> None:
    poppler = squeeze(run("pdftotext", pages[name], "-"))
    mupdf = squeeze(run("mutool", "draw", "-q", "-F", "txt", pages[name]))
    for words in WORDS[name]:
        assert squeeze(words) in poppler, words
        has_right_to_left = re.search("[\u0590-\u06ff]", words)  # mupdf gives these in the order of the glyphs
        assert has_right_to_left or squeeze(words) in mupdf, words


def test_what_must_not_be_shown_is_not(pages: dict[str, Path]) -> None:
    assert "nobody should see" not in run("pdftotext", pages["newsletter"], "-")
    assert "alert" not in run("pdftotext", pages["phishing"], "-")


@pytest.mark.parametrize("name", WORDS)
def test_each_body_is_a_sound_tagged_a4_pdf(name: str, pages: dict[str, Path]) -> None:
    assert "No syntax or stream encoding errors" in run("qpdf", "--check", pages[name])
    info = run("pdfinfo", pages[name])
    assert re.search(r"Tagged:\s+yes", info)
    assert "(A4)" in info
    assert re.search(r"JavaScript:\s+no", info)
    assert run("pdfdetach", "-list", pages[name]).startswith("0 embedded files")
    for line in run("pdffonts", pages[name]).splitlines()[2:]:
        embedded, subset, has_unicode = line.split()[-5:-2]
        assert (embedded, subset, has_unicode) == ("yes", "yes", "yes"), line


def test_the_structure_says_what_a_reader_needs(pages: dict[str, Path]) -> None:
    statement = run("pdfinfo", "-struct", pages["statement"])
    for role in ("H2", "P (", "Table", "THead", "TH", "TD", "Figure"):
        assert role in statement, role
    thread = run("pdfinfo", "-struct", pages["reply_thread"])
    for role in ("Link", "LI", "LBody"):
        assert role in thread, role
    with pikepdf.open(pages["statement"]) as document:
        assert "Chart of the balance" in str(
            [element for element in walk(document.Root.StructTreeRoot) if "/Alt" in element]
        )
    with pikepdf.open(pages["outlook"]) as document:
        assert document.Root.Lang == "de"


def walk(element: pikepdf.Object) -> Iterator[pikepdf.Object]:
    kids = element.get("/K", [])
    for kid in kids if isinstance(kids, pikepdf.Array) else [kids]:
        if isinstance(kid, pikepdf.Dictionary) and "/S" in kid:
            yield kid
            yield from walk(kid)


def test_the_language_chooses_the_face_of_han_characters(pages: dict[str, Path]) -> None:
    fonts = run("pdffonts", pages["scripts"])
    for face in ("SC", "TC", "JP", "KR"):
        assert f"CJK-{face}" in fonts


def test_a_link_goes_where_it_says(pages: dict[str, Path]) -> None:
    with pikepdf.open(pages["phishing"]) as document:
        links = {str(annotation.A.URI) for page in document.pages for annotation in page.Annots if "/A" in annotation}
    assert {"https://login.evil.example/bank", "https://evil.example/", "mailto:service@evil.example"} <= links
    assert all(link.startswith(("https://", "mailto:")) and "@evil.example/" not in link for link in links)


def draw(pdf: Path, tmp_path: Path) -> Image.Image:
    run("pdftoppm", "-r", "50", "-png", "-singlefile", pdf, tmp_path / "page")
    return Image.open(tmp_path / "page.png").convert("RGB")


def test_the_picture_is_on_the_page_and_the_margins_are_free(pages: dict[str, Path], tmp_path: Path) -> None:
    page = draw(pages["statement"], tmp_path)
    colours = page.getcolors(1 << 20)
    assert colours is not None
    petrol = sum(count for count, colour in colours if isinstance(colour, tuple) and max_difference(colour, PETROL) < 6)
    assert petrol > 5000
    side, top = int(SIDE_MM / 25.4 * 50) - 1, int(TOP_MM / 25.4 * 50) - 1
    for box in ((0, 0, side, page.height), (page.width - side, 0, page.width, page.height), (0, 0, page.width, top)):
        assert page.crop(box).getextrema() == ((255, 255), (255, 255), (255, 255))


def max_difference(first: tuple[int, ...], second: tuple[int, ...]) -> int:
    return max(abs(a - b) for a, b in zip(first, second, strict=True))


def test_right_to_left_text_stands_on_the_right(pages: dict[str, Path], tmp_path: Path) -> None:
    page = draw(pages["apple_rtl"], tmp_path)
    ink = page.convert("L").point(lambda level: 255 if level < 128 else 0).crop((0, 0, page.width, 60)).getbbox()
    assert ink is not None
    assert ink[0] > page.width / 2


def test_plain_text_in_any_script(renderer: ConfinedRenderer, tmp_path: Path) -> None:
    text = "日本語の本文\n\n  indented https://bank.example/x\nשלום\n" + "長" * 300
    pdf = tmp_path / "text.pdf"
    pdf.write_bytes(renderer.render_body(HtmlBody(text=text, language="ja")).pdf)
    read = squeeze(run("pdftotext", pdf, "-"))
    assert squeeze(text) in read
    assert "CJK-JP" in run("pdffonts", pdf)
    with pikepdf.open(pdf) as document:
        assert document.Root.Lang == "ja"
        assert [str(annotation.A.URI) for annotation in document.pages[0].Annots] == ["https://bank.example/x"]


def test_a_table_that_is_wider_than_the_page_is_drawn_smaller(pages: dict[str, Path]) -> None:
    assert squeeze("130,982") in squeeze(run("pdftotext", pages["wide_table"], "-"))
    assert find_right_edge(pages["wide_table"]) <= RIGHT_EDGE + 9
    assert "(A4)" in run("pdfinfo", pages["wide_table"])


def test_a_table_that_is_far_too_wide_still_ends_inside_the_page(renderer: ConfinedRenderer, tmp_path: Path) -> None:
    cells = "".join(f"<td>column{n}</td>" for n in range(60))
    pdf = tmp_path / "wide.pdf"
    pdf.write_bytes(renderer.render_body(HtmlBody(html=f"<table border=1 cellpadding=4><tr>{cells}</tr></table>")).pdf)
    assert find_right_edge(pdf) <= RIGHT_EDGE + 9
    assert "column59" in squeeze(run("pdftotext", "-raw", pdf, "-"))


def find_right_edge(pdf: Path) -> float:
    """Return where the rightmost word ends, in points."""
    return max(float(edge) for edge in re.findall(r'xMax="([0-9.]+)"', run("pdftotext", "-bbox", pdf, "-")))


def test_a_long_table_keeps_its_head_and_fits_the_page(renderer: ConfinedRenderer, tmp_path: Path) -> None:
    rows = "".join(f"<tr><td>{n}</td><td>{'x' * 200}</td><td>end{n}</td></tr>" for n in range(120))
    pdf = tmp_path / "table.pdf"
    pdf.write_bytes(
        renderer.render_body(
            HtmlBody(html=f"<table width=900><thead><tr><th>Number<th>X<th>Y</thead>{rows}</table>")
        ).pdf
    )
    pages = run("pdftotext", pdf, "-").split("\f")[:-1]
    assert len(pages) > 2
    assert all("Number" in page for page in pages)
    assert find_right_edge(pdf) <= RIGHT_EDGE + 9
