"""Self-signed certificates: for STARTTLS and logins before the real one is there, and for the link to the portal, where
each side knows the other's certificate and no authority counts."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from relay.core.clock import Clock, to_datetime
from relay.keystore.files import make_directory, write_atomically

DAYS = 825


def write_self_signed(
    directory: Path,
    hostname: str,
    clock: Clock,
    names: tuple[str, str] = ("fullchain.pem", "privkey.pem"),
    days: int = DAYS,
) -> tuple[Path, Path]:
    """Write certificate and private key for the host name; return both paths. Raises KeyStoreError."""
    make_directory(directory)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hostname[:64])])
    begin = to_datetime(clock.now_ms()) - timedelta(hours=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(hostname)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    chain, private = directory / names[0], directory / names[1]
    write_atomically(chain, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    octets = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_atomically(private, octets, 0o600)
    return chain, private
