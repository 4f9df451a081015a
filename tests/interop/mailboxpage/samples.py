"""A mailbox as a partner has it: unread and read mail, a conversation, files, HTML, German, an end soon, damage."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from relay.core.wire.sealed import Person, make_id
from tests.interop.mailboxpage.sealed_box import ANNA, MARIA, FilePart, SealedBox, StoredMessage, html_part, text_part

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
CONTRACT = b"%PDF-1.7\n" + bytes(range(256)) * 1600
ANNEX = b"PK" + bytes(300)
LARGE = bytes(range(251)) * 10_000
"""More than two chunks."""
PDF = b"%PDF-1.7 of the whole message"
HTML = (
    "<p>Dear Ms Berger,</p><p>please find attached the <b>contract</b> and the annex. If you agree, sign page 7 and "
    'send it back with the Reply button. The message and your answer stay encrypted <a href="https://bank.example/help">'
    'all the way</a>.</p><p><img src="cid:p0" width="40" height="40" alt="Seal of the bank"></p>'
    '<table border="1"><tr><th>Rate</th><td bgcolor="#ffff99">3.1 %</td></tr></table>'
    "<p>Kind regards<br>Maria Keller</p>"
)


@dataclass(frozen=True, slots=True)
class Samples:
    """The messages that tests name."""

    contract: StoredMessage
    documents: StoredMessage
    question: StoredMessage
    answer: StoredMessage
    german: StoredMessage
    large: StoredMessage
    damaged: StoredMessage


def fill_box(box: SealedBox) -> Samples:
    """Seal the samples, oldest first."""
    box.add_account()
    german = box.add_mail(
        [text_part("Sehr geehrte Frau Berger,\n\nwir freuen uns auf Ihren Besuch in unserer Filiale.\n\nJens Otto")],
        subject="Termin am 9. November",
        snippet="Sehr geehrte Frau Berger, wir freuen uns auf Ihren Besuch in unserer Filiale.",
        time="2026-11-03T08:10:00Z",
        sender=Person("Jens Otto", "jens.otto@bank.example"),
    )
    thread = make_id()
    question = box.add_mail(
        [text_part("Which papers do you have?")],
        subject="Questions about collateral",
        snippet="Which papers do you have?",
        time="2026-11-10T10:00:00Z",
        expires="2026-11-28T00:00:00Z",
        thread=thread,
    )
    answer = box.add_mail(
        [text_part("The land register extract is enough for us.\n\nSee https://bank.example/papers.")],
        subject="Re: Questions about collateral",
        snippet="The land register extract is enough for us.",
        time="2026-11-12T10:00:00Z",
        thread=thread,
        to=[ANNA, Person("Bernd Lind", "b.lind@nord.example", inside=False)],
        cc=[Person("", "archive@bank.example", inside=True)],
    )
    damaged = box.add_damaged()
    large = box.add_mail(
        [text_part("The plan."), FilePart("file", "plan <1>.dwg", "image/vnd.dwg", LARGE)],
        subject="Plan of the house",
        snippet="The plan.",
        time="2026-11-18T10:00:00Z",
        sender=Person("", "plans@bank.example"),
    )
    documents = box.add_mail(
        [text_part("Thank you. We have received two documents.")],
        subject="Your documents have arrived",
        snippet="Thank you. We have received two documents.",
        time="2026-11-19T16:20:00Z",
        sender=Person("Support, Example Bank", "support@bank.example"),
    )
    contract = box.add_mail(
        [
            html_part(HTML),
            FilePart("inline", "p0", "image/png", PIXEL),
            text_part("Dear Ms Berger,\n\nplease find attached the contract and the annex."),
            FilePart("file", "Contract.pdf", "application/pdf", CONTRACT),
            FilePart(
                "file", "Annex A.xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", ANNEX
            ),
            FilePart("preview", "message.pdf", "application/pdf", PDF),
        ],
        subject="Loan contract for signature",
        snippet="Dear Ms Berger, please find attached the contract and the annex. If you agree, sign page 7",
        time="2026-11-20T09:42:00Z",
        receipt=True,
    )
    return Samples(contract, documents, question, answer, german, large, damaged)


__all__ = ["ANNEX", "CONTRACT", "HTML", "LARGE", "MARIA", "PDF", "PIXEL", "Samples", "fill_box"]
