"""Parse a stored message into something that can be asked questions, without holding it in memory.

Reads RFC 5322 with the MIME of RFC 2045-2049, 2183, 2231, 6532, tolerant as mail clients are. Decides nothing, changes
nothing, writes nothing. Must not log what it reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO

from relay.core.ports import ContentSource
from relay.message.addresses import Mailbox
from relay.message.fields import HeaderFields
from relay.message.limits import ParseLimits


@dataclass(frozen=True, slots=True)
class MessageAttachment:
    """One file of the message. `open` gives a new, forward-read binary stream of the decoded content each time."""

    name: str
    """Decoded file name as the sender wrote it, or one made up (`attachment-2.bin`); not yet safe as a path."""
    media_type: str
    """Lower case, `type/subtype`."""
    open: Callable[[], BinaryIO]
    estimated_size: int
    """Octets of the decoded content, within a few per cent."""
    size: int | None = None
    """Octets of the decoded content where that is known without reading it."""


@dataclass(frozen=True, slots=True)
class MessageImage:
    """A picture that the HTML body names by `cid:` (RFC 2392)."""

    content_id: str
    """Without the angle brackets."""
    media_type: str
    content: bytes


class ParsedMessage:
    """A message's structure and header. Texts are decoded on demand and never trusted."""

    fields: HeaderFields
    """The raw header fields with their offsets."""
    body_offset: int
    """Offset of the first body octet."""
    size: int
    """Octets of the whole message."""

    # --- header -------------------------------------------------------------------------------------------------------
    def header(self, name: str) -> str | None:
        """Return the first field of that name, unfolded and decoded (RFC 2047, RFC 6532), or None."""
        raise NotImplementedError

    def headers(self, name: str) -> tuple[str, ...]:
        """Return all fields of that name, decoded, in order."""
        raise NotImplementedError

    def decoded_headers(self) -> Mapping[str, tuple[str, ...]]:
        """Return every field, decoded, by lower-case name."""
        raise NotImplementedError

    @property
    def subject(self) -> str:
        """The decoded subject, empty when there is none."""
        raise NotImplementedError

    @property
    def author(self) -> Mailbox | None:
        """The first mailbox of the first From field (RFC 5322 3.6.2)."""
        raise NotImplementedError

    @property
    def authors(self) -> tuple[Mailbox, ...]:
        """All mailboxes of all From fields."""
        raise NotImplementedError

    @property
    def sender(self) -> Mailbox | None:
        """The Sender field's mailbox: who sent it for the author."""
        raise NotImplementedError

    @property
    def to(self) -> tuple[Mailbox, ...]:
        """The mailboxes of To."""
        raise NotImplementedError

    @property
    def cc(self) -> tuple[Mailbox, ...]:
        """The mailboxes of Cc."""
        raise NotImplementedError

    @property
    def bcc(self) -> tuple[Mailbox, ...]:
        """The mailboxes of Bcc, which must not leave."""
        raise NotImplementedError

    @property
    def reply_to(self) -> tuple[Mailbox, ...]:
        """The mailboxes of Reply-To."""
        raise NotImplementedError

    @property
    def date(self) -> datetime | None:
        """The Date field, aware, or None when missing or broken."""
        raise NotImplementedError

    @property
    def message_id(self) -> str | None:
        """The Message-ID with its angle brackets."""
        raise NotImplementedError

    @property
    def references(self) -> tuple[str, ...]:
        """The ids of References, with angle brackets, in order."""
        raise NotImplementedError

    @property
    def in_reply_to(self) -> tuple[str, ...]:
        """The ids of In-Reply-To."""
        raise NotImplementedError

    @property
    def auto_submitted(self) -> str | None:
        """The keyword of Auto-Submitted in lower case (RFC 3834 5), None when absent."""
        raise NotImplementedError

    @property
    def sensitivity(self) -> str | None:
        """`personal`, `private`, `company-confidential` or another lower-case word (RFC 4021), None if absent."""
        raise NotImplementedError

    @property
    def importance(self) -> str:
        """`high`, `normal` or `low`, from Importance, Priority or X-Priority."""
        raise NotImplementedError

    @property
    def list_fields(self) -> Mapping[str, str]:
        """The List-* fields (RFC 2369, RFC 2919), lower-case name to raw text."""
        raise NotImplementedError

    @property
    def content_language(self) -> str | None:
        """First tag of Content-Language (RFC 3282), of the message or of its shown part."""
        raise NotImplementedError

    @property
    def charset(self) -> str | None:
        """The charset label of the first shown text part, lower case; a hint at its language."""
        raise NotImplementedError

    # --- what it is ---------------------------------------------------------------------------------------------------
    @property
    def is_auto_submitted(self) -> bool:
        """Tell whether a program sent it (RFC 3834, and the older habits)."""
        raise NotImplementedError

    @property
    def is_list(self) -> bool:
        """Tell whether a mailing list distributed it."""
        raise NotImplementedError

    @property
    def is_bulk(self) -> bool:
        """Tell whether it calls itself bulk mail: Precedence bulk or junk, or List-Unsubscribe."""
        raise NotImplementedError

    @property
    def is_mdn(self) -> bool:
        """Tell whether it is a message disposition notification (RFC 8098)."""
        raise NotImplementedError

    @property
    def is_dsn(self) -> bool:
        """Tell whether it is a delivery status notification (RFC 3464)."""
        raise NotImplementedError

    @property
    def is_invitation(self) -> bool:
        """Tell whether it carries a text/calendar part with a method (RFC 6047)."""
        raise NotImplementedError

    @property
    def is_encrypted_smime(self) -> bool:
        """Tell whether it is EnvelopedData or AuthEnvelopedData (RFC 8551 3.3, 3.4)."""
        raise NotImplementedError

    @property
    def is_encrypted_openpgp(self) -> bool:
        """Tell whether it is OpenPGP encrypted, PGP/MIME (RFC 3156 4) or inline armour."""
        raise NotImplementedError

    @property
    def is_encrypted(self) -> bool:
        """Tell whether it is encrypted by S/MIME or OpenPGP."""
        raise NotImplementedError

    @property
    def is_signed(self) -> bool:
        """Tell whether it is signed: multipart/signed, opaque S/MIME or an inline OpenPGP signature."""
        raise NotImplementedError

    # --- what it says -------------------------------------------------------------------------------------------------
    def body_text(self) -> str | None:
        """Return the plain text shown, all text parts in order, LF line ends; None when no part is plain text."""
        raise NotImplementedError

    def body_html(self) -> str | None:
        """Return the HTML shown, all shown parts in order, NOT sanitised; None when no part is HTML."""
        raise NotImplementedError

    def inline_images(self) -> tuple[MessageImage, ...]:
        """Return the pictures that the HTML body names, within the limits."""
        raise NotImplementedError

    def attachments(self) -> tuple[MessageAttachment, ...]:
        """Return everything that is not shown, in mail order. Detached signatures are left out."""
        raise NotImplementedError


def parse_message(
    stream: BinaryIO, limits: ParseLimits | None = None, reopen: Callable[[], BinaryIO] | None = None
) -> ParsedMessage:
    """Parse a seekable stream from its first octet. Memory stays flat; the stream must outlive the result.

    `reopen` gives an independent stream for each attachment that is opened; without it all share `stream` and must be
    read from one thread. Raises MessageError when a limit is exceeded; broken MIME is read as well as it goes.
    """
    raise NotImplementedError


def parse_source(source: ContentSource, limits: ParseLimits | None = None) -> ParsedMessage:
    """Parse stored content; every attachment opens a stream of its own."""
    raise NotImplementedError
