"""Pre-authentication encoding and strict base64url: how contexts of seals and signatures are built.

sealed-mailbox 3: PAE(a, b, ...) = for each element u32be(length) || octets; text as UTF-8, integers as decimal. The
first element is the label, which fixes number and type of the others. b64 is base64url without padding, and only the
spelling that re-encodes to itself is accepted. This module knows no key.
"""

from __future__ import annotations

import base64
import binascii
import re

from relay.core.wire.errors import EncodingError

_MAX_ELEMENT = 0xFFFF_FFFF
_SHORT = tuple(length.to_bytes(4, "big") for length in range(256))
_B64_TEXT = re.compile(r"[A-Za-z0-9_-]*")


def encode_pae(*elements: bytes | str | int) -> bytes:
    """Return the elements, each behind its length. Raises ValueError for a negative integer or a bool."""
    parts: list[bytes] = []
    for element in elements:
        if isinstance(element, str):
            octets = element.encode()
        elif isinstance(element, bytes):
            octets = element
        elif isinstance(element, bool) or element < 0:
            # sealed-mailbox 3: integers are 0..2^53-1, and no boolean passes for a number.
            raise ValueError("PAE integers are whole numbers from 0")
        else:
            octets = b"%d" % element
        length = len(octets)
        parts += (_SHORT[length] if length < 256 else length.to_bytes(4, "big"), octets)
    return b"".join(parts)


def decode_pae(untrusted_octets: bytes) -> tuple[bytes, ...]:
    """Return the elements again, as octets. Raises EncodingError when lengths and octets do not fit exactly."""
    elements: list[bytes] = []
    at = 0
    end = len(untrusted_octets)
    while at < end:
        if end - at < 4:
            raise EncodingError("PAE: cut within a length")
        length = int.from_bytes(untrusted_octets[at : at + 4], "big")
        at += 4
        if length > end - at:
            raise EncodingError("PAE: cut within an element")
        elements.append(untrusted_octets[at : at + length])
        at += length
    return tuple(elements)


def encode_b64(octets: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


def decode_b64(untrusted_text: str) -> bytes:
    """Return the octets. Raises EncodingError unless the text is the one spelling that re-encodes to itself."""
    if not _B64_TEXT.fullmatch(untrusted_text) or len(untrusted_text) % 4 == 1:
        raise EncodingError("not base64url without padding")
    try:
        octets = base64.urlsafe_b64decode(untrusted_text + "=" * (-len(untrusted_text) % 4))
    except (binascii.Error, ValueError) as error:
        raise EncodingError("not base64url without padding") from error
    if encode_b64(octets) != untrusted_text:
        raise EncodingError("base64url with bits left over")
    return octets
