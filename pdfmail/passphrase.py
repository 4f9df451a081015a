"""Passwords of PDF mail: made, checked, typed back.

Only strings that every reader turns into the same octets are let through. It must never log or store a password.

Sources: docs/pdf.md (tested readers); RFC 4013 (SASLprep); Crockford base32; sealed-mailbox section 5 (typed forms).
"""

from __future__ import annotations

import math
import re
import secrets
from enum import StrEnum

from .errors import PasswordError

MIN_LENGTH = 12
MAX_LENGTH = 32
"""Octets. AES-128 counts no more, and poppler's tools and old readers none beyond it."""

CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"

_SEPARATORS = re.compile("[\\s\\-\u2010-\u2015]")
_LOOKALIKES = str.maketrans("oil", "011")
_UPPER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


class PasswordForm(StrEnum):
    """Shape of a generated password. Both hold more than 2^70 guesses on average."""

    BASE32 = "base32"
    """Sixteen Crockford characters in four groups, 80 bits."""
    DIGITS = "digits"
    """Twenty-four digits in six groups, 79.7 bits."""


def generate_password(form: PasswordForm = PasswordForm.BASE32) -> str:
    """Return a new random password, at most MAX_LENGTH ASCII characters."""
    if form is PasswordForm.DIGITS:
        return _group("".join(secrets.choice("0123456789") for _ in range(24)))
    return _group("".join(secrets.choice(CROCKFORD) for _ in range(16)))


def password_bits(form: PasswordForm) -> float:
    """Return the entropy in bits."""
    return 24 * math.log2(10) if form is PasswordForm.DIGITS else 80.0


def normalise_typed(typed: str, form: PasswordForm) -> str:
    """Return what was typed in the form that generate_password makes.

    White space and dashes fall away, letters become lower case, o is 0, i and l are 1. Raises PasswordError when it
    cannot be such a password; the message says nothing of what was typed.
    """
    plain = _SEPARATORS.sub("", typed).translate(_UPPER).translate(_LOOKALIKES)
    length, alphabet = (24, "0123456789") if form is PasswordForm.DIGITS else (16, CROCKFORD)
    if len(plain) != length or not set(plain) <= set(alphabet):
        raise PasswordError(f"a password of this kind has {length} characters of its alphabet")
    return _group(plain)


def validate_password(password: str) -> None:
    """Check that the password opens the PDF in every reader: 12 to 32 printable ASCII characters, no edge blanks.

    Raises PasswordError; the message says nothing of the password.
    """
    # Readers disagree on everything outside ASCII: some apply SASLprep, some do not.
    if not password.isascii() or not password.isprintable():
        raise PasswordError("a PDF password may hold printable ASCII characters only")
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise PasswordError(f"a PDF password has {MIN_LENGTH} to {MAX_LENGTH} characters")
    if password != password.strip():
        raise PasswordError("a PDF password neither begins nor ends with a blank")


def _group(plain: str) -> str:
    return "-".join(plain[place : place + 4] for place in range(0, len(plain), 4))
