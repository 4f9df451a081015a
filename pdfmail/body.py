"""Which way the body is drawn: fast text writer, renderer, or a notice page.

A ladder whose every step gives a usable PDF. When something of the body does not make it onto the pages, the plan says
so, and the complete message has to be embedded. Nothing is drawn here.

Source: docs/pdf.md, "Body paths".
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .errors import RenderError, UnguardedHostError
from .fonts import FontSet
from .graft import BrokenBodyError, RenderedBody, read_body
from .model import BodyRenderer, HtmlBody, MailContent, PdfOptions
from .textflow import clean_language, clean_text

NO_RENDERER = "no-renderer"
UNGUARDED = "unguarded"
BROKEN = "broken-output"
HEAD_SCRIPT = "head-script"

_MAX_REPLACED = 0.05
"""Share of characters that may be drawn as boxes before a notice page serves the reader better."""

_BODY_TAG = re.compile(r"<body\b[^<>]{0,2000}>", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class BodyPlan:
    """The chosen way. Exactly one of `text` and `rendered` is set, neither for a notice."""

    kind: str
    """`text`, `html`, `preformatted` or `notice`, as in PdfReport."""
    text: str | None = None
    rendered: RenderedBody | None = None
    shown: frozenset[int] = frozenset()
    """Positions in the mail's images of the pictures that the pages show in full."""
    cause: str | None = None
    is_complete: bool = True
    """False when pages do not show the whole body."""
    has_boxes: bool = False
    """Single characters are drawn as boxes."""


def plan_body(
    mail: MailContent,
    fonts: FontSet,
    renderer: BodyRenderer | None,
    head: Sequence[tuple[str, str]],
    options: PdfOptions,
) -> BodyPlan:
    """Choose the way and let the renderer do its part.

    `head` are labelled lines that the cover cannot draw; a rendered body shows them on top.
    """
    markup = mail.html if mail.html and mail.html.strip() else None
    text = clean_text(mail.text) if mail.text is not None else None
    draws_text = text is not None and fonts.draws(text.replace("\n", "").replace("\t", ""))
    language, max_pages = clean_language(mail.language_hint) or options.language, options.max_pages
    cause: str | None = None
    if markup is not None:
        body = HtmlBody(html=_prefix_markup(markup, head), images=mail.images, language=language, max_pages=max_pages)
        rendered, shown, cause = _render(renderer, body)
        if rendered is not None:
            return BodyPlan("html", rendered=rendered, shown=shown)
        if text is None or not text.strip():
            return BodyPlan("notice", cause=cause, is_complete=False)
    if text is None:
        text, draws_text = "", True
    is_complete = markup is None
    if not draws_text or (head and renderer is not None and cause is None):
        body = HtmlBody(text=_prefix_text(mail.text or "", head), language=language, max_pages=max_pages)
        rendered, _, text_cause = _render(renderer, body)
        if rendered is not None:
            why = cause if not draws_text else (cause or HEAD_SCRIPT)
            return BodyPlan("preformatted", rendered=rendered, cause=why, is_complete=is_complete)
        cause = cause or text_cause
    if draws_text:
        return BodyPlan("text", text=text, cause=cause, is_complete=is_complete)
    return _plan_boxes(BodyPlan("text", text=text, cause=cause, is_complete=False), fonts)


def _plan_boxes(plan: BodyPlan, fonts: FontSet) -> BodyPlan:
    """Take boxes for a few characters, a notice page for many."""
    text = plan.text or ""
    missing = sum(1 for letter in text if not letter.isspace() and not fonts.draws(letter))
    if missing > _MAX_REPLACED * max(len(text), 1):
        return replace(plan, kind="notice", text=None)
    return replace(plan, has_boxes=True)


def _render(renderer: BodyRenderer | None, body: HtmlBody) -> tuple[RenderedBody | None, frozenset[int], str | None]:
    if renderer is None:
        return None, frozenset(), NO_RENDERER
    try:
        drawn = renderer.render_body(body)
        return read_body(drawn.pdf), drawn.shown, None
    except RenderError as error:
        return None, frozenset(), error.cause.value
    except UnguardedHostError:
        return None, frozenset(), UNGUARDED
    except BrokenBodyError:
        return None, frozenset(), BROKEN


def _prefix_text(text: str, head: Sequence[tuple[str, str]]) -> str:
    if not head:
        return text
    return "\n".join(f"{label}: {value}" for label, value in head) + "\n\n" + text


def _prefix_markup(markup: str, head: Sequence[tuple[str, str]]) -> str:
    if not head:
        return markup
    lines = "".join(f"<p><b>{html.escape(label)}:</b> {html.escape(value)}</p>" for label, value in head)
    match = _BODY_TAG.search(markup)
    place = match.end() if match else 0
    return f"{markup[:place]}<div>{lines}<hr></div>{markup[place:]}"
