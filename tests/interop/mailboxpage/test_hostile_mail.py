"""T7: hostile HTML in the browser, past the relay's own cleaning: nothing runs, loads, asks or leads away."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.interop.mailboxpage.fake_portal import run_portal
from tests.interop.mailboxpage.hostile_mails import END, HOSTILE
from tests.interop.mailboxpage.samples import PIXEL
from tests.interop.mailboxpage.sealed_box import FilePart, SealedBox, html_part, text_part
from tests.interop.mailboxpage.walking import NODE, walk


def test_style_attributes_get_another_name_and_nothing_else_changes() -> None:
    """Whatever a value holds, and however large a tag is; the parser judges what comes out."""
    changed = {
        '<p style="a:b">style="x"</p>': '<p data-style="a:b">style="x"</p>',
        "<P\nSTYLE = 'a' title=style>": "<P\ndata-style = 'a' title=style>",
        '<br/style=a><i title="a > b" style=c>': '<br/data-style=a><i title="a > b" data-style=c>',
        f"<p title={'A' * 9_000_000} style=a>": f"<p title={'A' * 9_000_000} data-style=a>",
        f"<p {'b ' * 4_000_000}style=a>": f"<p {'b ' * 4_000_000}data-style=a>",
    }
    kept = [
        '<a href="https://shop.example/style=black/x?y=1">',
        "<a href=https://shop.example/style=grey>",
        "<img alt='my style = good' title=\"a > b /style=\">",
        "my style = good, 1 < 2 style=x",
        f"<p {'= ' * 3_000_000}>",
    ]
    done = subprocess.run(
        [NODE, Path(__file__).with_name("hide_styles.mjs")],
        input=json.dumps([*changed, *kept]),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found = json.loads(done.stdout)
    for made, wanted in zip(found, [*changed.values(), *kept], strict=True):
        # Shortened: a difference in megabytes is not to be printed.
        assert (len(made), made[:200], made[-200:]) == (len(wanted), wanted[:200], wanted[-200:])


@contextmanager
def _run_beacon() -> Iterator[tuple[str, list[str]]]:
    """A server that only counts who calls."""
    calls: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            calls.append(f"{self.command} {self.path}")
            self.send_response(204)
            self.end_headers()

        do_POST = do_HEAD = do_OPTIONS = do_GET

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", calls
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("browser", ["chromium", "firefox"])
def test_hostile_mail_does_nothing(browser: str) -> None:
    """0 beacons, 0 dialogs, 0 navigations, 0 requests to the portal that the page itself did not make."""
    box = SealedBox()
    box.add_account()
    with _run_beacon() as (beacon, calls), run_portal(box) as portal:
        mails = []
        for name, html in HOSTILE.items():
            filled = html.replace("//BEACON", beacon.removeprefix("http:")).replace("BEACON", beacon)
            body = END + filled.replace("PORTAL", portal.url)
            stored = box.add_mail(
                [html_part(body), text_part("x"), FilePart("inline", "p0", "image/png", PIXEL)], subject=name
            )
            mails.append({"id": stored.id, "name": name})
        result = walk(portal, "hostile", browser=browser, mails=mails, **portal.open_session())
        requests = [path for method, path in portal.state.requests if method != "POST" or "/api/" not in path]
        posted = {path for method, path in portal.state.requests if method == "POST"}

    assert calls == []
    assert result["alive"] == "anna@partner.example"
    assert {address.split("#")[0] for address in result["navigations"]} <= {
        f"{portal.url}/mailbox", f"{portal.url}/frame", f"{portal.url}/imprint", "about:blank"
    }  # fmt: skip
    assert len(result["shown"]) == len(HOSTILE)
    allowed = ("/frame", "/mailbox", "/imprint", "/static/", "/brand/", "/api/session", "/api/cards", "/api/messages",
               "/api/blobs/", "/api/drafts", "/api/sent", "/favicon.ico")  # fmt: skip
    assert [path for path in requests if not path.startswith(allowed)] == []
    assert requests.count("/api/session") == 1
    assert posted == {"/api/send"}
    tags = {tag for one in result["shown"] for tag in one["tags"]}
    assert not tags & {
        "script",
        "iframe",
        "object",
        "embed",
        "svg",
        "math",
        "form",
        "input",
        "meta",
        "link",
        "style",
        "base",
    }
    assert [one["links"] for one in result["shown"] if one["name"] == "style in addresses"] == [
        [
            "https://shop.example/style=black/x?y=1",
            "https://shop.example/style=grey",
            "https://shop.example/?a=1&b=%20/style=c",
            "https://shop.example/style=white",
        ]
    ]
    # What is harmless is still there.
    assert {"p", "table", "td", "a", "img", "details", "b", "i"} <= tags
