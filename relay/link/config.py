"""What the link to the portal needs to know. Filled by the wiring from the host's settings."""

from __future__ import annotations

import hashlib
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from relay.core.errors import ConfigurationError

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----")


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """Where the portal's link listener is, and the two certificates that are pinned."""

    portal_id: str
    """16 random octets as 22 characters; the same id stands in every sealed object."""
    base_url: str
    """`https://host:port`, the link listener and never the public one."""
    certificate: Path
    """PEM file with the relay's client certificate."""
    key: Path
    """PEM file with its private key."""
    peer_certificate: Path
    """PEM file with the portal's link certificate; during a change with the old and the new one."""

    @property
    def host(self) -> str:
        """Return the host to connect to."""
        return urlsplit(self.base_url).hostname or ""

    @property
    def port(self) -> int:
        """Return the port to connect to."""
        return urlsplit(self.base_url).port or 8443

    def fingerprints(self) -> frozenset[bytes]:
        """Return the SHA-256 digests of the pinned certificates. Raises ConfigurationError."""
        try:
            blocks = _PEM.findall(self.peer_certificate.read_text("ascii"))
            pins = frozenset(hashlib.sha256(ssl.PEM_cert_to_DER_cert(block)).digest() for block in blocks)
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                "portal.link_peer", f"{self.peer_certificate} cannot be read", "Name a PEM file with the certificate"
            ) from error
        if not pins:
            raise ConfigurationError(
                "portal.link_peer", f"{self.peer_certificate} holds no certificate", "Copy the portal's link.pem there"
            )
        return pins
