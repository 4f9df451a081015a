"""A second, small reader of what the writer made: is this file encrypted as asked, for this password?

Shares no code with the writer but the hash of ISO 32000-2 algorithm 2.B, written here again, so that one slip cannot
vouch for itself. Reads the end of the file only, so its cost does not grow with attachments.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import BinaryIO

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from pdfmail.errors import PdfMailError

_TAIL = 256 * 1024
_STARTXREF = re.compile(rb"startxref\s+(\d+)\s+%%EOF\s*\Z")
_ENCRYPT = re.compile(rb"/Encrypt\s+(\d+)\s+0\s+R")
_HEX = {name: re.compile(rb"/" + name + rb"\s*<([0-9A-Fa-f]+)>") for name in (b"U", b"O")}


class NotEncryptedError(PdfMailError):
    """The file is not encrypted as it should be. It must not leave."""

    temporary = False


def check_encrypted(file: BinaryIO, password: str) -> int:
    """Check a finished PDF and return its security handler's revision, 6 or 4.

    Everything must go through the standard crypt filter with AES, metadata too, and for revision 6 the password must
    open it. Raises NotEncryptedError.
    """
    size = file.seek(0, 2)
    start = max(0, size - _TAIL)
    file.seek(start)
    tail = file.read()
    reference = _STARTXREF.search(tail)
    if reference is None:
        raise NotEncryptedError("no end of file")
    offset = int(reference[1]) - start
    if not 0 <= offset < len(tail):
        raise NotEncryptedError("cross-reference lies elsewhere")
    trailer = _ENCRYPT.search(tail, offset)
    if trailer is None:
        raise NotEncryptedError("trailer names no encryption")
    entry = tail.rfind(b"\n%s 0 obj" % trailer[1])
    dictionary = tail[entry : tail.find(b"endobj", entry)] if entry >= 0 else b""
    revision = _check_dictionary(dictionary)
    if revision == 6:
        _check_password(dictionary, password)
    elif not password:
        raise NotEncryptedError("empty password")
    return revision


def _check_dictionary(dictionary: bytes) -> int:
    squeezed = re.sub(rb"\s+", b"", dictionary)
    for needed in (b"/Filter/Standard", b"/StmF/StdCF", b"/StrF/StdCF"):
        if needed not in squeezed:
            raise NotEncryptedError("not everything is encrypted")
    if b"/Identity" in squeezed or b"/EncryptMetadatafalse" in squeezed:
        raise NotEncryptedError("some of it is left in the clear")
    if b"/V5/R6" in squeezed and b"/CFM/AESV3" in squeezed:
        return 6
    if b"/V4/R4" in squeezed and b"/CFM/AESV2" in squeezed:
        return 4
    raise NotEncryptedError("unknown encryption")


def _check_password(dictionary: bytes, password: str) -> None:
    found = _HEX[b"U"].search(dictionary)
    value = bytes.fromhex(found[1].decode("ascii")) if found else b""
    if len(value) != 48 or not password:
        raise NotEncryptedError("no usable password entry")
    if not hmac.compare_digest(_hash(password.encode("ascii"), value[32:40]), value[:32]):
        raise NotEncryptedError("the password does not open it")


def _hash(password: bytes, salt: bytes) -> bytes:
    k = hashlib.sha256(password + salt).digest()
    e = b""
    done = 0
    while done < 64 or e[-1] > done - 32:
        e = Cipher(algorithms.AES(k[:16]), modes.CBC(k[16:32])).encryptor().update((password + k) * 64)
        k = hashlib.new(("sha256", "sha384", "sha512")[int.from_bytes(e[:16], "big") % 3], e).digest()
        done += 1
    return k[:32]
