"""Memory stays flat however large the files are, and large texts cost what their length says."""

from __future__ import annotations

import io
import tracemalloc
from typing import BinaryIO

import pytest

from pdfmail.model import Attachment
from pdfmail.template import TemplateCache
from pdfmail.write import write_pdf
from tests.data.pdfmail.samples import make_brand, make_mail, make_options


class Zeros(io.RawIOBase):
    """As many octets as wanted, made as they are read."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        count = min(len(view), self._left)
        view[:count] = bytes(count)
        self._left -= count
        return count


class Nowhere(io.RawIOBase):
    """Counts and forgets."""

    octets = 0

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        count = len(bytes(data))  # type: ignore[call-overload]
        self.octets += count
        return count


def make_large(size: int, media_type: str) -> Attachment:
    def open_zeros() -> BinaryIO:
        return Zeros(size)  # type: ignore[return-value]

    return Attachment("large.bin", media_type, open_zeros, None)


@pytest.mark.parametrize("media_type", ["application/octet-stream", "text/plain"])
def test_a_large_file_of_unknown_size_never_lies_in_memory(templates: TemplateCache, media_type: str) -> None:
    size = 60_000_000
    mail = make_mail(attachments=(make_large(size, media_type),))
    templates.get(make_brand(), "en")
    out = Nowhere()
    tracemalloc.start()
    try:
        report = write_pdf(mail, make_brand(), make_options(), out, templates=templates)  # type: ignore[arg-type]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert report.octets == out.octets
    assert out.octets > size if media_type == "application/octet-stream" else out.octets < size / 50
    assert peak < 12_000_000
