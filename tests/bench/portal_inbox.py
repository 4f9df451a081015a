"""The inbox with ten messages and with ten thousand: what a page of it costs the portal, and the reader's browser."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import event

from relay.core.wire.pae import encode_b64
from relay.core.wire.sealed import login_id, read_secret, stretch
from tests.bench.portal_login import read_mail
from tests.bench.portal_site import OWN, BenchPortal, run_portal
from tests.contract.portal.site import Browser
from tests.interop.browser.driver import open_browser
from tests.interop.browser.world import BoxAccount

SIZES = (10, 100, 10_000)
"""The second one fills a page of 50, as the third does."""
_ROUNDS = 60
NEWEST, TEXT = "The newest of them", "and this is its text"


@dataclass(frozen=True, slots=True)
class PageCost:
    """One GET /api/messages."""

    milliseconds: float
    """CPU of the thread that answers, median."""
    queries: int
    rows: int


@dataclass(frozen=True, slots=True)
class InboxCost:
    """What one size of inbox costs."""

    messages: int
    ten: PageCost
    """A page of ten, so that both inboxes send the same."""
    usual: PageCost
    """A page as the browser asks for it, of 50 at most."""
    oldest: PageCost
    """Ten at the far end."""
    listed: float
    """Milliseconds from the button of the sign-in page to the list, median of three."""
    shown: float
    """Then to a mail's text."""


def measure_inboxes() -> list[InboxCost]:
    """Fill the mailboxes through the portal's link code and measure them, turn about."""
    with run_portal() as portal:
        boxes = [_fill(portal, f"reader-{count}@partner.example", count) for count in SIZES]
        pages = _measure_pages(portal, boxes)
        times: list[list[tuple[float, float]]] = [[] for _ in boxes]
        with open_browser("chromium") as browser:
            for number in range(4):
                for account, found in zip(boxes, times, strict=True):
                    visit = read_mail(browser, portal.url, account, f"inbox-{number}-{account.box}", NEWEST, TEXT)
                    if number:  # the first one warms the browser
                        found.append(visit[:2])
        return [
            InboxCost(count, *costs, *(statistics.median(one[which] for one in found) for which in (0, 1)))
            for count, costs, found in zip(SIZES, pages, times, strict=True)
        ]


def _fill(portal: BenchPortal, name: str, count: int) -> BoxAccount:
    with portal.filling():
        account = portal.make_active(name)
        # The confirmation of the account is a message too.
        for number in range(count - 2):
            portal.push(account, subject=f"Mail {number}", snippet="Dear Anna,", text="Dear Anna,\n" * 20)
        portal.push(account, subject=NEWEST, snippet="Dear Anna,", text=f"Dear Anna,\n{TEXT}.\n")
    return account


def _measure_pages(portal: BenchPortal, boxes: list[BoxAccount]) -> list[tuple[PageCost, PageCost, PageCost]]:
    readers = [_sign_in(portal, account) for account in boxes]
    costs = []
    for path in ("/api/messages?limit=10", "/api/messages?limit=50", "/api/messages?limit=10&before=11"):
        counts = [_count(portal, reader, path) for reader in readers]
        times: list[list[float]] = [[] for _ in readers]
        for _ in range(_ROUNDS):
            for reader, found in zip(readers, times, strict=True):
                began = time.thread_time()
                assert reader.get(path).status_code == 200
                found.append(1000 * (time.thread_time() - began))
        medians = map(statistics.median, times)
        costs.append([PageCost(middle, *count) for middle, count in zip(medians, counts, strict=True)])
    return list(zip(*costs, strict=True))


def _sign_in(portal: BenchPortal, account: BoxAccount) -> Browser:
    reader = portal.node.browser()
    name = account.name or ""
    auth = stretch(portal.portal, name, 1, read_secret("own", OWN)).auth
    body = {"login_id": login_id(portal.portal, name), "kdf": 1, "auth": encode_b64(auth)}
    assert reader.call("POST", "/api/login", body).status_code == 200
    return reader


def _count(portal: BenchPortal, reader: Browser, path: str) -> tuple[int, int]:
    """Return queries and rows."""
    with _counting(portal) as queries:
        answer = reader.get(path)
    return len(queries), len(answer.get_json()["messages"])


@contextmanager
def _counting(portal: BenchPortal) -> Iterator[list[str]]:
    """Collect what is asked of both databases; BEGIN and COMMIT do not count."""
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if statement.startswith(("SELECT", "INSERT", "UPDATE", "DELETE")):
            asked.append(statement)

    engines = [database.engine for database in (portal.node.portal.store.main, portal.node.portal.store.keys)]
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)
