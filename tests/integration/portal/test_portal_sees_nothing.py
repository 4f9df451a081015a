"""What the portal never has: after a whole round trip no file, row, log or memory of it holds a password or a word.

Memory is read from every process of the running portal; that the search works is shown by what must be there.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.core.ids import new_id
from relay.core.wire import hpke
from relay.core.wire.pae import encode_b64
from relay.core.wire.sealed import KDF_MAILBOX, OWN, format_time, read_secret, stretch
from relay.core.wire.sealed.parts import PartSealer, new_message_key
from relay.core.wire.sealed.stretch import login_id
from relay.link.client import MessageHead, PortalLink
from relay.link.wire import Ack, ItemEntry, Result
from tests.contract.portal.site import Box, item
from tests.integration.portal.running import HttpBrowser, RunningPortal, push_box

ADDRESS = "canary.reader@partner.example"
PASSWORD = "canary password 7319 for the mailbox"
NEW_PASSWORD = "canary password 8264 chosen later"
SUBJECT = "Canary subject 5521 of the contract"
BODY = b"canary text 9087: the sum is written here " * 4000
FILE = "canary-file-3316.pdf"
REPLY = b"canary reply 6410: I agree " * 3000
CANARIES = (ADDRESS.encode(), PASSWORD.encode(), NEW_PASSWORD.encode(), SUBJECT.encode(), FILE.encode())
CANARIES += (b"canary text 9087", b"canary reply 6410", read_secret(OWN, PASSWORD))


@pytest.fixture
def portal(tmp_path: Path) -> Iterator[RunningPortal]:
    made = RunningPortal.make(tmp_path / "portal").start()
    yield made
    made.stop()


def make_box(portal_id: str, password: str, before: Box | None = None) -> Box:
    keys = stretch(portal_id, ADDRESS, KDF_MAILBOX, read_secret(OWN, password))
    box = before.next() if before else Box(portal_id, new_id(), login_id(portal_id, ADDRESS))
    box.auth, box.kek = keys.auth, keys.kek
    box.write_capsule("browser", time.time_ns() // 1_000_000)
    return box


def push_mail(link: PortalLink, box: Box) -> str:
    id_, key = new_id(), new_message_key()
    chunks = list(PartSealer(key, id_, 0).seal_all([BODY]))
    for n, chunk in enumerate(chunks):
        link.put_chunk(box.id, id_, 0, n, chunk)
    manifest = f'{{"subject":"{SUBJECT}","from":"{ADDRESS}","name":"{FILE}"}}'.encode()
    sealed = hpke.seal(hpke.SUITE_X25519, box.keys.enc, b"info", manifest)
    expires = format_time(time.time_ns() // 1_000_000 + 86_400_000)
    link.put_message(box.id, id_, MessageHead(1, box.gen, 1, expires, sealed, [(0, len(chunks))]))
    return id_


def answer(browser: HttpBrowser, box: Box, re_: str) -> dict[str, object]:
    id_, key = new_id(), new_message_key()
    chunks = list(PartSealer(key, id_, 0).seal_all([REPLY]))
    for n, chunk in enumerate(chunks):
        assert browser.call("PUT", f"/api/drafts/{id_}/0/{n}", chunk)[0] == 201
    plain = f'{{"subject":"Re: {SUBJECT}","key":"{encode_b64(key)}"}}'.encode()
    sealed = hpke.seal(hpke.SUITE_X25519, box.keys.enc, b"info", plain)
    body = item(box, id=id_, sealed=encode_b64(sealed), parts=[{"i": 0, "chunks": len(chunks)}], re=re_)
    assert browser.api("POST", "send", body)[0] == 201
    return body


def tree(pid: int) -> list[int]:
    children = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]
    return [pid, *(one for child in children for one in tree(child))]


def memory_of(pid: int) -> Iterator[bytes]:
    """Yield the writable memory of a process, map by map."""
    with Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text("ascii", "replace").splitlines():
            found = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            if found is None or "[v" in line:
                continue
            start, end = (int(word, 16) for word in found.groups())
            with contextlib.suppress(OSError, ValueError):
                memory.seek(start)
                yield memory.read(end - start)


def test_no_password_no_address_no_word(portal: RunningPortal) -> None:
    link = portal.reconcile()
    first = push_box(link, make_box(portal.settings.portal_id, PASSWORD))
    browser = portal.browser()
    assert browser.login(first)[0] == 200
    box = make_box(portal.settings.portal_id, NEW_PASSWORD, first)
    assert browser.api("POST", "rekey", first.rekey_body(box, time.time_ns() // 1_000_000))[0] == 200
    id_ = push_mail(link, box)
    page = browser.api("GET", "messages")[1]
    assert [one["id"] for one in page["messages"]] == [id_]
    assert browser.call("GET", f"/api/blobs/{id_}/0/0")[0] == 200
    sent = answer(browser, box, id_)
    entries = link.poll_outbox(5, 10)
    assert sum(isinstance(entry, ItemEntry) for entry in entries) == 1
    link.ack([Ack(entry.box, entry.id, Result.TAKEN) for entry in entries])
    portal.browser().login(Box(box.portal, box.id, box.login_id))

    assert portal.process is not None
    places = {str(path): path.read_bytes() for path in portal.folder.rglob("*") if path.is_file()}
    seen = set()
    for pid in tree(portal.process.pid):
        for number, octets in enumerate(memory_of(pid)):
            places[f"memory of {pid}, {number}"] = octets
            seen.add(box.id.encode() in octets or str(sent["id"]).encode() in octets)
    # The control: what the portal may know is found, in files and in memory.
    assert any(box.id.encode() in octets for name, octets in places.items() if "portal.db" in name)
    assert True in seen
    found = [(name, canary) for name, octets in places.items() for canary in CANARIES if canary in octets]
    assert found == []
    # Nor does a file hold what was sent at login: it is compared and dropped.
    files = b"".join(octets for name, octets in places.items() if not name.startswith("memory"))
    for secret in (first.auth, box.auth, encode_b64(first.auth).encode(), encode_b64(box.auth).encode()):
        assert secret not in files


def test_the_search_finds_what_is_there() -> None:
    """A word that this very process holds is found by the same search."""
    word = b"needle " + os.urandom(8).hex().encode()
    assert any(word in octets for octets in memory_of(os.getpid()))
