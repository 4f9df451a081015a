"""PDF mail: complete text PDFs a second, and a 25 MB attachment beside openssl's AES over the same octets."""

from __future__ import annotations

import io
import multiprocessing
import os
import resource
import tempfile
import time
from datetime import UTC, datetime
from typing import BinaryIO, cast

from pdfmail.model import Attachment, Brand, MailContent, PdfOptions
from pdfmail.template import TemplateCache
from pdfmail.write import write_pdf

TEXT = (
    "Sehr geehrter Herr Weber,\n\n"
    + "vielen Dank für das Gespräch am Dienstag und Ihre Unterlagen. " * 30
    + "\n\nGrüße\n"
)
BRAND = Brand("default", "Example Bank", contact="Telephone +49 30 5550100")


def _mail(attachments: tuple[Attachment, ...]) -> MailContent:
    return MailContent(
        "Ihr Angebot", "Anna Keller <anna@bank.example>", ("Jonas Weber <jonas@partner.example>",), (),
        datetime(2026, 11, 20, 9, 30, tzinfo=UTC), TEXT, None, (), attachments, b"From: a\r\n\r\n" + TEXT.encode(),
    )  # fmt: skip


def _options(number: int) -> PdfOptions:
    return PdfOptions("dghz-4eb6-7gnc-xxd6", language="de", reply_url=f"https://portal.bank.example/r/{number:022}")


def _many(seconds: float, out: multiprocessing.Queue[tuple[int, float]]) -> None:
    table = b"a;b\r\n" * 200
    files = (Attachment("Plan.csv", "text/csv", lambda: io.BytesIO(table), len(table)),)
    templates, mail, count = TemplateCache(), _mail(files), 0
    write_pdf(mail, BRAND, _options(0), io.BytesIO(), None, templates=templates)
    began, cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() - began < seconds:
        count += 1
        write_pdf(mail, BRAND, _options(count), io.BytesIO(), None, templates=templates)
    out.put((count, (time.process_time() - cpu) / count))


def text_pdfs(processes: int = 2, seconds: float = 4.0) -> tuple[float, float]:
    """Return complete text PDFs (QR, tags, table, file) a second over the processes, and CPU milliseconds for one."""
    context = multiprocessing.get_context("spawn")
    out: multiprocessing.Queue[tuple[int, float]] = context.Queue()  # type: ignore[assignment]
    workers = [context.Process(target=_many, args=(seconds, out)) for _ in range(processes)]
    for worker in workers:
        worker.start()
    found = [out.get(timeout=120) for _ in workers]
    for worker in workers:
        worker.join()
    return sum(count for count, _ in found) / seconds, 1000 * sum(cpu for _, cpu in found) / len(found)


def large_pdf(octets: int = 25 * 1024 * 1024) -> tuple[float, float]:
    """Return seconds to write a PDF with an incompressible attachment of so many octets, and peak RSS in MB."""
    with tempfile.TemporaryFile() as content, tempfile.TemporaryFile() as target:
        content.write(os.urandom(octets))
        raw = content.fileno()

        def opened() -> BinaryIO:
            os.lseek(raw, 0, os.SEEK_SET)
            return cast("BinaryIO", os.fdopen(os.dup(raw), "rb"))

        templates = TemplateCache()
        small = _mail(())
        write_pdf(small, BRAND, _options(0), io.BytesIO(), None, templates=templates)
        mail = _mail((Attachment("data.bin", "application/octet-stream", opened, octets),))
        times = []
        for number in range(5):
            target.seek(0)
            began = time.perf_counter()
            write_pdf(mail, BRAND, _options(number), cast("BinaryIO", target), None, templates=templates)
            times.append(time.perf_counter() - began)
    return min(times), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
