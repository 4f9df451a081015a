"""The mailbox's words: what its scripts ask for is there, in English and German, and nothing is left over."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from portal.pages import read_texts
from portal.pages.mailbox_texts import MAILBOX
from portal.pages.texts import PASSWORD, SHELL

ROOT = Path(__file__).parents[3]
APP = ROOT / "static/portal/src/app"
WORDS = {**SHELL, **PASSWORD, **MAILBOX}
MADE = {
    "back-": ("inbox", "sent", "message"),
    "empty-": ("inbox", "sent", "drafts", "search"),
    "file-": ("waiting", "sending", "done", "failed", "lost"),
    "sent-": ("handed-over", "arrived", "refused"),
}
"""Names that scripts put together from a beginning and one of these."""


def _read_scripts() -> str:
    return "\n".join(path.read_text("utf-8") for path in sorted(APP.glob("*.js")))


def test_every_asked_word_exists() -> None:
    """`t("name")`, and names kept in tables."""
    scripts = _read_scripts()
    asked = set(re.findall(r'\bt\("([\w.-]+)"', scripts)) | set(
        re.findall(r'"((?:key|error|password)[.-][\w.-]+)"', scripts)
    )
    asked |= {begin + end for begin, ends in MADE.items() for end in ends}
    asked -= {"password-title", "password-text"}
    assert sorted(asked - set(WORDS)) == []


def test_every_word_is_used() -> None:
    """A word that no script names any more goes."""
    scripts = _read_scripts()
    made = {begin + end for begin, ends in MADE.items() for end in ends}
    made |= {f"{name}-name" for name in ("pause", "resume", "remove")} | {f"{name}-why" for name in MAILBOX}
    unused = [name for name in MAILBOX if f'"{name.removesuffix(".one")}"' not in scripts and name not in made]
    assert unused == []


def test_every_word_is_translated_with_its_placeholders() -> None:
    """German says as much as English, with the same placeholders."""
    german = read_texts(ROOT / "templates/portal/translations")["de"]
    for name, english in MAILBOX.items():
        translated = german.translate(english)
        assert translated != english or english in ("Organisation",), name
        assert set(re.findall(r"\{\w+\}", translated)) == set(re.findall(r"\{\w+\}", english)), name
        assert not re.search(r"[<>]|!$|\bdu\b|\bdein", translated), name


@pytest.mark.parametrize("template", ["mailbox.html", "frame.html"])
def test_templates_are_translated_and_hold_no_inline_code(template: str) -> None:
    """The policy forbids inline code; a reader of German must not meet English."""
    text = (ROOT / "templates/portal" / template).read_text("utf-8")
    body = re.sub(r"\{#.*?#\}", "", text, flags=re.DOTALL)
    assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=", body)
    german = read_texts(ROOT / "templates/portal/translations")["de"]
    for english in re.findall(r'_\("([^"]+)"', body):
        assert german.translate(english) != english, english
