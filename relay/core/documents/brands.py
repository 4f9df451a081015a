"""Document `brands`: corporate design of PDF cover and last page, carrier mails and notices (E7).

Colours are #rrggbb; the logo is a PNG, a JPEG or a PDF page, at most 512 KiB, checked by its first octets only (the
renderer checks the rest). Texts are plain; nothing here is HTML.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from relay.core.documents.domains import Language
from relay.core.documents.reading import DocumentError, Fields, Json, JsonObject, check_text, require_unique

_COLOUR = re.compile(r"#[0-9a-f]{6}")
_LOGO_LIMIT = 512 * 1024
_MAGIC: Mapping[bytes, str] = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"%PDF-": "application/pdf",
}


@dataclass(frozen=True, slots=True)
class BrandWording:
    """Texts of one language. An empty text means the shipped wording."""

    cover_title: str = ""
    cover_text: str = ""
    last_title: str = ""
    last_text: str = ""
    footer: str = ""
    carrier_text: str = ""
    """Extra paragraph in the mail that carries the PDF."""
    notice_text: str = ""
    """Extra paragraph in the password notice."""


@dataclass(frozen=True, slots=True)
class Brand:
    """One corporate design. `name` is what domains refer to; `organisation` is shown."""

    name: str
    organisation: str
    accent: str = "#0e5a63"
    on_accent: str = "#ffffff"
    text: str = "#15212b"
    quiet: str = "#52606d"
    logo: bytes | None = None
    contact: str = ""
    """Printed contact lines: telephone and address that a recipient can check elsewhere."""
    texts: Mapping[Language, BrandWording] = field(default_factory=dict)

    @property
    def logo_type(self) -> str | None:
        """Media type of the logo by its first octets, or None without one."""
        if self.logo is None:
            return None
        return next((kind for magic, kind in _MAGIC.items() if self.logo.startswith(magic)), None)


@dataclass(frozen=True, slots=True)
class BrandsDocument:
    """All brands; one is called `default`."""

    KIND: ClassVar[str] = "brands"

    brands: tuple[Brand, ...] = ()

    @classmethod
    def from_json(cls, untrusted_value: object) -> BrandsDocument:
        """Read and check. Raises DocumentError that names the key and the fix."""
        fields = Fields(untrusted_value, cls.KIND)
        brands = fields.items("brands", _read_brand)
        fields.finish()
        require_unique([brand.name for brand in brands], "brands.brands", "brand")
        if not any(brand.name == "default" for brand in brands):
            raise DocumentError("brands.brands", "has no brand called default", 'Name one brand "default"')
        return cls(brands)

    def to_json(self) -> JsonObject:
        """Return plain JSON that reads back to an equal value."""
        return {"brands": [_write_brand(brand) for brand in self.brands]}

    def find(self, name: str) -> Brand:
        """Return the brand of that name, else `default`. Raises DocumentError when there is neither."""
        for wanted in (name, "default"):
            for brand in self.brands:
                if brand.name == wanted:
                    return brand
        raise DocumentError("brands.brands", "has no brand called default", 'Name one brand "default"')


def _read_colour(fields: Fields, key: str, default: str) -> str:
    value = fields.line(key, default).lower()
    if not _COLOUR.fullmatch(value):
        raise DocumentError(fields.at(key), "is not a colour", "Write it like #0e5a63")
    return value


def _read_logo(untrusted_value: object, path: str) -> bytes | None:
    if untrusted_value is None:
        return None
    text = check_text(untrusted_value, path, longest=_LOGO_LIMIT * 4 // 3 + 4)
    try:
        logo = base64.b64decode(text.encode("ascii"), validate=True)
    except (ValueError, binascii.Error) as error:
        raise DocumentError(path, "is not base64", "Encode the file without line ends") from error
    if not any(logo.startswith(magic) for magic in _MAGIC):
        raise DocumentError(path, "is neither PNG, JPEG nor PDF", "Convert the logo to one of them")
    return logo


def _read_wording(untrusted_value: object, path: str) -> BrandWording:
    fields = Fields(untrusted_value, path)
    wording = BrandWording(
        cover_title=fields.line("cover_title", ""),
        cover_text=fields.text("cover_text", "", longest=2000),
        last_title=fields.line("last_title", ""),
        last_text=fields.text("last_text", "", longest=2000),
        footer=fields.text("footer", ""),
        carrier_text=fields.text("carrier_text", "", longest=2000),
        notice_text=fields.text("notice_text", "", longest=2000),
    )
    fields.finish()
    return wording


def _read_texts(fields: Fields) -> dict[Language, BrandWording]:
    texts = fields.mapping("texts", _read_wording)
    known = {language.value: language for language in Language}
    for key in texts:
        if key not in known:
            raise DocumentError(f"{fields.at('texts')}.{key[:20]}", "is not a language", f"Use {', '.join(known)}")
    return {known[key]: wording for key, wording in texts.items()}


def _read_brand(untrusted_value: object, path: str) -> Brand:
    fields = Fields(untrusted_value, path)
    brand = Brand(
        name=fields.name("name"),
        organisation=fields.line("organisation", empty=False),
        accent=_read_colour(fields, "accent", "#0e5a63"),
        on_accent=_read_colour(fields, "on_accent", "#ffffff"),
        text=_read_colour(fields, "text", "#15212b"),
        quiet=_read_colour(fields, "quiet", "#52606d"),
        logo=_read_logo(fields.raw("logo", None), fields.at("logo")),
        contact=fields.text("contact", "", longest=1000),
        texts=_read_texts(fields),
    )
    fields.finish()
    return brand


def _write_wording(wording: BrandWording) -> Json:
    return {
        "cover_title": wording.cover_title,
        "cover_text": wording.cover_text,
        "last_title": wording.last_title,
        "last_text": wording.last_text,
        "footer": wording.footer,
        "carrier_text": wording.carrier_text,
        "notice_text": wording.notice_text,
    }


def _write_brand(brand: Brand) -> Json:
    return {
        "name": brand.name,
        "organisation": brand.organisation,
        "accent": brand.accent,
        "on_accent": brand.on_accent,
        "text": brand.text,
        "quiet": brand.quiet,
        "logo": None if brand.logo is None else base64.b64encode(brand.logo).decode("ascii"),
        "contact": brand.contact,
        "texts": {language.value: _write_wording(wording) for language, wording in brand.texts.items()},
    }
