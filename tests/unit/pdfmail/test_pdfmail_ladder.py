"""The body's ladder: every mail gives a usable PDF, the report says which way, nothing is lost."""

from __future__ import annotations

import io
from collections.abc import Callable
from email import message_from_bytes, policy

import pikepdf
import pypdfium2
import pytest

from pdfmail.errors import (
    AttachmentReadError,
    BrandError,
    OptionError,
    PasswordError,
    RenderCause,
    RenderError,
    UnguardedHostError,
)
from pdfmail.model import Attachment, BrandTexts, Cipher, DrawnPages, HtmlBody, InlineImage
from pdfmail.template import TemplateCache
from pdfmail.write import write_pdf
from tests.data.pdfmail.samples import (
    PASSWORD,
    OneWay,
    make_attachment,
    make_brand,
    make_logo,
    make_mail,
    make_options,
    write_bytes,
)


def draw_nothing(body: HtmlBody) -> bytes:
    document = pikepdf.new()
    document.add_blank_page(page_size=(595.276, 841.89))
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


class FakeRenderer:
    """Answers as told and remembers what it was asked."""

    def __init__(self, answer: Callable[[HtmlBody], bytes] = draw_nothing, shown: frozenset[int] = frozenset()) -> None:
        self.bodies: list[HtmlBody] = []
        self._shown = shown
        self._answer = answer

    def render_body(self, body: HtmlBody) -> DrawnPages:
        self.bodies.append(body)
        return DrawnPages(self._answer(body), self._shown)


def fail_with(error: Exception) -> Callable[[HtmlBody], bytes]:
    def answer(body: HtmlBody) -> bytes:
        raise error

    return answer


def fail_html(body: HtmlBody) -> bytes:
    if body.html is not None:
        raise RenderError(RenderCause.TIME)
    return draw_nothing(body)


def read_files(content: bytes) -> dict[str, bytes]:
    with pikepdf.open(io.BytesIO(content), password=PASSWORD) as document:
        names = document.Root.get("/Names", {}).get("/EmbeddedFiles", {}).get("/Names", [])
        files = [names[place] for place in range(1, len(names), 2)]
        return {str(item.UF): bytes(item.EF.F.read_bytes()) for item in files}


def test_latin_text_takes_the_fast_way_and_asks_no_renderer(templates: TemplateCache) -> None:
    renderer = FakeRenderer()
    content, report = write_bytes(templates, renderer=renderer)
    assert (report.body, report.cause, report.warnings, renderer.bodies) == ("text", None, (), [])
    assert report.octets == len(content)
    assert report.pages == 3


def test_html_goes_to_the_renderer_with_its_pictures_and_language(templates: TemplateCache) -> None:
    renderer = FakeRenderer()
    image = InlineImage("a@b", "image/png", b"x")
    mail = make_mail(html="<p>hi</p>", images=(image,), language_hint="ja")
    _, report = write_bytes(templates, mail, make_options(max_pages=7), renderer=renderer)
    assert report.body == "html"
    (body,) = renderer.bodies
    assert (body.html, body.text, body.images, body.language, body.max_pages) == ("<p>hi</p>", None, (image,), "ja", 7)


@pytest.mark.parametrize("text", ["日本語のテキスト", "שלום", "हिन्दी", "ไทย", "👋 hi", "a\u0336b"])
def test_other_scripts_go_to_the_renderer_as_text(templates: TemplateCache, text: str) -> None:
    renderer = FakeRenderer()
    _, report = write_bytes(templates, make_mail(text=text), renderer=renderer)
    assert (report.body, report.cause) == ("preformatted", None)
    assert [(body.html, body.text) for body in renderer.bodies] == [(None, text)]


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (RenderError(RenderCause.TIME), "time"),
        (RenderError(RenderCause.MEMORY), "memory"),
        (UnguardedHostError("no guard"), "unguarded"),
        (None, "no-renderer"),
    ],
)
def test_html_that_cannot_be_rendered_falls_back_to_the_text_part(
    templates: TemplateCache, error: Exception | None, cause: str
) -> None:
    renderer = FakeRenderer(fail_with(error)) if error else None
    mail = make_mail(html="<p>markup only here</p>")
    content, report = write_bytes(templates, mail, renderer=renderer)
    assert (report.body, report.cause) == ("text", cause)
    # The HTML is not on the pages, so the whole message comes along.
    assert b"markup only here" in message_bodies(read_files(content)["message.eml"])


@pytest.mark.parametrize("output", [b"", b"%PDF-1.7\nnonsense", b"x" * 1000])
def test_a_renderer_that_returns_rubbish_is_no_fault(templates: TemplateCache, output: bytes) -> None:
    renderer = FakeRenderer(lambda body: output)
    content, report = write_bytes(templates, make_mail(html="<p>x</p>", text=None), renderer=renderer)
    assert (report.body, report.cause) == ("notice", "broken-output")
    assert b"<p>x</p>" in message_bodies(read_files(content)["message.eml"])


def test_html_that_fails_with_text_in_another_script_is_drawn_as_text_by_the_renderer(templates: TemplateCache) -> None:
    renderer = FakeRenderer(fail_html)
    _, report = write_bytes(templates, make_mail(html="<p>x</p>", text="日本語"), renderer=renderer)
    assert (report.body, report.cause) == ("preformatted", "time")
    assert len(renderer.bodies) == 2


@pytest.mark.parametrize("renderer", [None, FakeRenderer(fail_with(RenderError(RenderCause.CRASH)))])
def test_a_notice_page_stands_where_nothing_can_be_drawn_and_the_message_comes_along(
    templates: TemplateCache, renderer: FakeRenderer | None
) -> None:
    content, report = write_bytes(templates, make_mail(text="日本語のテキスト" * 20), renderer=renderer)
    assert report.body == "notice"
    assert report.cause in {"no-renderer", "crash"}
    original = message_from_bytes(read_files(content)["message.eml"], policy=policy.default)
    assert original.get_content().rstrip("\r\n") == "日本語のテキスト" * 20
    assert original["Subject"] == "Your contract"


def test_the_callers_message_is_embedded_as_it_is_with_pictures_beside_it(templates: TemplateCache) -> None:
    mail = make_mail(
        html="<img src=cid:a>",
        text=None,
        message_eml=b"Subject: x\r\n\r\nbody\r\n",
        images=(InlineImage("a", "image/png", b"PNG"), InlineImage("b", "image/png", b"PNG2")),
    )
    content, report = write_bytes(templates, mail)
    assert report.body == "notice"
    files = read_files(content)
    assert files == {"image-1.png": b"PNG", "image-2.png": b"PNG2", "message.eml": b"Subject: x\r\n\r\nbody\r\n"}
    assert report.attachments == tuple(files)


def test_pictures_that_the_pages_do_not_show_are_files_in_the_table_too(templates: TemplateCache) -> None:
    images = (
        InlineImage("a", "image/png", b"drawn", "a.png"),
        InlineImage("b", "image/svg+xml", b"<svg/>", "Plan.svg"),
        InlineImage("c", "image/tiff", b"II*", "plan.svg"),
        InlineImage("d", "image/x-emf", b"EMF", "chart.emf", is_attached=True),
        InlineImage("e", "image/png", b"drawn", "same octets.png"),
        InlineImage("f", "image/png", b"other"),
    )
    renderer = FakeRenderer(shown=frozenset((0, 77)))
    mail = make_mail(
        html="<p>x", images=images, attachments=(make_attachment("plan.svg", b"mine"),), message_eml=b"Subject: x\r\n"
    )
    content, report = write_bytes(templates, mail, renderer=renderer)
    assert read_files(content) == {
        "plan.svg": b"mine",
        "Plan (2).svg": b"<svg/>",
        "plan (3).svg": b"II*",
        "image-6.png": b"other",
        "message.eml": b"Subject: x\r\n",
    }
    assert report.attachments == tuple(read_files(content))
    cover = pypdfium2.PdfDocument(content, PASSWORD)[0].get_textpage().get_text_range()
    for text in ("Attachments (4)", "Plan (2).svg", "plan (3).svg", "image-6.png"):
        assert text in cover


def test_few_unknown_characters_become_boxes_with_the_message_beside_them(templates: TemplateCache) -> None:
    content, report = write_bytes(templates, make_mail(text="Hello there, dear customer, good news 🎉 for you"))
    assert (report.body, report.cause, report.warnings) == ("text", "no-renderer", ("characters-replaced",))
    assert "🎉".encode() in message_bodies(read_files(content)["message.eml"])


def test_a_head_in_another_script_is_shown_by_the_rendered_body(templates: TemplateCache) -> None:
    renderer = FakeRenderer()
    mail = make_mail(subject="報告書", attachments=(make_attachment("表.pdf", b"x"),))
    _, report = write_bytes(templates, mail, renderer=renderer)
    assert (report.body, report.cause) == ("preformatted", "head-script")
    assert (renderer.bodies[0].text or "").startswith("Subject: 報告書\nAttachments: 表.pdf\n\nDear")
    write_bytes(templates, make_mail(subject="<報>", html="<html><body class=a><p>x"), renderer=renderer)
    assert "<body class=a><div><p><b>Subject:</b> &lt;報&gt;</p><hr></div><p>x" in (renderer.bodies[1].html or "")


@pytest.mark.parametrize(
    ("text", "html"), [(None, None), ("", None), (" \n ", None), ("", ""), (None, "  "), ("\0\x01", None)]
)
def test_an_empty_mail_gives_a_page_that_says_so(templates: TemplateCache, text: str | None, html: str | None) -> None:
    _, report = write_bytes(templates, make_mail(text=text, html=html))
    assert (report.body, report.cause, report.pages) == ("text", None, 3)


def test_a_text_that_is_too_long_is_cut_and_comes_along_whole(templates: TemplateCache) -> None:
    text = "".join(f"line {number}\n" for number in range(2000))
    content, report = write_bytes(templates, make_mail(text=text), make_options(max_pages=3))
    assert report.pages == 1 + 3 + 1 + 1
    assert report.warnings == ("truncated",)
    assert b"line 1999" in message_bodies(read_files(content)["message.eml"])


def test_a_name_cannot_take_the_place_of_the_message(templates: TemplateCache) -> None:
    mail = make_mail(attachments=(make_attachment("message.eml", b"mine"),), message_eml=b"Subject: x\r\n\r\nreal")
    content, report = write_bytes(templates, mail)
    assert report.attachments == ("message (2).eml", "message.eml")
    assert read_files(content) == {"message (2).eml": b"mine", "message.eml": b"Subject: x\r\n\r\nreal"}


def test_errors_come_before_the_first_octet(templates: TemplateCache) -> None:
    for options, kind in (
        (make_options(user_password="short"), PasswordError),
        (make_options(reply_url="http://bank.example/r/x"), OptionError),
        (make_options(reply_url="https://bank.example@evil.example/"), OptionError),
        (make_options(reply_url="https://bank.example/" + "x" * 400), OptionError),
    ):
        out = OneWay()
        with pytest.raises(kind):
            write_pdf(make_mail(), make_brand(), options, out, templates=templates)  # type: ignore[arg-type]
        assert not out.content
    long = {"en": BrandTexts(cover_text="word " * 400)}
    for brand in (
        make_brand(accent="teal"),
        make_brand(logo=b"no picture"),
        make_brand(logo=b"%PDF-1.4 broken"),
        make_brand(logo=b"x" * 3_000_000),
        make_brand(texts=long),
        make_brand(texts={"en": BrandTexts(last_text="word " * 800)}),
    ):
        with pytest.raises(BrandError):
            write_bytes(templates, brand=brand)


def test_an_attachment_that_cannot_be_read_fails_the_whole(templates: TemplateCache) -> None:
    def refuse() -> io.BytesIO:
        raise OSError("gone")

    class Torn(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError("torn")

    for opener in (refuse, Torn):
        attachment = Attachment("secret-name.pdf", "application/pdf", opener)
        with pytest.raises(AttachmentReadError) as caught:
            write_bytes(templates, make_mail(attachments=(attachment,)))
        assert "secret-name" not in str(caught.value)


def test_a_sink_that_fails_is_not_taken_for_an_attachment(templates: TemplateCache) -> None:
    class Full(OneWay):
        def write(self, data: object) -> int:
            if len(self.content) > 200_000:
                raise OSError("no space left")
            return super().write(data)

    mail = make_mail(attachments=(make_attachment("a", b"x" * 3_000_000),))
    with pytest.raises(OSError, match="no space left"):
        write_pdf(mail, make_brand(), make_options(), Full(), templates=templates)  # type: ignore[arg-type]


def test_the_weaker_cipher_is_warned_about(templates: TemplateCache) -> None:
    _, report = write_bytes(templates, options=make_options(cipher=Cipher.AES_128))
    assert report.warnings == ("aes-128",)


def test_templates_are_kept_and_differ_by_brand_and_language() -> None:
    cache = TemplateCache()
    first = cache.get(make_brand(), "de")
    assert cache.get(make_brand(), "de-DE") is first
    assert cache.get(make_brand(), "en") is not first
    assert cache.get(make_brand(logo=make_logo()), "de") is not first


def message_bodies(original: bytes) -> bytes:
    message = message_from_bytes(original, policy=policy.default)
    return b"".join(part.get_payload(decode=True) for part in message.walk() if not part.is_multipart())
