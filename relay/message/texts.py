"""Wording of the mails that Letterlock writes, from templates in templates/mail/, German and English.

A template is text with $names (string.Template); the HTML is built here from the text, so both always say the same.
Must not log a value: a notice may hold a password.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RenderedText:
    """Subject, plain text (LF) and an HTML body of one mail in one language."""

    language: str
    subject: str
    text: str
    html: str


class MailTexts:
    """The templates of one directory, read once."""

    def __init__(self, directory: Path | None = None) -> None:
        """Read the shipped templates, or those of another directory. Raises ConfigurationError when one is missing."""
        raise NotImplementedError

    def render(self, name: str, language: str, values: Mapping[str, str]) -> RenderedText:
        """Fill in one template. An unknown language falls back to English. Raises KeyError on a missing value."""
        raise NotImplementedError
