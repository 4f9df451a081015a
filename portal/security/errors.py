"""Errors that a caller of one of the two APIs sees: a status and one word; never what was sent or why inside.

Each answer carries a reference that stands in the log beside the place of the fault, so that a reader can name it by
phone. Bodies, `auth` and capsules are never logged (sealed-mailbox 14).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from relay.core.errors import LetterlockError, StorageFullError
from relay.core.wire.errors import EncodingError
from relay.core.wire.sealed.errors import MailboxDataError
from relay.log import Log

_LETTERS = "ABCDEFGHJKMNPQRSTVWXYZ"
_DIGITS = "0123456789"
_WORDS: Mapping[int, str] = {
    400: "bad-request",
    404: "unknown",
    405: "method",
    408: "timeout",
    411: "length",
    413: "size",
    415: "type",
}


class ApiError(Exception):
    """Ends a request with this status, word and further fields."""

    def __init__(self, status: int, error: str, **fields: Any) -> None:
        super().__init__(f"{status} {error}")
        self.status = status
        self.error = error
        self.fields = fields


def make_reference() -> str:
    """Return a new reference, `ABCD-1234`."""
    letters = "".join(secrets.choice(_LETTERS) for _ in range(4))
    return letters + "-" + "".join(secrets.choice(_DIGITS) for _ in range(4))


PageError = Callable[[int, str, int | None], Response]
"""Shows a page for a status, with a reference and the seconds to wait."""


def install_errors(app: Flask, log: Log, show_page: PageError | None = None) -> None:
    """Answer every error of this app as JSON; outside /api/ as a page, where there are pages."""

    def make_answer(status: int, error: str, fields: Mapping[str, Any]) -> Response:
        reference = make_reference()
        if show_page is not None and not request.path.startswith("/api/"):
            response = show_page(status, reference, fields.get("seconds"))
        else:
            response = jsonify({"error": error, "reference": reference, **fields})
            response.status_code = status
            if status in (429, 503):
                response.headers["Retry-After"] = str(fields.get("seconds") or 30)
        if status >= 500:
            log.error("request-failed", route=str(request.url_rule), status=status, word=error, reference=reference)
        return response

    @app.errorhandler(ApiError)
    def answer_api_error(error: ApiError) -> Response:
        return make_answer(error.status, error.error, error.fields)

    @app.errorhandler(MailboxDataError)
    @app.errorhandler(EncodingError)
    def answer_malformed(error: Exception) -> Response:
        too_large = isinstance(error, MailboxDataError) and error.code == "size"
        return make_answer(*((413, "size") if too_large else (400, "bad-request")), {})

    @app.errorhandler(LetterlockError)
    def answer_own(error: LetterlockError) -> Response:
        log.exception("storage-fault", route=str(request.url_rule))
        return make_answer(*((507, "full") if isinstance(error, StorageFullError) else (503, "busy")), {})

    @app.errorhandler(HTTPException)
    def answer_http(error: HTTPException) -> Response:
        status = error.code or 500
        return make_answer(status, _WORDS.get(status, "error"), {})

    @app.errorhandler(Exception)
    def answer_fault(_error: Exception) -> Response:
        log.exception("request-fault", route=str(request.url_rule))
        return make_answer(500, "fault", {})
