"""Languages of the pages: gettext catalogues read as text at start, and the choice for one request.

The English text is the message id. Catalogues lie as `*.de.po` in templates/portal/translations; no compiled file is
kept, so a translator's change needs no tool. A text without a translation is shown in English and found by the tests.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import PoFileError, read_po
from babel.support import Translations
from markupsafe import Markup, escape
from werkzeug.datastructures import LanguageAccept

from relay.core.errors import ConfigurationError

LABELS: Mapping[str, str] = MappingProxyType({"de": "Deutsch", "en": "English"})


class Texts:
    """All texts of one language."""

    def __init__(self, language: str, translations: Translations) -> None:
        self.language = language
        self._translations = translations

    def translate(self, english: str) -> str:
        """Return the plain text, for JSON and titles; placeholders stay."""
        return str(self._translations.ugettext(english)) if english else ""

    def translate_markup(self, english: str, **values: object) -> Markup:
        """Return the text for HTML: escaped, with `%(name)s` filled; a value that is Markup stays Markup."""
        text = Markup(escape(self.translate(english)))  # noqa: S704 (escaped in the same breath)
        return text % values if values else text


def read_texts(folder: Path, languages: Sequence[str] = tuple(LABELS)) -> Mapping[str, Texts]:
    """Read every catalogue `*.LANGUAGE.po` of `folder`. Raises ConfigurationError for one that is no catalogue."""
    texts = {}
    for language in languages:
        whole = Catalog(locale=language)
        for path in sorted(folder.glob(f"*.{language}.po")):
            try:
                with path.open("rb") as file:
                    catalogue = read_po(file, locale=language, abort_invalid=True)
            except (OSError, PoFileError, UnicodeDecodeError) as error:
                raise ConfigurationError(str(path), "is not a catalogue", "Install the package again") from error
            for message in catalogue:
                if message.id and not message.fuzzy:
                    whole.add(message.id, message.string)
        compiled = io.BytesIO()
        write_mo(compiled, whole)
        compiled.seek(0)
        texts[language] = Texts(language, Translations(compiled))
    return MappingProxyType(texts)


COOKIE = "letterlock-language"
"""What the reader chose, kept by the pages' scripts (static/portal/src/app/language.js)."""


def choose_language(wanted: Sequence[str | None], accepted: LanguageAccept, offered: Sequence[str]) -> str:
    """Choose by what is wanted (`?lang=`, then the cookie), else by Accept-Language (RFC 9110 section 12.5.4).

    Else it is the brand's first language.
    """
    for one in wanted:
        if one in offered:
            return str(one)
    for language, quality in accepted:
        short = language.replace("_", "-").split("-", maxsplit=1)[0].lower()
        if quality > 0 and short in offered:
            return short
    return offered[0]
