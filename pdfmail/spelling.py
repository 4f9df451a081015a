"""Passwords spelled for the telephone, in English and German.

Sources: ICAO/NATO spelling alphabet; DIN 5009:2022 (town names). Digits are given as words. Lower case is the rule for
generated passwords and is said once, not with every letter.
"""

from __future__ import annotations

_NATO = [
    "Alfa",
    "Bravo",
    "Charlie",
    "Delta",
    "Echo",
    "Foxtrot",
    "Golf",
    "Hotel",
    "India",
    "Juliett",
    "Kilo",
    "Lima",
    "Mike",
    "November",
    "Oscar",
    "Papa",
    "Quebec",
    "Romeo",
    "Sierra",
    "Tango",
    "Uniform",
    "Victor",
    "Whiskey",
    "X-ray",
    "Yankee",
    "Zulu",
]
_DIN_5009 = [
    "Aachen",
    "Berlin",
    "Chemnitz",
    "Düsseldorf",
    "Essen",
    "Frankfurt",
    "Goslar",
    "Hamburg",
    "Ingelheim",
    "Jena",
    "Köln",
    "Leipzig",
    "München",
    "Nürnberg",
    "Offenbach",
    "Potsdam",
    "Quickborn",
    "Rostock",
    "Salzwedel",
    "Tübingen",
    "Unna",
    "Völklingen",
    "Wuppertal",
    "Xanten",
    "Ypsilon",
    "Zwickau",
]
_DIGITS = {
    "en": ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"],
    "de": ["null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"],
}
_SIGNS = {
    "en": {" ": "blank", "-": "hyphen", ".": "full stop", "_": "underscore", "@": "at sign"},
    "de": {" ": "Leerzeichen", "-": "Bindestrich", ".": "Punkt", "_": "Unterstrich", "@": "At-Zeichen"},
}
_CAPITAL = {"en": "capital", "de": "groß"}
_SIGN = {"en": "sign", "de": "Zeichen"}


def spell_password(password: str, language: str) -> list[str]:
    """Return one line a group: `dghz   Delta, Golf, Hotel, Zulu`.

    `language` is "de" or "en" (else English). Groups are what stands between hyphens; a password without hyphens is
    one group. Letters outside A-Z are spelled as themselves.
    """
    code = "de" if language.lower().startswith("de") else "en"
    return [f"{group}   {', '.join(_spell(letter, code) for letter in group)}" for group in password.split("-")]


def _spell(letter: str, code: str) -> str:
    if letter.isascii() and letter.isdigit():
        return _DIGITS[code][int(letter)]
    if letter.isascii() and letter.isalpha():
        word = (_DIN_5009 if code == "de" else _NATO)[ord(letter.lower()) - ord("a")]
        return f"{_CAPITAL[code]} {word}" if letter.isupper() else word
    return _SIGNS[code].get(letter, f"{_SIGN[code]} {letter}")
