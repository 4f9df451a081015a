"""Two cookies: the session's, and one that gives a known device its own budget of wrong tries.

`__Host-` binds them to this host, Secure and the root path; on a loopback without TLS (tests) they have plain names.
The device cookie names no one: for each mailbox that was opened with the device a random number and its authenticator
together with that mailbox's login, the latest first. A reply link leaves none: who waits there waits for the link.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re

from flask import Response, request

from portal.context import Portal
from relay.core.wire.pae import encode_b64, encode_pae

_YEAR = 365 * 24 * 3600
_RANDOM = 16
_MOST_MAILBOXES = 10
"""Mailboxes that know a device at the same time; the one opened longest ago is forgotten first."""
_BETWEEN = "~"
_ENTRY = re.compile(r"([A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]{43})")


def session_cookie_name(portal: Portal) -> str:
    """Return the name of the session's cookie."""
    return "__Host-letterlock" if portal.settings.is_secure else "letterlock"


def device_cookie_name(portal: Portal) -> str:
    """Return the name of the known device's cookie."""
    return "__Host-letterlock-device" if portal.settings.is_secure else "letterlock-device"


def read_session_cookie(portal: Portal) -> str:
    """Return the session cookie's untrusted value, empty for none."""
    return request.cookies.get(session_cookie_name(portal), "")[:100]


def set_session_cookie(portal: Portal, response: Response, value: str) -> None:
    """Give the browser its session; it ends with the browser, the row's own times rule."""
    _set(portal, response, session_cookie_name(portal), value, None)


def drop_session_cookie(portal: Portal, response: Response) -> None:
    """Take the session's cookie away."""
    _set(portal, response, session_cookie_name(portal), "", 0)


def read_device(portal: Portal, subject: str) -> str | None:
    """Return the device's random name if its cookie was given out for this login, among others, else None."""
    found = [name for name, mac in _read_entries(portal) if _is_of(portal, name, mac, subject)]
    return found[0] if found else None


def set_device_cookie(portal: Portal, response: Response, subject: str) -> None:
    """Remember the device for this login, beside the others that it is known to."""
    name = encode_b64(os.urandom(_RANDOM))
    others = [entry for entry in _read_entries(portal) if not _is_of(portal, *entry, subject)]
    entries = [(name, _authenticate(portal, name, subject)), *others][:_MOST_MAILBOXES]
    value = _BETWEEN.join(f"{name}.{mac}" for name, mac in entries)
    _set(portal, response, device_cookie_name(portal), value, _YEAR)


def _read_entries(portal: Portal) -> list[tuple[str, str]]:
    untrusted_value = request.cookies.get(device_cookie_name(portal), "")
    matches = (_ENTRY.fullmatch(text) for text in untrusted_value.split(_BETWEEN, _MOST_MAILBOXES)[:_MOST_MAILBOXES])
    return [(found[1], found[2]) for found in matches if found]


def _is_of(portal: Portal, name: str, mac: str, subject: str) -> bool:
    return hmac.compare_digest(mac, _authenticate(portal, name, subject))


def _authenticate(portal: Portal, name: str, subject: str) -> str:
    return encode_b64(hmac.digest(portal.device_key, encode_pae("device", name, subject), hashlib.sha256))


def _set(portal: Portal, response: Response, name: str, value: str, age: int | None) -> None:
    response.set_cookie(
        name, value, max_age=age, path="/", secure=portal.settings.is_secure, httponly=True, samesite="Strict"
    )
