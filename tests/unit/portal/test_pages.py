"""Each page in each language: well formed, loads nothing from elsewhere, no inline script or style, changes nothing."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from portal.pages import JoinState, PagePolicy, ReplyLink, make_frame_policy, make_pages, read_brand, read_texts
from portal.pages.assets import Asset, Bundle

ROOT = Path(__file__).parents[3]
PORTAL = "ENJHhdjed6rBfPOxg9HE-w"
BOX = "a8dtYBy9SJskPV0qOH5FnQ"
NAMES = ("portal.css", "entry.js", "reply.js", "join.js", "frame.js", "argon-worker.js")
BUNDLE = Bundle({name: Asset(f"/static/{name}", "sha384-AAAA") for name in NAMES})
PAGES = {
    "/": 200,
    "/mailbox": 200,
    "/r/open": 200,
    "/r/locked": 423,
    "/r/closed": 410,
    "/r/none": 404,
    "/join/open": 200,
    "/join/done": 410,
    "/join/expired": 410,
    "/join/none": 404,
    "/help": 200,
    "/imprint": 200,
    "/privacy": 200,
    "/accessibility": 200,
    **{f"/broken/{status}": status for status in (400, 404, 410, 413, 429, 500, 503)},
}
VOID = {"meta", "link", "input", "br", "img", "hr"}


class Links:
    """Answers by the name of the state; counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def find_reply(self, token: str) -> ReplyLink | None:
        self.asked += 1
        if token == "open":
            return ReplyLink(BOX, "b32", "open", 7)
        return (
            ReplyLink(BOX, "b32", "locked")
            if token == "locked"
            else (ReplyLink(BOX, "b32", "closed") if token == "closed" else None)
        )

    def find_join(self, join_id: str) -> JoinState | None:
        self.asked += 1
        states: dict[str, JoinState] = {"open": "open", "done": "done", "expired": "expired"}
        return states.get(join_id)


def make_client(policy: PagePolicy | None = None, **changes: object) -> FlaskClient:
    table = {"name": "Example Bank", "host": "mail.bank.example", "phone": "+49 241 123 456", **changes}
    second = {"name": "Other Bank", "host": "mail.other.example", "phone": "+49 30 1", "accent": "#7a1f5c"}
    pages = make_pages(
        portal=PORTAL,
        brands=[read_brand(table, ROOT), read_brand(second, ROOT)],
        texts=read_texts(ROOT / "templates/portal/translations"),
        bundle=BUNDLE,
        policy=policy or PagePolicy(),
        links=Links(),
        templates=ROOT / "templates/portal",
        base_url="https://mail.bank.example",
    )
    app = Flask("pages", static_folder=None)
    app.register_blueprint(pages.blueprint)
    app.add_url_rule("/broken/<int:status>", view_func=lambda status: pages.show_error(status, "ABCD-1234", 240))
    return app.test_client()


@pytest.fixture(name="client", scope="module")
def fixture_client() -> Iterator[FlaskClient]:
    with make_client() as client:
        yield client


class Outline(HTMLParser):
    """Tags, attributes and text of one page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.words: list[tuple[str, str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.words.append((self.open[-1] if self.open else "", data.strip()))

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


def read(client: FlaskClient, path: str, language: str) -> Outline:
    response = client.get(f"{path}?lang={language}")
    assert response.status_code == PAGES[path], path
    assert response.mimetype == "text/html"
    return Outline(response.text)


every_page = pytest.mark.parametrize("path", PAGES)
both_languages = pytest.mark.parametrize("language", ["de", "en"])


@every_page
@both_languages
def test_a_page_is_well_formed_and_says_its_language(client: FlaskClient, path: str, language: str) -> None:
    page = read(client, path, language)
    assert page.open == []
    assert page.all("html")[0]["lang"] == language
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    used = " ".join(
        attributes.get(name, "")
        for _, attributes in page.tags
        for name in ("aria-describedby", "aria-labelledby", "for", "data-reveal")
    )
    assert set(used.split()) <= set(ids)


@every_page
@both_languages
def test_a_page_holds_no_inline_code_and_names_no_other_host(client: FlaskClient, path: str, language: str) -> None:
    page = read(client, path, language)
    for tag, attributes in page.tags:
        assert "style" not in attributes, tag
        assert not [name for name in attributes if name.startswith("on")], tag
        for name in ("src", "href", "action", "formaction"):
            assert re.match(r"(?:/(?!/)|\?lang=|#|tel:|mailto:)", attributes.get(name, "/")), attributes
    assert page.all("style") == []
    for script in page.all("script"):
        assert script.get("type") == "application/json" or (script.get("src") and script.get("integrity")), script


@every_page
@both_languages
def test_headings_begin_with_one_and_leave_out_no_level(client: FlaskClient, path: str, language: str) -> None:
    page = read(client, path, language)
    # Hidden steps have their own; a reader meets one at a time.
    steps: list[list[int]] = [[]]
    for tag, _attributes in page.tags:
        if tag in ("section", "article"):
            steps.append([])
        if re.fullmatch("h[1-6]", tag):
            steps[-1].append(int(tag[1]))
    levels = [step for step in steps if step]
    assert levels or path == "/mailbox"
    for step in levels:
        assert step[0] == 1
        assert step.count(1) == 1
        assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(step))


@every_page
def test_a_page_speaks_plainly(client: FlaskClient, path: str) -> None:
    for language in ("de", "en"):
        page = read(client, path, language)
        shown = " ".join(text for tag, text in page.words if tag != "script")
        assert "!" not in shown
        assert len(re.findall(r"\bsecure\b|\bsichere", shown)) <= 1
        assert "%(" not in shown
    german = " ".join(text for tag, text in read(client, path, "de").words if tag != "script")
    assert not re.search(r"\b(?:du|dein|deine|dich|dir|euch)\b", german, re.IGNORECASE)


@every_page
def test_every_page_offers_help_in_the_same_place(client: FlaskClient, path: str) -> None:
    page = read(client, path, "en")
    links = [attributes.get("href") for attributes in page.all("a")]
    assert links[0] == "#main"
    assert [link for link in links if link and link.startswith(("tel:", "/"))][-5:] == [
        "tel:+49241123456",
        "/help?lang=en",
        "/imprint?lang=en",
        "/privacy?lang=en",
        "/accessibility?lang=en",
    ]


@pytest.mark.parametrize("path", ["/", "/r/open", "/join/open"])
def test_a_form_can_send_nothing_by_itself(client: FlaskClient, path: str) -> None:
    page = read(client, path, "en")
    assert page.all("form")
    for form in page.all("form"):
        assert form["method"] == "dialog"
        assert "action" not in form
    assert [field for field in page.all("input") if "name" in field and field["type"] != "radio"] == []
    first = next(attributes for tag, attributes in page.tags if tag == "fieldset")
    assert "disabled" in first
    secrets = [field for field in page.all("input") if field["type"] == "password"]
    assert secrets
    assert all(field["autocomplete"] in ("current-password", "new-password", "off") for field in secrets)


@pytest.mark.parametrize("path", ["/", "/r/open", "/join/open", "/mailbox"])
def test_the_scripts_get_their_words_in_the_page(client: FlaskClient, path: str) -> None:
    response = client.get(f"{path}?lang=de")
    block = re.search(r'<script type="application/json" id="page">(.*?)</script>', response.text, re.DOTALL)
    assert block
    data = json.loads(block[1])
    assert data["portal"] == PORTAL
    assert data["lang"] == "de"
    assert data["suffix"] == "?lang=de"
    assert data["assets"]["argon-worker.js"] == {"url": "/static/argon-worker.js", "integrity": "sha384-AAAA"}
    assert data["texts"]["error.offline"] == "Gerade besteht keine Verbindung."
    source = ROOT / "static/portal/src"
    own = {
        "/": ["pages/entry", "pages/shell", "pages/password"],
        "/r/open": ["pages/reply", "pages/uploads", "pages/shell"],
        "/join/open": ["pages/join", "pages/shell", "pages/password"],
        "/mailbox": ["app/message", "app/write", "app/account"],
    }
    for file in (source / f"{name}.js" for name in own[path]):
        for key in re.findall(r'\bt\("([a-z][a-z.-]*)"', file.read_text("utf-8")):
            assert key in data["texts"], f"{file.name}: {key}"


def test_a_reply_page_knows_its_box_and_nothing_of_the_mail(client: FlaskClient) -> None:
    text = client.get("/r/open").text
    data = json.loads(re.findall(r'id="page">(.*?)</script>', text)[0])
    wanted = {"token": "open", "box": BOX, "form": "b32", "state": "open", "tries_left": 7}
    assert {name: data[name] for name in wanted} == wanted


def test_what_stands_in_an_address_is_escaped(client: FlaskClient) -> None:
    response = client.get('/r/%3C%2Fscript%3E%3Cscript%3E?lang="><b>')
    assert response.status_code == 404
    assert "<b>" not in response.text
    assert "</script><script>" not in response.text


@pytest.mark.parametrize(
    ("asked", "accepted", "language"),
    [
        ("en", "de", "en"),
        ("", "de-AT,de;q=0.9", "de"),
        ("", "fr,en-GB;q=0.8", "en"),
        ("", "fr", "de"),
        ("xx", "en", "en"),
        ("", "de;q=0, en;q=0.1", "en"),
        ("", "", "de"),
    ],
)
def test_the_language_is_the_asked_then_the_browsers_then_the_brands(
    client: FlaskClient, asked: str, accepted: str, language: str
) -> None:
    response = client.get(f"/help?lang={asked}" if asked else "/help", headers={"Accept-Language": accepted})
    assert response.headers["Content-Language"] == language
    assert f'<html lang="{language}">' in response.text
    other = {"de": "en", "en": "de"}[language]
    assert f'href="?lang={other}" lang="{other}"' in response.text


def test_the_brand_is_that_of_the_host() -> None:
    client = make_client()
    for host, name in (("mail.other.example", "Other Bank"), ("unknown.example", "Example Bank")):
        text = client.get("/?lang=en", base_url=f"https://{host}").text
        assert f"Somebody at {name} sent you" in text
        sheet = re.findall(r'href="(/brand/[^"]+\.css)"', text)[0]
        answer = client.get(sheet)
        assert answer.mimetype == "text/css"
        assert "immutable" in answer.headers["Cache-Control"]
        assert ("#7a1f5c" in answer.text) == (name == "Other Bank")
    assert client.get("/brand/AAAAAAAAAAAA.css").status_code == 404
    assert client.get("/brand/AAAAAAAAAAAA.png").status_code == 404


def test_an_error_page_says_what_to_do_and_its_reference(client: FlaskClient) -> None:
    response = client.get("/broken/429?lang=en")
    assert response.headers["Retry-After"] == "240"
    assert "about 4 minutes" in response.text
    assert "ABCD-1234" in response.text
    assert client.get("/broken/418?lang=en").status_code == 418


def test_the_frame_has_a_policy_of_its_own(client: FlaskClient) -> None:
    response = client.get("/frame")
    assert response.headers["Content-Security-Policy"] == make_frame_policy("https://mail.bank.example")
    assert "'self' https://mail.bank.example/static/;" in make_frame_policy("https://mail.bank.example")
    assert "script-src 'self';" in make_frame_policy("")


def test_server_opening_is_named_where_it_is_allowed_only() -> None:
    sentence = "you may let our server open"
    assert sentence not in make_client().get("/privacy?lang=en").text
    assert sentence in make_client(PagePolicy(decrypt="browser-or-server")).get("/privacy?lang=en").text


def test_a_reply_page_leads_to_the_mailbox_by_policy_only() -> None:
    for is_on in (True, False):
        text = make_client(PagePolicy(mailbox_from_reply=is_on)).get("/r/open?lang=en").text
        assert "My reader cannot open this" in text
        assert ("Go to the mailbox" in text) == is_on
        assert ("send the message in another way" in text) != is_on


def test_a_chosen_language_is_kept_in_a_cookie() -> None:
    client = make_client()
    client.set_cookie("letterlock-language", "de")
    response = client.get("/help", headers={"Accept-Language": "en"})
    assert '<html lang="de">' in response.text
    assert 'href="/imprint"' in response.text  # no suffix: the cookie speaks for the next page as well
    assert '<html lang="en">' in client.get("/help?lang=en").text
    client.set_cookie("letterlock-language", "xx")
    assert '<html lang="en">' in client.get("/help", headers={"Accept-Language": "en"}).text


def test_no_page_takes_anything_but_get(client: FlaskClient) -> None:
    for path in ("/", "/mailbox", "/r/open", "/join/open", "/help"):
        assert client.post(path).status_code == 405
