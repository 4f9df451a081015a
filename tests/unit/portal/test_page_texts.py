"""Every text of the pages has a German twin with the same placeholders, and each translation is shown somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from babel.messages.pofile import read_po
from jinja2.ext import babel_extract

from portal.pages import texts as words
from portal.pages.languages import read_texts
from portal.pages.mailbox_texts import MAILBOX
from relay.core.errors import ConfigurationError

TEMPLATES = Path(__file__).parents[3] / "templates/portal"
PLACEHOLDER = re.compile(r"%\(\w+\)s|\{\w+\}")


def find_texts() -> set[str]:
    found: set[str] = set()
    for path in TEMPLATES.rglob("*.html"):
        with path.open("rb") as file:
            for _line, _function, message, _comments in babel_extract(file, ["_"], [], {"silent": "false"}):
                found.add(message if isinstance(message, str) else str(message[0]))
    for table in (words.SHELL, words.PASSWORD, words.ENTRY, words.REPLY, words.JOIN, MAILBOX):
        found.update(table.values())
    return found


def read_german() -> dict[str, str]:
    found: dict[str, str] = {}
    for path in TEMPLATES.glob("translations/*.de.po"):
        with path.open("rb") as file:
            catalogue = read_po(file, locale="de", abort_invalid=True)
        found.update({str(message.id): str(message.string) for message in catalogue if message.id})
    return found


def test_every_text_is_translated_and_every_translation_used() -> None:
    shown, german = find_texts(), read_german()
    assert shown - german.keys() == set()
    assert german.keys() - shown == set()


def test_translations_have_the_same_places_and_speak_plainly() -> None:
    for english, german in read_german().items():
        assert sorted(PLACEHOLDER.findall(english)) == sorted(PLACEHOLDER.findall(german)), english
        assert german
        assert "!" not in english + german
        assert not re.search(r"\b(?:du|dein|deine|dich|dir|euch)\b", german, re.IGNORECASE), german


def test_catalogues_do_not_contradict_each_other() -> None:
    found: dict[str, set[str]] = {}
    for path in TEMPLATES.glob("translations/*.de.po"):
        with path.open("rb") as file:
            for message in read_po(file, locale="de", abort_invalid=True):
                if message.id:
                    found.setdefault(str(message.id), set()).add(str(message.string))
    assert {english: german for english, german in found.items() if len(german) > 1} == {}


def test_a_text_without_a_translation_is_shown_in_english() -> None:
    texts = read_texts(TEMPLATES / "translations")
    assert texts["de"].translate("Nobody wrote this down") == "Nobody wrote this down"
    assert texts["de"].translate("Help") == "Hilfe"
    assert texts["en"].translate("Help") == "Help"


def test_values_are_escaped_in_markup() -> None:
    texts = read_texts(TEMPLATES / "translations")
    made = texts["en"].translate_markup("Questions? Call %(organisation)s:", organisation="<b>Smith & Sons")
    assert made == "Questions? Call &lt;b&gt;Smith &amp; Sons:"


def test_a_broken_catalogue_is_named(tmp_path: Path) -> None:
    (tmp_path / "pages.de.po").write_text("this is no catalogue\n", "utf-8")
    with pytest.raises(ConfigurationError, match=r"pages\.de\.po"):
        read_texts(tmp_path)
