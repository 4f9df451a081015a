"""Who calls: the relay's certificate, pinned by SHA-256 of its DER octets, and the integrity of what it sends.

TLS itself refuses every other certificate (portal.link.tls); this checks again, so that a listener that was set up
wrongly gives nothing away. Content-Digest: RFC 9530.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from typing import Any, Protocol

from flask import request

from portal.security.errors import ApiError

_DIGEST = re.compile(r"sha-256=:([A-Za-z0-9+/]{43}=):")


class _TlsSocket(Protocol):
    def getpeercert(self, binary_form: bool = ...) -> Any:
        """Return the peer's certificate."""


def check_peer(fingerprints: frozenset[bytes]) -> None:
    """Raise ApiError 401 unless the peer's certificate is one of the pinned."""
    socket: _TlsSocket | None = request.environ.get("gunicorn.socket")
    octets = socket.getpeercert(True) if socket is not None and hasattr(socket, "getpeercert") else None
    if not octets or hashlib.sha256(octets).digest() not in fingerprints:
        raise ApiError(401, "certificate")


def check_digest(body: bytes) -> bytes:
    """Return SHA-256 of the body. Raises ApiError 400 unless Content-Digest names it."""
    found = _DIGEST.fullmatch(request.headers.get("Content-Digest", "").strip())
    digest = hashlib.sha256(body).digest()
    try:
        sent = base64.b64decode(found.group(1), validate=True) if found else b""
    except binascii.Error:
        sent = b""
    if not hmac.compare_digest(sent, digest):
        raise ApiError(400, "digest")
    return digest
