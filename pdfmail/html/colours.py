"""CSS colours of untrusted mail: one normal form, and how far two colours are apart.

Must not raise on any text. Source: CSS Color Module Level 3, sections 4.1-4.3; WCAG 2.2 relative luminance.
"""

from __future__ import annotations

import re

SYSTEM_COLOURS = {  # CSS Color 3, 4.5.1 (deprecated); Word writes windowtext for every table border
    "windowtext": "#000000",
    "window": "#ffffff",
    "buttontext": "#000000",
    "buttonface": "#dddddd",
    "captiontext": "#000000",
    "infobackground": "#ffffff",
    "infotext": "#000000",
    "menutext": "#000000",
    "menu": "#ffffff",
    "graytext": "#808080",
    "canvas": "#ffffff",
    "canvastext": "#000000",
    "linktext": "#0000ee",
    "activeborder": "#808080",
    "threedface": "#dddddd",
    "auto": "#000000",  # Word again
}
_NAMES = (
    "aqua black blue fuchsia gray green lime maroon navy olive purple red silver teal white yellow orange aliceblue "
    "antiquewhite aquamarine azure beige bisque blanchedalmond blueviolet brown burlywood cadetblue chartreuse "
    "chocolate coral cornflowerblue cornsilk crimson cyan darkblue darkcyan darkgoldenrod darkgray darkgreen darkgrey "
    "darkkhaki darkmagenta darkolivegreen darkorange darkorchid darkred darksalmon darkseagreen darkslateblue "
    "darkslategray darkslategrey darkturquoise darkviolet deeppink deepskyblue dimgray dimgrey dodgerblue firebrick "
    "floralwhite forestgreen gainsboro ghostwhite gold goldenrod greenyellow grey honeydew hotpink indianred indigo "
    "ivory khaki lavender lavenderblush lawngreen lemonchiffon lightblue lightcoral lightcyan lightgoldenrodyellow "
    "lightgray lightgreen lightgrey lightpink lightsalmon lightseagreen lightskyblue lightslategray lightslategrey "
    "lightsteelblue lightyellow limegreen linen magenta mediumaquamarine mediumblue mediumorchid mediumpurple "
    "mediumseagreen mediumslateblue mediumspringgreen mediumturquoise mediumvioletred midnightblue mintcream "
    "mistyrose moccasin navajowhite oldlace olivedrab orangered orchid palegoldenrod palegreen paleturquoise "
    "palevioletred papayawhip peachpuff peru pink plum powderblue rosybrown royalblue saddlebrown salmon sandybrown "
    "seagreen seashell sienna skyblue slateblue slategray slategrey snow springgreen steelblue tan thistle tomato "
    "turquoise violet wheat whitesmoke yellowgreen rebeccapurple"
)
NAMED_COLOURS = frozenset(_NAMES.split())

_HEX = re.compile(r"#?([0-9a-f]{8}|[0-9a-f]{6}|[0-9a-f]{3,4})")
_FUNCTION = re.compile(r"(rgb|hsl)a?\(([0-9a-z%.,\s/-]{1,60})\)")
_NUMBER = re.compile(r"-?[0-9]{1,4}(?:\.[0-9]{0,6})?%?")


def parse_colour(untrusted_text: str) -> str | None:
    """Return the colour as #rrggbb, a CSS name, rgb() or hsl() of plain numbers, or `transparent`; None otherwise."""
    text = untrusted_text.strip().lower()
    if text in NAMED_COLOURS:
        return text
    if text in SYSTEM_COLOURS:
        return SYSTEM_COLOURS[text]
    if text == "transparent":
        return text
    if match := _HEX.fullmatch(text):
        digits = match[1]
        if len(digits) in {3, 4}:
            digits = "".join(digit * 2 for digit in digits)
        return "transparent" if len(digits) == 8 and digits[6:] == "00" else "#" + digits[:6]
    if match := _FUNCTION.fullmatch(text):
        return _parse_function(match[1], match[2])
    return None


def _parse_function(name: str, arguments: str) -> str | None:
    numbers = [part for part in re.split(r"[\s,/]+", arguments.strip()) if part]
    if len(numbers) not in {3, 4} or not all(_NUMBER.fullmatch(part) for part in numbers):
        return None
    if len(numbers) == 4 and _read_number(numbers[3], 1.0) < 0.05:
        return "transparent"
    if name == "hsl":
        if not (numbers[1].endswith("%") and numbers[2].endswith("%")):
            return None
        return f"hsl({numbers[0].rstrip('%')}, {numbers[1]}, {numbers[2]})"
    red, green, blue = (min(255, max(0, round(_read_number(part, 255.0)))) for part in numbers[:3])
    return f"#{red:02x}{green:02x}{blue:02x}"


def _read_number(text: str, whole: float) -> float:
    return float(text[:-1]) / 100 * whole if text.endswith("%") else float(text)


def measure_lightness(colour: str) -> float | None:
    """Return the relative luminance 0..1 of a parsed colour; None if it is not known here."""
    if colour in _COMMON:
        colour = _COMMON[colour]
    if not (colour.startswith("#") and len(colour) == 7):
        return None
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


_COMMON = {
    "white": "#ffffff",
    "black": "#000000",
    "snow": "#fffafa",
    "ivory": "#fffff0",
    "whitesmoke": "#f5f5f5",
    "ghostwhite": "#f8f8ff",
    "floralwhite": "#fffaf0",
    "red": "#ff0000",
    "blue": "#0000ff",
    "navy": "#000080",
    "green": "#008000",
    "gray": "#808080",
    "grey": "#808080",
    "silver": "#c0c0c0",
    "yellow": "#ffff00",
    "gainsboro": "#dcdcdc",
    "lightgray": "#d3d3d3",
    "lightgrey": "#d3d3d3",
}


def measure_contrast(first: float, second: float) -> float:
    """Return the contrast ratio 1..21 of two luminances (WCAG 2.2)."""
    light, dark = max(first, second), min(first, second)
    return (light + 0.05) / (dark + 0.05)
