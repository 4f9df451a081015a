"""A cheap look at untrusted markup before any real parser: tags nested deeper than a limit are taken out.

HTML parsers and sanitisers need time quadratic in the depth (100 000 nested divs: 14 s), so the depth must be bounded
first, in linear time. This is no parser and gives no safety of its own: it may misjudge markup, then the process limits
are the bound. Text is never lost here. Source: HTML Living Standard 13.2.5 (tokenisation), 13.1.2 (void elements).
"""

from __future__ import annotations

import re

from pdfmail.html.names import name_set

# Possessive and bounded, so that no markup makes it slow; a tag that does not fit is not counted, which is harmless.
_TOKEN = re.compile(
    r"<!--(?:>|->|.*?(?:--!?>|\Z))"
    r"|<(?P<raw>style|script|textarea|title|xmp|noscript|iframe|noembed|noframes)\b[^<>]*+>.*?(?:</(?P=raw)[\s/>]|\Z)"
    r"|<(?P<close>/?)(?P<name>[a-z][^\s/<>]{0,40}+)"
    r"(?:[^<>\"']++|\"[^\"]{0,2000}+\"|'[^']{0,2000}+'){0,60}+>",
    re.IGNORECASE | re.DOTALL,
)
_NO_DEPTH = name_set(
    "area base br col embed hr img input link meta param source track wbr p li dt dd td th tr tbody thead tfoot option "
    "optgroup rp rt html head body colgroup caption"
)
_SCOPE = name_set("table object marquee applet template svg math")


def flatten_deep_markup(untrusted_html: str, limit: int = 200) -> str:
    """Return the markup without the tags that open below `limit` open elements; most mail comes back as it is."""
    open_names: list[str] = []
    dropped: list[tuple[int, int]] = []
    for match in _TOKEN.finditer(untrusted_html):
        name = match["name"]
        if name is None:
            continue
        name = name.lower()
        if name in _NO_DEPTH:
            continue
        if match["close"]:
            _close(open_names, name)
        elif len(open_names) >= limit:
            dropped.append(match.span())
        else:
            open_names.append(name)
    if not dropped:
        return untrusted_html
    parts: list[str] = []
    position = 0
    for start, end in dropped:
        parts.append(untrusted_html[position:start])
        position = end
    parts.append(untrusted_html[position:])
    return "".join(parts)


def _close(open_names: list[str], name: str) -> None:
    """Pop through the nearest open `name`, but not out of a table or the like (HTML 13.2.4.2, scope)."""
    for index in range(len(open_names) - 1, -1, -1):
        if open_names[index] == name:
            del open_names[index:]
            return
        if open_names[index] in _SCOPE and name not in _SCOPE:
            return
