"""The text of a mail as a small message of its own, to be embedded in the PDF as `message.eml`.

Text parts and shown header fields only: no Received, no X-, no attachments (they are embedded beside it), no Bcc.
Obeys RFC 5322 3.6, RFC 2046 5.1.4, RFC 2183, RFC 2231, RFC 2387.
"""

from __future__ import annotations

from email.utils import format_datetime
from urllib.parse import quote

from relay.message.addresses import Mailbox, format_mailboxes
from relay.message.content import MessageImage
from relay.message.encode import encode_multipart, encode_text, iter_base64
from relay.message.headers import encode_field
from relay.message.parse import ParsedMessage
from relay.message.words import clean_text, fold_tokens

_ENCODED_NAME = 80
"""Characters: at most 960 octets, within RFC 5322 2.1.1."""
_TOKEN_TYPE = frozenset("abcdefghijklmnopqrstuvwxyz0123456789!#$&^_.+-/")


def message_eml(parsed: ParsedMessage, subject: str | None = None) -> bytes:
    """Return From, Sender, Reply-To, To, Cc, Date, Subject, Message-ID, In-Reply-To, References and the shown text.

    `subject` replaces the original's (keywords stripped). UTF-8 throughout.
    """
    return _write(parsed, subject, parsed.body_text(), ())


def full_message_eml(parsed: ParsedMessage, subject: str | None = None) -> bytes:
    """Return the same with plain text of any length and the inline pictures, for a PDF that cannot show the body.

    HTML beyond the limit of its length is an attachment of the mail and not repeated here.
    """
    return _write(parsed, subject, parsed.body_text(whole=True), parsed.inline_images())


def _write(parsed: ParsedMessage, subject: str | None, text: str | None, images: tuple[MessageImage, ...]) -> bytes:
    html = parsed.body_html()
    parts: list[bytes] = []
    if text is not None or html is None:
        parts.append(encode_text(text or "", "plain"))
    if html is not None:
        body = encode_text(html, "html")
        if images:
            body = encode_multipart(
                "related", [body, *(_encode_image(image) for image in images)], '; type="text/html"'
            )
        parts.append(body)
    return _write_header(parsed, subject) + (parts[0] if len(parts) == 1 else encode_multipart("alternative", parts))


def _write_header(parsed: ParsedMessage, subject: str | None) -> bytes:
    address_fields: tuple[tuple[str, tuple[Mailbox, ...]], ...] = (
        ("From", parsed.authors),
        ("Sender", (parsed.sender,) if parsed.sender else ()),
        ("Reply-To", parsed.reply_to),
        ("To", parsed.to),
        ("Cc", parsed.cc),
    )
    out = [format_mailboxes(name, mailboxes) for name, mailboxes in address_fields if mailboxes]
    date = parsed.date
    if date is not None:
        out.append(encode_field("Date", format_datetime(date)))
    out.append(encode_field("Subject", parsed.subject if subject is None else subject))
    id_fields = (
        ("Message-ID", (parsed.message_id,) if parsed.message_id else ()),
        ("In-Reply-To", parsed.in_reply_to),
        ("References", parsed.references),
    )
    for name, ids in id_fields:
        if ids:
            out.append(fold_tokens(f"{name}:".encode("ascii"), [one.encode("utf-8") for one in ids]))
    out.append(b"MIME-Version: 1.0\r\n")
    return b"".join(out)


def _write_file_name(name: str) -> bytes:
    """Return the parameter of RFC 2183 2.3, by RFC 2231 4 where it must; then only the last characters, on one line."""
    if name.isascii() and name.isprintable() and not set(name) & set('"\\'):
        return b'filename="%s"' % name.encode("ascii")
    return b"filename*=utf-8''%s" % quote(name[-_ENCODED_NAME:], safe="", errors="replace").encode("ascii")


def _encode_image(image: MessageImage) -> bytes:
    kind = image.media_type if _TOKEN_TYPE.issuperset(image.media_type) else "application/octet-stream"
    cid = clean_text(image.content_id).replace("<", "").replace(">", "").encode("utf-8")
    head = b"Content-Type: %s\r\nContent-Disposition: inline;\r\n %s\r\nContent-ID: <%s>\r\n" % (
        kind.encode("ascii"),
        _write_file_name(image.name),
        cid,
    )
    return head + b"Content-Transfer-Encoding: base64\r\n\r\n" + b"".join(iter_base64([image.content]))
