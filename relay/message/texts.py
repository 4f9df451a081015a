"""Wording of the mails that Letterlock writes, from templates in templates/mail/, German and English.

A template is NAME.LANGUAGE.txt: `Subject: ...`, a blank line, then paragraphs parted by blank lines. `# ` begins a
heading, `- ` a list item, four blanks a line that stays as it is; `?name ` before a paragraph shows it only when that
value is there and not empty, `?!name ` only when it is not; a paragraph that names an empty value is left out.
`$name` is a value (string.Template); a paragraph that is nothing but `$name` keeps the value's lines. Text and HTML are
made from the same paragraphs, so both always say the same. Values are never read as markup. Links are shown as the
address they lead to and nothing else.
Must not log a value: a notice may hold a password.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template

from relay.core.errors import ConfigurationError
from relay.core.resources import templates_folder
from relay.message.words import clean_text

LANGUAGES = ("en", "de")
_WIDTH = 74
_CONDITION = re.compile(r"\?(!?[a-z_]+) ")
_NAME = re.compile(r"\$(?:\{([a-z_]+)\}|([a-z_]+))")
_LINK = re.compile(r"https://[^\s<>\"']+")
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_INDENT = {"item": ("- ", "  "), "paragraph": ("", "")}
_PAGE = "margin:0;padding:16px;background:#ffffff;color:#15212b;font-size:16px;line-height:1.5"
_FONT = "font-family:-apple-system,'Segoe UI',Roboto,Arial,sans-serif"


@dataclass(frozen=True, slots=True)
class MailBrand:
    """How a mail of ours looks. Colours are #rrggbb."""

    organisation: str
    accent: str = "#0e5a63"
    on_accent: str = "#ffffff"
    contact: str = ""
    """One line that tells the reader whom to ask, empty for none."""


@dataclass(frozen=True, slots=True)
class RenderedText:
    """Subject, plain text (LF) and an HTML document of one mail. `language` is that of the first text."""

    language: str
    subject: str
    text: str
    html: str


@dataclass(frozen=True, slots=True)
class _Block:
    kind: str
    """`heading`, `item`, `verbatim` or `paragraph`."""
    text: str
    condition: str
    names: tuple[str, ...] = ()
    """Values that the text names."""
    escaped: str = ""
    """The text for HTML, names still in it."""
    wrapped: str | None = None
    """The plain text as it is shown where no value stands in it; made once for all carriers."""

    @classmethod
    def make(cls, kind: str, text: str, condition: str) -> _Block:
        names = tuple(found[1] or found[2] for found in _NAME.finditer(text))
        wrapped = None
        if "$" not in text and kind in _INDENT:
            wrapped = _wrap(text, *_INDENT[kind])
        return cls(kind, text, condition, names, html.escape(text, quote=False), wrapped)


@dataclass(frozen=True, slots=True)
class _MailTemplate:
    subject: str
    blocks: tuple[_Block, ...]


def _read_block(text: str) -> _Block:
    condition = ""
    found = _CONDITION.match(text)
    if found:
        condition, text = found[1], text[found.end() :]
    if text.startswith("# "):
        return _Block.make("heading", text[2:], condition)
    if text.startswith("- "):
        return _Block.make("item", " ".join(text[2:].split()), condition)
    if text.startswith("    ") or (_NAME.fullmatch(text.strip()) and "\n" not in text.strip()):
        return _Block.make("verbatim", text, condition)
    return _Block.make("paragraph", " ".join(text.split()), condition)


def _read_template(source: str, path: Path) -> _MailTemplate:
    head, _, body = source.replace("\r\n", "\n").partition("\n\n")
    if not head.startswith("Subject: "):
        raise ConfigurationError("templates", f"{path.name} does not begin with a Subject line", "Install it again")
    blocks = [block.strip("\n") for block in re.split(r"\n\s*\n|\n(?=- )", body)]
    return _MailTemplate(head[9:].strip(), tuple(_read_block(block) for block in blocks if block.strip()))


def _fill(text: str, values: Mapping[str, str]) -> str:
    """Put the values in, once: what stands in a value is never looked at again."""
    return Template(text).substitute(values) if "$" in text else text


@dataclass(frozen=True, slots=True)
class _Values:
    """The values of one mail in the three forms in which they are put in."""

    raw: Mapping[str, str]
    flat: Mapping[str, str]
    """On one line each."""
    html: Mapping[str, str]
    """On one line, escaped."""

    @classmethod
    def make(cls, values: Mapping[str, str]) -> _Values:
        flat = {name: " ".join(clean_text(value).split()) for name, value in values.items()}
        return cls(values, flat, {name: _escape(name, value) for name, value in flat.items()})


def _escape(name: str, value: str) -> str:
    """A value for HTML. Only our own addresses become links, and what is shown is where they lead."""
    escaped = html.escape(value)
    if name.endswith("_url") and _LINK.fullmatch(value):
        return f'<a href="{escaped}">{escaped}</a>'
    return escaped


class MailTexts:
    """The templates of one directory; each is read once, when first used."""

    def __init__(self, directory: Path | None = None) -> None:
        """Use the shipped templates, or those of another directory. Raises ConfigurationError when it is missing."""
        self._directory = directory or templates_folder() / "mail"
        if not self._directory.is_dir():
            raise ConfigurationError("templates", "the folder mail/ is missing", "Install Letterlock again")
        self._templates: dict[tuple[str, str], _MailTemplate] = {}

    def _find(self, name: str, language: str) -> _MailTemplate:
        key = (name, language)
        if key not in self._templates:
            path = self._directory / f"{name}.{language}.txt"
            try:
                source = path.read_text("utf-8")
            except OSError as error:
                raise ConfigurationError("templates", f"{path.name} cannot be read", "Install it again") from error
            self._templates[key] = _read_template(source, path)
        return self._templates[key]

    def render(
        self, name: str, language: str, values: Mapping[str, str], brand: MailBrand | None = None
    ) -> RenderedText:
        """Fill in one template. An unknown language falls back to English. Raises KeyError on a missing value."""
        return self.render_all(name, (language,), values, brand)

    def render_all(
        self, name: str, languages: Iterable[str], values: Mapping[str, str], brand: MailBrand | None = None
    ) -> RenderedText:
        """Fill in one template in several languages, one under the other; the subject is in the first."""
        forms = _Values.make(values)
        chosen = list(dict.fromkeys(one if one in LANGUAGES else "en" for one in languages)) or ["en"]
        subject = ""
        texts: list[str] = []
        fragments: list[str] = []
        for language in chosen:
            template = self._find(name, language)
            subject = subject or _fill(template.subject, forms.flat)
            shown = [block for block in template.blocks if _is_shown(block, values)]
            texts.append(_write_text(shown, forms))
            fragments.append(f'<div lang="{language}">\n{_write_html(shown, forms)}</div>\n')
        separator = f"\n{'-' * _WIDTH}\n\n"
        return RenderedText(chosen[0], subject, separator.join(texts), _write_document(chosen[0], fragments, brand))


def _is_shown(block: _Block, values: Mapping[str, str]) -> bool:
    name = block.condition.removeprefix("!")
    if name and bool(values.get(name)) is block.condition.startswith("!"):
        return False
    return all(values[one] for one in block.names)


def _wrap(text: str, first: str, later: str) -> str:
    """Fill lines at blanks only, so that no address is broken."""
    lines: list[str] = []
    line = first
    for word in text.split():
        if len(line) + len(word) > _WIDTH and line.strip(" -"):
            lines.append(line.rstrip())
            line = later
        line += word + " "
    lines.append(line.rstrip())
    return "\n".join(lines)


def _write_text(blocks: list[_Block], values: _Values) -> str:
    out: list[str] = []
    for block in blocks:
        if block.kind == "verbatim":
            text = _fill(block.text, values.raw)
        elif block.kind == "heading":
            title = _fill(block.text, values.flat)
            text = f"{title}\n{'-' * min(len(title), _WIDTH)}"
        elif block.wrapped is not None:
            text = block.wrapped
        else:
            text = _wrap(_fill(block.text, values.flat), *_INDENT[block.kind])
        out.append(text)
    return "\n\n".join(out) + "\n"


def _write_html(blocks: list[_Block], values: _Values) -> str:
    out: list[str] = []
    items: list[str] = []
    for block in [*blocks, _Block("end", "", "")]:
        if block.kind == "item":
            items.append(f"<li>{_fill(block.escaped, values.html)}</li>")
            continue
        if items:
            out.append(f"<ul>\n{chr(10).join(items)}\n</ul>")
            items = []
        if block.kind == "verbatim":
            out.append(_write_verbatim(block, values.raw))
        elif block.kind == "heading":
            title = _fill(block.escaped, values.html)
            out.append(f'<h2 style="font-size:17px;margin:24px 0 8px">{title}</h2>')
        elif block.kind == "paragraph":
            out.append(f"<p>{_fill(block.escaped, values.html)}</p>")
    return "\n".join(out) + "\n"


def _write_verbatim(block: _Block, values: Mapping[str, str]) -> str:
    """Lines that begin with blanks in type of one width, the others in bold."""
    name = block.text.strip().strip("${}")
    if name.endswith("_url"):
        return f"<p><strong>{_escape(name, values[name])}</strong></p>"
    out: list[str] = []
    code: list[str] = []
    for line in [*_fill(block.text, values).split("\n"), ""]:
        if line.startswith("    ") or (code and not line.strip()):
            code.append(line.removeprefix("    "))
            continue
        if code:
            out.append(_write_code(code))
            code = []
        if line.strip():
            out.append(f"<p><strong>{html.escape(line.strip())}</strong></p>")
    if code:
        out.append(_write_code(code))
    return "\n".join(out)


def _write_code(lines: list[str]) -> str:
    style = "font:16px/1.5 Consolas,Menlo,monospace;background:#e2f0f1;color:#15212b;padding:12px;white-space:pre-wrap"
    return f'<pre style="{style}">{html.escape(chr(10).join(lines).rstrip(), quote=False)}</pre>'


def _write_document(language: str, fragments: list[str], brand: MailBrand | None) -> str:
    head = ""
    if brand is not None:
        accent = brand.accent if _COLOUR.fullmatch(brand.accent) else "#0e5a63"
        on_accent = brand.on_accent if _COLOUR.fullmatch(brand.on_accent) else "#ffffff"
        style = f"background:{accent};color:{on_accent};padding:16px 20px;font-size:18px;font-weight:600"
        head = f'<div style="{style}">{html.escape(brand.organisation)}</div>\n'
    rule = '<hr style="border:0;border-top:1px solid #d5dce2;margin:28px 0">\n'
    return (
        f'<!DOCTYPE html>\n<html lang="{language}">\n<head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"></head>\n'
        f'<body style="{_PAGE};{_FONT}">\n'
        f'<div style="max-width:640px;margin:0 auto">\n{head}{rule.join(fragments)}</div>\n</body>\n</html>\n'
    )
