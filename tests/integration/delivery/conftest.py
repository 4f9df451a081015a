"""Parcels, sessions and certificates for delivery's tests."""

from __future__ import annotations

import io
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from relay.core.approval import ApprovedClear
from relay.core.documents.routes import RoutesDocument, TlsPolicy
from relay.core.ids import new_id
from relay.delivery.connections import ConnectionCache
from relay.delivery.deliver import DeliveryRun
from relay.delivery.link import Timeouts
from relay.delivery.parcel import Parcel, ParcelCopy
from relay.delivery.route import Hop, MailerTable
from relay.delivery.smtp import SessionOpener

SHORT = Timeouts(10, 10, 10, 10, 10, 10, 10, reset=10, quit=0.2)
HASTY = Timeouts(10, 0.2, 0.2, 10, 0.2, 10, 0.2, reset=0.2, quit=0.2)
"""Only where silence is the fault and every order of events leads to the same outcome."""
HASTY_AT_THE_END = Timeouts(10, 10, 10, 10, 10, 10, final_dot=0.2, reset=10, quit=0.2)


@dataclass
class OctetContent:
    data: bytes

    def open(self) -> BinaryIO:
        return io.BytesIO(self.data)

    @property
    def size(self) -> int:
        return len(self.data)


def make_parcel(*recipients: str, data: bytes = b"Subject: x\r\n\r\nhello\r\n", **more: object) -> Parcel:
    message_id = new_id()
    approval = ApprovedClear(message_id, 0, new_id())
    notify = more.pop("notify", None)
    orcpt = more.pop("orcpt", None)
    copies = tuple(
        ParcelCopy(f"copy{n}", address, approval, notify, orcpt)  # type: ignore[arg-type]
        for n, address in enumerate(recipients or ("jonas.weber@partner.example",))
    )
    envelope: dict[str, object] = {"reverse_path": "anna.keller@bank.example", "content": OctetContent(data), **more}
    return Parcel(message_id, 0, copies=copies, **envelope)  # type: ignore[arg-type]


def make_cache(timeouts: Timeouts = SHORT, **options: object) -> ConnectionCache:
    return ConnectionCache(SessionOpener("gate.bank.example", timeouts), **options)  # type: ignore[arg-type]


@dataclass
class Certificates:
    """A CA, and server certificates for localhost: good, expired, wrong name, foreign CA."""

    folder: Path
    ca_file: Path

    def context(self, kind: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / f"{kind}.pem")
        return context


def _issue(
    folder: Path, kind: str, name: str, days: int, issuer: tuple[object, object] | None
) -> tuple[object, object]:
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{kind} {name}")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0] if issuer else subject)  # type: ignore[arg-type]
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    )
    certificate = builder.sign(issuer[1] if issuer else key, hashes.SHA256())  # type: ignore[arg-type]
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    folder.joinpath(f"{kind}.pem").write_bytes(secret + certificate.public_bytes(serialization.Encoding.PEM))
    folder.joinpath(f"{kind}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return subject, key


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("certificates")
    ca = _issue(folder, "ca", "ca.example", 10, None)
    _issue(folder, "good", "localhost", 10, ca)
    _issue(folder, "expired", "localhost", -1, ca)
    _issue(folder, "wrong-name", "elsewhere.example", 10, ca)
    _issue(folder, "foreign", "localhost", 10, _issue(folder, "other-ca", "ca.example", 10, None))
    return Certificates(folder, folder / "ca.crt")


class OneHop(MailerTable):
    """Sends everything to one hop."""

    def __init__(self, hop: Hop) -> None:
        super().__init__(RoutesDocument())
        self.hop = hop

    def resolve(self, forward_path: str) -> Hop:
        return self.hop


HopMaker = Callable[..., Hop]


@pytest.fixture
def run_to() -> Iterator[Callable[..., DeliveryRun]]:
    """Make a DeliveryRun that sends everything to one port on loopback; closes its connections afterwards."""
    caches: list[ConnectionCache] = []

    def make(port: int, tls: TlsPolicy = TlsPolicy.NONE, timeouts: Timeouts = SHORT, **hop: object) -> DeliveryRun:
        table = OneHop(Hop("outside", "localhost", port, tls, **hop))  # type: ignore[arg-type]
        cache = make_cache(timeouts)
        caches.append(cache)
        run = DeliveryRun(lambda: table, cache)
        run.cache = cache  # type: ignore[attr-defined]
        return run

    yield make
    for cache in caches:
        cache.close_all()
