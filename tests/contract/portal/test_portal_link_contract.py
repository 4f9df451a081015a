"""The link API: bases and waiting entries, ends, leases, reports, mark, inventory, restores; on both databases."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from relay.core.ids import new_id
from relay.core.wire.pae import decode_b64, encode_b64
from relay.core.wire.sealed import format_time
from tests.contract.portal.site import Box, Site, _Socket, hash_of, hash_of_capsule, item, make_settings
from tests.contract.store.databases import SteppedClock

MINUTE = 60_000


def fresh(site: Site, gen: int = 1) -> Box:
    box = Box(site.settings.portal_id, new_id(), encode_b64(os.urandom(32)))
    for _ in range(gen - 1):
        box = box.next()
    box.write_capsule("relay", site.clock.now_ms())
    return box


class TestWhoCalls:
    @pytest.mark.parametrize("certificate", [None, b"another certificate"])
    def test_another_certificate_is_refused(self, small_site: Site, certificate: bytes | None) -> None:
        client = small_site.first.link_app.test_client()
        answer = client.get("/link/v1/mark", environ_overrides={"gunicorn.socket": _Socket(certificate)})
        assert (answer.status_code, answer.get_json()["error"]) == (401, "certificate")
        assert client.get("/link/v1/mark").status_code == 401

    def test_the_public_side_has_no_link(self, small_site: Site) -> None:
        assert small_site.first.browser().get("/link/v1/mark").status_code == 404

    @pytest.mark.parametrize("digest", ["", "sha-256=:AAAA:", f"sha-256=:{'A' * 43}=:", "md5=:AAAA:"])
    def test_a_body_without_its_digest_is_refused(self, small_site: Site, digest: str) -> None:
        box = small_site.make_box()
        headers = {"Content-Digest": digest}
        answer = small_site.first.link("PUT", f"boxes/{box.id}/blobs/{new_id()}/0/0", b"octets", **headers)
        assert (answer.status_code, answer.get_json()["error"]) == (400, "digest")


class TestBoxes:
    def test_a_capsule_is_replaced_by_who_names_it(self, site: Site) -> None:
        box = fresh(site)
        assert site.push(box, "first").status_code == 201
        assert site.push(box, "first").status_code == 200
        new = box.next()
        new.write_capsule("relay", site.clock.now_ms())
        wrong = site.push(new, "first", base=None)
        assert wrong.status_code == 409
        assert wrong.get_json()["sha256"] == hash_of_capsule(box.capsule)
        assert wrong.get_json()["waiting"] == 0
        assert site.push(new, "first", base=hash_of_capsule(box.capsule)).status_code == 201
        assert site.first.browser().login(new).status_code == 200
        assert site.first.browser("192.0.2.9").login(box).status_code == 401

    def test_a_push_ends_sessions(self, site: Site) -> None:
        box = site.make_box()
        browser = site.signed_in(box)
        new = box.next()
        new.write_capsule("relay", site.clock.now_ms())
        assert site.push(new, "first", base=hash_of_capsule(box.capsule)).status_code == 201
        assert browser.get("/api/session").status_code == 401

    def test_what_waits_is_pulled_first(self, site: Site) -> None:
        box = site.make_box()
        site.signed_in(box).send(box)
        new = box.next()
        new.write_capsule("relay", site.clock.now_ms())
        refused = site.push(new, "first", base=hash_of_capsule(box.capsule))
        assert (refused.status_code, refused.get_json()["waiting"]) == (409, 1)
        site.ack(*site.pull())
        assert site.push(new, "first", base=hash_of_capsule(box.capsule)).status_code == 201

    def test_a_frozen_box_takes_no_item_and_no_rekey(self, site: Site) -> None:
        box = site.make_box()
        browser = site.signed_in(box)
        assert site.first.link("POST", f"boxes/{box.id}/end", {"end": "freeze"}).status_code == 204
        assert browser.send(box).get_json()["error"] == "reconciling"
        body = box.rekey_body(box.next(), site.clock.now_ms())
        assert browser.call("POST", "/api/rekey", body).status_code == 503
        assert site.first.link("POST", f"boxes/{box.id}/end", {"end": "thaw"}).status_code == 204
        assert browser.send(box).status_code == 201

    def test_expiry_drops_the_capsule_and_keeps_its_digest(self, site: Site) -> None:
        box = fresh(site)
        site.push(box, "first")
        browser = site.signed_in(box)
        assert site.first.link("POST", f"boxes/{box.id}/end", {"end": "expire"}).status_code == 204
        assert browser.get("/api/session").status_code == 401
        assert site.first.browser().login(box).status_code == 401
        found = site.first.link("GET", f"boxes/{box.id}?since=0").get_json()
        assert found == {
            "gen": 1,
            "sha256": hash_of_capsule(box.capsule),
            "state": "expired",
            "rekeys": [],
            "waiting": 0,
        }
        new = box.next()
        new.write_capsule("relay", site.clock.now_ms())
        assert site.push(new, "first", base=hash_of_capsule(box.capsule)).status_code == 201

    def test_a_rekey_that_came_in_time_is_not_expired(self, site: Site) -> None:
        box = fresh(site)
        site.push(box, "first")
        browser = site.signed_in(box)
        body = box.rekey_body(box.next(), site.clock.now_ms())
        assert browser.call("POST", "/api/rekey", body).status_code == 200
        refused = site.first.link("POST", f"boxes/{box.id}/end", {"end": "expire"})
        assert (refused.status_code, refused.get_json()["waiting"]) == (409, 1)

    def test_closing_leaves_nothing_but_the_name_of_the_box(self, site: Site) -> None:
        box = site.make_box()
        site.push_message(box, 1, {(0, 0): b"x" * 60})
        browser = site.signed_in(box)
        browser.call("PUT", f"/api/drafts/{new_id()}", {"rev": 0, "sealed": "AAAA"})
        browser.send(box)
        assert site.first.link("POST", f"boxes/{box.id}/end", {"end": "close"}).status_code == 204
        with site.first.portal.store.main.read() as connection:
            for table in ("message", "chunk", "draft", "outbox", "session"):
                assert connection.execute(text(f"SELECT count(*) FROM {table}")).scalar() == 0
        with site.first.portal.store.keys.read() as connection:
            # The dummy's alone.
            assert connection.execute(text("SELECT count(*) FROM row_key")).scalar() == 1
        again = Box(box.portal, new_id(), box.login_id)
        again.write_capsule("relay", site.clock.now_ms())
        assert site.push(again, "first").status_code == 201
        assert site.push(box, base=hash_of_capsule(box.capsule)).status_code == 409

    def test_kept_rekeys_let_a_restored_relay_catch_up(self, site: Site) -> None:
        box = site.make_box()
        boxes = [box]
        for _ in range(2):
            browser = site.signed_in(boxes[-1])
            new = boxes[-1].next()
            sent = boxes[-1].rekey_body(new, site.clock.now_ms())
            assert browser.call("POST", "/api/rekey", sent).status_code == 200
            boxes.append(new)
        site.ack(*site.pull())
        found = site.first.link("GET", f"boxes/{box.id}?since=1").get_json()
        assert [one["gen"] for one in found["rekeys"]] == [2, 3]
        assert [decode_b64(one["capsule"]) for one in found["rekeys"]] == [one.capsule for one in boxes[1:]]
        assert found["sha256"] == hash_of_capsule(boxes[-1].capsule)
        only_last = site.first.link("GET", f"boxes/{box.id}?since=2").get_json()["rekeys"]
        assert [one["gen"] for one in only_last] == [3]

    def test_a_capsule_of_another_box_or_portal_is_refused(self, site: Site) -> None:
        box = fresh(site)
        box.id, own = new_id(), box.id
        assert site.push(box).get_json()["error"] == "binding"
        box.id, box.portal = own, new_id()
        box.write_capsule("relay", site.clock.now_ms())
        assert site.push(box).get_json()["error"] == "binding"

    @pytest.mark.parametrize("what", ["boxes", "blobs", "messages", "unknown"])
    def test_unknown_ones_are_404(self, small_site: Site, what: str) -> None:
        node, box, id_ = small_site.first, new_id(), new_id()
        calls: dict[str, tuple[str, str, object]] = {
            "boxes": ("GET", f"boxes/{box}?since=0", None),
            "blobs": ("PUT", f"boxes/{box}/blobs/{id_}/0/0", b"octets"),
            "messages": ("PUT", f"boxes/{box}/messages/{id_}", small_site.message_body(1, [])),
            "unknown": ("GET", "nothing", None),
        }
        answer = node.link(*calls[what])
        assert (answer.status_code, answer.get_json()["error"]) == (404, "unknown")


class TestMessages:
    def test_chunks_first_then_the_message(self, site: Site) -> None:
        box, id_ = site.make_box(), new_id()
        data = os.urandom(1024 * 1024 + 28)
        path = f"boxes/{box.id}/blobs/{id_}"
        assert site.first.link("PUT", f"{path}/0/1", data).status_code == 201
        assert site.first.link("PUT", f"{path}/0/1", data).status_code == 200
        assert site.first.link("PUT", f"{path}/0/1", b"other").status_code == 409
        assert site.first.link("PUT", f"{path}/0/2", data + b"x").status_code == 413
        assert site.first.link("GET", path).get_json() == {"parts": [{"i": 0, "chunks": [1]}]}
        body = site.message_body(1, [{"i": 0, "chunks": 2}])
        missing = site.first.link("PUT", f"boxes/{box.id}/messages/{id_}", body)
        assert (missing.status_code, missing.get_json()["missing"]) == (409, [[0, 0]])
        browser = site.signed_in(box)
        assert browser.get("/api/messages").get_json()["messages"] == []
        site.first.link("PUT", f"{path}/0/0", data)
        assert site.first.link("PUT", f"boxes/{box.id}/messages/{id_}", body).status_code == 201
        assert site.first.link("PUT", f"boxes/{box.id}/messages/{id_}", body).status_code == 200
        other = site.first.link("PUT", f"boxes/{box.id}/messages/{id_}", body | {"no": 2})
        assert (other.status_code, other.get_json()["error"]) == (409, "changed")
        assert len(browser.get("/api/messages").get_json()["messages"]) == 1

    def test_a_message_is_taken_back_with_its_row_key(self, site: Site) -> None:
        from portal.store.sweep import count_rows

        box = site.make_box()
        store = site.first.portal.store
        before = count_rows(store)
        id_ = site.push_message(box, 1, {(0, 0): b"x" * 60})
        assert count_rows(store) == before + 1
        for _ in range(2):
            assert site.first.link("DELETE", f"boxes/{box.id}/messages/{id_}").status_code == 204
        assert count_rows(store) == before
        browser = site.signed_in(box)
        assert browser.get("/api/messages").get_json()["messages"] == []
        assert browser.get("/api/session").get_json()["quota"]["used"] == 0


class TestOutbox:
    def test_entries_stay_until_they_are_acknowledged(self, site: Site) -> None:
        box = site.make_box()
        browser = site.signed_in(box)
        ids = [browser.send(box).get_json()["seq"] for _ in range(3)]
        assert [entry["seq"] for entry in site.pull()] == ids
        found = site.pull()
        assert [entry["seq"] for entry in found] == ids
        site.ack(found[0])
        site.ack(found[0], result="refused")
        assert [entry["seq"] for entry in site.pull()] == ids[1:]
        site.ack(found[1], result="refused")
        states = [one["state"] for one in browser.get("/api/sent").get_json()["sent"]]
        assert states == ["waiting", "refused", "taken"]

    def test_a_box_whose_entries_stay_does_not_hold_up_others(self, site: Site) -> None:
        stuck, good = site.make_box(), site.make_box()
        browser = site.signed_in(stuck)
        for _ in range(30):
            browser.send(stuck)
        assert {entry["box"] for entry in site.pull(limit=10)} == {stuck.id}
        site.clock.advance(1)
        site.signed_in(good).send(good)
        assert good.id in {entry["box"] for entry in site.pull(limit=10)}

    def test_a_box_has_one_puller_at_a_time(self, site: Site) -> None:
        box = site.make_box()
        site.signed_in(box).send(box)
        first, second = {"X-Letterlock-Puller": "node1"}, {"X-Letterlock-Puller": "node2"}

        def pull(who: dict[str, str]) -> int:
            return len(site.first.link("GET", "outbox", **who).get_json()["entries"])

        assert [pull(first), pull(second), pull(first)] == [1, 0, 1]
        site.clock.advance(3 * MINUTE)
        assert [pull(second), pull(first)] == [1, 0]

    def test_a_long_poll_ends_when_something_comes(self, site: Site) -> None:
        box = site.make_box()
        browser = site.signed_in(box)
        found: list[Any] = []
        poll = threading.Thread(target=lambda: found.extend(site.pull(wait=30)))
        poll.start()
        assert browser.send(box).status_code == 201
        poll.join(20)
        assert not poll.is_alive()
        assert len(found) == 1
        site.ack(*found)
        assert site.pull(wait=0) == []

    def test_after_a_theft_what_was_taken_is_offered_again(self, site: Site) -> None:
        box = site.make_box()
        browser = site.signed_in(box)
        browser.send(box)
        site.ack(*site.pull())
        site.clock.advance(5_000)
        since = format_time(site.clock.now_ms())
        site.clock.advance(5_000)
        late = item(box)
        assert browser.call("POST", "/api/send", late).status_code == 201
        site.ack(*site.pull())
        assert site.first.link("POST", "outbox/reoffer", {"since": since}).status_code == 204
        assert [(entry["id"], entry["sealed"]) for entry in site.pull()] == [(late["id"], late["sealed"])]

    def test_a_chunk_that_is_not_there_is_404(self, small_site: Site) -> None:
        assert small_site.first.link("GET", f"outbox/{new_id()}/{new_id()}/0/0").status_code == 404


class TestLedger:
    def test_cards_are_public_and_may_get_a_new_roots_signature(self, site: Site) -> None:
        card = encode_b64(b'{"v":1}')
        sigs = [{"root": encode_b64(bytes(65)), "sig": encode_b64(bytes(64))}]
        assert site.first.link("PUT", "cards/1", {"card": card, "sigs": sigs}).status_code == 201
        assert site.first.link("PUT", "cards/1", {"card": card, "sigs": sigs}).status_code == 200
        both = [*sigs, {"root": encode_b64(b"\1" * 65), "sig": encode_b64(b"\1" * 64)}]
        assert site.first.link("PUT", "cards/1", {"card": card, "sigs": both}).status_code == 200
        other = {"card": encode_b64(b'{"v":2}'), "sigs": sigs}
        assert site.first.link("PUT", "cards/1", other).status_code == 409
        assert site.first.browser().get("/api/cards").get_json() == {"cards": [{"card": card, "sigs": both}]}

    def test_tokens_and_joins_are_kept_by_their_hash(self, site: Site) -> None:
        box = site.make_box(kind="reply")
        expires = format_time(site.clock.now_ms() + 86_400_000)
        for path, body in (
            (f"tokens/{hash_of('t')}", {"box": box.id, "id": new_id(), "expires": expires}),
            (f"joins/{hash_of('j')}", {"expires": expires}),
        ):
            assert site.first.link("PUT", path, body).status_code == 201
            assert site.first.link("PUT", path, body).status_code == 200
            assert site.first.link("PUT", path, body | {"expires": None}).status_code == 409
        assert site.first.link("PUT", "tokens/short", {"box": box.id, "id": new_id()}).status_code == 400

    def test_reports_count_and_end_with_their_acknowledgement(self, site: Site) -> None:
        box = site.make_box()
        for _ in range(3):
            site.first.browser().login(box, os.urandom(32))
        found = site.first.link("GET", "reports").get_json()["reports"]
        # The hint names the generation whose password was tried: it must not count against a newer one.
        assert [(one["kind"], one["box"], one["count"], one["gen"]) for one in found] == [("wrong", box.id, 3, 1)]
        # What happens after they were handed out is a report of its own.
        site.first.browser().login(box, os.urandom(32))
        assert site.first.link("POST", "reports/ack", {"seq": found[0]["seq"]}).status_code == 204
        left = site.first.link("GET", "reports").get_json()["reports"]
        assert [(one["kind"], one["count"]) for one in left] == [("wrong", 4)]

    def test_the_inventory_is_paged(self, site: Site) -> None:
        boxes = sorted((site.make_box() for _ in range(3)), key=lambda one: one.id)
        message = site.push_message(boxes[0], 1)
        sigs: list[object] = []
        site.first.link("PUT", "cards/4", {"card": "AAAA", "sigs": sigs})
        page = site.first.link("GET", "inventory?after=&limit=2").get_json()
        assert [one["box"] for one in page["boxes"]] == [one.id for one in boxes[:2]]
        assert page["boxes"][0] == {
            "box": boxes[0].id,
            "gen": 1,
            "sha256": hash_of_capsule(boxes[0].capsule),
            "state": "active",
            "messages": [message],
        }
        assert (page["cards"], page["tokens"], page["more"]) == ([4], [], True)
        rest = site.first.link("GET", f"inventory?after={boxes[1].id}&limit=2").get_json()
        assert [one["box"] for one in rest["boxes"]] == [boxes[2].id]
        assert rest["more"] is False
        assert "cards" not in rest


class TestMark:
    def test_a_new_portal_takes_no_login_before_the_relay_has_come(self, tmp_path: Path) -> None:
        site = Site(make_settings(tmp_path / "portal", "sqlite"), SteppedClock())
        box = site.make_box()
        expected = {"mark": None, "time": None, "waiting": True, "sent_days": 90}
        assert site.first.link("GET", "mark").get_json() == expected
        refused = site.first.browser().login(box)
        assert (refused.status_code, refused.get_json()["error"]) == (503, "reconciling")
        time = format_time(site.clock.now_ms())
        plain = {"mark": 1, "time": time, "reconciled": False}
        assert site.first.link("PUT", "mark", plain).status_code == 204
        assert site.first.browser().login(box).status_code == 503
        assert site.mark(2).status_code == 204
        assert site.first.browser().login(box).status_code == 200
        site.first.close()

    def test_a_plain_restart_costs_nothing(self, site: Site) -> None:
        box = site.make_box()
        site.clock.advance(9 * MINUTE)
        assert site.node().is_waiting is False
        assert site.nodes[-1].browser().login(box).status_code == 200

    def test_a_process_with_an_old_mark_waits_and_all_others_with_it(self, site: Site) -> None:
        box = site.make_box()
        browser = site.signed_in(box)
        site.clock.advance(11 * MINUTE)
        assert site.node().is_waiting is True
        assert site.first.browser().login(box).status_code == 503
        assert browser.send(box).get_json()["error"] == "reconciling"
        rekey = box.rekey_body(box.next(), site.clock.now_ms())
        assert browser.call("POST", "/api/rekey", rekey).status_code == 503
        assert browser.get("/api/messages").status_code == 200
        assert site.mark(2).status_code == 204
        assert browser.send(box).status_code == 201

    def test_a_mark_never_falls(self, site: Site) -> None:
        site.mark(7)
        lower = site.mark(6)
        assert (lower.status_code, lower.get_json()["mark"]) == (409, 7)


class TestRestore:
    def restored(self, tmp_path: Path, *, with_keys: bool) -> tuple[Site, Box, Box, str, str]:
        """Back up, then rekey, delete and receive; restore the back-up."""
        from portal.backup import make_backup

        site = Site(make_settings(tmp_path / "portal", "sqlite"), SteppedClock())
        site.mark(1)
        box = site.make_box()
        kept, deleted = site.push_message(box, 1), site.push_message(box, 2)
        main, keys = make_backup(site.settings, tmp_path / "backup", site.clock.now_ms())
        new = box.next()
        sent = box.rekey_body(new, site.clock.now_ms())
        assert site.signed_in(box).call("POST", "/api/rekey", sent).status_code == 200
        site.first.link("DELETE", f"boxes/{box.id}/messages/{deleted}")
        site.ack(*site.pull())
        for node in site.nodes:
            node.close()
        site.nodes.clear()
        for source, url in ((main, site.settings.database.url), (keys, site.settings.database.keys_url)):
            if source is main or with_keys:
                path = Path(url.removeprefix("sqlite:///"))
                for old in path.parent.glob(f"{path.name}-*"):
                    old.unlink()
                shutil.copyfile(source, path)
        site.clock.advance(20 * MINUTE)
        return site, box, new, kept, deleted

    def test_an_old_back_up_opens_to_no_void_password(self, tmp_path: Path) -> None:
        site, box, new, kept, deleted = self.restored(tmp_path, with_keys=True)
        assert site.first.browser().login(box).status_code == 503
        page = site.first.link("GET", "inventory").get_json()["boxes"][0]
        assert page["sha256"] == hash_of_capsule(box.capsule)
        assert set(page["messages"]) == {kept, deleted}
        # The relay pushes its newest over the restored one, deletes again what was deleted, and opens.
        assert site.push(new, base=page["sha256"]).status_code == 201
        site.first.link("DELETE", f"boxes/{box.id}/messages/{deleted}")
        site.mark(2)
        assert site.first.browser().login(box).status_code == 401
        assert site.first.browser().login(new).status_code == 200
        site.first.close()

    def test_what_was_deleted_stays_shut_in_an_old_back_up(self, tmp_path: Path) -> None:
        """The database is restored, the row keys are today's: what was shredded since does not open."""
        site, box, new, kept, _ = self.restored(tmp_path, with_keys=False)
        page = site.first.link("GET", "inventory").get_json()["boxes"][0]
        assert page["sha256"] is None
        assert page["messages"] == [kept]
        assert site.push(new, base=None).status_code == 201
        site.mark(2)
        browser = site.first.browser()
        assert browser.login(new).status_code == 200
        assert [one["id"] for one in browser.get("/api/messages").get_json()["messages"]] == [kept]
        assert site.first.browser("192.0.2.9").login(box).status_code == 401
        site.first.close()

    def test_row_keys_are_kept_apart_and_old_ones_deleted(self, tmp_path: Path) -> None:
        from portal.backup import KEEP_KEYS_MS, make_backup

        site = Site(make_settings(tmp_path / "portal", "sqlite"), SteppedClock())
        site.mark(1)
        first = make_backup(site.settings, tmp_path / "backup", site.clock.now_ms())
        old = first[1].stat().st_mtime - KEEP_KEYS_MS / 1000 - 60
        os.utime(first[1], (old, old))
        second = make_backup(site.settings, tmp_path / "backup", site.clock.now_ms() + MINUTE)
        assert not first[1].exists()
        assert all(path.exists() for path in (first[0], *second))
        assert second[1].parent != second[0].parent
        assert {path.stat().st_mode & 0o777 for path in second} == {0o600}
        site.first.close()


SEALED_DRAFT = 3 + 28
"""Octets that a draft of three takes in its row."""


class TestSweep:
    def test_it_clears_what_is_over_and_nothing_else(self, site: Site) -> None:
        from portal.store.sweep import count_rows, sweep

        store = site.first.portal.store
        box = site.make_box()
        site.push_message(box, 1, {(0, 0): b"x" * 60})
        browser = site.signed_in(box)
        browser.call("PUT", f"/api/drafts/{new_id()}/0/0", b"an upload that no draft names")
        draft = new_id()
        browser.call("PUT", f"/api/drafts/{draft}", {"rev": 0, "sealed": "AAAA"})
        browser.call("PUT", f"/api/drafts/{draft}/0/0", b"of a draft")
        browser.send(box)
        site.ack(*site.pull())
        store.rows.seal("message", box.id, "lost", b"a row that was never committed")
        site.first.browser().login(box, os.urandom(32))
        before = count_rows(store)
        sweep(store, 90)
        assert count_rows(store) == before
        site.clock.advance(10 * 86_400_000)
        sweep(store, 90)
        assert count_rows(store) == before - 1
        site.mark(2)
        browser = site.signed_in(box)
        assert len(browser.get("/api/sent").get_json()["sent"]) == 1
        assert browser.get(f"/api/drafts/{draft}").get_json()["parts"] == [{"i": 0, "chunks": [0]}]
        assert browser.get("/api/session").get_json()["quota"]["used"] == 60 + len(b"of a draft") + SEALED_DRAFT
        site.clock.advance(85 * 86_400_000)
        sweep(store, 90)
        with store.main.read() as connection:
            assert connection.execute(text("SELECT count(*) FROM outbox")).scalar() == 0
            assert connection.execute(text("SELECT count(*) FROM session")).scalar() == 0
