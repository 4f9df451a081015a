"""What sort of message it is: report, invitation, encrypted, signed (RFC 6522, RFC 6047, RFC 8551, RFC 3156).

Labels and the first octets are looked at, nothing is verified or decrypted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from relay.message.structure import Part

_SMIME = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime"})
_SMIME_SUFFIXES = (".p7m", ".p7c", ".p7z")
# DER of id-signedData, id-envelopedData (RFC 5652 5.1, 6.1) and id-ct-authEnvelopedData (RFC 5083 2.1).
_OID_SIGNED = bytes.fromhex("06092a864886f70d010702")
_OID_ENVELOPED = bytes.fromhex("06092a864886f70d010703")
_OID_AUTH_ENVELOPED = bytes.fromhex("060b2a864886f70d0109100117")
_METHOD = re.compile(rb"^METHOD[:;]", re.IGNORECASE | re.MULTILINE)
_PGP_ENCRYPTED = re.compile(r"^-----BEGIN PGP MESSAGE-----\s*$", re.MULTILINE)
_PGP_SIGNED = re.compile(r"^-----BEGIN PGP SIGNED MESSAGE-----\s*$", re.MULTILINE)
_TNEF = frozenset({"application/ms-tnef", "application/vnd.ms-tnef"})


def is_report(root: Part, report_type: str) -> bool:
    """Tell whether the message is a report of this type (RFC 6522 3), by its label or by its machine-readable part."""
    if root.media_type != "multipart/report":
        return False
    label = root.parameters.get("report-type", "").strip().lower()
    if label:
        return label == report_type
    return any(child.media_type == f"message/{report_type}" for child in root.children)


def has_invitation(leaves: Iterable[Part], read: Callable[[Part], bytes]) -> bool:
    """Tell whether a text/calendar part has a method, in its label or in its text (RFC 5546 1.4)."""
    for part in leaves:
        if part.media_type == "text/calendar" and (part.parameters.get("method") or _METHOD.search(read(part))):
            return True
    return False


def find_smime_kind(root: Part, read: Callable[[Part], bytes]) -> str:
    """Return `encrypted`, `signed` or the empty string for a message whose whole body is CMS (RFC 8551 3.2)."""
    is_named = root.media_type == "application/octet-stream" and root.filename.lower().endswith(_SMIME_SUFFIXES)
    if root.media_type not in _SMIME and not is_named:
        return ""
    # The first object identifier tells; the label may lie or be absent.
    begin = read(root)[:64]
    if _OID_ENVELOPED in begin or _OID_AUTH_ENVELOPED in begin:
        return "encrypted"
    if _OID_SIGNED in begin:
        return "signed"
    label = root.parameters.get("smime-type", "").strip().lower()
    if label in ("signed-data", "certs-only"):
        return "signed"
    return "encrypted" if label in ("enveloped-data", "authenveloped-data") else ""


def is_openpgp_encrypted_text(text: str) -> bool:
    """Tell whether the text holds an inline OpenPGP message (RFC 9580 6.2)."""
    return "-----BEGIN PGP MESSAGE" in text and _PGP_ENCRYPTED.search(text) is not None


def is_openpgp_signed_text(text: str) -> bool:
    """Tell whether the text is clear-signed (RFC 9580 7)."""
    return "-----BEGIN PGP SIGNED" in text and _PGP_SIGNED.search(text) is not None


def is_tnef(part: Part) -> bool:
    """Tell whether the part is a winmail.dat (MS-OXTNEF)."""
    if part.media_type in _TNEF:
        return True
    return part.media_type == "application/octet-stream" and part.filename.lower() == "winmail.dat"
