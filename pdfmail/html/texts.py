"""The few words that the gateway itself adds to a body, in German and English."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BodyTexts:
    """Wording of placeholders and notices in one language."""

    language: str
    image: str
    image_left_out: str
    links: str
    link_goes_to: str
    shortened: str


ENGLISH = BodyTexts(
    "en",
    "Image",
    "image not shown",
    "Links in this message",
    "this link really leads to",
    "The message is longer than can be shown here. The complete text is in the attached message.eml.",
)
GERMAN = BodyTexts(
    "de",
    "Bild",
    "Bild nicht angezeigt",
    "Links in dieser Nachricht",
    "dieser Link führt in Wahrheit zu",
    "Die Nachricht ist länger, als hier gezeigt werden kann. Der ganze Text liegt als message.eml bei.",
)


def choose_texts(language: str) -> BodyTexts:
    """Return the wording for a BCP 47 tag: German for de, else English."""
    return GERMAN if language.lower().partition("-")[0] == "de" else ENGLISH
