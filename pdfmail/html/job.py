"""How one body travels into the render child, and which words may come back out.

Job: a four-octet length (big endian), a JSON header of that length, then the octets of the pictures in order.
Answer: one word and a newline; after `ok` a line that says which pictures the pages show, and the PDF. No text of the
mail travels back but inside the PDF.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterable, Sequence
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


def choose_images(images: Sequence[InlineImage]) -> list[int]:
    """Return the positions of the pictures that travel into the child."""
    kept: list[int] = []
    room = JOB_IMAGE_OCTETS
    for position, image in enumerate(images):
        if len(image.content) <= room:
            kept.append(position)
            room -= len(image.content)
    return kept


def encode_job(body: HtmlBody) -> bytes:
    """Return the octets of `body` for the child."""
    kept = [body.images[position] for position in choose_images(body.images)]
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


_SHOWN = re.compile(rb"[0-9a-f]+")


def encode_shown(shown: Iterable[int]) -> bytes:
    """Return the line that names pictures by their positions in the job: a number in hexadecimal, one bit a picture."""
    return b"%x\n" % sum(1 << position for position in set(shown))


def decode_shown(untrusted_line: bytes, kept: Sequence[int]) -> frozenset[int]:
    """Return the positions in the body's pictures; `kept` are those that travelled. ValueError for anything else."""
    if len(untrusted_line) > len(kept) // 4 + 1 or not _SHOWN.fullmatch(untrusted_line):
        raise ValueError("not a line of pictures")
    bits = int(untrusted_line, 16)
    return frozenset(position for place, position in enumerate(kept) if bits >> place & 1)
