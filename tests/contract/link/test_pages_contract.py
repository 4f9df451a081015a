"""The look at the portal's pages from outside: the real app is as it should be, and each change of it is seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from portal.app import build_pages, make_app
from portal.security.headers import CONTENT_POLICY
from relay.cli import portal_boxes
from relay.cli.main import main
from relay.core.clock import HOUR
from relay.link import pages
from relay.link.page_watch import PageWatch
from relay.link.pages import _POLICY, Answer, Fetch, PagesUnreachableError, _read_policy, compare_pages
from relay.store.base import Database
from relay.wiring.link import read_release
from tests.contract.link.world import ACTOR, TENANT
from tests.contract.portal.site import Site, make_settings
from tests.contract.store.databases import SteppedClock

Change = Callable[[str, Answer], Answer]


@pytest.fixture(scope="module")
def fetch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fetch]:
    """Ask the real app, each path once."""
    site = Site(make_settings(tmp_path_factory.mktemp("pages"), "sqlite"), SteppedClock())
    client = make_app(site.first.portal, build_pages(site.first.portal)).test_client()
    known: dict[str, Answer] = {}

    def ask(path: str) -> Answer:
        name = path[:6]
        name = name if name in ("/r/", "/join/") else path
        if name not in known:
            with client.get(path, base_url="https://portal.bank.example") as answer:
                headers = {key.lower(): value for key, value in answer.headers}
                known[name] = Answer(answer.status_code, headers, answer.data)
        return known[name]

    yield ask
    site.first.close()


def body(old: bytes, new: bytes, path: str = "/") -> Change:
    def change(asked: str, answer: Answer) -> Answer:
        if asked != path:
            return answer
        assert old in answer.body
        return replace(answer, body=answer.body.replace(old, new, 1))

    return change


def header(name: str, old: str, new: str) -> Change:
    def change(asked: str, answer: Answer) -> Answer:
        return replace(answer, headers={**answer.headers, name: answer.headers[name].replace(old, new)})

    return change


def script(asked: str, answer: Answer) -> Answer:
    return replace(answer, body=answer.body + b";steal()") if "/static/entry" in asked else answer


def redirect(asked: str, answer: Answer) -> Answer:
    return Answer(302, {"location": "https://evil.example/"}, b"") if asked == "/mailbox" else answer


def with_header(answer: Answer, name: str, value: str) -> Answer:
    return replace(answer, headers={**answer.headers, name: value})


HIDDEN = b'<script src="/evil.js" integrity="sha256-y"></script>'
CHANGES: list[tuple[str, Change, str]] = [
    ("a script's octets", script, "is not the entry.js of this release"),
    ("an inline script", body(b"</body>", b"<script>steal()</script></body>"), "not its own"),
    ("a foreign script", body(b"</body>", b'<script src="//evil.example/x.js"></script></body>'), "leads elsewhere"),
    ("a handler", body(b"<main", b'<main onclick="steal()"'), "onclick"),
    ("a frame", body(b"</body>", b"<iframe src=/evil></iframe></body>"), "iframe"),
    ("a base", body(b"<head>", b'<head><base href="https://evil.example/">'), "base"),
    ("a refresh", body(b"<head>", b'<head><meta http-equiv="refresh" content="0;url=//evil.example">'), "http-equiv"),
    ("a form that posts", body(b'method="dialog"', b'method="post"'), "posts"),
    ("a form with an address", body(b'method="dialog"', b'method="dialog" action="/steal"'), "action"),
    ("no hash", body(b' integrity="', b' data-was="', "/mailbox"), "without its hash"),
    ("a preload", body(b"</head>", b'<link rel="modulepreload" href="/evil.js"></head>'), "loads something"),
    ("a looser policy", header("content-security-policy", "'wasm-unsafe-eval'", "'unsafe-inline'"), "script-src"),
    ("no trusted types", header("content-security-policy", "require-trusted-types-for", "x"), "require-trusted"),
    ("no integrity policy", header("integrity-policy", "blocked", "x"), "Integrity-Policy"),
    ("another place", redirect, "sends the reader elsewhere"),
    (
        "another place by a header",
        lambda _, answer: with_header(answer, "refresh", "0;url=//evil.example"),
        "elsewhere",
    ),
    ("another charset", header("content-type", "utf-8", "utf-7"), "something else than plain HTML"),
    ("a script behind a comment", body(b"</body>", b"<!-->" + HIDDEN + b"-->"), "cannot be read for certain"),
    ("a script behind a comment's odd end", body(b"</body>", b"<!-- a --!>" + HIDDEN + b" -->"), "for certain"),
    ("a script in a sheet in a picture", body(b"</body>", b"<svg><style>" + HIDDEN + b"</style></svg>"), "not its own"),
    ("a script in a tag in a title", body(b"<title>", b'<title><a x="</title>' + HIDDEN + b'">'), "for certain"),
    ("a tag that no parser takes", body(b"</body>", b"<script>steal()</script><![<"), "not its own"),
    ("a tag that never ends", body(b"</body>", b"<a" * 100_000), "for certain"),
    ("a page of megabytes", body(b"</body>", b"<p>" * 100_000), "longer than any page"),
]


def test_the_pages_of_this_release_are_as_they_should_be(fetch: Fetch) -> None:
    assert compare_pages(fetch, read_release()) == []
    policy = _read_policy(CONTENT_POLICY)
    assert {name: policy.get(name) for name in _POLICY} == _POLICY


@pytest.mark.parametrize(("change", "words"), [one[1:] for one in CHANGES], ids=[one[0] for one in CHANGES])
def test_each_change_is_seen(fetch: Fetch, change: Change, words: str) -> None:
    found = compare_pages(lambda path: change(path, fetch(path)), read_release())
    assert any(words in one for one in found), found


def test_the_command_says_what_differs(
    db: Database, fetch: Fetch, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    change: list[Change] = [lambda _, answer: answer]
    settings = SimpleNamespace(
        host=SimpleNamespace(tenant=TENANT), portal=SimpleNamespace(url="https://portal.bank.example")
    )

    @contextmanager
    def open_here(_: object) -> Iterator[tuple[Any, Any]]:
        yield settings, db

    def ask(path: str) -> Answer:
        return change[-1](path, fetch(path))

    def refuse(path: str) -> Answer:
        raise PagesUnreachableError("away")

    monkeypatch.setattr(portal_boxes, "open_inside", open_here)
    monkeypatch.setattr(pages, "open_fetch", lambda _url: ask)
    assert main(["portal", "check", "--pages"]) == 0
    change.append(redirect)
    assert main(["portal", "check", "--pages"]) == 1
    assert "/mailbox: sends the reader elsewhere" in capsys.readouterr().out
    monkeypatch.setattr(pages, "open_fetch", lambda _url: refuse)
    assert main(["portal", "check", "--pages"]) == 69


def test_the_watch_alerts_once_and_an_absent_portal_after_an_hour(
    db: Database, clock: SteppedClock, fetch: Fetch
) -> None:
    state = {"change": redirect, "is_away": False}

    def ask(path: str) -> Answer:
        if state["is_away"]:
            raise PagesUnreachableError("away")
        return state["change"](path, fetch(path))  # type: ignore[operator, no-any-return]

    def alerts() -> int:
        with db.reading() as tx:
            return int(tx.fetch_all("SELECT count(*) FROM event WHERE kind = 'alert.raised'")[0][0])

    watch = PageWatch(db, TENANT, ACTOR, ask, read_release)
    assert watch.run_due()
    assert not watch.run_due()
    assert alerts() == 1
    watch.run_once()
    assert alerts() == 1
    state["change"] = script
    assert watch.run_once() == "1 differ"
    assert alerts() == 2
    state["is_away"] = True
    assert watch.run_once() == "away"
    clock.advance(HOUR)
    watch.run_once()
    watch.run_once()
    assert alerts() == 3


def test_looks_that_fail_are_told_after_an_hour_and_made_again(db: Database, clock: SteppedClock, fetch: Fetch) -> None:
    """Whatever goes wrong: a watch that does not look must not look like one that finds nothing."""
    bad = [True]

    def ask(path: str) -> Answer:
        return fetch(path) if not bad else Answer(1 // 0, {}, b"")

    watch = PageWatch(db, TENANT, ACTOR, ask, read_release)
    assert watch.run_due()
    clock.advance(HOUR)
    assert watch.run_due()
    with db.reading() as tx:
        found = tx.fetch_all("SELECT detail FROM event WHERE kind = 'alert.raised'")
    assert len(found) == 1
    assert "cannot be looked at" in str(found[0][0])
    bad.clear()
    assert watch.run_once() == "ok"
    assert not watch._is_away_told
