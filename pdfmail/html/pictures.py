"""Pictures that came with the mail, checked before the layout engine sees them.

Only PNG, JPEG, GIF, WebP and BMP that Pillow knows by content, never by the declared type; SVG, EMF and the like are
left out. The size is read from the header first, so that a decompression bomb costs nothing. Large photographs are made
smaller. Source: RFC 2392 (cid:), RFC 2557; Pillow's documentation of `draft`.
"""

from __future__ import annotations

import base64
import io
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from PIL import Image

from pdfmail.model import InlineImage

FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP")
MAX_PIXELS = 50_000_000  # 50 Mpx: a large camera; 30 000 x 30 000 is 900
MAX_PIXELS_ALL = 120_000_000  # of one mail, as the header says
KEEP_PIXELS = 4_000_000  # beyond this a picture is made smaller: 170 mm at 300 dpi are 2000 pixels
KEEP_EDGE = 2000
MIME = {"PNG": "image/png", "JPEG": "image/jpeg"}


@dataclass(frozen=True, slots=True)
class Picture:
    """A checked picture: PNG or JPEG octets, width and height in pixels."""

    media_type: str
    content: bytes
    width: int
    height: int
    is_whole: bool = True
    """False when it is only part of what the mail holds: made smaller, or the first of several frames."""


def normalise_content_id(untrusted_id: str) -> str:
    """Return a Content-ID as pictures are looked up: no angle brackets, percent-decoded (RFC 2392)."""
    return unquote(untrusted_id.strip()).strip("<> \t").lower()


_DATA = re.compile(
    r"""(?<=\ssrc=)(["']?)\s*data:image/(?:png|jpe?g|gif|webp|bmp)(?:;[a-z0-9=-]{1,40})?;base64,([A-Za-z0-9+/=\s%]*+)""",
    re.IGNORECASE,
)
DATA_OCTETS = 48 << 20
MAX_DATA_PICTURES = 200


def extract_data_pictures(untrusted_html: str) -> tuple[str, tuple[InlineImage, ...]]:
    """Take pictures that stand in the markup itself out of it (RFC 2397); they are checked like any other part."""
    found: list[InlineImage] = []
    room = DATA_OCTETS

    def take(match: re.Match[str]) -> str:
        nonlocal room
        encoded = match[2]
        if len(found) >= MAX_DATA_PICTURES or len(encoded) > room:
            return match[1]
        room -= len(encoded)
        try:
            content = base64.b64decode(unquote(encoded))
        except ValueError:
            return match[1]
        found.append(InlineImage(f"letterlock-data-{len(found)}", "", content))
        return f"{match[1]}cid:{found[-1].content_id}"

    return (_DATA.sub(take, untrusted_html), tuple(found)) if "base64," in untrusted_html else (untrusted_html, ())


class PictureBook:
    """The pictures of one mail by Content-ID, each checked at its first use."""

    def __init__(self, images: Sequence[InlineImage]) -> None:
        # Of several with one Content-ID the last one counts.
        self._images = {
            normalise_content_id(image.content_id): (position, image.content) for position, image in enumerate(images)
        }
        self._checked: dict[str, Picture | None] = {}
        self._room = MAX_PIXELS_ALL

    def find(self, untrusted_id: str) -> tuple[str, Picture] | None:
        """Return a safe key and the picture that `cid:` names, None if there is none that can be shown."""
        name = normalise_content_id(untrusted_id)
        found = self._images.get(name)
        if found is None:
            return None
        if name not in self._checked:
            self._checked[name] = self._check(found[1])
        picture = self._checked[name]
        return None if picture is None else (f"p{list(self._checked).index(name)}", picture)

    def list_used(self) -> dict[str, Picture]:
        """Return the pictures found so far by their safe keys."""
        return {f"p{number}": picture for number, picture in enumerate(self._checked.values()) if picture is not None}

    def list_whole(self) -> dict[str, int]:
        """Return the safe keys of the pictures found so far that are all there is, with their places in `images`."""
        return {
            f"p{number}": self._images[name][0]
            for number, (name, picture) in enumerate(self._checked.items())
            if picture is not None and picture.is_whole
        }

    def _check(self, untrusted_content: bytes) -> Picture | None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # our own pixel limit stands in for Pillow's warning
                with Image.open(io.BytesIO(untrusted_content), formats=FORMATS) as image:
                    width, height = image.size
                    pixels = width * height
                    if not 0 < pixels <= min(MAX_PIXELS, self._room):
                        return None
                    self._room -= pixels
                    has_more = bool(getattr(image, "is_animated", False))
                    if pixels <= KEEP_PIXELS and image.format in MIME:
                        image.load()
                        return Picture(MIME[image.format], untrusted_content, width, height, not has_more)
                    return _make_smaller(image, is_whole=pixels <= KEEP_PIXELS and not has_more)
        except MemoryError:
            raise
        except Exception:  # Pillow's decoders raise whatever they like on broken files
            return None


def make_samples() -> tuple[InlineImage, ...]:
    """Return a tiny picture of each format, named by the format: a process that drew them has every decoder loaded."""
    samples: list[InlineImage] = []
    for name in FORMATS:
        out = io.BytesIO()
        Image.new("RGB", (2, 2), "#808080").save(out, name)
        samples.append(InlineImage(name.lower(), f"image/{name.lower()}", out.getvalue()))
    return tuple(samples)


def _make_smaller(image: Image.Image, *, is_whole: bool) -> Picture:
    """Return the first frame as a PNG or JPEG of at most KEEP_EDGE pixels a side."""
    if image.format == "JPEG":
        image.draft("RGB", (KEEP_EDGE, KEEP_EDGE))  # decodes at a half, a quarter or an eighth
    has_alpha = image.mode in {"RGBA", "LA", "PA"} or "transparency" in image.info
    frame = image.convert("RGBA" if has_alpha else "RGB")
    frame.thumbnail((KEEP_EDGE, KEEP_EDGE))
    out = io.BytesIO()
    is_photo = image.format in {"JPEG", "WEBP"} and not has_alpha
    if is_photo:
        exif = image.getexif()
        rotated = Image.Exif()
        rotated[0x0112] = exif.get(0x0112, 1)  # orientation only; the rest of EXIF stays behind
        frame.save(out, "JPEG", quality=85, exif=rotated)
        return Picture("image/jpeg", out.getvalue(), *frame.size, is_whole)
    frame.save(out, "PNG")
    return Picture("image/png", out.getvalue(), *frame.size, is_whole)
