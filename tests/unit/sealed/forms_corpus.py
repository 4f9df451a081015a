"""Makes tests/data/sealed/forms.json: typed texts with their forms, for Python and the browsers alike.

    python -m tests.unit.sealed.forms_corpus

Sections as in vectors.json. `refused`: the inside takes no such login name and a browser may answer anything; `error`:
both refuse. Characters are those of Unicode 3.2, which all sides read alike.
"""

from __future__ import annotations

import json
import random
import unicodedata
from pathlib import Path
from typing import Any

from relay.core.wire.sealed import MailboxDataError, check_own_password, normalise_login_name, read_secret

FILE = Path(__file__).parents[2] / "data/sealed/forms.json"
COUNT = 400
"""Entries a section."""
NAME = "anna@example.org"

_WHITE = "\t\n\v\f\r \xa0\u1680\u2000\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
_NOT_WHITE = "\x1c\x1f\x85\u180e\u200b\u2060\u2016\u2212"
_DASHES = "-\u2010\u2011\u2012\u2013\u2014\u2015"
_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
_SPECIAL = (
    "\u00df\u03c2\u03a3\u0130\u0131\u1e9e\u00c4A\u0308e\u0301\u212a\ufb01\uff21\u3002\u200d\u200c\xad\u0345\ud7a3\u1100"
)
_DOMAINS = (
    "b\u00fccher",
    "stra\u00dfe",
    "\u4f8b\u3048",
    "\u0645\u062b\u0627\u0644",
    "xn--bcher-kva",
    "\uff11",
    "a_b",
    "\u2603",
    "o\u02bc",
)


def _is_old(character: str) -> bool:
    category = unicodedata.category(character)
    return category not in ("Cn", "Cs", "Co") and unicodedata.ucd_3_2_0.category(character) != "Cn"


class Maker:
    """Draws texts from a seeded source."""

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed)

    def character(self) -> str:
        """One character of a kind that tends to be read differently."""
        kind = self._draw.randrange(8)
        if kind < 3:
            return chr(self._draw.randrange(33, 127))
        if kind < 5:
            return self._draw.choice(_WHITE + _NOT_WHITE + _DASHES + _SPECIAL)
        while True:
            character = chr(self._draw.randrange(0xA0, 0x2FFFF))
            if _is_old(character):
                return character

    def text(self, least: int, most: int) -> str:
        """A text of such characters."""
        return "".join(self.character() for _ in range(self._draw.randrange(least, most + 1)))

    def machine(self, length: int) -> str:
        """A machine-made secret as a person types it: grouped, upper and lower case, letters that look like digits."""
        pieces = []
        for _ in range(length):
            character = self._draw.choice(_CROCKFORD)
            if self._draw.random() < 0.3:
                character = {"0": "oO", "1": "iIlL"}.get(character, character.upper())[0]
            pieces.append(character)
            if self._draw.random() < 0.2:
                pieces.append(self._draw.choice(_WHITE + _DASHES))
        return "".join(pieces)

    def domain(self) -> str:
        """A domain, usual or odd."""
        labels = [
            self._draw.choice((*_DOMAINS, "Example", "mail2", self.text(1, 4)))
            for _ in range(self._draw.randrange(1, 4))
        ]
        return self._draw.choice(".....\u3002\uff0e").join(
            (*labels, self._draw.choice(("example", "ORG", "1", "0x1f", "jp.")))
        )

    def address(self) -> str:
        """An address as somebody types it."""
        local = self._draw.choice(("Anna", "a.B+c", "\u00c4rtzt", "A\u0308rtzt", "a@b", "", self.text(1, 6)))
        at = self._draw.choice(("@", "@", "@", "@", "@", "@", "", "\uff20"))
        edge = self._draw.choice(("", "", " ", "\ufeff", "\u3000", "\x85", "\x1f"))
        return f"{edge}{local}{at}{self.domain()}{edge}"

    def secret(self) -> tuple[str, str, str]:
        """Form, text and code of a secret."""
        form = self._draw.choice(("own", "own", "b32", "digits", "words"))
        length = {"own": 12, "b32": 16}.get(form, 24)
        typed = self.machine(length) if self._draw.random() < 0.5 else self.text(1, 24)
        if form == "words" and self._draw.random() < 0.5:
            typed = f" Apfel-Baum {self.text(0, 3)} \u00d6l "
        code = self._draw.choice(("", "", "", " ", self.machine(12), self.text(1, 5)))
        return form, typed, code


def answer(section: str, entry: dict[str, str]) -> dict[str, Any]:
    """What Python says of an entry's input."""
    typed = entry["typed"]
    try:
        if section == "login_name":
            return {"name": normalise_login_name(typed)}
        if section == "secret":
            return {"utf8": read_secret(entry["form"], typed, entry["code"]).decode()}
    except MailboxDataError:
        if section == "secret":
            return {"error": "secret"}
        is_odd = "@" in typed and not typed.rpartition("@")[2].isascii()
        return {"refused": True} if is_odd else {"error": "name"}
    return {"why": check_own_password(typed, entry["name"])}


def make_forms() -> dict[str, Any]:
    """Return the corpus."""
    maker = Maker(20270104)
    inputs: dict[str, list[dict[str, str]]] = {"login_name": [], "secret": [], "own_password": []}
    for _ in range(COUNT):
        inputs["login_name"].append({"typed": maker.address()})
        inputs["secret"].append(dict(zip(("form", "typed", "code"), maker.secret(), strict=True)))
        typed = maker.machine(12) if maker.text(1, 1) < "8" else maker.text(8, 16)
        inputs["own_password"].append({"typed": typed, "name": NAME})
    lone = "\ud83d"
    inputs["login_name"].append({"typed": f"a{lone}@example.org"})
    inputs["secret"].append({"form": "own", "typed": f"thirteen char{lone}", "code": ""})
    inputs["own_password"] += [
        {"typed": f"thirteen char{lone}", "name": NAME},
        {"typed": "Anna@Example.org", "name": NAME},
    ]
    sections = {
        section: [{**entry, **answer(section, entry)} for entry in entries] for section, entries in inputs.items()
    }
    return {"about": "Typed texts and their forms; see tests/unit/sealed/forms_corpus.py.", **sections}


if __name__ == "__main__":
    FILE.write_text(json.dumps(make_forms(), indent=1) + "\n", "ascii")
