"""`letterlock-portal init` and `pair`: the files of a new portal host, and the relay's certificate pinned.

Makes the portal's id, the pepper, and the link listener's own key and certificate. No authority signs it: the relay
pins it, as the portal pins the relay's. Overwrites nothing.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from portal.context import PEPPER_OCTETS
from portal.link.tls import fingerprint, read_certificates
from portal.settings import FILE_NAME, Settings
from relay.core.errors import ConfigurationError
from relay.core.ids import is_id, new_id

_YEARS = 10
_TEMPLATE = """\
# The portal on the DMZ host. Check with: letterlock-portal --config {folder} config check

[portal]
# Stands in every sealed object: never change it. The same on every node and inside.
id = {id}
url = {url}
# Mail is opened in the reader's browser. Any other word lets this host open it too: read docs/operator/portal.md first.
decrypt = "browser"

[[brand]]
name = {name}
host = {host}
phone = {phone}

[paths]
state = "state"
# 32 octets, in no back-up: with a copy of the database they would allow guessing passwords. The same on every node.
pepper = "secrets/pepper"

[database]
url = {database}
# Keys of single rows; deleting one shreds its row. Keep back-ups of these at most 7 days.
keys_url = {keys_database}
# PostgreSQL: web may come as a role that cannot read answers and cannot write messages; see `letterlock-portal grants`.
# web_url = "postgresql://portal_web@..."
# web_keys_url = "postgresql://portal_web@..."

[web]
# Behind a proxy that ends TLS, or with certificate and key of its own.
listen = {web}
{tls}
# "last" behind a proxy that appends to X-Forwarded-For.
forwarded_for = "none"

[link]
# The inside network's interface only. The relay alone may connect: both certificates are pinned.
listen = {link}
certificate = "link/portal.pem"
key = "link/portal.key"
relay_certificates = "link/relay.pem"

[limits]
message_mib = 50
box_mib = 1024
sent_days = 90

[pages]
# "off": a reply page does not send a reader whose PDF program fails to the mailbox.
mailbox_from_reply = "on"

[log]
level = "info"
"""
_NO_TLS = '# certificate = "tls/fullchain.pem"\n# key = "tls/privkey.pem"'
_TEST = """
[test]
# Moves the clock by so many seconds. For tests only.
clock_offset_file = {offset}
"""


_GROUP_MODES = {
    "": 0o750,
    FILE_NAME: 0o640,
    "secrets": 0o750,
    "secrets/pepper": 0o640,
    "link": 0o750,
    "state": 0o2770,
    "state-keys": 0o2770,
}


@dataclass(frozen=True, slots=True)
class Choices:
    """What differs between portals."""

    url: str
    name: str
    phone: str
    web: str = "127.0.0.1:8080"
    link: str = "127.0.0.1:8443"
    portal_id: str | None = None
    database: str = "sqlite:///state/portal.db"
    keys_database: str = "sqlite:///state-keys/row-keys.db"
    certificate: Path | None = None
    """For TLS without a proxy: certificate chain and key, PEM."""
    key: Path | None = None
    clock_offset_file: str | None = None
    has_web_user: bool = False
    """Web runs as a user of its own in the group of the one who makes this: that group gets what web needs."""


def create_portal(folder: Path, choices: Choices) -> Path:
    """Make the files of a portal; return its settings file. Raises ConfigurationError when one is there."""
    settings = folder / FILE_NAME
    if settings.exists():
        raise ConfigurationError("init", f"{settings} is there already", "Choose another folder")
    portal_id = choices.portal_id or new_id()
    if not is_id(portal_id):
        raise ConfigurationError("--id", "is not an id of 22 characters", "Copy it from the other node's settings")
    for name in ("", "state", "state-keys", "secrets", "link"):
        (folder / name).mkdir(parents=True, exist_ok=True, mode=0o700)
    host = re.sub(r"^https?://", "", choices.url).partition("/")[0].rpartition("@")[2]
    _write_secret(folder / "secrets" / "pepper", os.urandom(PEPPER_OCTETS))
    _make_link_pair(folder / "link", host.partition(":")[0] or "portal")
    text = _TEMPLATE.format(
        folder=folder,
        id=json.dumps(portal_id),
        url=json.dumps(choices.url),
        name=json.dumps(choices.name, ensure_ascii=False),
        host=json.dumps(host.partition(":")[0]),
        phone=json.dumps(choices.phone),
        database=json.dumps(choices.database),
        keys_database=json.dumps(choices.keys_database),
        web=json.dumps(choices.web),
        tls=_tls_lines(choices),
        link=json.dumps(choices.link),
    )
    if choices.clock_offset_file:
        text += _TEST.format(offset=json.dumps(choices.clock_offset_file))
    settings.write_text(text, "utf-8")
    if choices.has_web_user:
        _open_to_group(folder)
    return settings


def _open_to_group(folder: Path) -> None:
    # Everything but the link's key, which stays 0600. Files in the state folders belong to the group as they are made.
    for name, mode in _GROUP_MODES.items():
        (folder / name).chmod(mode)


def _tls_lines(choices: Choices) -> str:
    if choices.certificate is None or choices.key is None:
        return _NO_TLS
    return f"certificate = {json.dumps(str(choices.certificate))}\nkey = {json.dumps(str(choices.key))}"


def pair_relay(settings: Settings, certificate: Path) -> list[bytes]:
    """Pin the relay's certificate; return the fingerprints that count from the next start."""
    found = read_certificates(certificate)
    settings.relay_certificates.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = settings.relay_certificates.with_suffix(".new")
    temporary.write_bytes(certificate.read_bytes())
    temporary.replace(settings.relay_certificates)
    return [fingerprint(one) for one in found]


def show_fingerprint(digest: bytes) -> str:
    """Return a fingerprint as `openssl x509 -fingerprint -sha256` writes it."""
    return digest.hex(":").upper()


def _write_secret(path: Path, octets: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(octets)
        file.flush()
        os.fsync(file.fileno())


def _make_link_pair(folder: Path, name: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} link"[:64])])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=365 * _YEARS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write_secret(folder / "portal.key", private)
    (folder / "portal.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
