"""Errors of sealed data."""

from __future__ import annotations

from relay.core.errors import LetterlockError


class SealedDataError(LetterlockError):
    """Sealed data does not open: another key, another context, or changed octets. Nothing of it was handed out.

    Temporary, because a wrong key or a damaged copy on our side must delay mail and not bounce it.
    """

    status = "4.7.0"


class EncodingError(LetterlockError):
    """Octets or text are not in the one spelling that the format allows."""

    temporary = False
    status = "5.6.0"
