"""Two cookies: the session's, and one that gives a known device its own budget of wrong tries.

`__Host-` binds them to this host, Secure and the root path; on a loopback without TLS (tests) they have plain names.
The device cookie names no one: a random number and its authenticator together with the login it signed in to.
"""

from __future__ import annotations

import hashlib
import hmac
import os

from flask import Response, request

from portal.context import Portal
from relay.core.wire.pae import encode_b64, encode_pae

_YEAR = 365 * 24 * 3600
_RANDOM = 16


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
    """Return the device's random name if its cookie was given out for this login, else None."""
    name, _, mac = request.cookies.get(device_cookie_name(portal), "").partition(".")
    expected = _authenticate(portal, name, subject)
    return name if name and hmac.compare_digest(mac.encode("utf-8", "replace"), expected.encode()) else None


def set_device_cookie(portal: Portal, response: Response, subject: str) -> None:
    """Remember the device for this login."""
    name = encode_b64(os.urandom(_RANDOM))
    value = f"{name}.{_authenticate(portal, name, subject)}"
    _set(portal, response, device_cookie_name(portal), value, _YEAR)


def _authenticate(portal: Portal, name: str, subject: str) -> str:
    return encode_b64(hmac.digest(portal.device_key, encode_pae("device", name, subject), hashlib.sha256))


def _set(portal: Portal, response: Response, name: str, value: str, age: int | None) -> None:
    response.set_cookie(
        name, value, max_age=age, path="/", secure=portal.settings.is_secure, httponly=True, samesite="Strict"
    )
