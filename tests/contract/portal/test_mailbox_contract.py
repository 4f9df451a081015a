"""Messages, chunks, drafts, sending and registration, on both databases."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import insert, select, text, update

from portal.store.models import box as box_table
from portal.store.models import message, outbox, revision
from portal.store.schema import REVISION
from relay.core.errors import ConfigurationError
from relay.core.ids import new_id
from relay.core.wire.pae import decode_b64, encode_b64
from relay.core.wire.sealed import format_time
from relay.core.wire.sealed.jsontext import parse_time
from tests.contract.portal.site import Browser, Site, hash_of, item

MIB = 1024 * 1024

SOME_ID = "ENJHhdjed6rBfPOxg9HE-w"


class TestReading:
    def test_the_list_is_newest_first_and_paged(self, site: Site) -> None:
        box = site.make_box()
        ids = [site.push_message(box, no) for no in (3, 1, 2)]
        browser = site.signed_in(box)
        page = browser.get("/api/messages?limit=2").get_json()
        assert [(one["id"], one["no"]) for one in page["messages"]] == [(ids[0], 3), (ids[2], 2)]
        assert page["more"] is True
        rest = browser.get("/api/messages?limit=2&before=2").get_json()
        assert [one["id"] for one in rest["messages"]] == [ids[1]]
        assert rest["more"] is False

    def test_a_message_comes_as_it_was_pushed(self, site: Site) -> None:
        box = site.make_box()
        chunks = {(0, 0): os.urandom(44), (3, 0): os.urandom(MIB + 28), (3, 1): os.urandom(40)}
        id_ = site.push_message(box, 1, chunks)
        browser = site.signed_in(box)
        found = browser.get("/api/messages").get_json()["messages"][0]
        assert found["parts"] == [{"i": 0, "chunks": 1}, {"i": 3, "chunks": 2}]
        for (i, n), data in chunks.items():
            answer = browser.get(f"/api/blobs/{id_}/{i}/{n}")
            assert answer.data == data
            assert answer.headers["Content-Type"] == "application/octet-stream"
            assert answer.headers["Content-Disposition"] == "attachment"
        assert browser.get(f"/api/blobs/{id_}/1/0").status_code == 404
        assert browser.get("/api/session").get_json()["quota"]["used"] == sum(map(len, chunks.values()))

    def test_nothing_of_another_box_is_given_out(self, site: Site) -> None:
        victim, thief = site.make_box(), site.make_box()
        id_ = site.push_message(victim, 1, {(0, 0): b"x" * 40})
        browser = site.signed_in(thief)
        assert browser.get("/api/messages").get_json()["messages"] == []
        assert browser.get(f"/api/blobs/{id_}/0/0").status_code == 404

    def test_what_has_expired_is_not_listed_and_is_swept(self, site: Site) -> None:
        from portal.link.messages import sweep_expired

        box = site.make_box()
        site.push_message(box, 1, {(0, 0): b"x" * 40})
        site.clock.advance(91 * 86_400_000)
        browser = site.signed_in(box)
        assert browser.get("/api/messages").get_json()["messages"] == []
        assert sweep_expired(site.first.portal) == 1
        assert browser.get("/api/session").get_json()["quota"]["used"] == 0

    @pytest.mark.parametrize("path", ["messages", "sent", "drafts", f"drafts/{SOME_ID}", f"blobs/{SOME_ID}/0/0"])
    def test_without_a_session_there_is_nothing(self, small_site: Site, path: str) -> None:
        answer = small_site.first.browser().get(f"/api/{path}")
        assert (answer.status_code, answer.get_json()["error"]) == (401, "signed-out")

    def test_a_page_uses_the_index_whatever_the_size(self, site: Site) -> None:
        """Ten messages or ten thousand: the same steps through an index, and no sorting."""
        from sqlalchemy import text

        box = site.make_box()
        row = {"gen": 1, "card": 1, "row_key": "k", "sealed": b"s", "parts": "[]", "digest": b"d", "stored": 0}
        with site.first.portal.store.main.write() as connection:
            rows = [{"box": box.id, "id": f"m{no}", "no": no, **row} for no in range(10_000)]
            connection.execute(insert(message), rows)
            if site.first.portal.store.main.dialect == "postgresql":
                connection.execute(text("ANALYZE message"))
        wanted = "SELECT id FROM message WHERE box = :box AND no < 9000 ORDER BY no DESC LIMIT 51"
        with site.first.portal.store.main.read() as connection:
            is_sqlite = site.first.portal.store.main.dialect == "sqlite"
            explain = "EXPLAIN QUERY PLAN " if is_sqlite else "EXPLAIN "
            plan = str(connection.execute(text(explain + wanted), {"box": box.id}).all())
        assert "message_no" in plan
        assert "Sort" not in plan
        assert "TEMP B-TREE" not in plan


class TestDrafts:
    def test_a_draft_is_replaced_by_its_revision_alone(self, site: Site) -> None:
        browser = site.signed_in(site.make_box())
        id_ = new_id()
        first, second = ({"rev": rev, "sealed": encode_b64(os.urandom(90))} for rev in (0, 1))
        assert browser.call("PUT", f"/api/drafts/{id_}", first).get_json() == {"rev": 1}
        assert browser.call("PUT", f"/api/drafts/{id_}", first).get_json() == {"rev": 1}
        assert browser.call("PUT", f"/api/drafts/{id_}", second).get_json() == {"rev": 2}
        stale = browser.call("PUT", f"/api/drafts/{id_}", first)
        assert (stale.status_code, stale.get_json()["error"], stale.get_json()["rev"]) == (409, "changed", 2)
        found = browser.get("/api/drafts").get_json()["drafts"]
        assert found == [{"id": id_, "rev": 2, "sealed": second["sealed"]}]
        assert browser.get("/api/session").get_json()["quota"]["used"] == 90 + 28
        assert browser.call("DELETE", f"/api/drafts/{id_}").status_code == 204
        assert browser.get("/api/drafts").get_json()["drafts"] == []
        assert browser.get(f"/api/drafts/{id_}").status_code == 404
        assert browser.get("/api/session").get_json()["quota"]["used"] == 0

    def test_two_tabs_at_once_one_wins(self, site: Site) -> None:
        box = site.make_box()
        browsers = [site.signed_in(box), site.signed_in(box)]
        id_ = new_id()
        codes: list[int] = []

        def save(browser: Browser) -> None:
            body = {"rev": 0, "sealed": encode_b64(os.urandom(50))}
            codes.append(browser.call("PUT", f"/api/drafts/{id_}", body).status_code)

        run_all([lambda one=one: save(one) for one in browsers])
        assert sorted(codes) == [200, 409]

    def test_a_chunk_is_written_once(self, site: Site) -> None:
        browser = site.signed_in(site.make_box())
        id_, data = new_id(), os.urandom(100)
        path = f"/api/drafts/{id_}/2/0"
        assert browser.call("PUT", path, data).status_code == 201
        assert browser.call("PUT", path, data).status_code == 200
        assert browser.call("PUT", path, os.urandom(100)).status_code == 409
        assert browser.get(f"/api/blobs/{id_}/2/0").data == data
        assert browser.get(f"/api/drafts/{id_}").get_json() == {
            "id": id_,
            "rev": 0,
            "sealed": None,
            "parts": [{"i": 2, "chunks": [0]}],
        }

    def test_limits_hold(self, small_site: Site) -> None:
        limits = replace(small_site.settings.limits, message=MIB, box=3 * MIB)
        small_site.settings = replace(small_site.settings, limits=limits)
        node = small_site.node()
        box = small_site.make_box()
        browser = node.browser()
        assert browser.login(box).status_code == 200
        id_ = new_id()
        assert browser.call("PUT", f"/api/drafts/{id_}/0/0", bytes(MIB + 29)).status_code == 413
        assert browser.call("PUT", f"/api/drafts/{id_}/0/0", bytes(MIB)).status_code == 201
        assert browser.call("PUT", f"/api/drafts/{id_}/0/1", bytes(MIB)).status_code == 201
        assert browser.call("PUT", f"/api/drafts/{id_}/0/2", bytes(MIB)).status_code == 413
        assert browser.call("PUT", f"/api/drafts/{new_id()}/0/0", bytes(MIB)).status_code == 201
        full = browser.call("PUT", f"/api/drafts/{new_id()}/0/0", bytes(MIB))
        assert (full.status_code, full.get_json()["error"]) == (507, "quota")
        assert browser.call("PUT", f"/api/drafts/{id_}/10000/0", b"x").status_code == 404
        # A draft's own text counts, too; what is there may still be saved, no longer than it was, and be sent.
        text = {"rev": 0, "sealed": encode_b64(os.urandom(500_000))}
        assert browser.call("PUT", f"/api/drafts/{new_id()}", text).status_code == 507
        with node.portal.store.main.write() as connection:
            connection.execute(update(box_table).values(used=3 * MIB - 500_028))
        assert browser.call("PUT", f"/api/drafts/{id_}", text).status_code == 200
        assert browser.call("PUT", f"/api/drafts/{id_}", text | {"rev": 1}).status_code == 200
        longer = {"rev": 2, "sealed": encode_b64(os.urandom(500_001))}
        assert browser.call("PUT", f"/api/drafts/{id_}", longer).status_code == 507

    def test_a_message_larger_than_the_limit_is_not_sent(self, small_site: Site) -> None:
        """Room for a part that began anew is none for a larger message."""
        limits = replace(small_site.settings.limits, message=MIB)
        small_site.settings = replace(small_site.settings, limits=limits)
        node = small_site.node()
        box = small_site.make_box()
        browser = node.browser()
        assert browser.login(box).status_code == 200
        id_ = new_id()
        assert browser.call("PUT", f"/api/drafts/{id_}/0/0", bytes(MIB + 28)).status_code == 201
        assert browser.call("PUT", f"/api/drafts/{id_}/1/0", bytes(100)).status_code == 201
        both = [{"i": 0, "chunks": 1}, {"i": 1, "chunks": 1}]
        refused = browser.send(box, id=id_, parts=both)
        assert (refused.status_code, refused.get_json()["error"]) == (413, "size")
        # The one alone fits.
        assert browser.send(box, id=id_, parts=both[:1]).status_code == 201


class TestSending:
    def test_an_item_goes_into_the_outbox_and_into_sent(self, site: Site) -> None:
        box = site.make_box()
        browser = site.signed_in(box)
        draft = new_id()
        chunks = {(1, 0): os.urandom(77), (2, 0): os.urandom(88)}
        for (i, n), data in chunks.items():
            assert browser.call("PUT", f"/api/drafts/{draft}/{i}/{n}", data).status_code == 201
        assert browser.call("PUT", f"/api/drafts/{draft}", {"rev": 0, "sealed": "AAAA"}).status_code == 200
        sent = item(box, id=draft, parts=[{"i": 2, "chunks": 1}])
        answer = browser.call("POST", "/api/send", sent)
        assert (answer.status_code, answer.get_json()) == (201, {"seq": 1})
        assert browser.get("/api/drafts").get_json()["drafts"] == []
        # A part that the item does not name is gone.
        assert browser.get(f"/api/blobs/{draft}/1/0").status_code == 404
        entry = site.pull()[0]
        assert entry == {
            "kind": "item",
            "seq": 1,
            "id": draft,
            "box": box.id,
            "gen": 1,
            "card": 1,
            "sealed": sent["sealed"],
            "parts": [{"i": 2, "chunks": 1}],
        }
        assert site.first.link("GET", f"outbox/{box.id}/{draft}/2/0").data == chunks[2, 0]
        listed = browser.get("/api/sent").get_json()["sent"][0]
        assert (listed["state"], listed["self"], listed["id"]) == ("waiting", sent["self"], draft)
        assert listed["until"] is None
        site.ack(entry)
        assert site.pull() == []
        taken = browser.get("/api/sent").get_json()["sent"][0]
        assert taken["state"] == "taken"
        left = parse_time(taken["until"]) - site.clock.now_ms()
        assert 89.99 < left / 86_400_000 < 90.01
        assert browser.get(f"/api/blobs/{draft}/2/0").data == chunks[2, 0]

    def test_the_same_again_is_200_and_another_under_its_id_409(self, site: Site) -> None:
        box = site.make_box()
        browser = site.signed_in(box)
        body = item(box)
        assert browser.call("POST", "/api/send", body).status_code == 201
        again = browser.call("POST", "/api/send", body)
        assert (again.status_code, again.get_json()) == (200, {"seq": 1})
        assert browser.call("POST", "/api/send", body | {"sealed": encode_b64(b"other")}).status_code == 409
        assert len(site.pull()) == 1

    def test_a_stale_generation_and_missing_chunks_are_named(self, site: Site) -> None:
        box = site.make_box()
        browser = site.signed_in(box)
        stale = browser.send(box, gen=2)
        assert (stale.status_code, stale.get_json()["error"]) == (409, "generation")
        id_ = new_id()
        assert browser.call("PUT", f"/api/drafts/{id_}/0/1", b"chunk").status_code == 201
        missing = browser.send(box, id=id_, parts=[{"i": 0, "chunks": 3}])
        assert (missing.status_code, missing.get_json()["missing"]) == (409, [[0, 0], [0, 2]])
        assert site.pull() == []

    def test_reading_and_deleting_are_kept_book_of(self, site: Site) -> None:
        box = site.make_box()
        read, deleted = site.push_message(box, 1), site.push_message(box, 2, {(0, 0): b"x" * 50})
        browser = site.signed_in(box)
        quiet: dict[str, Any] = {"self": None, "parts": []}
        assert browser.send(box, kind="read", re=read, **quiet).status_code == 201
        assert browser.send(box, kind="deleted", re=deleted, **quiet).status_code == 201
        found = browser.get("/api/messages").get_json()["messages"]
        assert [(one["id"], one["seen"]) for one in found] == [(read, True)]
        assert browser.get(f"/api/blobs/{deleted}/0/0").status_code == 404
        assert browser.get("/api/sent").get_json()["sent"] == []
        assert len(site.pull()) == 2

    def test_items_of_two_tabs_at_once_have_an_order_without_a_gap(self, site: Site) -> None:
        box = site.make_box()
        browsers = [site.signed_in(box) for _ in range(4)]
        run_all([lambda one=one: [one.send(box) for _ in range(5)] for one in browsers])
        assert [entry["seq"] for entry in site.pull(limit=200)] == list(range(1, 21))

    def test_an_hour_has_two_hundred_items(self, small_site: Site) -> None:
        box = small_site.make_box()
        browser = small_site.signed_in(box)
        codes = [browser.send(box, self=None, kind="damaged").status_code for _ in range(201)]
        assert codes == [201] * 200 + [429]
        small_site.clock.advance(3_600_000)
        assert small_site.signed_in(box).send(box).status_code == 201

    @pytest.mark.parametrize(
        ("change", "status"),
        [
            ({"kind": "order"}, 400),
            ({"re": "nobody"}, 400),
            ({"gen": True}, 400),
            ({"gen": -1}, 400),
            ({"sealed": ""}, 413),
            ({"sealed": encode_b64(bytes(66 * 1024))}, 413),
            ({"parts": [{"i": 0, "chunks": 1}, {"i": 0, "chunks": 2}]}, 400),
            ({"parts": [{"i": 0, "chunks": 0}]}, 400),
            ({"parts": [{"i": n, "chunks": 1} for n in range(101)]}, 413),
        ],
    )
    def test_what_is_no_item_is_refused(self, small_site: Site, change: dict[str, Any], status: int) -> None:
        box = small_site.make_box()
        assert small_site.signed_in(box).send(box, **change).status_code == status
        assert small_site.pull() == []


class TestRegistration:
    def open_link(self, site: Site, days: int = 7) -> str:
        id_ = new_id()
        expires = format_time(site.clock.now_ms() + days * 86_400_000)
        assert site.first.link("PUT", f"joins/{hash_of(id_)}", {"expires": expires}).status_code == 201
        return id_

    def test_a_link_is_taken_once(self, site: Site) -> None:
        id_ = self.open_link(site)
        browser = site.first.browser()
        assert browser.get(f"/api/join/{id_}").get_json() == {"open": True}
        body = {"id": id_, "card": 2, "sealed": encode_b64(os.urandom(5000))}
        assert browser.call("POST", "/api/join", body).status_code == 201
        assert browser.call("POST", "/api/join", body).status_code == 200
        assert browser.call("POST", "/api/join", body | {"card": 3}).status_code == 409
        assert browser.get(f"/api/join/{id_}").status_code == 410
        entry = site.pull()[0]
        assert entry == {"kind": "join", "seq": 1, "id": id_, "card": 2, "sealed": body["sealed"]}
        site.ack(entry)
        assert site.pull() == []

    def test_unknown_and_expired_links_are_closed(self, site: Site) -> None:
        id_ = self.open_link(site)
        site.clock.advance(8 * 86_400_000)
        browser = site.first.browser()
        body = {"id": id_, "card": 2, "sealed": "AAAA"}
        assert browser.get(f"/api/join/{id_}").status_code == 410
        assert browser.call("POST", "/api/join", body).status_code == 410
        assert browser.get(f"/api/join/{new_id()}").status_code == 404
        assert browser.call("POST", "/api/join", body | {"id": new_id()}).status_code == 404
        too_long = body | {"sealed": encode_b64(bytes(151 * 1024))}
        assert browser.call("POST", "/api/join", too_long).status_code == 413

    def test_of_two_at_once_one_is_taken(self, site: Site) -> None:
        id_ = self.open_link(site)
        codes: list[int] = []

        def join() -> None:
            body = {"id": id_, "card": 2, "sealed": encode_b64(os.urandom(50))}
            codes.append(site.first.browser().call("POST", "/api/join", body).status_code)

        run_all([join, join])
        assert sorted(codes) == [201, 409]


class TestRows:
    def test_what_opens_something_lies_sealed(self, site: Site) -> None:
        """Neither a capsule, a manifest, an item nor a draft is found in the main database as it was sent."""
        box = site.make_box()
        site.push_message(box, 1)
        browser = site.signed_in(box)
        draft = {"rev": 0, "sealed": encode_b64(os.urandom(64))}
        browser.call("PUT", f"/api/drafts/{new_id()}", draft)
        sent = item(box)
        browser.call("POST", "/api/send", sent)
        manifest = browser.get("/api/messages").get_json()["messages"][0]["sealed"]
        main = site.first.portal.store.main
        columns = {"box": "capsule", "message": "sealed", "draft": "sealed", "outbox": "sealed"}
        from sqlalchemy import text

        stored = b""
        with main.read() as connection:
            for table, column in columns.items():
                for (value,) in connection.execute(text(f"SELECT {column} FROM {table} WHERE {column} IS NOT NULL")):
                    stored += bytes(value)
            stored += b"".join(map(bytes, connection.execute(select(outbox.c.self_sealed)).scalars()))
        for plain in (box.capsule, *map(decode_b64, (draft["sealed"], sent["sealed"], sent["self"], manifest))):
            assert plain[:32] not in stored
            assert plain[-32:] not in stored

    def test_without_row_keys_nothing_opens(self, site: Site) -> None:
        from portal.store.models import row_key

        box = site.make_box()
        site.push_message(box, 1)
        browser = site.signed_in(box)
        with site.first.portal.store.keys.write() as connection:
            connection.execute(row_key.delete())
        assert browser.get("/api/messages").get_json()["messages"] == []
        assert site.first.browser().login(box).status_code == 401


class TestOlderDatabase:
    def test_one_of_the_first_version_is_brought_up_to_date(self, site: Site) -> None:
        from portal.store.boxes import CAPSULE, load_box, open_capsule_row
        from portal.store.sweep import count_rows, sweep

        store = site.first.portal.store
        box, id_ = site.make_box(), new_id()
        browser = site.signed_in(box)
        assert browser.call("PUT", f"/api/drafts/{id_}", {"rev": 0, "sealed": "AAAA"}).status_code == 200
        assert browser.call("PUT", f"/api/drafts/{id_}/0/0", b"chunk").status_code == 201
        names = ("", box.id)
        # As the first version wrote it: capsules as they came, drafts not counted.
        for name in names:
            with store.main.read() as connection:
                row = load_box(connection, name)
            assert row is not None
            octets = open_capsule_row(store, row)
            assert octets is not None
            short = store.rows.seal(CAPSULE, name, "", octets)
            assert len(short.sealed) == len(octets) + 28
            with store.main.write() as connection:
                values = {"capsule": short.sealed, "capsule_key": short.row_key}
                connection.execute(update(box_table).where(box_table.c.id == name).values(**values))
        with store.main.write() as connection:
            connection.execute(update(box_table).where(box_table.c.id == box.id).values(used=5))
            connection.execute(text("ALTER TABLE report DROP COLUMN gen"))
            connection.execute(update(revision).values(number=1))
        new = site.node()
        assert browser.get("/api/session").get_json()["quota"]["used"] == 5 + 3 + 28
        assert new.browser("192.0.2.9").login(box).status_code == 200
        site.clock.advance(2 * 86_400_000)
        site.mark(2)
        # The box's own in the next sweep, together with the keys that nothing names any more.
        sweep(store, 90)
        with store.main.read() as connection:
            rows = [load_box(connection, name) for name in names]
            assert connection.execute(select(revision.c.number)).scalars().all() == [REVISION]
        assert [len(row.capsule.sealed) for row in rows if row is not None and row.capsule] == [4096 + 28] * 2
        assert count_rows(store) == 3
        assert site.first.browser("192.0.2.9").login(box).status_code == 200

    def test_capsules_that_no_key_opens_keep_none_behind_them_short(self, small_site: Site) -> None:
        from portal.store.boxes import CAPSULE, load_box
        from portal.store.reseal import pad_capsules

        store = small_site.first.portal.store
        boxes = sorted((small_site.make_box() for _ in range(4)), key=lambda box: box.id)
        shorts = [store.rows.seal(CAPSULE, box.id, "", box.capsule) for box in boxes]
        with store.main.write() as connection:
            for box, short in zip(boxes, shorts, strict=True):
                values = {"capsule": short.sealed, "capsule_key": short.row_key}
                connection.execute(update(box_table).where(box_table.c.id == box.id).values(**values))
        store.rows.shred(short.row_key for short in shorts[:3])
        assert [pad_capsules(store, limit=2) for _ in range(2)] == [1, 0]
        with store.main.read() as connection:
            rows = [load_box(connection, box.id) for box in boxes]
        assert [row.capsule == short for row, short in zip(rows, shorts, strict=True) if row] == [True] * 3 + [False]

    def test_a_newer_one_is_refused(self, small_site: Site) -> None:
        with small_site.first.portal.store.main.write() as connection:
            connection.execute(update(revision).values(number=REVISION + 1))
        with pytest.raises(ConfigurationError, match="newer version"):
            small_site.node()


class TestPepper:
    def test_a_new_pepper_reseals_every_row_beside_the_running_portal(self, site: Site) -> None:
        from portal.store.reseal import reseal_rows
        from portal.store.sweep import count_rows

        box = site.make_box()
        id_, draft_id = site.push_message(box, 1), new_id()
        browser = site.signed_in(box)
        browser.call("PUT", f"/api/drafts/{draft_id}", {"rev": 0, "sealed": "AAAA"})
        sent = item(box)
        browser.call("POST", "/api/send", sent)
        pepper = site.settings.pepper_file
        old = pepper.with_name("old-pepper")
        pepper.rename(old)
        pepper.write_bytes(os.urandom(32))
        pepper.chmod(0o600)
        site.settings = replace(site.settings, old_pepper_file=old)
        changing = site.node()
        keys = count_rows(changing.portal.store)
        # Before a row's turn the old pepper opens it; capsule, dummy, message, draft, item and its copy are re-sealed.
        assert changing.browser().login(box).status_code == 200
        assert reseal_rows(changing.portal.store) == 6
        assert reseal_rows(changing.portal.store) == 0
        assert count_rows(changing.portal.store) == keys
        old.unlink()
        site.settings = replace(site.settings, old_pepper_file=None)
        reader = site.node().browser()
        assert reader.login(box).status_code == 200
        assert [one["id"] for one in reader.get("/api/messages").get_json()["messages"]] == [id_]
        assert reader.get(f"/api/drafts/{draft_id}").get_json()["sealed"] == "AAAA"
        assert reader.get("/api/sent").get_json()["sent"][0]["self"] == sent["self"]
        # A process that still has the old pepper alone opens nothing any more.
        assert site.first.browser("192.0.2.9").login(box).status_code == 401


def run_all(jobs: list[Any]) -> None:
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
