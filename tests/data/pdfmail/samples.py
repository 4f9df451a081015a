"""Mails, brands and options for the tests of the PDF library. All names are made up."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import BinaryIO

from PIL import Image, ImageDraw

from pdfmail.model import Attachment, Brand, Cipher, MailContent, PdfOptions, PdfReport
from pdfmail.template import TemplateCache
from pdfmail.write import write_pdf

PASSWORD = "dghz-4eb6-7gnc-xxd6"
REPLY_URL = "https://secure.bank.example/r/3q2-7wAAAAAAAAAAAAAAAA"
SENTENCE = "Your contract number is 4711-0815."
SIGNATURE_MARK = "-- "
TEXT = f"""Dear Ms Example,

{SENTENCE} Grüße aus Köln; Привет; Γειά σου; 100 €.

See https://service.bank.example/contracts?id=4711 for details.

Kind regards
Maria Keller
{SIGNATURE_MARK}
Example Bank
"""


class OneWay(io.RawIOBase):
    """A sink that takes octets in order, a few at a time when told so, and can do nothing else."""

    def __init__(self, at_most: int | None = None) -> None:
        super().__init__()
        self.content = bytearray()
        self._at_most = at_most

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        octets = bytes(data)[: self._at_most]  # type: ignore[call-overload]
        self.content += octets
        return len(octets)


def make_attachment(name: str, content: bytes, media_type: str = "application/octet-stream") -> Attachment:
    def open_content() -> BinaryIO:
        return io.BytesIO(content)

    return Attachment(name, media_type, open_content, len(content))


def make_mail(**changes: object) -> MailContent:
    mail = MailContent(
        subject="Your contract",
        sender="Maria Keller <maria.keller@bank.example>",
        to=("Anna Example <anna@partner.example>",),
        cc=(),
        date=datetime(2026, 11, 20, 9, 25, tzinfo=timezone(timedelta(hours=1))),
        text=TEXT,
        html=None,
    )
    return replace(mail, **changes)  # type: ignore[arg-type]


def make_brand(**changes: object) -> Brand:
    brand = Brand(name="bank.example", organisation="Example Bank", contact="1 Example Street, 10115 Berlin")
    return replace(brand, **changes)  # type: ignore[arg-type]


def make_options(**changes: object) -> PdfOptions:
    return replace(PdfOptions(user_password=PASSWORD, reply_url=REPLY_URL), **changes)  # type: ignore[arg-type]


def make_logo(kind: str = "PNG", size: tuple[int, int] = (240, 80)) -> bytes:
    picture = Image.new("RGBA" if kind == "PNG" else "RGB", size, (255, 255, 255, 0) if kind == "PNG" else "white")
    ImageDraw.Draw(picture).ellipse((2, 2, size[1] - 3, size[1] - 3), fill="#0e5a63")
    out = io.BytesIO()
    picture.save(out, kind)
    return out.getvalue()


def write_bytes(
    templates: TemplateCache,
    mail: MailContent | None = None,
    options: PdfOptions | None = None,
    brand: Brand | None = None,
    renderer: object = None,
) -> tuple[bytes, PdfReport]:
    out = OneWay()
    report = write_pdf(
        mail or make_mail(),
        brand or make_brand(),
        options or make_options(),
        out,  # type: ignore[arg-type]
        renderer,  # type: ignore[arg-type]
        templates=templates,
    )
    return bytes(out.content), report


CIPHERS = (Cipher.AES_256, Cipher.AES_128)
