"""The public side: Flask app of the browser API, the pages and the static files. The link API is another app.

Parses no mail, opens nothing, makes no connection of its own. Every answer has the headers of portal.security.headers.
"""

from __future__ import annotations

import mimetypes
import re
from pathlib import Path

from flask import Flask, Response, make_response, request
from sqlalchemy import text
from werkzeug.datastructures import Accept

from portal.accounts.views import make_accounts
from portal.context import Portal
from portal.mailbox.views import make_mailbox
from portal.pages.assets import read_bundle
from portal.pages.brand import Brand, read_brand
from portal.pages.languages import read_texts
from portal.pages.ports import PagePolicy
from portal.pages.views import Pages, make_pages
from portal.registration.views import make_registration
from portal.replies.links import StoredLinks
from portal.security.errors import ApiError, install_errors
from portal.security.headers import STATIC_PREFIX, install_headers
from portal.security.readers import install_readers
from portal.security.requests import install_checks
from portal.settings import Settings
from relay.core.errors import ConfigurationError
from relay.core.resources import static_folder, templates_folder
from relay.log import Log

_FILE = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.(?:js|css|woff2|svg)")
_PACKED = (("br", "br"), ("gzip", "gz"))
"""Codings by what they save, with their files' endings."""
_FOREVER = "public, max-age=31536000, immutable"


def read_brands(settings: Settings) -> list[Brand]:
    """Return the brands of the settings. Raises ConfigurationError."""
    if not settings.brands:
        raise ConfigurationError("brand", "is missing", "Add [[brand]] with name, host and phone")
    return [
        read_brand(table, settings.path.parent, f"brand[{number}]" if number else "brand")
        for number, table in enumerate(settings.brands)
    ]


def build_pages(portal: Portal) -> Pages:
    """Read brands, texts and the bundle, and make the pages. Raises ConfigurationError."""
    settings = portal.settings
    templates = templates_folder() / "portal"
    return make_pages(
        portal=settings.portal_id,
        brands=read_brands(settings),
        texts=read_texts(templates / "translations"),
        bundle=read_bundle(_bundle_folder() / "manifest.json", STATIC_PREFIX),
        policy=PagePolicy(
            decrypt=settings.decrypt,
            mailbox_from_reply=settings.mailbox_from_reply,
            message_bytes=settings.limits.message,
        ),
        links=StoredLinks(portal),
        templates=templates,
    )


def make_app(portal: Portal, pages: Pages | None = None) -> Flask:
    """Return the WSGI app; without pages it has the API alone."""
    settings = portal.settings
    app = Flask("portal", static_folder=None, template_folder=None)
    app.config.update(MAX_CONTENT_LENGTH=1024 * 1024 * 2, PROPAGATE_EXCEPTIONS=False, TRAP_HTTP_EXCEPTIONS=False)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    install_errors(app, Log("portal.web"), pages.show_error if pages else None)
    forms = "/simple" if settings.decrypt != "browser" else None
    install_checks(app, {settings.url, *(f"https://{brand.get('host')}" for brand in settings.brands)}, forms)
    install_headers(app, with_hsts=settings.is_secure and not settings.is_loopback)
    install_readers(app, portal)
    for routes in (make_accounts(portal), make_mailbox(portal), make_registration(portal)):
        app.register_blueprint(routes)
    if pages is not None:
        app.register_blueprint(pages.blueprint)
        if settings.decrypt != "browser":
            # Not even imported where the organisation did not opt in.
            from portal.simple.views import make_simple

            app.register_blueprint(make_simple(portal, pages.writer))
    _add_files(app, _bundle_folder())
    _add_health(app, portal)
    return app


def _bundle_folder() -> Path:
    return static_folder() / "portal" / "dist"


def _add_files(app: Flask, folder: Path) -> None:
    @app.get(f"{STATIC_PREFIX}<name>")
    def show_file(name: str) -> Response:
        """A file of the bundle; its name changes with its content."""
        if not _FILE.fullmatch(name):
            raise ApiError(404, "unknown")
        packed = _choose_packed(folder / name, request.accept_encodings)
        kind = mimetypes.guess_type(name)[0]
        path = folder / (name + (f".{packed[1]}" if packed else ""))
        try:
            # Read at once, being small: an open file would outlive a browser that hangs up.
            response = make_response(path.read_bytes())
        except FileNotFoundError:
            raise ApiError(404, "unknown") from None
        response.mimetype = kind or "application/octet-stream"
        if packed:
            response.headers["Content-Encoding"] = packed[0]
        response.vary.add("Accept-Encoding")
        response.headers["Cache-Control"] = _FOREVER
        return response


def _choose_packed(path: Path, accepted: Accept) -> tuple[str, str] | None:
    """Return coding and ending of the smallest packed copy that the browser takes; None where it has the file itself.

    Only these files are packed: they are public and never the reader's (no BREACH).
    """
    for coding, ending in _PACKED:
        if accepted.quality(coding) > 0 and path.with_name(f"{path.name}.{ending}").exists():
            return coding, ending
    return None


def _add_health(app: Flask, portal: Portal) -> None:
    @app.get("/healthz")
    def show_health() -> Response:
        """For the host itself: whether both databases answer."""
        is_local = request.remote_addr in ("127.0.0.1", "::1") and "X-Forwarded-For" not in request.headers
        if not is_local:
            raise ApiError(404, "unknown")
        for database in (portal.store.main, portal.store.keys):
            with database.read() as connection:
                connection.execute(text("SELECT 1"))
        return make_response("ok\n", 200)
