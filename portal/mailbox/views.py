"""Browser API of the mailbox: messages, blobs, drafts, send, sent."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, make_response

from portal.context import Portal
from portal.mailbox import reading, writing
from portal.security.errors import ApiError
from portal.security.readers import find_mail_reader, for_readers
from portal.security.requests import API_PREFIX, read_fields, read_octets, read_query_number
from portal.store.chunks import CHUNK_LIMIT, MAX_CHUNKS, PART_NUMBERS, ChunkName, is_sensible
from portal.store.outbox import Parts
from relay.core.ids import is_id
from relay.core.wire.sealed.jsontext import MAX_INTEGER, Fields

SEALED_LIMIT = 64 * 1024 + 256
"""Octets of a sealed item or manifest: 64 KiB, a signature, and HPKE's own."""
SEND_LIMIT = 2 * (SEALED_LIMIT * 4 // 3) + 16 * 1024
DRAFT_LIMIT = 1024 * 1024


def read_parts(fields: Fields) -> Parts:
    """Return `parts:[{i, chunks}]`. Raises ApiError, MailboxDataError."""
    raw = [Fields(one) for one in fields.list("parts", 100)]
    parts = [(one.number("i"), one.number("chunks")) for one in raw]
    if not is_sensible(parts):
        raise ApiError(400, "bad-request")
    return parts


def check_chunk_name(id_: str, i: int, n: int) -> None:
    """Refuse a chunk that cannot be. Raises ApiError 404."""
    if not is_id(id_) or i >= PART_NUMBERS or n >= MAX_CHUNKS:
        raise ApiError(404, "unknown")


def send_octets(data: bytes) -> Response:
    """Return octets that no browser shows."""
    response = make_response(data)
    response.headers["Content-Type"] = "application/octet-stream"
    response.headers["Content-Disposition"] = "attachment"
    return response


def make_mailbox(portal: Portal) -> Blueprint:
    """Return the routes."""
    routes = Blueprint("mailbox", __name__, url_prefix=API_PREFIX.rstrip("/"))

    @routes.get("/messages")
    @for_readers
    def list_messages() -> Response:
        before = read_query_number("before", MAX_INTEGER, 0, MAX_INTEGER)
        limit = read_query_number("limit", 50, 1, reading.MOST_MESSAGES)
        return jsonify(reading.page_of_messages(portal, find_mail_reader().box, before, limit))

    @routes.get("/sent")
    @for_readers
    def list_sent() -> Response:
        before = read_query_number("before", MAX_INTEGER, 0, MAX_INTEGER)
        limit = read_query_number("limit", 50, 1, reading.MOST_MESSAGES)
        return jsonify(reading.page_of_sent(portal, find_mail_reader().box, before, limit))

    @routes.get("/blobs/<id_>/<int:i>/<int:n>")
    @for_readers
    def show_blob(id_: str, i: int, n: int) -> Response:
        reader = find_mail_reader()
        check_chunk_name(id_, i, n)
        data = reading.read_box_chunk(portal, reader.box, id_, i, n)
        if data is None:
            raise ApiError(404, "unknown")
        return send_octets(data)

    @routes.post("/send")
    @for_readers
    def send() -> Response:
        reader = find_mail_reader()
        item = _read_item(read_fields(SEND_LIMIT))
        status, seq = writing.send_item(portal, reader.box, item)
        response = jsonify({"seq": seq})
        response.status_code = status
        return response

    _add_drafts(routes, portal)
    return routes


def _add_drafts(routes: Blueprint, portal: Portal) -> None:
    @routes.get("/drafts")
    @for_readers
    def list_drafts() -> Response:
        return jsonify({"drafts": writing.all_drafts(portal, find_mail_reader().box)})

    @routes.get("/drafts/<id_>")
    @for_readers
    def show_draft(id_: str) -> Response:
        return jsonify(writing.one_draft(portal, find_mail_reader().box, _check_id(id_)))

    @routes.put("/drafts/<id_>")
    @for_readers
    def put_draft(id_: str) -> Response:
        reader = find_mail_reader()
        fields = read_fields(DRAFT_LIMIT)
        rev = fields.number("rev")
        return jsonify({"rev": writing.save_draft(portal, reader.box, _check_id(id_), rev, fields.octets("sealed"))})

    @routes.delete("/drafts/<id_>")
    @for_readers
    def delete_draft(id_: str) -> Response:
        writing.delete_draft(portal, find_mail_reader().box, _check_id(id_))
        return make_response("", 204)

    @routes.put("/drafts/<id_>/<int:i>/<int:n>")
    @for_readers
    def put_chunk(id_: str, i: int, n: int) -> Response:
        reader = find_mail_reader()
        check_chunk_name(id_, i, n)
        data = read_octets(CHUNK_LIMIT)
        status = writing.save_chunk(portal, reader.box, ChunkName(reader.box.id, "up", id_, i, n), data)
        return make_response("", status)


def _check_id(untrusted_id: str) -> str:
    if not is_id(untrusted_id):
        raise ApiError(404, "unknown")
    return untrusted_id


def _read_item(fields: Fields) -> writing.Item:
    sealed = fields.octets("sealed")
    own = None if not fields.has("self") or fields.is_null("self") else fields.octets("self")
    if not 0 < len(sealed) <= SEALED_LIMIT or (own is not None and len(own) > SEALED_LIMIT):
        raise ApiError(413, "size")
    parts = read_parts(fields) if fields.has("parts") and not fields.is_null("parts") else []
    re_ = fields.id("re") if fields.has("re") and not fields.is_null("re") else None
    return writing.Item(
        fields.id("id"),
        fields.number("gen"),
        fields.number("card"),
        sealed,
        own,
        parts,
        fields.check("kind", writing.KINDS),
        re_,
    )
