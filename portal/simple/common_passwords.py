"""Passwords that many people use, by the browser's rules (static/portal/src/engine/common_passwords.js)."""

from __future__ import annotations

import re

_TEXT = (
    "password passwort passw0rd p@ssword p@ssw0rd pa55word kennwort geheim geheimnis secret mypassword "
    "meinpasswort changeme letmein welcome willkommen hallo hello helloworld hallowelt gutentag gutenmorgen "
    "admin administrator root user benutzer guest gast test tester demo default login zugang office buero "
    "iloveyou ichliebedich liebe love schatz schatzi prinzessin princess sonnenschein sunshine sommer summer "
    "winter fruehling herbst autumn spring montag monday januar january dezember december football fussball "
    "baseball liverpool arsenal bayern dortmund schalke hamburg berlin muenchen frankfurt monkey dragon master "
    "shadow superman batman pokemon starwars michael jessica charlie daniel thomas andreas computer internet "
    "samsung google facebook microsoft windows trustno whatever freedom mustang ferrari porsche mercedes familie "
    "family letterlock portal mailbox postfach email"
)
WORDS = frozenset(_TEXT.split())
ROWS = (
    "12345678901234567890",
    "09876543210987654321",
    "qwertzuiopasdfghjklyxcvbnm",
    "qwertyuiopasdfghjklzxcvbnm",
    "abcdefghijklmnopqrstuvwxyz",
    "1q2w3e4r5t6z7u8i9o0p",
    "1q2w3e4r5t6y7u8i9o0p",
    "1qay2wsx3edc4rfv5tgb",
    "1qaz2wsx3edc4rfv5tgb",
)
_REPEATED = re.compile(r"(.{1,4})\1{2,}.{0,3}")
_NUMBER = re.compile(r"[0-9]{12,19}")
_EDGES = re.compile(r"^[0-9!?.,#$*+_ -]+|[0-9!?.,#$*+_ -]+$")
_BETWEEN = re.compile(r"[ ._-]+")


def is_common(folded: str) -> bool:
    """Tell whether a password, in lower case, is one of those."""
    if _REPEATED.fullmatch(folded) or _NUMBER.fullmatch(folded):
        return True
    core = _EDGES.sub("", folded)
    if any(folded in row or (len(core) > 3 and core in row) for row in ROWS):
        return True
    half = core[: len(core) // 2]
    return all(word in WORDS for word in _BETWEEN.split(core)) or (half + half == core and half in WORDS)


class CommonPasswords:
    """What `check_own_password` takes for its list."""

    def __contains__(self, folded: object) -> bool:
        return isinstance(folded, str) and is_common(folded)
