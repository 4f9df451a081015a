"""Opening the token at a start, and looking at it without one, with errors in the operator's words.

What only an operator can mend is a ConfigurationError, so that a supervisor does not try it again and again; the rest
stays a KeyStoreError. Nothing here says anything of the PIN but whether it fits.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from relay.core.clock import Clock
from relay.core.errors import ConfigurationError
from relay.keystore.files import UnusableFileError
from relay.keystore.pin import read_pin_file
from relay.keystore.public import load_spool_public
from relay.keystore.software import SoftwareToken
from relay.keystore.tokenfile import WrongPinError

_PIN_FIX = "Name the file that `letterlock init` made, or take it from a back-up; mode 0600"
_TOGETHER_FIX = "Put back the PIN that belongs to this token, or `letterlock restore` both from one back-up"
_DIRECTORY_FIX = "Name the folder that `letterlock init` made, or `letterlock restore` a back-up into a new one"


@contextlib.contextmanager
def needs_operator(key: str, fix: str) -> Iterator[None]:
    """Turn UnusableFileError into a ConfigurationError for this key."""
    try:
        yield
    except UnusableFileError as error:
        raise ConfigurationError(key, str(error), fix) from error


@contextlib.contextmanager
def _token_in_words() -> Iterator[None]:
    try:
        with needs_operator("keys.directory", _DIRECTORY_FIX):
            yield
    except ConfigurationError as error:
        if isinstance(error.__cause__, WrongPinError):
            raise ConfigurationError("keys.pin_file", error.problem, _TOGETHER_FIX) from error
        raise


def open_token(directory: Path, pin_file: Path, public_file: Path, clock: Clock) -> SoftwareToken:
    """Open the token. Raises ConfigurationError, or KeyStoreError where a later try may help."""
    with needs_operator("keys.pin_file", _PIN_FIX):
        pin = read_pin_file(pin_file)
    with _token_in_words():
        token = SoftwareToken.load(directory, pin, clock, public_file)
        if not token.epochs():
            token.close()
            raise UnusableFileError(f"{directory}: holds no epoch key")
        return token


def check_token(directory: Path, pin_file: Path, public_file: Path, clock: Clock) -> None:
    """Look whether PIN, token and public file are good, without lock or change. Raises as `open_token`."""
    with needs_operator("keys.pin_file", _PIN_FIX):
        pin = read_pin_file(pin_file)
    with _token_in_words():
        SoftwareToken.check(directory, pin, clock)
    with needs_operator("keys.public_file", "keyd writes it when it starts; smtpd takes no mail without it"):
        load_spool_public(public_file)
