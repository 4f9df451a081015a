"""Errors of the PDF library. Each knows whether a later try can help (`temporary`)."""

from __future__ import annotations

from enum import StrEnum


class PdfMailError(Exception):
    """Base of all errors raised by this library."""

    temporary: bool = True


class PasswordError(PdfMailError):
    """The password cannot be used in a PDF that opens in every reader (pdf.md 2.4)."""

    temporary = False


class RenderCause(StrEnum):
    """Why a body could not be rendered. Only this word crosses the border from the render child."""

    TIME = "time"
    MEMORY = "memory"
    CRASH = "crash"
    PAGES = "pages"
    INPUT = "input"


class RenderError(PdfMailError):
    """The render child died or gave up on this body. The same body would fail again."""

    temporary = False

    def __init__(self, cause: RenderCause) -> None:
        super().__init__(f"body could not be rendered: {cause.value}")
        self.cause = cause


class UnguardedHostError(PdfMailError):
    """This host does not let the render child be cut off from network and files, so HTML is not rendered at all."""


class AttachmentReadError(PdfMailError):
    """An attachment's content could not be read from its source."""


class FontMissingError(PdfMailError):
    """A font of the system's packages is missing; the message names the package to install."""


class BrandError(PdfMailError):
    """A brand cannot be drawn: bad colour, or a logo that is no PNG, JPEG or PDF page."""

    temporary = False


class OptionError(PdfMailError):
    """An option cannot be used, e.g. a reply address that is no https URL."""

    temporary = False
