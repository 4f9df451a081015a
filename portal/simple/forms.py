"""Plain forms: each POST carries a token that belongs to the browser's cookie, which no other site can read or send.

SameSite=Strict and Sec-Fetch-Site (portal.security.requests) say the same; the token holds for browsers that know
neither.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Mapping
from urllib.parse import parse_qsl

from flask import Response, request

from portal.context import Portal
from portal.security.errors import ApiError
from portal.security.requests import read_octets
from relay.core.wire.pae import encode_b64, encode_pae

FORM_LIMIT = 16 * 1024
_FIELDS = 12
_RANDOM = 32


def _name(portal: Portal, word: str) -> str:
    return f"__Host-letterlock-{word}" if portal.settings.is_secure else f"letterlock-{word}"


def read_visit_cookie(portal: Portal) -> str:
    """Return the visit's cookie, untrusted, empty for none."""
    return request.cookies.get(_name(portal, "simple"), "")[:100]


def set_visit_cookie(portal: Portal, response: Response, value: str) -> None:
    """Give the browser its visit."""
    _set(portal, response, "simple", value, None)


def drop_visit_cookie(portal: Portal, response: Response) -> None:
    """Take the visit away."""
    _set(portal, response, "simple", "", 0)


def _set(portal: Portal, response: Response, word: str, value: str, age: int | None) -> None:
    response.set_cookie(
        _name(portal, word),
        value,
        max_age=age,
        path="/",
        secure=portal.settings.is_secure,
        httponly=True,
        samesite="Strict",
    )


def make_token(portal: Portal, cookie: str) -> str:
    """Return the token of a form for the browser with this cookie."""
    return encode_b64(hmac.digest(portal.device_key, encode_pae("simple-form", cookie), hashlib.sha256))


def is_token(portal: Portal, cookie: str, untrusted_token: str) -> bool:
    """Tell whether a token belongs to this cookie."""
    expected = make_token(portal, cookie)
    return bool(cookie) and hmac.compare_digest(untrusted_token.encode("utf-8", "replace"), expected.encode())


def check_token(portal: Portal, cookie: str, untrusted_token: str) -> None:
    """Refuse a form that is not of this browser's page. Raises ApiError 403."""
    if not is_token(portal, cookie, untrusted_token):
        raise ApiError(403, "origin")


class OtherVisitError(Exception):
    """A form of a visit that is over, or of another mailbox than the one that is open in this browser."""


def check_visit(portal: Portal, untrusted_token: str) -> None:
    """Refuse a form of another visit than this browser's. Raises OtherVisitError."""
    if not is_token(portal, read_visit_cookie(portal), untrusted_token):
        raise OtherVisitError


def find_form_cookie(portal: Portal) -> str:
    """Return the cookie that binds the sign-in form, untrusted, empty for none."""
    return request.cookies.get(_name(portal, "form"), "")[:100]


def set_form_cookie(portal: Portal, response: Response, value: str) -> None:
    """Give the browser what binds its sign-in form."""
    _set(portal, response, "form", value, None)


def new_form_cookie() -> str:
    """Return a new value; it opens nothing."""
    return encode_b64(os.urandom(_RANDOM))


def read_form() -> Mapping[str, str]:
    """Return the fields of a small form, untrusted. Raises ApiError 400, 413, 415.

    Flask's own reader would put larger ones on the disk.
    """
    if request.mimetype != "application/x-www-form-urlencoded":
        raise ApiError(415, "type")
    body = read_octets(FORM_LIMIT)
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=_FIELDS, errors="strict")
    except ValueError as error:
        raise ApiError(400, "bad-request") from error
    return dict(pairs)
