"""Flask app of the link API. Each call is checked for the relay's certificate; each body for its Content-Digest."""

from __future__ import annotations

import re

from flask import Flask, Response, jsonify, make_response, request

from portal.context import Portal
from portal.link import boxes, ledger, messages, outbox
from portal.link.peer import check_digest, check_peer
from portal.mailbox.views import SEALED_LIMIT, check_chunk_name, read_parts, send_octets
from portal.security.errors import ApiError, install_errors
from portal.security.requests import read_octets, read_query_number
from portal.store.chunks import CHUNK_LIMIT, ChunkName
from relay.core.ids import is_id
from relay.core.wire.pae import encode_b64
from relay.core.wire.sealed.capsule import MAX_CAPSULE, read_capsule
from relay.core.wire.sealed.card import MAX_CARD
from relay.core.wire.sealed.jsontext import MAX_INTEGER, Fields, parse_time, read_b64, read_object
from relay.log import Log

PREFIX = "/link/v1"
BODY_LIMIT = 256 * 1024
_HASH_OCTETS = 32
_LANGUAGE = re.compile(r"[a-z]{2}")


def make_link_app(portal: Portal, fingerprints: frozenset[bytes]) -> Flask:
    """Return the WSGI app for these pinned certificates."""
    app = Flask("portal.link", static_folder=None, template_folder=None)
    app.config.update(MAX_CONTENT_LENGTH=1024 * 1024 * 2, PROPAGATE_EXCEPTIONS=False)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    install_errors(app, Log("portal.link"))

    @app.before_request
    def check() -> None:
        check_peer(fingerprints)

    @app.after_request
    def keep_out_of_caches(response: Response) -> Response:
        response.headers["Cache-Control"] = "no-store"
        return response

    for add in (_add_boxes, _add_messages, _add_ledger, _add_outbox, _add_marks):
        add(app, portal)
    return app


def _read_body(limit: int = BODY_LIMIT) -> tuple[Fields, bytes]:
    body = read_octets(limit)
    digest = check_digest(body)
    return Fields(read_object(body, limit)), digest


def _check_id(untrusted: str) -> str:
    if not is_id(untrusted):
        raise ApiError(400, "bad-request")
    return untrusted


def _check_hash(untrusted: str) -> str:
    read_b64(untrusted, _HASH_OCTETS)
    return untrusted


def _is_given(fields: Fields, name: str) -> bool:
    return fields.has(name) and not fields.is_null(name)


def _read_time(fields: Fields, name: str) -> int | None:
    return parse_time(fields.text(name)) if _is_given(fields, name) else None


def _done(status: int) -> Response:
    response = jsonify({})
    response.status_code = status
    return response


def _add_boxes(app: Flask, portal: Portal) -> None:
    @app.put(f"{PREFIX}/boxes/<box>")
    def put_box(box: str) -> Response:
        fields, _ = _read_body(MAX_CAPSULE * 4 // 3 + 8 * 1024)
        capsule = read_capsule(fields.octets("capsule"))
        if capsule.box != _check_id(box) or capsule.portal != portal.portal_id:
            raise ApiError(400, "binding")
        language = fields.text("lang")
        if language and not _LANGUAGE.fullmatch(language):
            raise ApiError(400, "bad-request")
        head = boxes.BoxHead(
            _check_hash(fields.text("login_id")),
            _check_hash(fields.text("base")) if _is_given(fields, "base") else None,
            capsule,
            fields.check("state", ("first", "active")),
            _read_time(fields, "first_expires"),
            _is_given(fields, "must_change") and fields.boolean("must_change"),
            language,
        )
        return _done(boxes.put_box(portal, box, head))

    @app.get(f"{PREFIX}/boxes/<box>")
    def show_box(box: str) -> Response:
        since = read_query_number("since", 0, 0, MAX_INTEGER)
        return jsonify(boxes.describe_box(portal, _check_id(box), since))

    @app.post(f"{PREFIX}/boxes/<box>/end")
    def end_box(box: str) -> Response:
        fields, _ = _read_body()
        boxes.end_box(portal, _check_id(box), fields.check("end", boxes.ENDS))
        return make_response("", 204)

    @app.get(f"{PREFIX}/inventory")
    def show_inventory() -> Response:
        after = request.args.get("after", "")
        return jsonify(boxes.inventory_page(portal, after, read_query_number("limit", 100, 1, 1000)))


def _add_messages(app: Flask, portal: Portal) -> None:
    @app.put(f"{PREFIX}/boxes/<box>/blobs/<id_>/<int:i>/<int:n>")
    def put_chunk(box: str, id_: str, i: int, n: int) -> Response:
        check_chunk_name(id_, i, n)
        data = read_octets(CHUNK_LIMIT)
        check_digest(data)
        return _done(messages.put_chunk(portal, ChunkName(_check_id(box), "down", id_, i, n), data))

    @app.get(f"{PREFIX}/boxes/<box>/blobs/<id_>")
    def show_chunks(box: str, id_: str) -> Response:
        held = messages.list_held(portal, _check_id(box), _check_id(id_))
        return jsonify({"parts": [{"i": i, "chunks": chunks} for i, chunks in held.items()]})

    @app.put(f"{PREFIX}/boxes/<box>/messages/<id_>")
    def put_message(box: str, id_: str) -> Response:
        fields, digest = _read_body()
        sealed = fields.octets("sealed")
        if not 0 < len(sealed) <= SEALED_LIMIT:
            raise ApiError(413, "size")
        parts = read_parts(fields) if _is_given(fields, "parts") else []
        head = messages.MessageHead(
            fields.number("no"),
            fields.number("gen"),
            fields.number("card"),
            _read_time(fields, "expires"),
            sealed,
            parts,
            digest,
        )
        return _done(messages.put_message(portal, _check_id(box), _check_id(id_), head))

    @app.delete(f"{PREFIX}/boxes/<box>/messages/<id_>")
    def delete_message(box: str, id_: str) -> Response:
        messages.delete_message(portal, _check_id(box), _check_id(id_))
        return make_response("", 204)


def _add_ledger(app: Flask, portal: Portal) -> None:
    @app.put(f"{PREFIX}/cards/<int:serial>")
    def put_card(serial: int) -> Response:
        fields, digest = _read_body()
        octets = fields.octets("card")
        if len(octets) > MAX_CARD:
            raise ApiError(413, "size")
        sigs = [Fields(one) for one in fields.list("sigs", 16)]
        record = ledger.CardRecord(
            octets,
            [{"root": encode_b64(one.octets("root")), "sig": encode_b64(one.octets("sig", 64))} for one in sigs],
        )
        return _done(ledger.put_card(portal, serial, record, digest))

    @app.put(f"{PREFIX}/tokens/<hash_>")
    def put_token(hash_: str) -> Response:
        fields, digest = _read_body()
        values = {"box": fields.id("box"), "ticket": fields.id("id"), "expires": _read_time(fields, "expires")}
        return _done(ledger.put_token(portal, _check_hash(hash_), values, digest))

    @app.put(f"{PREFIX}/joins/<hash_>")
    def put_join(hash_: str) -> Response:
        fields, digest = _read_body()
        return _done(ledger.put_registration(portal, _check_hash(hash_), _read_time(fields, "expires"), digest))

    @app.get(f"{PREFIX}/reports")
    def list_reports() -> Response:
        return jsonify({"reports": ledger.hand_out_reports(portal, read_query_number("limit", 100, 1, 1000))})

    @app.post(f"{PREFIX}/reports/ack")
    def acknowledge_reports() -> Response:
        fields, _ = _read_body()
        ledger.acknowledge_reports(portal, fields.number("seq"))
        return make_response("", 204)


def _add_outbox(app: Flask, portal: Portal) -> None:
    @app.get(f"{PREFIX}/outbox")
    def pull() -> Response:
        wait = read_query_number("wait", 0, 0, outbox.MOST_WAIT)
        limit = read_query_number("limit", 100, 1, outbox.MOST_ENTRIES)
        # Two nodes of the inside come from two addresses, or name themselves.
        puller = request.headers.get("X-Letterlock-Puller", request.remote_addr or "")[:64]
        return jsonify({"entries": outbox.pull_entries(portal, puller, wait, limit)})

    @app.get(f"{PREFIX}/outbox/<box>/<id_>/<int:i>/<int:n>")
    def show_chunk(box: str, id_: str, i: int, n: int) -> Response:
        check_chunk_name(id_, i, n)
        return send_octets(outbox.read_item_chunk(portal, _check_id(box), id_, i, n))

    @app.post(f"{PREFIX}/outbox/ack")
    def acknowledge() -> Response:
        fields, _ = _read_body()
        acks = []
        for one in map(Fields, fields.list("acks", 1000)):
            box = one.id("box") if _is_given(one, "box") else None
            acks.append((box, one.id("id"), one.check("result", ("taken", "refused"))))
        outbox.acknowledge_entries(portal, acks)
        return make_response("", 204)

    @app.post(f"{PREFIX}/outbox/reoffer")
    def reoffer() -> Response:
        fields, _ = _read_body()
        outbox.reoffer_entries(portal, parse_time(fields.text("since")))
        return make_response("", 204)


def _add_marks(app: Flask, portal: Portal) -> None:
    @app.get(f"{PREFIX}/mark")
    def show_mark() -> Response:
        # The relay keeps its receipts as long as readers see what they are about.
        return jsonify(ledger.read_mark(portal) | {"sent_days": portal.settings.limits.sent_days})

    @app.put(f"{PREFIX}/mark")
    def put_mark() -> Response:
        fields, _ = _read_body()
        is_reconciled = _is_given(fields, "reconciled") and fields.boolean("reconciled")
        ledger.write_mark(portal, fields.number("mark"), fields.time("time"), is_reconciled=is_reconciled)
        return make_response("", 204)
