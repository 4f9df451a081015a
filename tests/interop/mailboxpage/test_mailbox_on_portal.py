"""The mailbox page on the real portal: its pages, API, database and link; the relay's side plays with real keys."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from werkzeug.serving import make_server

from portal.app import build_pages, make_app
from portal.installation import Choices, create_portal
from portal.settings import load_settings
from relay.core.wire.pae import encode_b64
from relay.core.wire.sealed import open_capsule, read_b64, read_capsule, read_secret, stretch, verify_rekey
from tests.contract.portal.site import Site
from tests.contract.store.databases import SteppedClock
from tests.interop.mailboxpage.samples import CONTRACT, fill_box
from tests.interop.mailboxpage.sealed_box import LOGIN_NAME, PASSWORD, SealedBox
from tests.interop.mailboxpage.walking import walk

NEXT = "seven pear trees stand beside them"


@contextmanager
def _run_portal(folder: Path) -> Iterator[tuple[Site, str]]:
    """The portal's public side on the loopback, reconciled."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        settings = load_settings(create_portal(folder, Choices(url, "Example Bank", "+49 241 123456")))
        site = Site(settings, SteppedClock())
        assert site.mark(1).status_code == 204
        portal = site.first.portal
        server = make_server("127.0.0.1", 0, make_app(portal, build_pages(portal)), threaded=True, fd=listener.fileno())
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield site, url
        finally:
            server.shutdown()
            thread.join()
            site.first.close()


def _push(site: Site, box: SealedBox) -> None:
    """Push as the link does: card, box, chunks, messages."""
    node = site.first
    [record] = box.cards
    sigs = [{"root": encode_b64(one.root), "sig": encode_b64(one.sig)} for one in record.sigs]
    assert node.link("PUT", "cards/1", {"card": encode_b64(record.card), "sigs": sigs}).status_code == 201
    head = {"login_id": box.login_id, "base": None, "capsule": encode_b64(box.capsule), "state": "active",
            "first_expires": None, "must_change": False, "lang": "en"}  # fmt: skip
    assert node.link("PUT", f"boxes/{box.box}", head).status_code == 201
    for one in box.messages:
        for i, chunks in one.chunks.items():
            for n, octets in enumerate(chunks):
                answer = node.link("PUT", f"boxes/{box.box}/blobs/{one.id}/{i}/{n}", octets)
                assert answer.status_code == 201, answer.text
        parts = [{"i": i, "chunks": len(chunks)} for i, chunks in one.chunks.items()]
        body = {"no": one.no, "gen": one.gen, "card": one.card, "expires": one.expires,
                "sealed": encode_b64(one.sealed), "parts": parts}  # fmt: skip
        assert node.link("PUT", f"boxes/{box.box}/messages/{one.id}", body).status_code == 201


@pytest.mark.parametrize("browser", ["chromium", "firefox"])
def test_whole_visit_on_the_real_portal(browser: str, tmp_path: Path) -> None:
    """What the reader did lies in the outbox, in order, and opens at the relay; the portal saw none of it."""
    with _run_portal(tmp_path / "portal") as (site, url):
        box = SealedBox(portal=site.settings.portal_id)
        samples = fill_box(box)
        _push(site, box)
        another = site.make_box()
        other = {"login_id": another.login_id, "kdf": 1, "auth": encode_b64(another.auth)}
        result = walk(url, "visit", browser=browser, name=LOGIN_NAME, password=PASSWORD, next=NEXT, other=other)
        entries = site.pull()
        node = site.first
        chunks = {
            (entry["id"], part["i"]): [
                node.link("GET", f"outbox/{box.box}/{entry['id']}/{part['i']}/{n}").data for n in range(part["chunks"])
            ]
            for entry in entries
            for part in entry.get("parts", [])
        }

    assert len(result["rows"]) == 6
    assert result["rows"] == result["again"] or len(result["again"]) == 6
    assert base64.b64decode(result["contract"]) == CONTRACT
    assert "Handed over" in result["sent"][0]
    assert result["drafts"].startswith("No drafts.")
    assert "This browser" in result["sessions"][0]
    assert result["errors"] == []

    assert result["why"].startswith("You are signed out. Please sign in again. A browser holds one mailbox")
    assert {entry["box"] for entry in entries if entry.get("box")} == {box.box}

    kinds = [entry["kind"] for entry in entries]
    assert kinds.index("rekey") > 0
    items = [
        box.open_item(read_b64(one["sealed"]), gen=one["gen"], id_=one["id"], card=one["card"])
        for one in entries
        # What comes behind the rekey is of the next generation.
        if one["kind"] != "rekey" and one["gen"] == box.gen
    ]
    assert [(item.kind, item.re) for item in items if item.kind == "read"] == [("read", samples.contract.id)]
    [reply] = [item for item in items if item.kind == "reply"]
    opened = {
        part.name or part.role: box.open_reply_part(reply, part.i, chunks[reply.id, part.i]) for part in reply.parts
    }
    assert opened == {"text": "Signed. Grüße".encode(), "signed.bin": b"\x09" * 2_500_000}
    [rekey] = [one for one in entries if one["kind"] == "rekey"]
    octets = read_b64(rekey["capsule"])
    verify_rekey(box.keys.sign, octets, read_b64(rekey["sig"]))
    fresh = stretch(box.portal, LOGIN_NAME, 1, read_secret("own", NEXT))
    assert open_capsule(read_capsule(octets), fresh.kek, portal=box.portal).capsule.gen == box.gen + 1
