"""The address grammar: what is an address, what is not, and the one normal form."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.address import domain_of, normalise_address, normalise_domain, parse_address
from relay.core.errors import AddressError

GOOD = [
    "a@b",
    "alice@bank.example",
    "first.last+tag@sub.bank.example",
    "!#$%&'*+/=?^_`{|}~-@x.example",
    '"a b"@x.example',
    '"a@b"@x.example',
    '"a\\"b\\\\c"@x.example',
    '"<>()[],;:"@x.example',
    '""@x.example',
    "a@[192.0.2.1]",
    "a@[IPv6:2001:db8::1]",
    "a@[ipv6:::1]",
    "a@xn--mller-kva.example",
    "dörte@müller.example",
    "用户@例子.example",
    "a@_dmarc.x.example",
    "a" * 64 + "@x.example",
    "a@" + ".".join(["b" * 59] * 4),
]

# The first six: what the stock server took for something else (relay.md 1.3).
BAD = [
    "=?utf-8?q?evil=40evil.test=3e?=@x>",
    'a"b"c@x',
    "a b@x",
    "a(x)@x",
    "a\r@x",
    "a\0@x",
    "",
    "a",
    "@x",
    "a@",
    "a@@x",
    "a@b@c",
    ".a@x",
    "a.@x",
    "a..b@x",
    "a@.x",
    "a@x.",
    "a@x..y",
    "a@-x",
    "a@x-",
    "a@x y",
    "a@x\n",
    "a\n@x",
    "a\x7f@x",
    "a\t@x",
    "@relay:a@x",
    "<a@x>",
    "a,b@x",
    "a:b@x",
    "a;b@x",
    "a\\@b@x",
    '"a@x',
    'a"@x',
    '"a"b@x',
    '"a\nb"@x',
    '"a\rb"@x',
    '"a\0b"@x',
    '"a\\"@x',
    '"a""b"@x',
    "a@192.0.2.1",
    "a@[192.0.2.1",
    "a@192.0.2.1]",
    "a@[192.0.2.256]",
    "a@[192.0.2]",
    "a@[192.0.02.1]",
    "a@[2001:db8::1]",
    "a@[IPv6:fe80::1%eth0]",
    "a@[IPv6:fe80::1%>\r\nRCPT TO:<x@y]",
    "a@[IPv6:]",
    "a@[]",
    "a@[x]",
    "a" * 65 + "@x.example",
    "ä" * 33 + "@x.example",
    "a@" + "b" * 64 + ".example",
    "a@" + ".".join(["b" * 63] * 4) + ".example",
    "a@exam\u00a0ple",
    "a\u00a0b@x.example",
    "a\u200bb@x.example",
    "a\u202eb@x.example",
    "a\u2003b@x.example",
    "a\u3000b@x.example",
    "a\ufeffb@x.example",
    "a\u037eb@x.example",
    "\u212aurt@x.example",
    "\ud800@x.example",
    "a@\udc80.example",
    "a@\u3002example",
    "a@ex\uff0eample",
    "a@\u2488com",
]


@pytest.mark.parametrize("text", GOOD)
def test_an_address_is_taken_as_written(text: str) -> None:
    address = parse_address(text)
    assert str(address) == text
    assert f"{address.local}@{address.domain}" == text


@pytest.mark.parametrize("text", BAD)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(AddressError) as caught:
        parse_address(text)
    assert not caught.value.temporary
    assert caught.value.status == "5.1.3"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Alice@Bank.Example", "alice@bank.example"),
        ('"alice"@bank.example', "alice@bank.example"),
        ('"al\\ice"@bank.example', "alice@bank.example"),
        ('"a\\ b"@bank.example', '"a b"@bank.example'),
        ("d\u00f6rte@x.example", "do\u0308rte@x.example"),
        ("a@müller.example", "a@xn--mller-kva.example"),
        ("a@MÜLLER.example", "a@xn--MLLER-KVA.EXAMPLE"),
        ("a@[IPv6:2001:DB8:0::1]", "a@[ipv6:2001:db8::1]"),
    ],
)
def test_two_spellings_have_one_normal_form(one: str, other: str) -> None:
    assert normalise_address(one) == normalise_address(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a.b@x.example", "ab@x.example"),
        ("a+b@x.example", "a@x.example"),
        ('"a b"@x.example', '"a  b"@x.example'),
        ("Ä@x.example", "ä@x.example"),
        ("a@straße.example", "a@strasse.example"),
    ],
)
def test_different_mailboxes_stay_different(one: str, other: str) -> None:
    assert normalise_address(one) != normalise_address(other)


_LIKELY = st.text(alphabet=st.sampled_from('aAéö"\\@. <>[]()%:;,IPv6:012\r\n\0\t\x7f\u212a\u037e\u200b\ud800用_-xn'))


@given(st.one_of(_LIKELY, st.text(), st.builds(lambda a, b: f"{a}@{b}", _LIKELY, _LIKELY)))
def test_the_parser_refuses_or_gives_what_has_a_stable_normal_form(text: str) -> None:
    try:
        address = parse_address(text)
    except AddressError:
        return
    assert str(address) == text
    assert not re.search(r"[\x00-\x1f\x7f]", text)
    normal = normalise_address(address)
    assert normalise_address(normal) == normal
    assert unicodedata.is_normalized("NFC", normal)
    assert domain_of(normal).isascii()
    assert domain_of(normal) == normalise_domain(address.domain)
    assert parse_address(normal)


_ATOM = st.text(alphabet="abcXYZ019!#$%&'*+/=?^_`{|}~-", min_size=1, max_size=12)
_LABEL = st.from_regex(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,10}[a-zA-Z0-9])?", fullmatch=True)


@given(st.lists(_ATOM, min_size=1, max_size=4), st.lists(_LABEL, min_size=1, max_size=4))
def test_every_plain_mailbox_of_the_rfc_is_taken(atoms: list[str], labels: list[str]) -> None:
    text = f"{'.'.join(atoms)}@{'.'.join([*labels, 'example'])}"
    assert str(parse_address(text)) == text


@given(st.text(alphabet=st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=25))
def test_every_quoted_local_part_of_the_rfc_is_taken(inner: str) -> None:
    escaped = inner.replace("\\", "\\\\").replace('"', '\\"')
    text = f'"{escaped}"@x.example'
    normal = normalise_address(parse_address(text))
    local = normal.rpartition("@")[0]
    meaning = re.sub(r"\\(.)", r"\1", local[1:-1]) if local.startswith('"') else local
    assert meaning == inner.lower()
