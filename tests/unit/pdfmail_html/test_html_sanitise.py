"""The whole sanitiser: any markup gives a tree that a strict check accepts, and ordinary mail keeps its content."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree.ElementTree import Element

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from pdfmail.html.sanitise import ATTRIBUTES, ELEMENTS, SafeBody, sanitise_html
from pdfmail.html.style import READERS
from pdfmail.html.texts import ENGLISH, GERMAN, choose_texts
from pdfmail.html.tree import MAX_ELEMENTS, MAX_TEXT, write_tree
from pdfmail.model import InlineImage

DATA = Path(__file__).parents[2] / "data" / "html"
OUR_ATTRIBUTES = {"class", "width", "alt", "dir", "lang"}
OUR_CLASSES = {"ll-image", "ll-mark", "ll-warning", "ll-links", "ll-links-title", "ll-link-line", "ll-rest", "ll-row"}


def make_image(name: str) -> InlineImage:
    out = io.BytesIO()
    Image.new("RGB", (4, 4)).save(out, "PNG")
    return InlineImage(name, "image/png", out.getvalue())


IMAGES = (make_image("logo@bank.example"),)


def sanitise(markup: str) -> SafeBody:
    return sanitise_html(markup, IMAGES, ENGLISH)


def show(markup: str) -> str:
    return write_tree(sanitise(markup).root)


class StrictParser(HTMLParser):
    """Reads the written tree again, as another program would, and notes all that is not allowed."""

    def __init__(self, keys: set[str]) -> None:
        super().__init__()
        self.faults: list[str] = []
        self._keys = keys

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ELEMENTS | {"div", "span", "p"}:
            self.faults.append(f"element {tag}")
        allowed = ATTRIBUTES["*"] | ATTRIBUTES.get(tag, set()) | OUR_ATTRIBUTES
        for name, value in attrs:
            if name not in allowed or name.startswith("on"):
                self.faults.append(f"attribute {name}")
            text = value or ""
            if name == "href" and not re.match(r"(?:https?://[a-z0-9_.\[\]:-]+/|mailto:[^@]+@)[!-~]*$", text):
                self.faults.append(f"href {text}")
            if name == "src" and text.removeprefix("cid:") not in self._keys:
                self.faults.append(f"src {text}")
            if name == "class" and text not in OUR_CLASSES:
                self.faults.append(f"class {text}")
            if name == "style":
                self._check_style(text)

    def _check_style(self, text: str) -> None:
        if re.search(r"url|expression|import|calc|image|[\\@{}]", text, re.IGNORECASE):
            self.faults.append(f"style {text}")
        for part in text.split(";"):
            if part.partition(":")[0] not in READERS.keys() | {"background-color"}:
                self.faults.append(f"style {part}")

    def handle_comment(self, data: str) -> None:
        self.faults.append("comment")

    def handle_decl(self, decl: str) -> None:
        self.faults.append("declaration")

    def handle_pi(self, data: str) -> None:
        self.faults.append("instruction")

    def unknown_decl(self, data: str) -> None:
        self.faults.append("unknown declaration")


def assert_safe(body: SafeBody) -> None:
    written = write_tree(body.root)
    parser = StrictParser(set(body.pictures))
    parser.feed(written)
    parser.close()
    assert parser.faults == []
    assert sum(1 for _ in body.root.iter()) <= MAX_ELEMENTS + 1000
    assert measure_depth(body.root) <= 67  # 64 and the list of links
    written.encode("utf-8")


def measure_depth(root: Element) -> int:
    deepest = 0
    stack = [(root, 1)]
    while stack:
        element, depth = stack.pop()
        deepest = max(deepest, depth)
        stack.extend((child, depth + 1) for child in element)
    return deepest


_TAGS = [
    *sorted(ELEMENTS),
    *(
        "script",
        "style",
        "svg",
        "math",
        "iframe",
        "object",
        "embed",
        "form",
        "input",
        "link",
        "meta",
        "base",
        "noscript",
    ),
]
_VALUES = st.sampled_from(
    ["javascript:alert(1)", "http://a.example/x", "file:///etc/passwd", "cid:logo@bank.example", "cid:none", "data:,x",
     "mailto:a@b.example", "color:red;background:url(http://a.example/)", "-1", "99999999", "#fff", "left", "rtl",
     "\" onload=x", "' x='", "&quot;><script>", "u\\72l(x)", "//a.example", "ll-mark"]
) | st.text(max_size=10)  # fmt: skip
_ATTRIBUTES = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "href",
                "src",
                "style",
                "onclick",
                "class",
                "id",
                "background",
                "srcset",
                "width",
                "colspan",
                "align",
                "rel",
                "xlink:href",
                "formaction",
                "dir",
                "lang",
                "alt",
                "bgcolor",
                "type",
            ]
        )
        | st.text(alphabet="abcdefon-:<\"'", min_size=1, max_size=6),
        _VALUES,
        st.sampled_from(['"', "'", ""]),
    ).map(lambda parts: f" {parts[0]}={parts[2]}{parts[1]}{parts[2]}"),
    max_size=4,
).map("".join)
_SOUP = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(_TAGS), _ATTRIBUTES).map(lambda parts: f"<{parts[0]}{parts[1]}>"),
        st.sampled_from(_TAGS).map(lambda tag: f"</{tag}>"),
        st.sampled_from(
            [
                "<!--",
                "-->",
                "<![CDATA[",
                "]]>",
                "<?xml ?>",
                "<!doctype html>",
                "&lt;script&gt;",
                "&#0;",
                "&#xd800;",
                "<",
                ">",
                "<![if !mso]>",
                "<![endif]>",
                "<style>p{color:red}</style>",
                "<style>@import url(http://a.example/)</style>",
                "<style><!-- td{background:url(http://a.example/)} --></style>",
                "\u202e",
                "שלום",
                "\x00",
                "https://bank.example",
            ]
        ),
        st.text(max_size=12),
    ),
    max_size=30,
).map("".join)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_SOUP)
def test_any_markup_becomes_a_safe_tree(markup: str) -> None:
    assert_safe(sanitise(markup))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(st.characters(blacklist_categories=())))
def test_any_text_becomes_a_safe_tree(markup: str) -> None:
    assert_safe(sanitise(markup))


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_SOUP)
def test_the_cleaned_tree_is_clean_already(markup: str) -> None:
    once = show(markup)
    assert_safe(sanitise(once))


@pytest.mark.parametrize("path", sorted(DATA.glob("*.html")), ids=lambda path: path.stem)
def test_the_sample_mails_become_safe_trees(path: Path) -> None:
    body = sanitise(path.read_text(encoding="utf-8"))
    assert_safe(body)
    assert not body.is_shortened


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("<p>Grüße &amp; &lt;Text&gt;</p>", "<div><p>Grüße &amp; &lt;Text&gt;</p></div>"),
        ("a<script>x</script>b<style>p{}</style>c", "<div>abc</div>"),
        ("<o:p>&nbsp;</o:p><blink>x</blink>", "<div>\xa0x</div>"),
        ("<form>a<input value=x><button>b</button></form>", "<div>ab</div>"),
        ("<p onclick=x id=y class=z style='position:fixed'>a", "<div><p>a</p></div>"),
        ("<![if !mso]>a<![endif]><!--[if mso]>b<![endif]-->", "<div>a</div>"),
        ("<style><!-- .x{color:red} --></style><p class=x>a", '<div><p style="color:#d00000">a</p></div>'),
        ("<title>t</title><select><option>o</select><textarea>u</textarea><svg><text>s</text></svg>a", "<div>a</div>"),
        ("<img src=x.png alt='a&#x202e;b&#0;c'>", '<div><span class="ll-image">Image: abc</span></div>'),
        (
            "<span style='font-family:Wingdings'>J</span><font face=Symbol>&#61623;</font><font face=Arial>J</font>",
            '<div><span style="font-family:\'Wingdings\'">\u263a</span><font face="Symbol">\u2022</font>'
            '<font face="Arial">J</font></div>',
        ),
        ("<td>a</td>", "<div>a</div>"),
        ("<a href='javascript:x'>a</a>", "<div><a>a</a></div>"),
        (
            "<table background=http://a.example/x align=left><tr><td>a</table>",
            '<div><table><tbody><tr class="ll-row"><td>a</td></tr></tbody></table></div>',
        ),
    ],
)
def test_what_stays_of_ordinary_markup(markup: str, expected: str) -> None:
    written = show(markup.replace(".x{color:red}", ".x{color:#d00000}"))
    assert written.replace("&#x27;", "'") == expected


def test_a_picture_of_the_mail_is_shown_and_others_leave_a_visible_stand_in() -> None:
    body = sanitise(
        "<img src='cid:logo@bank.example'><img src=https://a.example/x.jpg alt='Our garden'><img src=cid:none>"
        "<img src=https://a.example/open.gif width=1 height=1><img src=https://a.example/line.gif alt=''>"
    )
    written = write_tree(body.root)
    assert list(body.pictures) == ["p0"]
    assert written.count("<img") == 1
    assert '<img src="cid:p0" alt="Image">' in written
    assert '<span class="ll-image">Image: Our garden</span>' in written
    assert f'<span class="ll-image">{ENGLISH.image_left_out}</span>' in written
    assert written.count("ll-image") == 2


def test_at_most_two_hundred_pictures_are_drawn() -> None:
    written = show("<img src=cid:logo@bank.example alt=x>" * 250)
    assert (written.count("<img"), written.count("ll-image")) == (200, 50)


def test_a_link_shows_where_it_leads() -> None:
    written = show(
        "<a href=https://a.example/x>here</a> <a href=https://a.example/x>there</a> <a href=https://b.example>b</a>"
    )
    assert written.count("\xa0[1]") == 2
    assert '<a href="https://a.example/x">https://<b>a.example</b>/x</a>' in written
    assert "[2] " in written


def test_a_link_whose_text_names_another_host_is_marked() -> None:
    written = show("<a href=https://evil.example/>https://bank.example/</a>")
    assert f'<span class="ll-warning"> [{ENGLISH.link_goes_to}: evil.example]</span>' in written
    assert "ll-warning" not in show("<a href=https://www.bank.example/>bank.example</a>")


def test_a_mail_cannot_imitate_our_marks() -> None:
    assert "class" not in show("<span class=ll-warning>x</span><div class='ll-links'>y</div>")


def test_a_right_to_left_block_gets_its_direction() -> None:
    written = show("<div>שלום</div><div>hello</div><div dir=ltr>שלום</div><ul><li>مرحبا</li></ul>")
    assert written == (
        '<div><div dir="rtl">שלום</div><div>hello</div><div dir="ltr">שלום</div><ul dir="rtl"><li>مرحبا</li></ul></div>'
    )


def test_text_that_cannot_be_read_without_its_background_picture_gets_a_colour() -> None:
    assert "color:#15212b" in show("<div style='background:url(http://a.example/x)'><p style='color:#fff'>a</p></div>")
    assert "color:#ffffff" in show("<div style='background:#0b3954'><p style='color:#fff'>a</p></div>")
    assert "color:#ffffff" in show("<div style='background:#000'><p style='color:#111'>a</p></div>")


def test_the_limits_hold_and_text_stays() -> None:
    deep = sanitise("<blockquote>" * 500 + "deep" + "</blockquote>" * 500)
    assert_safe(deep)
    assert "deep" in "".join(deep.root.itertext())
    wide = sanitise("<table><tr>" + "<td>cell" * 500 + "</table>")
    assert len(list(wide.root.iter("td"))) == 60
    assert "".join(wide.root.itertext()).count("cell") == 500
    many = sanitise("<p>a<b>b</b>" * 20_000)
    assert "".join(many.root.itertext()).count("a") == 20_000
    assert_safe(many)
    assert not many.is_shortened


def test_a_body_that_is_too_long_is_cut_and_says_so() -> None:
    by_text = sanitise("word " * (MAX_TEXT // 5 + 100))
    assert by_text.is_shortened
    assert len("".join(by_text.root.itertext())) <= MAX_TEXT
    assert sanitise("<p>" + "<i></i>" * 200_000 + "x").is_shortened


def test_our_words_come_in_two_languages() -> None:
    assert choose_texts("de-CH") is GERMAN
    assert choose_texts("ja") is ENGLISH
    written = write_tree(sanitise_html("<a href=https://a.example/>x</a>", (), GERMAN).root)
    assert "Links in dieser Nachricht" in written


def test_font_and_colours_of_the_body_element_stay() -> None:
    written = show("<html><body bgcolor=#222222 text=#eeeeee style='font-family:Arial;margin:0'><p>a</p></body></html>")
    assert written == (
        "<div><div style=\"color:#eeeeee;background-color:#222222;font-family:'Arial';margin:0px\"><p>a</p></div></div>"
    ).replace("'", "&#x27;")


def test_a_picture_inside_the_markup_is_checked_like_a_part() -> None:
    encoded = base64.b64encode(IMAGES[0].content).decode()
    body = sanitise(
        f'<img src="data:image/png;base64,{encoded}" alt=a><img src=data:image/png;base64,AAAA alt=b>'
        "<img src='data:image/svg+xml;base64,PHN2Zz4=' alt=c>"
    )
    assert [picture.content for picture in body.pictures.values()] == [IMAGES[0].content]
    assert write_tree(body.root).count("ll-image") == 2


def test_pictures_inside_the_markup_do_not_count_as_text() -> None:
    markup = f'<p>a<img src="data:image/jpeg;base64,{"A" * 2_000_000}" alt=x>b'
    assert not sanitise(markup).is_shortened
