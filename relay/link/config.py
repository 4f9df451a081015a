"""What the link to the portal needs to know. Filled by the wiring from the host's settings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from relay.core.errors import ConfigurationError
from relay.core.ids import is_id

_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


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
    peer_certificate: str
    """SHA-256 of the portal's link certificate (DER), hexadecimal, colons allowed; two of them during a change, with a
    comma between."""

    @property
    def host(self) -> str:
        """Return the host to connect to."""
        return urlsplit(self.base_url).hostname or ""

    @property
    def port(self) -> int:
        """Return the port to connect to."""
        return urlsplit(self.base_url).port or 8443

    def fingerprints(self) -> frozenset[bytes]:
        """Return the pinned certificates' digests. Raises ConfigurationError."""
        found = set()
        for text in self.peer_certificate.split(","):
            plain = text.strip().replace(":", "").lower()
            if not _FINGERPRINT.fullmatch(plain):
                raise ConfigurationError(
                    "portal.link.peer_certificate",
                    "is no SHA-256 fingerprint",
                    "Write the output of: openssl x509 -in CERT -noout -fingerprint -sha256",
                )
            found.add(bytes.fromhex(plain))
        return frozenset(found)

    def check(self) -> None:
        """Raise ConfigurationError for what cannot work."""
        if not is_id(self.portal_id):
            raise ConfigurationError("portal.id", "is not an id of 22 characters", "Copy it from `letterlock portal`")
        parts = urlsplit(self.base_url)
        if parts.scheme != "https" or not parts.hostname or parts.path.strip("/") or parts.query:
            raise ConfigurationError(
                "portal.link.url", "is not https://HOST:PORT", 'Write "https://portal-link.bank.example:8443"'
            )
        self.fingerprints()
        for name, path in (("certificate", self.certificate), ("key", self.key)):
            if not path.is_file():
                raise ConfigurationError(f"portal.link.{name}", f"{path} does not exist", "Name a PEM file")
