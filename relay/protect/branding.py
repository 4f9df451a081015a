"""The organisation's brand document as the values that PDF pages and mails are drawn from."""

from __future__ import annotations

from dataclasses import dataclass

from pdfmail.model import Brand, BrandTexts
from relay.core.documents.brands import Brand as BrandRecord
from relay.message.compose import MailBrand

LANGUAGES = ("de", "en")


@dataclass(frozen=True, slots=True)
class Branding:
    """One brand, ready for use by both writers."""

    pdf: Brand
    mail: MailBrand


def make_branding(record: BrandRecord) -> Branding:
    """Turn the stored record into the writers' values."""
    texts = {
        language.value: BrandTexts(
            cover_title=wording.cover_title,
            cover_text=wording.cover_text,
            last_title=wording.last_title,
            last_text=wording.last_text,
            footer=wording.footer,
        )
        for language, wording in record.texts.items()
    }
    contact_line = " · ".join(line.strip() for line in record.contact.splitlines() if line.strip())
    return Branding(
        pdf=Brand(
            name=record.name,
            organisation=record.organisation,
            accent=record.accent,
            on_accent=record.on_accent,
            text=record.text,
            quiet=record.quiet,
            logo=record.logo,
            contact=record.contact,
            texts=texts,
        ),
        mail=MailBrand(
            organisation=record.organisation,
            accent=record.accent,
            on_accent=record.on_accent,
            contact=contact_line,
        ),
    )
