"""The guard: looks at the finished output again and asks whether the decision was met. A doubt stops the mail.

It reads the octets that will leave, with readers of its own, and trusts no flag of the writers. The full cross-check
with other programs (qpdf, poppler, PDFium, mupdf, pdf.js) is the tests' part.
"""

from __future__ import annotations

import re
from email import policy as email_policy
from email.parser import BytesParser
from typing import TYPE_CHECKING, BinaryIO

from pdfmail.check import check_encrypted
from pdfmail.errors import PdfMailError
from relay.core.errors import ProtectionError

if TYPE_CHECKING:
    from relay.protect.pdf import PdfJob

_KEPT = frozenset(
    {
        "from", "sender", "reply-to", "to", "cc", "date", "message-id", "in-reply-to", "references", "subject",
        "auto-submitted", "precedence", "importance", "priority", "mime-version", "content-type",
        "content-transfer-encoding", "content-language", "x-letterlock-trace",
    }
)  # fmt: skip
_LIST_FIELD = re.compile(r"list-[a-z-]+")


def check_pdf(file: BinaryIO, password: str) -> None:
    """Check that the PDF is encrypted throughout, opens with this password, and for no owner without one or with this.

    Raises ProtectionError, permanent: the same input would fail again, so a person has to look. OSError when the file
    itself cannot be read, which says nothing of what stands in it.
    """
    try:
        check_encrypted(file, password)
    except (PdfMailError, ValueError) as error:
        raise _refuse(f"PDF is not encrypted as decided: {type(error).__name__}") from error


def check_carrier(beginning: bytes, job: PdfJob) -> None:
    """Check the carrier mail's header: only kept fields and those that rules add, none that rules remove, no Bcc, no
    hidden subject.

    `beginning` holds at least the whole header.
    """
    header, separator, _ = beginning.partition(b"\r\n\r\n")
    if not separator:
        raise _refuse("carrier mail's header is not in its first piece")
    parsed = BytesParser(policy=email_policy.compat32).parsebytes(header + b"\r\n\r\n", headersonly=True)
    added, removed = {name.lower() for name, _ in job.added}, job.removed
    for name in parsed:
        lowered = name.lower()
        if lowered in added:
            continue
        if lowered in removed or (lowered not in _KEPT and not _LIST_FIELD.fullmatch(lowered)):
            raise _refuse(f"carrier mail has the field {lowered[:40]}")
    if not job.show_subject and len(job.subject) >= 4 and job.subject in _decoded_subject(parsed.get("Subject", "")):
        raise _refuse("carrier mail shows a confidential subject")


def _decoded_subject(untrusted_value: object) -> str:
    from email.header import decode_header, make_header

    return str(make_header(decode_header(str(untrusted_value))))


def _refuse(problem: str) -> ProtectionError:
    error = ProtectionError(f"guard: {problem}")
    error.temporary = False
    error.status = "5.7.0"
    return error
