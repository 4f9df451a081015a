"""The pages that a browser opens: sign-in, mailbox, PDF reply, registration, and the texts every brand must show.

All of them are GET, ask the store at most what stands behind a link, and change nothing: a mail scanner that opens them
burns nothing (sealed-mailbox.md section 12, portal.md sections 3 and 5). No page holds what a reader typed; the scripts
get their words from a JSON data block. Headers for all answers are the app's job (portal.security).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from portal.pages import texts as words
from portal.pages.assets import Bundle
from portal.pages.brand import Brand
from portal.pages.languages import COOKIE, LABELS, Texts, choose_language
from portal.pages.mailbox_texts import MAILBOX
from portal.pages.ports import Links, PagePolicy

ERROR_STATUSES = (400, 404, 410, 413, 429, 500, 503)
_SAMPLE_PASSWORD = Markup('<span class="nowrap">K7QM-2XWP-9FTD</span>')
_SCRIPTS = ("argon-worker.js",)
_FOREVER = "public, max-age=31536000, immutable"
_MAILBOX_WORDS = {**words.SHELL, **words.PASSWORD, **words.ENTRY, **MAILBOX}
"""Of / and /mailbox: the one becomes the other."""
_REPLY_WORDS = {**words.SHELL, **words.REPLY}
_JOIN_WORDS = {**words.SHELL, **words.PASSWORD, **words.JOIN}


def make_frame_policy(base_url: str) -> str:
    """Return the policy of `/frame`. `base_url` is the portal's public address without a slash at its end, or empty.

    Browsers differ in whether an opaque origin has a 'self'; the address says the same to those that give it none.
    """
    scripts = f"'self' {base_url}/static/" if base_url else "'self'"
    return (
        "sandbox allow-scripts allow-popups allow-popups-to-escape-sandbox; default-src 'none'; "
        f"script-src {scripts}; img-src data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; "
        "require-trusted-types-for 'script'; trusted-types letterlock"
    )


@dataclass(frozen=True, slots=True)
class Pages:
    """What the app mounts: the routes, and the page for an error."""

    blueprint: Blueprint
    show_error: Callable[[int, str, int | None], Response]
    """`show_error(status, reference, retry_after_seconds)`: a page for people; never says more than the status."""
    writer: PageWriter
    """For pages whose routes stand elsewhere (server mode)."""


class PageWriter:
    """Renders templates for one request's brand and language. Keeps one environment a language; holds no request."""

    def __init__(
        self,
        *,
        portal: str,
        brands: Sequence[Brand],
        texts: Mapping[str, Texts],
        bundle: Bundle,
        policy: PagePolicy,
        templates: Path,
    ) -> None:
        self._portal = portal
        self._brands = {brand.host: brand for brand in brands}
        self._first = brands[0]
        self._texts = texts
        self._bundle = bundle
        self._policy = policy
        self._environments = {language: self._make_environment(templates, one) for language, one in texts.items()}

    def _make_environment(self, templates: Path, texts: Texts) -> Environment:
        environment = Environment(
            loader=FileSystemLoader(templates),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        environment.globals.update({"_": texts.translate_markup, "asset": self._bundle.find})
        return environment

    def find_brand(self) -> Brand:
        """Return the brand of the request's host name; the first one for a name nobody set up."""
        untrusted_host = request.host.rpartition("]")[2].partition(":")[0].lower() if request.host else ""
        return self._brands.get(untrusted_host, self._first)

    def find_brand_sheet(self, sheet_hash: str) -> Brand | None:
        """Return the brand whose sheet has this hash."""
        return next((brand for brand in self._brands.values() if brand.sheet_hash == sheet_hash), None)

    def find_brand_icon(self, icon_hash: str) -> Brand | None:
        """Return the brand whose icon has this hash."""
        return next((brand for brand in self._brands.values() if brand.icon_hash == icon_hash), None)

    def write(
        self,
        template: str,
        *,
        script: str | None = None,
        script_words: Mapping[str, str] | None = None,
        data: Mapping[str, Any] | None = None,
        status: int = 200,
        **values: Any,
    ) -> Response:
        """Render one page. `data` joins the scripts' data block, `values` go to the template."""
        brand = self.find_brand()
        asked = request.args.get("lang")
        kept = request.cookies.get(COOKIE)
        language = choose_language((asked, kept), request.accept_languages, brand.languages)
        suffix = f"?lang={language}" if asked == language else ""
        texts = self._texts[language]
        page = {
            "portal": self._portal,
            "lang": language,
            "organisation": brand.name,
            "phone": brand.phone,
            "policy": {"decrypt": self._policy.decrypt, "mailbox_from_reply": self._policy.mailbox_from_reply},
            "limits": {"message": self._policy.message_bytes, "parts": self._policy.message_parts},
            "suffix": suffix,
            "chosen": language in (asked, kept),
            "assets": self._worker_assets() if script else {},
            "texts": {name: texts.translate(english) for name, english in (script_words or {}).items()},
            **(data or {}),
        }
        body = (
            self._environments[language]
            .get_template(template)
            .render(
                lang=language,
                languages=[(code, LABELS[code]) for code in brand.languages if code != language],
                brand=brand,
                links=lambda path: path + suffix,
                page=page,
                sample_password=_SAMPLE_PASSWORD,
                script=script,
                policy=self._policy,
                **values,
            )
        )
        response = Response(body, status=status, mimetype="text/html")
        response.headers["Content-Language"] = language
        response.headers["Vary"] = "Accept-Language, Cookie, Host"
        return response

    def _worker_assets(self) -> dict[str, dict[str, str]]:
        found = {name: self._bundle.files[name] for name in _SCRIPTS if name in self._bundle.files}
        return {name: {"url": asset.url, "integrity": asset.integrity} for name, asset in found.items()}


def make_pages(
    *,
    portal: str,
    brands: Sequence[Brand],
    texts: Mapping[str, Texts],
    bundle: Bundle,
    policy: PagePolicy,
    links: Links,
    templates: Path,
    base_url: str = "",
) -> Pages:
    """Make the blueprint. `portal` is the portal's id, `templates` the folder templates/portal; one brand or more.

    `base_url` is the portal's public address, which the frame's policy names.
    """
    writer = PageWriter(portal=portal, brands=brands, texts=texts, bundle=bundle, policy=policy, templates=templates)
    blueprint = Blueprint("pages", __name__)
    _add_entry(blueprint, writer, make_frame_policy(base_url))
    _add_links(blueprint, writer, links)
    _add_prose(blueprint, writer)
    _add_brand(blueprint, writer)

    def show_error(status: int, reference: str, seconds: int | None = None) -> Response:
        known = status if status in ERROR_STATUSES else (400 if status < HTTPStatus.INTERNAL_SERVER_ERROR else 500)
        response = writer.write("error.html", status=status, kind=known, reference=reference, seconds=seconds)
        if seconds is not None:
            response.headers["Retry-After"] = str(seconds)
        return response

    return Pages(blueprint, show_error, writer)


def _add_entry(blueprint: Blueprint, writer: PageWriter, frame_policy: str) -> None:
    @blueprint.get("/")
    def show_sign_in() -> Response:
        """Sign-in and, behind it, the forced change of password."""
        return writer.write("entry.html", script="entry.js", script_words=_MAILBOX_WORDS)

    @blueprint.get("/mailbox")
    def show_mailbox() -> Response:
        """The mailbox application; empty without a session, which its script asks for."""
        return writer.write("mailbox.html", script="entry.js", script_words=_MAILBOX_WORDS)

    @blueprint.get("/frame")
    def show_frame() -> Response:
        """The sandbox in which one HTML mail is shown: a policy of its own, an opaque origin."""
        response = writer.write("frame.html", script="frame.js")
        response.headers["Content-Security-Policy"] = frame_policy
        return response


def _add_links(blueprint: Blueprint, writer: PageWriter, links: Links) -> None:
    @blueprint.get("/r/<untrusted_token>")
    def show_reply(untrusted_token: str) -> Response:
        """The reply page behind a PDF's link."""
        found = links.find_reply(untrusted_token)
        if found is None:
            return writer.write("link_unknown.html", status=404)
        if found.state != "open":
            return writer.write("reply_closed.html", status=410 if found.state == "closed" else 423, state=found.state)
        data = {
            "token": untrusted_token,
            "box": found.box,
            "form": found.form,
            "state": found.state,
            "tries_left": found.tries_left,
        }
        return writer.write("reply.html", script="reply.js", script_words=_REPLY_WORDS, data=data)

    @blueprint.get("/join/<untrusted_id>")
    def show_join(untrusted_id: str) -> Response:
        """Registration: the partner chooses the password first."""
        state = links.find_join(untrusted_id)
        if state is None:
            return writer.write("link_unknown.html", status=404)
        if state != "open":
            return writer.write("join_closed.html", status=410, state=state)
        return writer.write(
            "join.html",
            script="join.js",
            script_words=_JOIN_WORDS,
            data={"join": untrusted_id},
        )


def _add_prose(blueprint: Blueprint, writer: PageWriter) -> None:
    @blueprint.get("/help")
    def show_help() -> Response:
        """Questions people ask, and whom to call."""
        return writer.write("help.html")

    @blueprint.get("/imprint")
    def show_imprint() -> Response:
        """The brand's imprint."""
        return writer.write("legal.html", what="imprint", sections=writer.find_brand().imprint)

    @blueprint.get("/privacy")
    def show_privacy() -> Response:
        """What this portal stores, and the brand's privacy notice."""
        return writer.write("legal.html", what="privacy", sections=writer.find_brand().privacy)

    @blueprint.get("/accessibility")
    def show_accessibility() -> Response:
        """The accessibility statement."""
        return writer.write("accessibility.html")


def _add_brand(blueprint: Blueprint, writer: PageWriter) -> None:
    @blueprint.get("/brand/<sheet_hash>.css")
    def show_sheet(sheet_hash: str) -> Response:
        """A brand's colours; the name changes with the content."""
        brand = writer.find_brand_sheet(sheet_hash)
        if brand is None:
            return Response("Not found\n", status=404, mimetype="text/plain")
        return _unchanging(brand.sheet, "text/css")

    @blueprint.get("/brand/<icon_hash>.<any(svg, png, webp):ending>")
    def show_icon(icon_hash: str, ending: str) -> Response:
        """A brand's logo or mark."""
        brand = writer.find_brand_icon(icon_hash)
        if brand is None or brand.icon_ending != ending:
            return Response("Not found\n", status=404, mimetype="text/plain")
        response = _unchanging(brand.icon.octets, brand.icon_type)
        # A logo is the operator's own file, and still no document: it may style itself and nothing more.
        response.headers["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
        return response


def _unchanging(octets: bytes, media_type: str) -> Response:
    response = Response(octets, mimetype=media_type)
    response.headers["Cache-Control"] = _FOREVER
    return response
