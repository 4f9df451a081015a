"""The complete message as message.eml, for when pages cannot show all of it.

Made only where the caller gave none. Text parts, shown headers and inline pictures; no other attachments, no trace
headers. Sources: RFC 5322, RFC 2046 section 5.1, RFC 2387 (multipart/related), RFC 2392 (cid).
"""

from __future__ import annotations

from email import policy
from email.encoders import encode_base64
from email.header import Header
from email.mime.base import MIMEBase
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.utils import format_datetime

from .embed import clean_media_type
from .model import MailContent
from .textflow import clean_line


def build_original(mail: MailContent) -> bytes:
    """Return the message as octets of RFC 5322."""
    text = MIMEText(_encodable(mail.text or ""), "plain", "utf-8")
    body: MIMEBase = text
    if mail.html is not None:
        markup: MIMEBase = MIMEText(_encodable(mail.html), "html", "utf-8")
        if mail.images:
            related = MIMEMultipart("related")
            related.attach(markup)
            for image in mail.images:
                related.attach(_image_part(image.content_id, image.media_type, image.content))
            markup = related
        if mail.text is None:
            body = markup
        else:
            body = MIMEMultipart("alternative")
            body.attach(text)
            body.attach(markup)
    for name, value in (
        ("Subject", mail.subject),
        ("From", mail.sender),
        ("To", ", ".join(mail.to)),
        ("Cc", ", ".join(mail.cc)),
    ):
        if value:
            header = Header(_encodable(clean_line(value)), "ascii" if value.isascii() else "utf-8")
            body[name] = header.encode()
    body["Date"] = format_datetime(mail.date)
    return body.as_bytes(policy=policy.compat32.clone(linesep="\r\n"))


def _image_part(content_id: str, media_type: str, content: bytes) -> MIMEBase:
    kind, _, subtype = clean_media_type(media_type).partition("/")
    part = MIMEBase(kind, subtype)
    part.set_payload(content)
    encode_base64(part)
    # An identifier is ASCII without blanks and brackets (RFC 2392); what is not, names nothing.
    identifier = "".join(letter for letter in content_id if "!" <= letter <= "~" and letter not in "<>")
    part["Content-ID"] = f"<{identifier}>"
    return part


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")
