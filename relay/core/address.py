"""Mail addresses: strict grammar (RFC 5321 4.1.2, 4.1.3, 4.5.3.1; RFC 6531 3.3) and the one normal form.

The envelope grammar is never lenient: a policy per recipient stands on these octets.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from dataclasses import dataclass

import idna

from relay.core.errors import AddressError

_ATEXT = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\-"
_UTF8 = "\u00a1-\U0010ffff"
_DOT_STRING = re.compile(rf"[{_ATEXT}{_UTF8}]+(?:\.[{_ATEXT}{_UTF8}]+)*")
_QUOTED_STRING = re.compile(rf'"(?:[\x20\x21\x23-\x5b\x5d-\x7e{_UTF8}]|\\[\x20-\x7e])*"')
_INVISIBLE = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"})
"""Unicode categories that nobody can see or that no two systems agree on."""
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_\-]*[A-Za-z0-9_])?")


@dataclass(frozen=True, slots=True)
class Address:
    """An address as it was written: local-part and domain (or address literal) without the angle brackets."""

    local: str
    domain: str

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"

    @property
    def is_ascii(self) -> bool:
        """Tell whether the address can travel without SMTPUTF8."""
        return self.local.isascii() and self.domain.isascii()


def _check_domain(untrusted_domain: str) -> None:
    if untrusted_domain.startswith("["):
        _check_literal(untrusted_domain)
        return
    if len(untrusted_domain.encode("utf-8")) > 255:
        raise AddressError("domain over 255 octets (RFC 5321 4.5.3.1.2)")
    labels = untrusted_domain.split(".")
    for label in labels:
        if label.isascii():
            if not _LABEL.fullmatch(label) or len(label) > 63:
                raise AddressError("bad domain label")
        else:
            try:
                idna.alabel(unicodedata.normalize("NFC", label).lower())
            except (idna.IDNAError, UnicodeError) as error:
                raise AddressError("bad internationalised domain label (RFC 5891)") from error
    if not untrusted_domain.isascii():
        normalise_domain(untrusted_domain)  # as a whole: 253 octets in A-labels, UTS 46
    if labels[-1].isdigit():
        raise AddressError("a bare IP address is not a domain, write it as [address]")


def _check_literal(untrusted_domain: str) -> None:
    # RFC 5321 4.1.3
    if not untrusted_domain.endswith("]"):
        raise AddressError("address literal is not closed")
    inner = untrusted_domain[1:-1]
    try:
        if inner[:5].lower() == "ipv6:":
            # Python takes any text at all as a scope behind "%"; the wire knows no scopes.
            if "%" in inner:
                raise AddressError("an address literal has no scope")
            ipaddress.IPv6Address(inner[5:])
        else:
            ipaddress.IPv4Address(inner)
    except ValueError as error:
        raise AddressError("bad address literal") from error


def parse_address(untrusted_text: str) -> Address:
    """Parse `local@domain` (a Mailbox of RFC 5321 4.1.2). Raises AddressError on anything else.

    Comments, source routes, white space outside quotes, control characters and obsolete forms are refused. What passes
    has a normal form.
    """
    if not untrusted_text.isascii():
        _check_characters(untrusted_text)
    local, at, domain = untrusted_text.rpartition("@")
    if not at or not local or not domain:
        raise AddressError("an address is local-part@domain")
    if len(local.encode("utf-8")) > 64:
        raise AddressError("local-part over 64 octets (RFC 5321 4.5.3.1.1)")
    if len(untrusted_text.encode("utf-8")) > 254:
        raise AddressError("path over 256 octets (RFC 5321 4.5.3.1.3)")
    if not (_DOT_STRING.fullmatch(local) or _QUOTED_STRING.fullmatch(local)):
        raise AddressError("bad local-part")
    # Domains have IDNA's own, finer rules for these: some scripts need joiners.
    if not local.isascii() and any(unicodedata.category(c) in _INVISIBLE for c in local):
        raise AddressError("local-part holds invisible characters")
    _check_domain(domain)
    return Address(local, domain)


def _check_characters(untrusted_text: str) -> None:
    for character in untrusted_text:
        if character.isascii():
            continue
        if unicodedata.category(character) == "Cs":
            raise AddressError("address is not UTF-8")
        # U+037E becomes ";", U+212A becomes "K": two mailboxes would share one normal form, or it would have none.
        if unicodedata.normalize("NFC", character).isascii():
            raise AddressError("address holds a character that stands for an ASCII one")


def _unquote(local: str) -> str:
    """Return the one spelling of a local-part: quoted only where it must be, escaped only where it must be."""
    if not local.startswith('"'):
        return local
    inner = re.sub(r"\\(.)", r"\1", local[1:-1])
    if _DOT_STRING.fullmatch(inner):
        return inner
    escaped = re.sub(r'(["\\])', r"\\\1", inner)
    return f'"{escaped}"'


def normalise_domain(domain: str) -> str:
    """Return the normal form of a domain: NFC, A-labels (UTS 46, non-transitional), ASCII lower case.

    Raises AddressError when it has no A-label form.
    """
    domain = unicodedata.normalize("NFC", domain.strip())
    if domain[:6].lower() == "[ipv6:":
        try:
            return f"[ipv6:{ipaddress.IPv6Address(domain[6:].removesuffix(']'))}]"
        except ValueError as error:
            raise AddressError("bad address literal") from error
    if not domain.isascii():
        try:
            domain = idna.encode(domain, uts46=True, transitional=False).decode("ascii")
        except (idna.IDNAError, UnicodeError) as error:
            raise AddressError("domain has no A-label form (RFC 5891)") from error
    return domain.lower().removesuffix(".")


def normalise_address(address: Address | str) -> str:
    """Return the normal form under which partners, pairs and rules know an address (sealed-mailbox 5).

    NFC, needless quotes removed, domain in A-labels, A-Z lowered in both halves; nothing else is folded.
    """
    if isinstance(address, str):
        address = parse_address(unicodedata.normalize("NFC", address.strip()))
    local = _unquote(unicodedata.normalize("NFC", address.local))
    lowered = "".join(c.lower() if c.isascii() else c for c in local)
    return f"{lowered}@{normalise_domain(address.domain)}"


def domain_of(normal: str) -> str:
    """Return the domain of a normalised address."""
    return normal.rpartition("@")[2]
