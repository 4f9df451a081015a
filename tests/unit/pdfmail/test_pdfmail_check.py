"""The second look: what is not encrypted as decided is found."""

from __future__ import annotations

import hashlib
import io
import os
import re

import pikepdf
import pytest
from cryptography.hazmat.decrepit.ciphers.algorithms import ARC4
from cryptography.hazmat.primitives.ciphers import Cipher as Stream

from pdfmail import encryption
from pdfmail.check import NotEncryptedError, check_encrypted
from pdfmail.model import Cipher
from pdfmail.template import TemplateCache
from tests.data.pdfmail.samples import PASSWORD, make_attachment, make_mail, make_options, write_bytes


@pytest.mark.parametrize(("cipher", "revision"), [(Cipher.AES_256, 6), (Cipher.AES_128, 4)])
def test_what_the_writer_makes_passes(templates: TemplateCache, cipher: Cipher, revision: int) -> None:
    mail = make_mail(attachments=(make_attachment("large.bin", bytes(2_000_000)),))
    content, _ = write_bytes(templates, mail, make_options(cipher=cipher))
    assert check_encrypted(io.BytesIO(content), PASSWORD) == revision


@pytest.mark.parametrize("cipher", Cipher)
def test_another_password_is_found(templates: TemplateCache, cipher: Cipher) -> None:
    content, _ = write_bytes(templates, options=make_options(cipher=cipher))
    for password in ("", "another-password", PASSWORD.upper(), PASSWORD[:-1]):
        with pytest.raises(NotEncryptedError):
            check_encrypted(io.BytesIO(content), password)


def test_a_file_that_is_not_encrypted_is_found() -> None:
    out = io.BytesIO()
    document = pikepdf.new()
    document.add_blank_page()
    document.save(out)
    with pytest.raises(NotEncryptedError):
        check_encrypted(out, PASSWORD)
    with pytest.raises(NotEncryptedError):
        check_encrypted(io.BytesIO(b""), PASSWORD)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"/StmF/StdCF", b"/StmF/Identity"),
        (b"/StrF/StdCF", b"/StrF/Identity"),
        (b"/EncryptMetadata true", b"/EncryptMetadata false"),
        (b"/CFM/AESV3", b"/CFM/None"),
        (b"/R 6", b"/R 5"),
        (b"/Filter/Standard", b"/Filter/Other"),
        (b"%%EOF", b"%%"),
        (b"/Encrypt ", b"/Encrypted "),
    ],
)
def test_every_weakening_is_found(templates: TemplateCache, old: bytes, new: bytes) -> None:
    content, _ = write_bytes(templates)
    assert old in content
    # Kept at the same length, so that no offset moves.
    new = new.ljust(len(old))[: len(old)] if len(new) <= len(old) else new
    with pytest.raises(NotEncryptedError):
        check_encrypted(io.BytesIO(content.replace(old, new)), PASSWORD)


def test_a_torn_file_is_found(templates: TemplateCache) -> None:
    content, _ = write_bytes(templates)
    for end in (len(content) - 1, len(content) - 40, len(content) // 2, 10):
        with pytest.raises(NotEncryptedError):
            check_encrypted(io.BytesIO(content[: end - 6]), PASSWORD)


# --- what others make, judged by qpdf's library -----------------------------------------------------------------------


def made_by_qpdf(revision: int, owner: str, user: str = PASSWORD) -> bytes:
    out = io.BytesIO()
    document = pikepdf.new()
    document.add_blank_page()
    encryption = pikepdf.Encryption(owner=owner, user=user, R=revision)  # type: ignore[arg-type]
    document.save(out, encryption=encryption, object_stream_mode=pikepdf.ObjectStreamMode.disable)
    return out.getvalue()


def opens(content: bytes, password: str) -> bool:
    try:
        with pikepdf.open(io.BytesIO(content), password=password) as document:
            return len(document.pages) > 0
    except pikepdf.PasswordError:
        return False


@pytest.mark.parametrize("revision", [6, 4])
def test_a_file_of_qpdf_with_an_owner_of_its_own_passes(revision: int) -> None:
    content = made_by_qpdf(revision, "an-owner-of-its-own")
    assert check_encrypted(io.BytesIO(content), PASSWORD) == revision
    with pytest.raises(NotEncryptedError, match="does not open"):
        check_encrypted(io.BytesIO(content), "an-owner-of-its-own")
    with pytest.raises(NotEncryptedError, match="does not open"):
        check_encrypted(io.BytesIO(made_by_qpdf(revision, "an-owner-of-its-own", "")), PASSWORD)


def test_an_empty_owner_password_is_found() -> None:
    content = made_by_qpdf(6, "")
    assert opens(content, "")
    with pytest.raises(NotEncryptedError, match="owner"):
        check_encrypted(io.BytesIO(content), PASSWORD)


@pytest.mark.parametrize("revision", [6, 4])
def test_the_readers_password_as_the_owners_is_found(revision: int) -> None:
    with pytest.raises(NotEncryptedError, match="owner"):
        check_encrypted(io.BytesIO(made_by_qpdf(revision, PASSWORD)), PASSWORD)


def test_an_empty_owner_password_of_aes_128_is_found(templates: TemplateCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """qpdf makes none, so our writer is given the entry of algorithm 3 where it wants random octets."""
    padding = bytes.fromhex("28bf4e5e4e758a4164004e56fffa01082e2e00b6d0683e802f0ca9fe6453697a")
    key = padding
    for _ in range(51):
        key = hashlib.md5(key, usedforsecurity=False).digest()
    entry = (PASSWORD.encode() + padding)[:32]
    for turn in range(20):
        entry = Stream(ARC4(bytes(octet ^ turn for octet in key)), None).encryptor().update(entry)
    handler = encryption.Revision4.__init__

    def set_up(self: encryption.Revision4, password: bytes, document_id: bytes) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(os, "urandom", lambda _: entry)
            handler(self, password, document_id)

    monkeypatch.setattr(encryption.Revision4, "__init__", set_up)
    content, _ = write_bytes(templates, options=make_options(cipher=Cipher.AES_128))
    assert opens(content, "")
    with pytest.raises(NotEncryptedError, match="owner"):
        check_encrypted(io.BytesIO(content), PASSWORD)


def test_our_own_owner_entry_is_tied_to_the_users(templates: TemplateCache) -> None:
    """Only what was hashed from this file's own entry is believed without trying passwords."""
    content, _ = write_bytes(templates)
    found = re.search(rb"/O<([0-9a-f]{96})>", content)
    assert found is not None
    owner = bytes.fromhex(found[1].decode())
    other, _ = write_bytes(templates)
    assert found[0] not in other
    # Another entry is no fault as such; it is then tried with both passwords.
    changed = content.replace(found[1], bytes(48).hex().encode())
    assert check_encrypted(io.BytesIO(changed), PASSWORD) == 6
    assert len(set(owner)) > 16
    # Two of a name, and one of another length, are refused.
    for entry in (found[0] * 2, b"/O<" + found[1][:64] + b">"):
        with pytest.raises(NotEncryptedError):
            check_encrypted(io.BytesIO(move_table(content.replace(found[0], entry))), PASSWORD)


def move_table(content: bytes) -> bytes:
    """Let the last line name the place where the table is now."""
    place = content.rindex(b" 0 obj\n<</Type/XRef")
    place = content.rindex(b"\n", 0, place) + 1
    return re.sub(rb"startxref\s+\d+", b"startxref\n%d" % place, content)
