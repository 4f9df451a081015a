"""A brand: how one host of the portal presents itself. Read from settings and files at start, frozen after.

Refuses what people could not read or what would make the page load from elsewhere. Never takes a value from a request.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from portal.pages.languages import LABELS
from portal.pages.palette import DARK, LIGHT, Accent, make_accent
from relay.core.errors import ConfigurationError

_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_PHONE = re.compile(r"\+?[0-9][0-9 ()/-]{2,38}")
_LOGO_TYPES = MappingProxyType({".svg": "image/svg+xml", ".png": "image/png", ".webp": "image/webp"})
_MOST_LOGO = 64 * 1024
_MOST_TEXT = 256 * 1024
DEFAULT_ACCENTS = ("#0e5a63", "#6cc9cf")


@dataclass(frozen=True, slots=True)
class Picture:
    """A small picture as served: its octets and media type."""

    octets: bytes
    media_type: str
    ending: str


@dataclass(frozen=True, slots=True)
class Section:
    """A heading (may be empty) and the paragraphs under it, of an imprint or a privacy notice."""

    heading: str
    paragraphs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Brand:
    """One host's name, colours, phone and legal texts."""

    name: str
    host: str
    light: Accent
    dark: Accent
    phone: str
    """As shown, `+49 241 123 456`, with spaces that do not break."""
    contact: str
    """E-mail address for feedback on accessibility; empty for none."""
    logo: Picture | None
    languages: tuple[str, ...]
    """Offered languages; the first one is used where the reader's browser asks for none of them."""
    imprint: Mapping[str, tuple[Section, ...]]
    privacy: Mapping[str, tuple[Section, ...]]

    @property
    def dial(self) -> str:
        """The phone number for a `tel:` link (RFC 3966): digits and a leading plus."""
        return re.sub(r"[^+0-9]", "", self.phone)

    @property
    def icon(self) -> Picture:
        """The logo, or a plain mark in the accent's colours."""
        return self.logo or Picture(_draw_mark(self.light.accent, self.dark.accent), "image/svg+xml", "svg")

    @property
    def sheet(self) -> bytes:
        """The brand's own style sheet: nothing but custom properties."""
        return (
            f":root {{ {_properties(self.light)} }}\n"
            f"@media (prefers-color-scheme: dark) {{ :root {{ {_properties(self.dark)} }} }}\n"
        ).encode("ascii")

    @property
    def sheet_hash(self) -> str:
        """Names the sheet, so that it may be cached for ever."""
        return _short_hash(self.sheet)

    @property
    def icon_hash(self) -> str:
        """Names the icon."""
        return _short_hash(self.icon.octets)

    @property
    def icon_ending(self) -> str:
        """The icon's file name ending."""
        return self.icon.ending

    @property
    def icon_type(self) -> str:
        """The icon's media type."""
        return self.icon.media_type


def _properties(accent: Accent) -> str:
    return (
        f"--accent: {accent.accent}; --on-accent: {accent.on_accent}; "
        f"--tint: {accent.tint}; --tint-text: {accent.tint_text};"
    )


def _short_hash(octets: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(octets).digest()[:9]).decode("ascii")


def _draw_mark(light: str, dark: str) -> bytes:
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 28 28">'
        f"<style>rect{{fill:{light}}}@media(prefers-color-scheme:dark){{rect{{fill:{dark}}}}}</style>"
        '<rect width="28" height="28" rx="7"/></svg>'
    ).encode("ascii")


def read_brand(table: Mapping[str, Any], base: Path, key: str = "brand") -> Brand:
    """Read one `[[brand]]` table; file names are relative to `base`.

    Keys: name, host, phone, and optionally accent, accent_dark, contact, logo, languages, imprint, privacy (the last
    two a file name with `{lang}` in it, `imprint.{lang}.txt`). Raises ConfigurationError that names the key.
    """
    known = {
        "name", "host", "phone", "accent", "accent_dark", "contact", "logo", "languages", "imprint", "privacy",
    }  # fmt: skip
    for unknown in sorted(set(table) - known):
        raise ConfigurationError(f"{key}.{unknown}", "is not known", f"Known are {', '.join(sorted(known))}")
    host = _text(table, key, "host").lower()
    if not _HOST.fullmatch(host):
        raise ConfigurationError(f"{key}.host", "is not a host name", 'Write host = "mail.bank.example"')
    phone = _text(table, key, "phone")
    if not _PHONE.fullmatch(phone):
        raise ConfigurationError(f"{key}.phone", "is not a phone number", 'Write phone = "+49 241 123 456"')
    languages = _read_languages(table.get("languages", ["de", "en"]), key)
    return Brand(
        name=_text(table, key, "name"),
        host=host,
        light=make_accent(f"{key}.accent", _text(table, key, "accent", DEFAULT_ACCENTS[0]), LIGHT),
        dark=make_accent(f"{key}.accent_dark", _text(table, key, "accent_dark", DEFAULT_ACCENTS[1]), DARK),
        phone=phone.replace(" ", "\N{NO-BREAK SPACE}"),
        contact=_text(table, key, "contact", ""),
        logo=_read_logo(table, key, base),
        languages=languages,
        imprint=_read_sections(table, key, "imprint", base, languages),
        privacy=_read_sections(table, key, "privacy", base, languages),
    )


def _text(table: Mapping[str, Any], key: str, name: str, default: str | None = None) -> str:
    value = table.get(name, default)
    if value is None:
        raise ConfigurationError(f"{key}.{name}", "is missing", "Add it to the portal's settings")
    if not isinstance(value, str) or len(value) > 200 or (not value.strip() and default is None):
        raise ConfigurationError(f"{key}.{name}", "must be a short text", f"Found {type(value).__name__}")
    return value.strip()


def _read_languages(value: object, key: str) -> tuple[str, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not value or not set(value) <= set(LABELS):
        raise ConfigurationError(
            f"{key}.languages", "must be a list of languages that are here", f"Here are {', '.join(sorted(LABELS))}"
        )
    return tuple(dict.fromkeys(str(item) for item in value))


def _read_file(path: Path, key: str, most: int) -> bytes:
    try:
        octets = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            key, f"{path} cannot be read", "Name a file that the portal's user may read"
        ) from error
    if len(octets) > most:
        raise ConfigurationError(key, f"{path} is larger than {most // 1024} kB", "Use a smaller file")
    return octets


def _read_logo(table: Mapping[str, Any], key: str, base: Path) -> Picture | None:
    name = _text(table, key, "logo", "")
    if not name:
        return None
    ending = Path(name).suffix.lower()
    if ending not in _LOGO_TYPES:
        raise ConfigurationError(f"{key}.logo", f"{name} is no picture for a page", "Use .svg, .png or .webp")
    octets = _read_file(base / name, f"{key}.logo", _MOST_LOGO)
    return Picture(octets, _LOGO_TYPES[ending], ending[1:])


def _read_sections(
    table: Mapping[str, Any], key: str, name: str, base: Path, languages: Sequence[str]
) -> Mapping[str, tuple[Section, ...]]:
    pattern = _text(table, key, name, "")
    if not pattern:
        return MappingProxyType({})
    found = {}
    for language in languages:
        path = base / pattern.replace("{lang}", language)
        try:
            text = _read_file(path, f"{key}.{name}", _MOST_TEXT).decode("utf-8")
        except UnicodeDecodeError as error:
            raise ConfigurationError(f"{key}.{name}", f"{path} is not UTF-8 text", "Save it as UTF-8") from error
        found[language] = parse_sections(text)
    return MappingProxyType(found)


def parse_sections(text: str) -> tuple[Section, ...]:
    """Parse plain text: blank lines part paragraphs, a paragraph that starts with `# ` is a heading."""
    sections: list[tuple[str, list[str]]] = [("", [])]
    for block in re.split(r"\n\s*\n", text.replace("\r\n", "\n").strip()):
        heading, _, rest = block.partition("\n") if block.startswith("# ") else ("", "", block)
        if heading:
            sections.append((heading[2:].strip(), []))
        if rest.strip():
            sections[-1][1].append(rest.strip())
    return tuple(Section(heading, tuple(lines)) for heading, lines in sections if heading or lines)
