"""How one body travels into the render child, and which words may come back out.

Job: a four-octet length (big endian), a JSON header of that length, then the octets of the pictures in order.
Answer: one word and a newline, and after `ok` the PDF. No text of the mail travels back but inside the PDF.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from enum import StrEnum

from pdfmail.model import HtmlBody, InlineImage

JOB_IMAGE_OCTETS = 48 << 20  # pictures beyond this sum become placeholders
ANSWER_OCTETS = 128 << 20  # a child that writes more is cut off


class Word(StrEnum):
    """First line of an answer."""

    OK = "ok"
    PAGES = "pages"
    MEMORY = "memory"
    INPUT = "input"
    CRASH = "crash"
    UNGUARDED = "unguarded"


@dataclass(frozen=True, slots=True)
class RenderLimits:
    """Hard limits of one render: octets of address space, CPU seconds, seconds on the wall clock."""

    address_space: int = 700 << 20
    cpu_seconds: int = 12
    wall_seconds: float = 20.0


def encode_job(body: HtmlBody) -> bytes:
    """Return the octets of `body` for the child."""
    kept: list[InlineImage] = []
    room = JOB_IMAGE_OCTETS
    for image in body.images:
        if len(image.content) <= room:
            kept.append(image)
            room -= len(image.content)
    header = json.dumps(
        {
            "html": body.html,
            "text": body.text,
            "language": body.language,
            "max_pages": body.max_pages,
            "images": [(image.content_id, image.media_type, len(image.content)) for image in kept],
        }
    ).encode("ascii")  # json escapes everything else, lone surrogates too
    return b"".join((struct.pack(">I", len(header)), header, *(image.content for image in kept)))


def decode_job(octets: bytes) -> HtmlBody:
    """Return the body that `encode_job` was given; ValueError or KeyError for anything else."""
    (length,) = struct.unpack_from(">I", octets)
    header = json.loads(octets[4 : 4 + length])
    images: list[InlineImage] = []
    position = 4 + length
    for content_id, media_type, size in header["images"]:
        images.append(InlineImage(content_id, media_type, octets[position : position + size]))
        position += size
    return HtmlBody(header["html"], header["text"], tuple(images), header["language"], header["max_pages"])
