"""A second, small reader of what the writer made: is this file encrypted as asked, for this password?

Shares no code with the writer, so that one slip cannot vouch for itself: the algorithms of ISO 32000-2 (2.B, 11, 12 for
revision 6) and ISO 32000-1 (2, 5, 7 for revision 4) are written here again. Reads the end of the file only, so its cost
does not grow with attachments.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from typing import BinaryIO

from cryptography.hazmat.decrepit.ciphers.algorithms import ARC4
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from pdfmail.errors import PdfMailError

_TAIL = 256 * 1024
_STARTXREF = re.compile(rb"startxref\s+(\d+)\s+%%EOF\s*\Z")
_ENCRYPT = re.compile(rb"/Encrypt\s+(\d+)\s+0\s+R")
_ID = re.compile(rb"/ID\s*\[\s*<([0-9A-Fa-f]+)>")
_PERMISSIONS = re.compile(rb"/P\s*(-?\d+)")
_HEX = {name: re.compile(rb"/" + name + rb"\s*<([0-9A-Fa-f]+)>") for name in (b"U", b"O")}
_NO_OWNER = b"letterlock/no owner password"
"""Before the /U entry, what the writer hashes into the owner's check value: no password at all is known to give it."""
_PAD = bytes.fromhex("28bf4e5e4e758a4164004e56fffa01082e2e00b6d0683e802f0ca9fe6453697a")
"""ISO 32000-1, algorithm 2."""


class NotEncryptedError(PdfMailError):
    """The file is not encrypted as it should be. It must not leave."""

    temporary = False


def check_encrypted(file: BinaryIO, password: str) -> int:
    """Check a finished PDF and return its security handler's revision, 6 or 4.

    Everything must go through the standard crypt filter with AES, metadata too, the password must open it, and neither
    no password nor the reader's own may open it as its owner's. Raises NotEncryptedError.
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
    if not password:
        raise NotEncryptedError("empty password")
    if revision == 6:
        _check_revision_6(dictionary, password.encode("ascii"))
    else:
        _check_revision_4(dictionary, tail[offset:], password.encode("ascii"))
    return revision


def _check_dictionary(dictionary: bytes) -> int:
    squeezed = re.sub(rb"\s+", b"", dictionary)
    for needed in (b"/Filter/Standard", b"/StmF/StdCF", b"/StrF/StdCF"):
        if needed not in squeezed:
            raise NotEncryptedError("not everything is encrypted")
    if b"/Identity" in squeezed or b"/EncryptMetadatafalse" in squeezed:
        raise NotEncryptedError("some of it is left in the clear")
    for revision, entries in ((6, (b"/V5", b"/R6", b"/CFM/AESV3")), (4, (b"/V4", b"/R4", b"/CFM/AESV2"))):
        if all(re.search(one + rb"(?=[/>])", squeezed) for one in entries):
            return revision
    raise NotEncryptedError("unknown encryption")


def _read_entry(dictionary: bytes, name: bytes, length: int) -> bytes:
    found = _HEX[name].findall(dictionary)
    # Of two entries of one name each reader would take the one it likes.
    value = bytes.fromhex(found[0].decode("ascii")) if len(found) == 1 else b""
    if len(value) != length:
        raise NotEncryptedError("no usable password entry")
    return value


def _check_revision_6(dictionary: bytes, password: bytes) -> None:
    user = _read_entry(dictionary, b"U", 48)
    owner = _read_entry(dictionary, b"O", 48)
    if not hmac.compare_digest(_hash(password, user[32:40]), user[:32]):
        raise NotEncryptedError("the password does not open it")
    # What our writer makes is told in one hash. Any other entry costs two more of the slow ones (algorithm 12).
    if owner[:32] == hashlib.sha256(_NO_OWNER + user).digest():
        return
    if any(_hash(guess, owner[32:40], user) == owner[:32] for guess in (b"", password)):
        raise NotEncryptedError("it opens as its owner's")


def _check_revision_4(dictionary: bytes, trailer: bytes, password: bytes) -> None:
    user = _read_entry(dictionary, b"U", 32)
    owner = _read_entry(dictionary, b"O", 32)
    permissions, document_id = _PERMISSIONS.search(dictionary), _ID.search(trailer)
    if permissions is None or document_id is None:
        raise NotEncryptedError("no usable permissions or id")
    identifier = bytes.fromhex(document_id[1].decode("ascii"))
    padded = (password + _PAD)[:32]
    # Algorithm 2, then 5: the file key of the password, and what it makes of padding and id.
    bits = (int(permissions[1]) & 0xFFFFFFFF).to_bytes(4, "little")
    key = _repeat_md5(padded + owner + bits + identifier)
    check = _pass_rc4(key, hashlib.md5(_PAD + identifier, usedforsecurity=False).digest(), range(20))
    if not hmac.compare_digest(check, user[:16]):
        raise NotEncryptedError("the password does not open it")
    for guess in (b"", password):
        # Algorithm 7: what the owner's password makes of /O is the user's.
        if _pass_rc4(_repeat_md5((guess + _PAD)[:32]), owner, range(19, -1, -1)) == padded:
            raise NotEncryptedError("it opens as its owner's")


def _repeat_md5(seed: bytes) -> bytes:
    for _ in range(51):
        seed = hashlib.md5(seed, usedforsecurity=False).digest()
    return seed


def _pass_rc4(key: bytes, data: bytes, turns: Iterable[int]) -> bytes:
    for turn in turns:
        data = Cipher(ARC4(bytes(octet ^ turn for octet in key)), None).encryptor().update(data)
    return data


def _hash(password: bytes, salt: bytes, user: bytes = b"") -> bytes:
    """Algorithm 2.B; `user` is the whole /U entry where the owner's password is asked for."""
    k = hashlib.sha256(password + salt + user).digest()
    e = b""
    done = 0
    while done < 64 or e[-1] > done - 32:
        e = Cipher(algorithms.AES(k[:16]), modes.CBC(k[16:32])).encryptor().update((password + k + user) * 64)
        k = hashlib.new(("sha256", "sha384", "sha512")[int.from_bytes(e[:16], "big") % 3], e).digest()
        done += 1
    return k[:32]
