"""Checks of a request before a view reads it: where it comes from, how long it is, what kind of body it has.

Unsafe methods need `X-Letterlock: 1`, which no form and no foreign page can send without asking first, and, where the
browser sends them, Sec-Fetch-Site same-origin and our own Origin. No GET changes state.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection

from flask import Flask, request
from werkzeug.exceptions import RequestEntityTooLarge

from portal.security.errors import ApiError
from relay.core.wire.sealed.jsontext import Fields, read_object

API_PREFIX = "/api/"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def install_checks(app: Flask, origins: Collection[str], forms: str | None = None) -> None:
    """Refuse unsafe requests that do not come from our own pages, which are served under these origins.

    `forms` is the path below which plain forms are posted, which have no header; each of them carries a token.
    """

    @app.before_request
    def check_unsafe() -> None:
        if request.method in _SAFE:
            return
        site = request.headers.get("Sec-Fetch-Site")
        origin = request.headers.get("Origin")
        # A browser that says same-origin says the truth; some send Origin: null with our referrer policy.
        is_own = site == "same-origin" if site is not None else origin is None or origin in origins
        is_form = forms is not None and (request.path == forms or request.path.startswith(f"{forms}/"))
        if is_form and site is None and origin == "null":
            is_own = True
        if not is_own or (not is_form and request.headers.get("X-Letterlock") != "1"):
            raise ApiError(403, "origin")


def read_octets(limit: int) -> bytes:
    """Return the body, at most `limit` octets. Raises ApiError 413."""
    if request.content_length is not None and request.content_length > limit:
        raise ApiError(413, "size")
    request.max_content_length = limit
    try:
        octets = request.get_data(cache=False)
    except RequestEntityTooLarge as error:
        raise ApiError(413, "size") from error
    if len(octets) > limit:
        raise ApiError(413, "size")
    return octets


def read_fields(limit: int) -> Fields:
    """Return the JSON object of the body, at most `limit` octets. Raises ApiError, MailboxDataError."""
    if request.mimetype != "application/json":
        raise ApiError(415, "type")
    return Fields(read_object(read_octets(limit), limit))


def read_query_number(name: str, default: int, low: int, high: int) -> int:
    """Return a whole number of the query, held between `low` and `high`. Raises ApiError 400 for anything else."""
    text = request.args.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 16:
        raise ApiError(400, "bad-request")
    return max(low, min(high, int(text)))


def find_network(*, is_behind_proxy: bool) -> str:
    """Return what tries are counted by: the IPv4 address or the IPv6 /64 of the reader."""
    address = request.remote_addr or ""
    if is_behind_proxy:
        # Each proxy appends whom it talks to; only the last entry was written by ours.
        address = request.headers.get("X-Forwarded-For", address).rpartition(",")[2].strip()
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


_BROWSERS = (("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
_SYSTEMS = (
    ("Windows", "Windows"),
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Mac OS", "macOS"),
    ("Linux", "Linux"),
)


def describe_browser() -> str:
    """Return a few known words for the list of sessions, never the header itself."""
    agent = request.headers.get("User-Agent", "")
    names = (next((name for mark, name in known if mark in agent), "") for known in (_BROWSERS, _SYSTEMS))
    return ", ".join(filter(None, names))
