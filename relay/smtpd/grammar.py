"""Strict grammar of SMTP commands and their parameters.

Does: turn untrusted command arguments into values or refuse them (RFC 5321 4.1, RFC 1870 SIZE, RFC 6152 8BITMIME,
RFC 6531 SMTPUTF8, RFC 3461 and 6533 DSN, RFC 4954 AUTH=, RFC 3030 BDAT).
Must not: repair an address or guess; know sessions. The one leniency is about spaces, where nothing can be misread:
after the colon of FROM: and TO:, and more than one between parameters.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from relay.core.address import parse_address
from relay.core.envelope import BodyType
from relay.core.errors import AddressError
from relay.smtpd import replies
from relay.smtpd.replies import RefusalError, Reply

# The end of the path is found with quoted strings in mind; the address grammar judges what stands inside.
_PATH = re.compile(r'<((?:[^<>"\\\x00-\x20\x7f]|"(?:[^"\\]|\\.)*")*)>', re.DOTALL)
_KEYWORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9\-]*")
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")
# RFC 6533 3: utf-8-addr-xtext and utf-8-addr-unitext in one.
_UTF8_ADDRESS = re.compile(r"(?:[!-*,-<>-\[\]-~\u0080-\U0010ffff]|\\x\{[0-9A-F]{1,6}\}|\+[0-9A-F]{2})*")
_ADDRESS_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9\-]*")
_HELO = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.\-]{0,253}[A-Za-z0-9_.\-])?|\[[A-Za-z0-9.:\-]{1,250}\]")
_BDAT = re.compile(r"([0-9]{1,20})(?: +(LAST))?", re.IGNORECASE)
_REMEMBERED = 512
"""So many good commands and paths are not judged again: the same ones come again and again."""
_NOTIFY = frozenset({"SUCCESS", "FAILURE", "DELAY"})


@dataclass(frozen=True, slots=True)
class MailCommand:
    """MAIL FROM as given. `size` is 0 when not announced."""

    reverse_path: str
    size: int = 0
    body_type: BodyType = BodyType.SEVEN_BIT
    smtputf8: bool = False
    ret: str | None = None
    envid: str | None = None


@dataclass(frozen=True, slots=True)
class RcptCommand:
    """RCPT TO as given. `forward_path` is `postmaster` in any case when it stood without a domain."""

    forward_path: str
    notify: frozenset[str] | None = None
    orcpt: str | None = None

    @property
    def is_bare_postmaster(self) -> bool:
        """Tell whether this is the one address without a domain (RFC 5321 4.5.1)."""
        return "@" not in self.forward_path


def decode_line(untrusted_line: bytes) -> tuple[str, str]:
    """Split a command line without its CRLF into the verb in upper case and the rest. Raises RefusalError."""
    try:
        line = untrusted_line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RefusalError(replies.NOT_TEXT) from error
    if not line.isprintable() and any(c < " " or c == "\x7f" for c in line):
        raise RefusalError(replies.NOT_TEXT)
    verb, _, rest = line.partition(" ")
    return verb.upper(), rest.strip(" ")


def parse_helo(untrusted_rest: str) -> str:
    """Return the client's name. Names with underscores and without dots are common and harmless, so they pass."""
    if not _HELO.fullmatch(untrusted_rest):
        raise RefusalError(replies.BAD_HELO_NAME if untrusted_rest else replies.ARGUMENT_MISSING)
    return untrusted_rest


@functools.lru_cache(maxsize=_REMEMBERED)
def parse_mail(untrusted_rest: str, *, extended: bool, auth: bool) -> MailCommand:
    """Parse what follows MAIL. `extended` allows parameters, `auth` the parameter AUTH. Raises RefusalError."""
    path, rest = _split_path(untrusted_rest, "FROM:", replies.BAD_MAIL, replies.BAD_SENDER)
    if path:
        _check_address(path, replies.BAD_SENDER)
    size, body, utf8 = 0, BodyType.SEVEN_BIT, False
    ret: str | None = None
    envid: str | None = None
    for name, value in _parameters(rest, replies.BAD_MAIL, extended=extended).items():
        if name == "SIZE":
            size = _parse_size(value)
        elif name == "BODY":
            body = _parse_body(value)
        elif name == "SMTPUTF8" and value is None:
            utf8 = True
        elif name == "RET":
            ret = _one_of(value, ("FULL", "HDRS"))
        elif name == "ENVID":
            envid = _parse_envid(value)
        elif name == "AUTH" and auth:
            # RFC 4954 5: a server that does not trust the client's claim treats it as <>; it is not kept.
            if not value or not _XTEXT.fullmatch(value):
                raise RefusalError(replies.BAD_PARAMETER)
        else:
            raise RefusalError(replies.BAD_PARAMETER if name == "SMTPUTF8" else replies.UNKNOWN_PARAMETER)
    if not utf8 and not path.isascii():
        raise RefusalError(replies.NEEDS_SMTPUTF8)  # RFC 6531 3.5
    return MailCommand(path, size, body, utf8, ret, envid)


@functools.lru_cache(maxsize=_REMEMBERED)
def parse_rcpt(untrusted_rest: str, *, extended: bool, smtputf8: bool) -> RcptCommand:
    """Parse what follows RCPT; `smtputf8` tells whether MAIL had it. Raises RefusalError."""
    path, rest = _split_path(untrusted_rest, "TO:", replies.BAD_RCPT, replies.BAD_RECIPIENT)
    if path.lower() != "postmaster":
        _check_address(path, replies.BAD_RECIPIENT)
    if not smtputf8 and not path.isascii():
        raise RefusalError(replies.NEEDS_SMTPUTF8)
    notify: frozenset[str] | None = None
    orcpt: str | None = None
    for name, value in _parameters(rest, replies.BAD_RCPT, extended=extended).items():
        if name == "NOTIFY":
            notify = _parse_notify(value)
        elif name == "ORCPT":
            orcpt = _parse_orcpt(value, smtputf8=smtputf8)
        else:
            raise RefusalError(replies.UNKNOWN_PARAMETER)
    return RcptCommand(path, notify, orcpt)


def parse_bdat(untrusted_rest: str) -> tuple[int, bool]:
    """Return the announced octets and whether the chunk is the last. Raises RefusalError, which must close: what
    follows cannot be told from commands (RFC 3030 2)."""
    match = _BDAT.fullmatch(untrusted_rest)
    if match is None:
        raise RefusalError(replies.BAD_BDAT)
    return int(match[1]), match[2] is not None


def _split_path(untrusted_rest: str, prefix: str, usage: Reply, bad: Reply) -> tuple[str, str]:
    if untrusted_rest[: len(prefix)].upper() != prefix:
        raise RefusalError(usage)
    text = untrusted_rest[len(prefix) :].lstrip(" ")
    match = _PATH.match(text)
    if match is None:
        raise RefusalError(bad)
    rest = text[match.end() :]
    if rest and not rest.startswith(" "):
        raise RefusalError(bad)
    return match[1], rest


@functools.lru_cache(maxsize=_REMEMBERED)
def _check_address(untrusted_path: str, bad: Reply) -> None:
    try:
        parse_address(untrusted_path)
    except AddressError as error:
        raise RefusalError(bad) from error


def _parameters(untrusted_rest: str, usage: Reply, *, extended: bool) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for item in untrusted_rest.split(" "):
        if not item:
            continue
        if not extended:
            raise RefusalError(usage)  # RFC 5321 4.1.1.2: no parameters after HELO
        name, equals, value = item.partition("=")
        keyword = name.upper()
        # RFC 5321 4.1.2: esmtp-value is never empty and holds no second "=".
        if not _KEYWORD.fullmatch(name) or (equals and (not value or "=" in value)) or keyword in found:
            raise RefusalError(replies.BAD_PARAMETER)
        found[keyword] = value if equals else None
    return found


def _parse_size(value: str | None) -> int:
    if value is None or not value.isascii() or not value.isdigit() or len(value) > 20:
        raise RefusalError(replies.BAD_PARAMETER)
    return int(value)


def _parse_body(value: str | None) -> BodyType:
    # BINARYMIME is not offered: content without line structure cannot be handed on to every next hop.
    return BodyType(_one_of(value, (BodyType.SEVEN_BIT.value, BodyType.EIGHT_BIT_MIME.value)))


def _one_of(value: str | None, allowed: tuple[str, ...]) -> str:
    if value is None or value.upper() not in allowed:
        raise RefusalError(replies.BAD_PARAMETER)
    return value.upper()


def _parse_envid(value: str | None) -> str:
    if not value or len(value) > 100 or not _XTEXT.fullmatch(value):  # RFC 3461 4.4
        raise RefusalError(replies.BAD_PARAMETER)
    return value


def _parse_notify(value: str | None) -> frozenset[str]:
    words = [] if value is None else value.upper().split(",")
    # RFC 3461 4.1: NEVER stands alone.
    if words == ["NEVER"] or (words and len(set(words)) == len(words) and _NOTIFY.issuperset(words)):
        return frozenset(words)
    raise RefusalError(replies.BAD_PARAMETER)


def _parse_orcpt(value: str | None, *, smtputf8: bool) -> str:
    kind, semicolon, address = (value or "").partition(";")
    # RFC 3461 4.2: 500 characters at most.
    if value is None or not semicolon or not address or len(value.encode("utf-8")) > 500:
        raise RefusalError(replies.BAD_PARAMETER)
    grammar = _UTF8_ADDRESS if kind.lower() == "utf-8" else _XTEXT
    if not _ADDRESS_TYPE.fullmatch(kind) or not grammar.fullmatch(address):
        raise RefusalError(replies.BAD_PARAMETER)
    if not smtputf8 and not address.isascii():
        raise RefusalError(replies.NEEDS_SMTPUTF8)
    return value
