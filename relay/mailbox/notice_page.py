"""A notice to the partner as HTML that every mail program shows: one table of 560 px, inline styles, nothing remote.

Fragments lie in templates/mail/NAME.LANGUAGE.html: `$name` is a value, `{name ...}` is shown only where that
value is not empty, `{!name ...}` where it is, `{button ...}` is the one button. Values are escaped, never mark-up.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template

from relay.core.errors import ConfigurationError
from relay.core.resources import templates_folder
from relay.message.texts import LANGUAGES, MailBrand
from relay.message.words import clean_text

_BLOCK = re.compile(r"\{(!?[a-z_]+) ([^{}]*)\}")
_NAME = re.compile(r"\$([a-z_]+)")
_LINK = '<p>LABEL: <a href="$portal_url" class="ll-link" style="color:#0e5a63;word-break:break-all">$portal_url</a></p>'
"""The address goes in by its name and last, so that nothing in it is taken for a name."""
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_FONT = "font-family:-apple-system,'Segoe UI',Roboto,Arial,sans-serif"
_STYLES = {
    "<h1>": "font-size:22px;line-height:1.3;font-weight:650;margin:0 0 16px",
    "<h2>": "font-size:17px;line-height:1.4;font-weight:650;margin:28px 0 4px",
    "<p>": "margin:0 0 12px",
    '<p class="quiet">': "margin:0 0 12px;font-size:14px;color:#52606d",
    "<table>": "border-collapse:collapse;margin:20px 0 12px;background:#e2f0f1;width:100%",
    "<td>": "padding:8px 14px;vertical-align:top;word-break:break-word",
    '<td class="code">': "padding:8px 14px;vertical-align:top;font:600 18px Consolas,Menlo,monospace",
    '<strong class="plain">': "font-weight:600",
    "<span>": "font-size:14px;font-weight:400;font-family:inherit;color:#52606d",
}
_CLASSES = {'<p class="quiet">': "ll-quiet", "<span>": "ll-quiet", "<table>": "ll-tint"}
_DARK = (
    "@media (prefers-color-scheme:dark){"
    ".ll-page{background:#0e1419!important}.ll-card{background:#151d24!important;color:#e7edf2!important}"
    ".ll-quiet{color:#a5b1bd!important}.ll-link{color:#6cc9cf!important}.ll-tint{background:#12343a!important;color:#e7edf2!important}}"
)


class NoticePages:
    """The fragments of one directory; each is read once, when first used."""

    def __init__(self, directory: Path | None = None, name: str = "portal-notice") -> None:
        """`name`: of the template, portal-notice or portal-join."""
        self._name = name
        self._directory = directory or templates_folder() / "mail"
        self._fragments: dict[str, str] = {}

    def render(self, languages: Sequence[str], values: Mapping[str, str], brand: MailBrand) -> str:
        """Return the whole document. Raises ConfigurationError for a missing template, KeyError for a missing value.

        `values` has `portal_url`, where the button leads too.
        """
        flat = {name: html.escape(" ".join(clean_text(value).split())) for name, value in values.items()}
        accent = brand.accent if _COLOUR.fullmatch(brand.accent) else "#0e5a63"
        on_accent = brand.on_accent if _COLOUR.fullmatch(brand.on_accent) else "#ffffff"
        button = (accent, on_accent)
        chosen = list(dict.fromkeys(one if one in LANGUAGES else "en" for one in languages)) or ["en"]
        sections = [
            f'<div lang="{language}">\n{_fill(self._find(language), flat, button if first else None)}</div>\n'
            for first, language in zip((True, *[False] * len(chosen)), chosen, strict=False)
        ]
        rule = '<hr style="border:0;border-top:1px solid #d5dce2;margin:32px 0">\n'
        return (
            f'<!DOCTYPE html>\n<html lang="{chosen[0]}">\n<head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width">'
            '<meta name="color-scheme" content="light dark"><meta name="supported-color-schemes" content="light dark">'
            f"<style>{_DARK}</style></head>\n"
            f'<body class="ll-page" style="margin:0;padding:0;background:#f5f7f8;{_FONT}">\n'
            '<table role="presentation" class="ll-page" width="100%" cellpadding="0" cellspacing="0" border="0"'
            ' style="background:#f5f7f8"><tr><td align="center" style="padding:24px 12px">\n'
            '<table role="presentation" width="560" cellpadding="0" cellspacing="0" border="0"'
            ' style="width:100%;max-width:560px">\n'
            f'<tr><td style="background:{accent};color:{on_accent};padding:16px 28px;font-size:18px;font-weight:600;'
            f'border-radius:10px 10px 0 0;{_FONT}">{html.escape(brand.organisation)}</td></tr>\n'
            '<tr><td class="ll-card" style="background:#ffffff;color:#15212b;padding:28px;font-size:16px;'
            f'line-height:1.55;border-radius:0 0 10px 10px;{_FONT}">\n{rule.join(sections)}</td></tr>\n'
            "</table>\n</td></tr></table>\n</body>\n</html>\n"
        )

    def _find(self, language: str) -> str:
        if language not in self._fragments:
            path = self._directory / f"{self._name}.{language}.html"
            try:
                self._fragments[language] = path.read_text("utf-8")
            except OSError as error:
                raise ConfigurationError("templates", f"{path.name} cannot be read", "Install it again") from error
        return self._fragments[language]


def _fill(fragment: str, values: Mapping[str, str], button: tuple[str, str] | None) -> str:
    """Fill in one language. `button`: its colours; None shows a plain link, because a mail has one button."""

    def choose(found: re.Match[str]) -> str:
        name, inner = found[1], found[2]
        if name == "button":
            return _LINK.replace("LABEL", inner) if button is None else _button(inner, *button)
        wanted = not name.startswith("!")
        return inner if bool(values[name.removeprefix("!")]) is wanted else ""

    shown = _BLOCK.sub(choose, fragment)
    for opening, style in _STYLES.items():
        tag = opening.partition(" ")[0].rstrip(">")
        marked = f' class="{_CLASSES[opening]}"' if opening in _CLASSES else ""
        role = ' role="presentation"' if tag == "<table" else ""
        shown = shown.replace(opening, f'{tag}{role}{marked} style="{style}">')
    # Last, and in one go: what stands in a value is never looked at again.
    return Template(shown).substitute(values)


def _button(label: str, accent: str, on_accent: str) -> str:
    link = (
        f"display:inline-block;padding:13px 28px;color:{on_accent};text-decoration:none;font-weight:600;font-size:16px"
    )
    return (
        '<table role="presentation" cellpadding="0" cellspacing="0" border="0" style="margin:24px 0 16px"><tr>'
        f'<td bgcolor="{accent}" style="background:{accent};border-radius:8px">'
        f'<a href="$portal_url" style="{link}">{label}</a></td></tr></table>'
    )
