"""What people type, in the form that is computed with (sealed-mailbox 5). It agrees with the browser octet by octet.

White space is JavaScript's (ECMA-262 WhiteSpace and LineTerminator), because both sides must cut alike. Domains follow
UTS 46, non-transitional, through IDNA 2008, which refuses more than a browser does and never answers otherwise.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container

import idna

from relay.core.wire.sealed.errors import MailboxDataError

OWN = "own"
FORMS = ("b32", "digits", "words")
"""Forms of a reply box's secret; OWN is a mailbox's."""
MIN_PASSWORD = 12
MAX_PASSWORD = 128
FIRST_LENGTH = 12
"""Characters of a first password or code; a PDF password or reply code of form b32 has 16."""
REPLY_LENGTH = 16

WHITE_SPACE = "\t\n\v\f\r \xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
_EDGES = re.compile(f"^[{WHITE_SPACE}]+|[{WHITE_SPACE}]+$")
_GAPS = re.compile(f"[{WHITE_SPACE}\u2010-\u2015-]+")
_CROCKFORD = re.compile("[0-9a-hjkmnp-tv-z]+")
_NO_DIGITS = re.compile("[^0-9]+")
_UPPER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
_ALIKE = str.maketrans("oil", "011")
_NUMBER = re.compile("[0-9]+|0x[0-9a-f]*")


class LoginNameError(MailboxDataError):
    """A text has no normal form as a login name: this recipient gets no mailbox."""

    def __init__(self) -> None:
        super().__init__("name", "login name: not an address with a domain of normal form")


def _has_surrogate(untrusted_text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in untrusted_text)


def _check_direction(domain: str) -> None:
    """Hold every label to the rule once one of them runs from right to left (RFC 5893 2), as browsers do."""
    labels = [idna.ulabel(label) for label in domain.removesuffix(".").split(".")]
    if any(unicodedata.bidirectional(character) in ("R", "AL", "AN") for label in labels for character in label):
        for label in labels:
            idna.check_bidi(label, check_ltr=True)


def normalise_login_name(untrusted_typed: str) -> str:
    """Return the login name. Raises LoginNameError."""
    typed = unicodedata.normalize("NFC", _EDGES.sub("", untrusted_typed))
    local, at, domain = typed.rpartition("@")
    if not (local and at and domain) or _has_surrogate(typed):
        raise LoginNameError
    if not domain.isascii():
        try:
            domain = idna.encode(domain, uts46=True).decode("ascii")
            _check_direction(domain)
        except (idna.IDNAError, UnicodeError) as error:
            raise LoginNameError from error
        # A browser reads such a host as an IPv4 address and writes it otherwise (URL Standard, "ends in a number").
        if _NUMBER.fullmatch(domain.removesuffix(".").rpartition(".")[2]):
            raise LoginNameError
    return f"{local.translate(_UPPER)}@{domain.translate(_UPPER)}"


def read_crockford(untrusted_typed: str, length: int) -> str | None:
    """Return the machine-made secret of `length` characters that the text is, or None."""
    text = _GAPS.sub("", untrusted_typed).translate(_UPPER).translate(_ALIKE)
    return text if len(text) == length and _CROCKFORD.fullmatch(text) else None


def read_secret(form: str, untrusted_typed: str, untrusted_code: str = "") -> bytes:
    """Return the input of Argon2id for what was typed; `form` is OWN for mailboxes, else one of FORMS.

    Raises MailboxDataError (`format`) for an unknown form, a text that has not the form, or a code that is none.
    """
    secret: str | None
    if form == OWN:
        secret = read_crockford(untrusted_typed, FIRST_LENGTH) or unicodedata.normalize("NFC", untrusted_typed)
    elif form == "b32":
        secret = read_crockford(untrusted_typed, REPLY_LENGTH)
    elif form == "digits":
        secret = _NO_DIGITS.sub("", untrusted_typed)
    elif form == "words":
        secret = _GAPS.sub("-", untrusted_typed).strip("-").lower()
    else:
        raise MailboxDataError("format", "the form of the secret is not known")
    if not secret or _has_surrogate(secret):
        raise MailboxDataError("format", "the secret has not the form it should have")
    if _GAPS.sub("", untrusted_code):
        code = read_crockford(untrusted_code, FIRST_LENGTH)
        if code is None:
            raise MailboxDataError("format", "the code has not 12 characters")
        secret = f"{secret}.{code}"
    return secret.encode()


def check_own_password(untrusted_typed: str, login_name: str, common: Container[str] = ()) -> str | None:
    """Return why this may not be one's own password, or None when it may.

    The word is `short`, `long`, `form` (reads as a first password), `name` or `common`. `common` holds lower-case
    passwords that many people use.
    """
    text = unicodedata.normalize("NFC", untrusted_typed)
    if len(text) < MIN_PASSWORD:
        return "short"
    if len(text) > MAX_PASSWORD:
        return "long"
    if read_crockford(untrusted_typed, FIRST_LENGTH) is not None or _has_surrogate(text):
        return "form"
    folded = text.translate(_UPPER)
    if folded == login_name:
        return "name"
    return "common" if folded in common else None
