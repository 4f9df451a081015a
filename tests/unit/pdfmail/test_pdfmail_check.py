"""The second look: what is not encrypted as decided is found."""

from __future__ import annotations

import io

import pikepdf
import pytest

from pdfmail.check import NotEncryptedError, check_encrypted
from pdfmail.model import Cipher
from pdfmail.template import TemplateCache
from tests.data.pdfmail.samples import PASSWORD, make_attachment, make_mail, make_options, write_bytes


@pytest.mark.parametrize(("cipher", "revision"), [(Cipher.AES_256, 6), (Cipher.AES_128, 4)])
def test_what_the_writer_makes_passes(templates: TemplateCache, cipher: Cipher, revision: int) -> None:
    mail = make_mail(attachments=(make_attachment("large.bin", bytes(2_000_000)),))
    content, _ = write_bytes(templates, mail, make_options(cipher=cipher))
    assert check_encrypted(io.BytesIO(content), PASSWORD) == revision


def test_another_password_is_found(templates: TemplateCache) -> None:
    content, _ = write_bytes(templates)
    for password in ("", "another-password", PASSWORD.upper()):
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
