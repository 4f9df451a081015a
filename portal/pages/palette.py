"""Colours of a brand: contrast by WCAG 2.2 (relative luminance), and the few colours that follow from one accent.

Refuses an accent that cannot be read (below 4.5:1 on page or surface); never repairs one silently, since the brand's
owner must see which colour people will get.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from relay.core.errors import ConfigurationError

LEAST_CONTRAST = 4.5
_HEX = re.compile(r"#[0-9a-f]{6}")


@dataclass(frozen=True, slots=True)
class Ground:
    """What an accent lies on: page, surface and text of the light or the dark scheme (portal.css holds the same)."""

    page: str
    surface: str
    text: str
    tint_share: float
    """How much of the accent goes into the tint, 0 to 1."""


LIGHT = Ground(page="#f5f7f8", surface="#ffffff", text="#15212b", tint_share=0.12)
DARK = Ground(page="#0e1419", surface="#151d24", text="#e7edf2", tint_share=0.22)


@dataclass(frozen=True, slots=True)
class Accent:
    """One scheme's accent and what follows from it; every pair that carries text has 4.5:1 or more."""

    accent: str
    on_accent: str
    tint: str
    tint_text: str


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _linear(value: int) -> float:
    share = value / 255
    return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4


def compute_luminance(colour: str) -> float:
    """Return the relative luminance of `#rrggbb`, 0 (black) to 1 (white)."""
    red, green, blue = (_linear(value) for value in _channels(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def compute_contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours, 1 to 21."""
    bright, dark = sorted((compute_luminance(one), compute_luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def _mix(one: str, other: str, share: float) -> str:
    pairs = zip(_channels(one), _channels(other), strict=True)
    return "#" + "".join(f"{round(a * share + b * (1 - share)):02x}" for a, b in pairs)


def _most_readable(on: str, *candidates: str) -> str:
    return max(candidates, key=lambda colour: compute_contrast(colour, on))


def make_accent(key: str, colour: str, ground: Ground) -> Accent:
    """Check an accent against its ground and derive the rest. `key` is the setting's name, for the error.

    Raises ConfigurationError if it is not `#rrggbb` or its contrast is below 4.5:1.
    """
    accent = colour.strip().lower()
    if not _HEX.fullmatch(accent):
        raise ConfigurationError(key, "is not a colour of the form #rrggbb", 'Write it like "#0e5a63"')
    found = min(compute_contrast(accent, ground.page), compute_contrast(accent, ground.surface))
    if found < LEAST_CONTRAST:
        direction = "darker" if ground is LIGHT else "lighter"
        raise ConfigurationError(
            key,
            f"{accent} has a contrast of {found:.2f}:1 on the page, too little to read",
            f"Choose a {direction} colour with at least {LEAST_CONTRAST}:1",
        )
    tint = _mix(accent, ground.surface, ground.tint_share)
    share = 1.0
    while compute_contrast(_mix(accent, ground.text, share), tint) < LEAST_CONTRAST and share > 0:
        share -= 0.1
    return Accent(
        accent=accent,
        on_accent=_most_readable(accent, "#ffffff", _mix(accent, "#000000", 0.2)),
        tint=tint,
        tint_text=_mix(accent, ground.text, max(share, 0.0)),
    )
