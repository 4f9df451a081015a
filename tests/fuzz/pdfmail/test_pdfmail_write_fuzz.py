"""Any mail at all gives a sound PDF that holds its text and files."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta, timezone

import pikepdf
import pypdfium2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pdfmail.bodytext import draw_text_body
from pdfmail.model import Cipher
from pdfmail.template import TemplateCache
from tests.data.pdfmail.samples import PASSWORD, make_attachment, make_brand, make_mail, make_options, write_bytes

TEMPLATES = TemplateCache()
WORDS = st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=0x17F, exclude_categories=["C"]), max_size=30)
DRAWABLE = st.text(alphabet="abcäöüß ÄÖ\n\t>-*|─→✓.,:/@https mailto:ΩЖ€()[]{}<>\\", max_size=400)
ZONES = st.sampled_from([UTC, timezone(timedelta(hours=-9, minutes=-30))])
DATES = st.datetimes(min_value=datetime(1990, 1, 1), timezones=ZONES)  # noqa: DTZ001 - hypothesis wants it so


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    subject=st.text(max_size=300),
    sender=st.text(max_size=200),
    to=st.lists(st.text(max_size=80), max_size=5),
    text=st.one_of(st.none(), st.text(max_size=500), DRAWABLE),
    names=st.lists(st.text(max_size=150), max_size=5),
    media_type=st.text(max_size=30),
    date=DATES,
    language=st.sampled_from(["de", "en", "fr", ""]),
    cipher=st.sampled_from(Cipher),
)
def test_any_mail_gives_a_sound_pdf(
    subject: str,
    sender: str,
    to: list[str],
    text: str | None,
    names: list[str],
    media_type: str,
    date: datetime,
    language: str,
    cipher: Cipher,
) -> None:
    attachments = tuple(make_attachment(name, name.encode("utf-8", "replace"), media_type) for name in names)
    mail = make_mail(subject=subject, sender=sender, to=tuple(to), text=text, attachments=attachments, date=date)
    content, report = write_bytes(TEMPLATES, mail, make_options(language=language, cipher=cipher))
    with pikepdf.open(io.BytesIO(content), password=PASSWORD) as document:
        assert document.check_pdf_syntax() == []
        assert len(document.pages) == report.pages
        tree = document.Root.Names.EmbeddedFiles.Names if report.attachments else []
        read = [bytes(tree[place].EF.F.read_bytes()) for place in range(1, len(tree), 2)]
        assert read[: len(names)] == [name.encode("utf-8", "replace") for name in names]
        check_tags(document)


def check_tags(document: pikepdf.Pdf) -> None:
    """Every piece of marked content has exactly one owner, and the parent tree agrees (14.7.4.4)."""
    tree = document.Root.StructTreeRoot
    parents = {
        int(tree.ParentTree.Nums[i]): tree.ParentTree.Nums[i + 1] for i in range(0, len(tree.ParentTree.Nums), 2)
    }
    owned: dict[tuple[tuple[int, int], int], tuple[int, int]] = {}
    stack = [tree.K]
    while stack:
        element = stack.pop()
        kids = element.get("/K", pikepdf.Array())
        for kid in kids if isinstance(kids, pikepdf.Array) else [kids]:
            if isinstance(kid, int):
                key = (element.Pg.objgen, kid)
            elif kid.get("/Type") == "/MCR":
                key = (kid.Pg.objgen, int(kid.MCID))
            elif kid.get("/Type") == "/OBJR":
                assert parents[int(kid.Obj.StructParent)].objgen == element.objgen
                continue
            else:
                assert kid.P.objgen == element.objgen
                stack.append(kid)
                continue
            assert key not in owned
            owned[key] = element.objgen
    for page in document.pages:
        row = parents[int(page.StructParents)]
        for mcid, owner in enumerate(row):
            assert owned.pop((page.objgen, mcid)) == owner.objgen
    assert not owned


@settings(max_examples=30, deadline=None)
@given(DRAWABLE)
def test_drawn_text_can_be_read_back_in_order(text: str) -> None:
    content, report = write_bytes(TEMPLATES, make_mail(text=text, subject="s"), brand=make_brand())
    assert report.body == "text"
    if not text.strip():
        return
    document = pypdfium2.PdfDocument(content, password=PASSWORD)
    read = ""
    for number in range(1, len(document) - 1):
        page = document[number]
        text_page = page.get_textpage()
        # Below the running head and above the foot.
        read += text_page.get_text_bounded(bottom=60, top=785)
        text_page.close()
        page.close()
    document.close()
    assert squeeze(read) == squeeze(text)


def squeeze(text: str) -> str:
    # pdfium marks a hyphen at a line's end with U+0002.
    return "".join(text.replace("\x02", "-").split())


def test_the_text_writer_is_the_one_under_test() -> None:
    assert draw_text_body.__module__ == "pdfmail.bodytext"


@settings(max_examples=20, deadline=None)
@given(WORDS)
def test_long_words_stay_on_the_page(word: str) -> None:
    content, _ = write_bytes(TEMPLATES, make_mail(text=word * 40, subject=word * 20, sender=word * 20))
    document = pypdfium2.PdfDocument(content, password=PASSWORD)
    for page in document:
        text_page = page.get_textpage()
        for place in range(text_page.count_chars()):
            left, _, right, _ = text_page.get_charbox(place)
            assert left >= 50
            assert right <= 595.3 - 50
        text_page.close()
        page.close()
    document.close()
