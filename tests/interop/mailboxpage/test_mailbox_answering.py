"""Writing replies in a real browser; what arrives is opened by the relay's own code."""

from __future__ import annotations

import json
import threading
from typing import Any

from flask import Flask, Response, jsonify, request

from relay.core.wire.sealed import DRAFT, make_id, open_self, read_b64
from tests.interop.mailboxpage.fake_portal import FakePortal, run_portal
from tests.interop.mailboxpage.samples import fill_box
from tests.interop.mailboxpage.sealed_box import SealedBox
from tests.interop.mailboxpage.walking import walk


def _open_draft(box: SealedBox, id_: str, sealed: str) -> dict[str, Any]:
    return dict(json.loads(open_self(box.keys, DRAFT, id_, read_b64(sealed))))


def _add_test_calls(portal: FakePortal, app: Flask) -> None:
    """What the walk asks the other side to do: hold chunks back, tell of the receipt, refuse."""
    box = portal.box
    free = threading.Event()
    free.set()

    @app.before_request
    def hold() -> None:
        parts = request.path.split("/")
        if request.method == "PUT" and len(parts) == 6 and parts[5] != "0":
            free.wait(20)

    @app.get("/test/saves")
    def tell_saves() -> Response:
        drafts = [_open_draft(box, id_, one["sealed"]) for id_, one in portal.state.drafts.items()]
        return jsonify({"removed": any(draft["next"] >= 3 and len(draft["attachments"]) == 2 for draft in drafts)})

    @app.post("/test/<what>")
    def act(what: str) -> Response:
        if what == "hold":
            free.clear()
        elif what == "release":
            free.set()
        elif what == "receipt":
            box.add_receipt(portal.state.sent[-1].body["id"])
            # It lies among other rows, more of them than a page has.
            for _ in range(55):
                box.add_receipt(make_id())
            portal.state.used += 1_000_000
        elif what == "refuse":
            portal.state.refuse["/api/send"] = (409, {"error": "generation", "reference": "QKXM-4821"})
        elif what == "shut":
            portal.state.refuse["/api/blobs"] = (401, {"error": "signed-out", "reference": "TEST-0401"})
        elif what == "end":
            portal.state.refuse["/api/drafts"] = (401, {"error": "signed-out", "reference": "TEST-0401"})
        else:
            portal.state.refuse.clear()
        return Response(status=204)


def test_reply_is_written_saved_sent_and_confirmed() -> None:
    """One reply with files, from the first letter to the receipt."""
    box = SealedBox()
    samples = fill_box(box)
    with run_portal(box, more=_add_test_calls) as portal:
        result = walk(
            portal,
            "answering",
            answer=samples.answer.id,
            question=samples.question.id,
            contract=samples.contract.id,
            **portal.open_session(),
        )
        state = portal.state

    assert result["to"] == ["Only Maria Keller", "Everyone at Example Bank: Maria Keller, archive@bank.example"]
    assert result["subject"] == "Re: Questions about collateral"
    assert result["empty"] == "Please write something, or add a file."
    assert result["invalid"] == ["true", True]
    assert result["saved"].startswith("Draft saved ")
    assert "large.bin" in result["files"][1]
    assert len(result["drafts"]) == 1
    assert result["again"]["to"] == "all"
    assert result["again"]["text"] == "Thank you, here is the extract. Grüße"
    assert all("encrypted and uploaded" in one for one in result["again"]["files"])
    assert result["done"][:2] == ["Maria Keller gets it within a few minutes.", "It has 2 attachments."]
    assert "Handed over" in result["sent"][0]
    assert "To Maria Keller" in result["item"]
    assert "This copy stays here until 18 February 2027." in result["item"]
    assert "do not get it: Bernd Lind" in result["hint"]
    assert "Example Bank has confirmed that it arrived." in result["arrived"]
    assert result["room"] == "42 MB of 200 MB used"
    assert [one.split(".")[0] for one in result["asked"]] == [
        "Close this mailbox?Nobody can bring its messages back afterwards, not even Example Bank",
        "Delete everything in it?There is no way back after this",
    ]
    assert result["closed"].startswith("Your mailbox is being closed.")
    closing = state.items[-1]
    closed = box.open_item(read_b64(closing["sealed"]), gen=closing["gen"], id_=closing["id"], card=closing["card"])
    assert closed.kind == "close"
    assert not state.session
    assert "The password was changed elsewhere. Your draft is kept." in result["refused"]
    assert "QKXM-4821" in result["refused"]
    assert result["kept"] == "one more"
    assert result["shut"].startswith("You are signed out. Please sign in again.")
    assert result["over"].startswith("You are signed out. Please sign in again.")
    assert result["stays"] == "one more and more"
    assert result["errors"] == []
    assert not state.drafts

    [reply] = [one for one in state.items if one["kind"] == "reply"]
    item = box.open_item(read_b64(reply["sealed"]), gen=reply["gen"], id_=reply["id"], card=reply["card"])
    assert (item.to, item.subject, item.re) == ("all", "Re: Questions about collateral", samples.answer.id)
    names = {part.name or part.role: part.i for part in item.parts}
    assert set(names) == {"text", "extract.txt", "large.bin"}
    chunks = state.chunks[reply["id"]]
    opened = {
        name: box.open_reply_part(item, i, [chunks[i][n] for n in sorted(chunks[i])]) for name, i in names.items()
    }
    assert opened == {
        "text": "Thank you, here is the extract. Grüße".encode(),
        "extract.txt": b"the extract",
        "large.bin": b"\x07" * 3_000_000,
    }
