"""TLS of the link listener: version 1.3, and only the relay's own certificate, no authority's.

The pinned certificates are the trust anchors themselves, so the handshake already refuses any other (RFC 8446 4.4.2).
"""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path

from relay.core.errors import ConfigurationError

_FIX = "Copy the relay's certificate there: `letterlock-portal pair FILE`"


def read_certificates(path: Path) -> list[bytes]:
    """Return the DER octets of the certificates in a PEM file. Raises ConfigurationError."""
    try:
        text = path.read_text("ascii")
        found = [
            ssl.PEM_cert_to_DER_cert(ssl.PEM_HEADER + block)
            for block in text.split(ssl.PEM_HEADER)[1:]
            for block in [block.split(ssl.PEM_FOOTER)[0] + ssl.PEM_FOOTER]
        ]
    except (OSError, ValueError) as error:
        raise ConfigurationError("link.relay_certificates", f"{path} cannot be read", _FIX) from error
    if not found:
        raise ConfigurationError("link.relay_certificates", f"{path} holds no certificate", _FIX)
    return found


def fingerprint(certificate: bytes) -> bytes:
    """Return SHA-256 of a certificate's DER octets."""
    return hashlib.sha256(certificate).digest()


def make_context(certificate: Path, key: Path, relay_certificates: Path) -> ssl.SSLContext:
    """Return the listener's context. Raises ConfigurationError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            "link.certificate", f"{certificate} and its key cannot be used", "Run `letterlock-portal init` for a pair"
        ) from error
    for pinned in read_certificates(relay_certificates):
        context.load_verify_locations(cadata=pinned)
    # No session tickets: each connection shows its certificate anew.
    context.num_tickets = 0
    return context
