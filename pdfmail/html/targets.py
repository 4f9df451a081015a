"""Where a link of an untrusted mail really leads, and whether its text says something else.

Only http, https and mailto survive. Hosts are shown in their ASCII form, so that a look-alike letter is seen as xn--.
Source: RFC 3986 sections 3.2 and 3.3, RFC 6068 (mailto), RFC 5891 (A-labels).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

import idna

from pdfmail.html.names import name_set

URL_CHARS = 2000
_UNSAFE = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")
_HOST_IN_TEXT = re.compile(
    r"(?:https?://|//)?(?:[^\s/@]{1,64}@)?((?:[\w-]{1,63}\.)+[^\W\d_][\w-]{1,24})(?=[/:?#\s,;)\]>]|\.?$|\.\s)",
    re.IGNORECASE,
)
_DIGIT_HOST = re.compile(r"[0-9.]{4,15}|\[[0-9a-f:.]{2,45}\]")
_LABELS = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?")
_FILE_ENDINGS = name_set("pdf doc docx xls xlsx ppt pptx txt zip jpg jpeg png gif csv htm html xml eml msg js cpp")


@dataclass(frozen=True, slots=True)
class LinkTarget:
    """A link that may stay. `url` is plain ASCII without user information."""

    url: str
    host: str
    """Host of a web link or domain of a mail address, in ASCII."""
    is_mail: bool = False

    @property
    def shown(self) -> str:
        """The target as a person should read it."""
        return self.url.removeprefix("mailto:").partition("?")[0] if self.is_mail else self.url


def parse_target(untrusted_url: str) -> LinkTarget | None:
    """Return the target of a link, None if it must not stay a link."""
    text = _UNSAFE.sub("", untrusted_url).replace("\\", "/")
    if len(text) > URL_CHARS:
        return None
    if text.lower().startswith("mailto:"):
        return _parse_mail(text[7:])
    if text.startswith("//"):
        text = "https:" + text
    try:
        parts = urlsplit(text)
        host = encode_host(parts.hostname or "")
        port = parts.port
    except ValueError:
        return None
    if parts.scheme.lower() not in {"http", "https"} or host is None:
        return None
    shown_port = f":{port}" if port is not None else ""
    path = quote(parts.path, safe="/%:@!$&'()*+,;=~-._") or "/"
    query = f"?{quote(parts.query, safe=_QUERY)}" if parts.query else ""
    fragment = f"#{quote(parts.fragment, safe=_QUERY)}" if parts.fragment else ""
    # user information is left out: in https://bank.example@evil.example/ it is bait (RFC 3986, 7.6)
    return LinkTarget(f"{parts.scheme.lower()}://{host}{shown_port}{path}{query}{fragment}", host)


_QUERY = "/%:@!$&'()*+,;=~-._?[]"


def encode_host(untrusted_host: str) -> str | None:
    """Return the host in lower-case ASCII (A-labels), None if it is none."""
    host = unquote(untrusted_host).lower().rstrip(".")
    if not host or len(host) > 253:
        return None
    if ":" in host:
        host = f"[{host}]"
    if host.isascii():
        return host if _LABELS.fullmatch(host) or _DIGIT_HOST.fullmatch(host) else None
    try:
        return idna.encode(host, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        return None


def _parse_mail(untrusted_rest: str) -> LinkTarget | None:
    address, _, query = untrusted_rest.partition("?")
    address = unquote(address)
    local, _, domain = address.rpartition("@")
    host = encode_host(domain)
    if host is None or not re.fullmatch(r"[^\s<>\"(),:;@\[\]\\]{1,64}", local):
        return None
    subject = next((part for part in query.split("&") if part.lower().startswith("subject=")), "")
    # every other field (bcc, body, attach) would write a mail for the reader that he did not mean (RFC 6068, 7)
    safe_subject = f"?subject={quote(unquote(subject[8:]))}" if subject else ""
    return LinkTarget(f"mailto:{quote(local, safe=_LOCAL)}@{host}{safe_subject}", host, is_mail=True)


_LOCAL = "!#$&'*+-/=^_`{|}~."


def is_text_the_target(text: str, target: LinkTarget) -> bool:
    """Say whether the link's text already shows where it leads, so that nothing needs to be added."""
    shown = _fold(text)
    return shown in {_fold(target.url), _fold(target.shown), _fold(target.host), "www." + _fold(target.host)}


def _fold(text: str) -> str:
    folded = re.sub(r"[\s\u200b]+", "", text).lower()
    return folded.removeprefix("mailto:").removeprefix("http://").removeprefix("https://").rstrip("/")


def is_text_misleading(text: str, target: LinkTarget) -> bool:
    """Say whether the text names a host or address other than the one the link leads to."""
    hosts = [host for match in _HOST_IN_TEXT.finditer(text[:2000]) if (host := _accept_host(match[1]))]
    return bool(hosts) and not any(_are_related(host, target.host) for host in hosts)


def _accept_host(text: str) -> str | None:
    if text.rpartition(".")[2].lower() in _FILE_ENDINGS:  # "offer.pdf" is a name, no host
        return None
    return encode_host(text)


def _are_related(named: str, real: str) -> bool:
    """The same host, or one a subdomain of the other: `bank.example` may lead to `www.bank.example`."""
    first, second = named.removeprefix("www."), real.removeprefix("www.")
    return first == second or second.endswith("." + first)
