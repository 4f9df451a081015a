"""Values that go into a PDF mail and come out of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import BinaryIO, Protocol


class Cipher(StrEnum):
    """PDF encryption. AES-256 is revision 6 (ISO 32000-2), AES-128 is revision 4 for old readers."""

    AES_256 = "aes-256"
    AES_128 = "aes-128"


@dataclass(frozen=True, slots=True)
class BrandTexts:
    """Wording of cover and last page in one language. Empty text means the shipped wording."""

    cover_title: str = ""
    cover_text: str = ""
    last_title: str = ""
    last_text: str = ""
    footer: str = ""


@dataclass(frozen=True, slots=True)
class Brand:
    """Corporate design of one sender domain. Colours are #rrggbb; the logo is PNG, JPEG or a PDF page."""

    name: str
    organisation: str
    accent: str = "#0e5a63"
    on_accent: str = "#ffffff"
    text: str = "#15212b"
    quiet: str = "#52606d"
    logo: bytes | None = None
    contact: str = ""
    texts: Mapping[str, BrandTexts] = field(default_factory=dict)
    """Wording by language code, "de" and "en"."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """One file of the mail. `open` gives a new binary stream of the decoded content each time it is called."""

    name: str
    media_type: str
    open: Callable[[], BinaryIO]
    size: int | None = None
    """Octets of the decoded content if known beforehand."""


@dataclass(frozen=True, slots=True)
class InlineImage:
    """A picture that HTML names by cid: (RFC 2392)."""

    content_id: str
    media_type: str
    content: bytes
    name: str = ""
    """File name under which it comes along when the pages do not show it; empty has one made up."""
    is_attached: bool = False
    """It comes along in any case: among the attachments, or elsewhere."""


@dataclass(frozen=True, slots=True)
class MailContent:
    """What the recipient shall read. Header texts are decoded; nothing here is trusted."""

    subject: str
    sender: str
    """Display form of the author: `Name <address>`."""
    to: tuple[str, ...]
    cc: tuple[str, ...]
    date: datetime
    """Aware; shown in its own offset."""
    text: str | None
    html: str | None
    images: tuple[InlineImage, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    message_eml: bytes | None = None
    """Text parts and shown headers only, embedded as `message.eml`."""
    language_hint: str | None = None
    """BCP 47 tag for the body from Content-Language or the charset (Han unification)."""


@dataclass(frozen=True, slots=True)
class PdfOptions:
    """How one PDF is made."""

    user_password: str
    cipher: Cipher = Cipher.AES_256
    language: str = "en"
    """Language of cover, table and last page: "de" or "en"."""
    reply_url: str | None = None
    """https link behind the Reply button, its printed address and the QR code; None leaves all three out."""
    reply_code: str | None = None
    """Printed reply code where policy asks for one (sealed-mailbox 12)."""
    signature_note: str = ""
    creation_time: datetime | None = None
    max_pages: int = 300


@dataclass(frozen=True, slots=True)
class PdfReport:
    """What was written."""

    pages: int
    octets: int
    attachments: tuple[str, ...]
    """Names as embedded, in order, `message.eml` included."""
    body: str
    """`text`, `html`, `preformatted` or `notice`: which path drew the body."""
    cause: str | None = None
    """Why a lesser body path was taken."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HtmlBody:
    """Input of a body renderer. Exactly one of `html` and `text` is given."""

    html: str | None = None
    text: str | None = None
    images: tuple[InlineImage, ...] = ()
    language: str = "en"
    max_pages: int = 300


@dataclass(frozen=True, slots=True)
class DrawnPages:
    """What a body renderer made."""

    pdf: bytes
    """Complete, unencrypted, tagged A4 PDF of the body alone."""
    shown: frozenset[int] = frozenset()
    """Positions in HtmlBody.images of the pictures that stand on the pages in full."""


class BodyRenderer(Protocol):
    """Turns HTML, or text in any script, into tagged body pages."""

    def render_body(self, body: HtmlBody) -> DrawnPages:
        """Return the pages of the body alone.

        Raises RenderError when this body cannot be drawn within the limits, UnguardedHostError when the host forbids
        the guard.
        """
        ...
