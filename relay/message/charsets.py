"""Octets to text, whatever the label says (RFC 2046 4.1.2, WHATWG Encoding for the labels that lie).

The label is believed when it fits; then UTF-8; then a guess; nothing is ever refused. Only codecs from a fixed list are
used: Python also has ones that are slow on purpose-made input (idna, punycode) or no text codecs at all.
"""

from __future__ import annotations

import codecs
import re

from charset_normalizer import from_bytes

_GUESS_OCTETS = 64 * 1024

_ALIASES = {
    # WHATWG: these labels mean the Windows superset in practice.
    "iso-8859-1": "cp1252",
    "iso8859-1": "cp1252",
    "latin1": "cp1252",
    "latin-1": "cp1252",
    "iso-8859-9": "cp1254",
    "iso-8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gb_2312-80": "gb18030",
    "gbk": "gb18030",
    "x-gbk": "gb18030",
    "cp936": "gb18030",
    "ks_c_5601-1987": "cp949",
    "ksc5601": "cp949",
    "ks_c_5601": "cp949",
    "euc-kr": "cp949",
    "shift_jis": "cp932",
    "shift-jis": "cp932",
    "x-sjis": "cp932",
    "sjis": "cp932",
    "windows-31j": "cp932",
    "big5": "big5hkscs",
    "x-big5": "big5hkscs",
    "iso-8859-8-i": "iso8859-8",
    "iso-8859-8-e": "iso8859-8",
    "unicode-1-1-utf-7": "utf-7",
    "unicode-1-1-utf-8": "utf-8",
    "utf8mb4": "utf-8",
    "x-utf-8": "utf-8",
    "x-mac-roman": "mac-roman",
    "macintosh": "mac-roman",
    "x-mac-cyrillic": "mac-cyrillic",
    "windows-874": "cp874",
    "x-euc-jp": "euc_jp",
    "euc-jp": "euc_jp",
    "iso-2022-jp-ms": "iso2022_jp_ext",
}
_SECOND_CHOICE = {
    # Half-width kana and vendor characters under the plain label are everyday.
    "iso2022_jp": ("iso2022_jp_ext", "iso2022_jp_3", "iso2022_jp_2004"),
    "cp932": ("shift_jisx0213",),
    "euc_jp": ("euc_jis_2004",),
    "big5hkscs": ("cp950",),
}
_ALLOWED = re.compile(
    r"utf-(?:7|8|16|16-le|16-be|32|32-le|32-be)|utf-8-sig|ascii|iso8859-\d{1,2}|cp\d{3,5}|koi8-[rtu]|kz1048|ptcp154|"
    r"gb2312|gbk|gb18030|hz|big5|big5hkscs|euc_(?:jp|kr|jis_2004|jisx0213)|shift_jis(?:_2004|x0213)?|"
    r"iso2022_(?:jp(?:_1|_2|_2004|_3|_ext)?|kr)|johab|tis-620|mac-[a-z0-9]+|hp-roman8"
)
_HIGH = bytes(range(128, 256))
_SURROGATE = re.compile("[\ud800-\udfff]")
_LABEL = re.compile(r"[A-Za-z0-9_.:+\-]{1,40}")


def find_codec(untrusted_label: str | None) -> str | None:
    """Return the Python codec for a charset label, or None when there is none that may be used."""
    if not untrusted_label:
        return None
    label = untrusted_label.strip().strip("'\"").lower()
    if not _LABEL.fullmatch(label):
        return None
    try:
        name = codecs.lookup(_ALIASES.get(label, label)).name
    except (LookupError, ValueError):
        return None
    name = _ALIASES.get(name, name)
    return name if _ALLOWED.fullmatch(name) else None


def _try_codec(octets: bytes, codec: str) -> str | None:
    try:
        text = octets.decode(codec)
    except (UnicodeError, ValueError):
        return None
    # UTF-7 and the UTF-16 family can smuggle lone surrogates, which no UTF-8 output could carry.
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def _guess(octets: bytes, western_share: float = 0.3) -> str:
    """Western Windows where few octets are not ASCII, as in all its languages; else what statistics say."""
    high = len(octets) - len(octets.translate(None, _HIGH))
    if high <= len(octets) * western_share:
        text = _try_codec(octets, "cp1252")
        if text is not None:
            return text
    best = from_bytes(octets[:_GUESS_OCTETS], steps=5, chunk_size=512, threshold=0.3).best()
    codec = find_codec(best.encoding) if best else None
    if codec is not None:
        return _SURROGATE.sub("\ufffd", octets.decode(codec, "replace"))
    return octets.decode("cp1252", "replace")


def decode_text(octets: bytes, untrusted_label: str | None = None) -> str:
    """Return the text of these octets. Never raises; what no charset explains becomes U+FFFD."""
    codec = find_codec(untrusted_label)
    if codec is not None and codec != "ascii":
        text = _try_codec(octets, codec)
        if text is not None:
            return text
        for second in _SECOND_CHOICE.get(codec, ()):
            text = _try_codec(octets, second)
            if text is not None:
                return text
    if octets.isascii():
        return octets.decode("ascii")
    text = _try_codec(octets, "utf-8")
    if text is not None:
        return text
    if codec is not None and codec != "ascii":
        # The label fits but for a few broken octets: better than a guess when most of it decodes.
        text = _SURROGATE.sub("\ufffd", octets.decode(codec, "replace"))
        if text.count("\ufffd") * 50 <= len(text):
            return text
    return _guess(octets)


def decode_raw_header(octets: bytes) -> str:
    """Return the text of a raw header value: ASCII, UTF-8 (RFC 6532), or a guess for old 8-bit headers."""
    if octets.isascii():
        return octets.decode("ascii")
    text = _try_codec(octets, "utf-8")
    if text is not None:
        return text
    # A name or a subject is short: half of it may be umlauts.
    return _guess(octets, western_share=0.5)


def language_of_charset(untrusted_label: str | None) -> str | None:
    """Return the BCP 47 tag that a charset implies (for Han unification), or None."""
    codec = find_codec(untrusted_label)
    if codec is None:
        return None
    if codec in ("cp932", "euc_jp", "euc_jis_2004") or codec.startswith(("iso2022_jp", "shift_jis")):
        return "ja"
    if codec in ("cp949", "johab", "iso2022_kr", "euc_kr"):
        return "ko"
    if codec in ("big5hkscs", "big5", "cp950"):
        return "zh-TW"
    return "zh-CN" if codec in ("gb18030", "gbk", "gb2312", "hz") else None
