"""Login, session, new password, sign-out: the same for known and unknown, on both databases."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from sqlalchemy import event, insert, or_, update

from portal.accounts.login import FIRST_TRIES
from portal.audit import begin_chains, verify_files
from portal.pages.ports import ReplyLink
from portal.replies.links import find_reply
from portal.store.boxes import CAPSULE, CAPSULE_BLOCK, open_capsule_row
from portal.store.models import box as box_table
from portal.store.models import throttle
from portal.store.reseal import pad_capsules
from portal.store.rowkeys import RowKeys
from portal.store.throttle import WIDE_TRIES, name_links
from relay.core.ids import new_id
from relay.core.wire.pae import decode_b64, encode_b64
from tests.contract.portal.site import Box, Browser, Node, Site, hash_of

MINUTE = 60_000
HOUR = 60 * MINUTE
DEVICE_COOKIE = "__Host-letterlock-device"


def stranger(site: Site) -> Box:
    return Box(site.settings.portal_id, new_id(), encode_b64(os.urandom(32)))


class TestLogin:
    def test_a_right_password_gives_the_exact_capsule(self, site: Site) -> None:
        box = site.make_box()
        answer = site.first.browser().login(box)
        assert answer.status_code == 200
        found = answer.get_json()
        assert decode_b64(found.pop("capsule")) == box.capsule
        assert len(decode_b64(found.pop("half"))) == 32
        assert found == {
            "portal": site.settings.portal_id,
            "box": box.id,
            "kind": "mailbox",
            "state": "active",
            "gen": 1,
            "must_change": False,
            "lang": "de",
            "quota": {"used": 0, "limit": 1024 * 1024 * 1024},
            "limits": {"message": 50 * 1024 * 1024, "parts": 100},
            "idle_seconds": 900,
        }
        cookie = next(line for line in answer.headers.getlist("Set-Cookie") if line.startswith("__Host-letterlock="))
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=Strict"} <= set(cookie.split("; "))

    def test_a_wrong_one_and_an_unknown_login_look_alike(self, site: Site) -> None:
        box = site.make_box()
        known = site.first.browser("192.0.2.1").login(box, os.urandom(32))
        unknown = site.first.browser("192.0.2.2").login(stranger(site))
        for answer in (known, unknown):
            assert answer.status_code == 401
            assert answer.get_json()["error"] == "wrong"
        assert masked(known) == masked(unknown)

    def test_both_do_the_same_work(self, site: Site) -> None:
        """Every statement that reaches a database, in order, is the same."""
        node = site.first
        box = site.make_box()
        for _ in range(2):
            # The second round finds its counters and reports there.
            known = statements(node, lambda: node.browser("192.0.2.1").login(box, os.urandom(32)))
            unknown = statements(node, lambda: node.browser("192.0.2.2").login(stranger(site)))
            assert known == unknown
        assert len(known) > 5

    def test_nor_is_there_more_when_a_first_password_becomes_void(self, site: Site) -> None:
        """From the tenth wrong try on the relay hears of it; no statement and no file tells those who measure."""
        node = site.first
        first, other = site.make_box("first"), stranger(site)
        begin_chains(site.settings.state_dir)
        for number in range(FIRST_TRIES + 2):
            browser = node.browser(f"192.0.2.{number}")
            known, unknown = (
                statements(node, partial(browser.login, found, os.urandom(32))) for found in (first, other)
            )
            assert known == unknown
            assert len(known) > 5
            site.clock.advance(20 * MINUTE)
        assert "locked" in [one["kind"] for one in node.link("GET", "reports").get_json()["reports"]]

    def test_a_first_and_an_old_mailbox_are_no_more_octets_than_nobody(self, site: Site) -> None:
        """What is read, opened and compared before a wrong try is refused, counted in octets of sealed rows."""
        node = site.first
        first, old = site.make_box("first"), site.make_box()
        for _ in range(12):
            new = old.next()
            body = old.rekey_body(new, site.clock.now_ms())
            assert site.signed_in(old).call("POST", "/api/rekey", body).status_code == 200
            old = new
        opened: list[int] = []
        rows = node.web_portal.store.rows

        def note(*args: Any) -> bytes | None:
            opened.append(len(args[-1].sealed))
            return RowKeys.open(rows, *args)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rows, "open", note, raising=False)
            for box in (first, old, stranger(site)):
                assert node.browser().login(box, os.urandom(32)).status_code == 401
        assert opened == [CAPSULE_BLOCK + 28] * 3

    def test_the_work_for_a_forgotten_password_is_the_same(self, site: Site) -> None:
        node = site.first
        box = site.make_box()
        ask = {"login_id": box.login_id}
        known = statements(node, lambda: node.browser("192.0.2.1").call("POST", "/api/forgot", ask))
        other = {"login_id": stranger(site).login_id}
        unknown = statements(node, lambda: node.browser("192.0.2.2").call("POST", "/api/forgot", other))
        assert known == unknown
        first = node.browser("192.0.2.1").call("POST", "/api/forgot", ask)
        second = node.browser("192.0.2.2").call("POST", "/api/forgot", other)
        assert (first.status_code, masked(first)) == (second.status_code, masked(second)) == (202, masked(first))
        reports = node.link("GET", "reports").get_json()["reports"]
        assert [(one["kind"], one["box"], one.get("gen")) for one in reports] == [("forgot", box.id, None)]

    def test_after_five_tries_there_is_a_wait_for_known_and_unknown(self, site: Site) -> None:
        box, other = site.make_box(), stranger(site)
        for found, address in ((box, "192.0.2.1"), (other, "192.0.2.2")):
            browser = site.first.browser(address)
            answers = [browser.login(found, os.urandom(32)) for _ in range(6)]
            assert [answer.status_code for answer in answers] == [401] * 5 + [429]
            assert answers[-1].get_json()["error"] == "wait"
            assert answers[-1].get_json()["seconds"] == 2
            assert answers[-1].headers["Retry-After"] == "2"

    def test_the_wait_is_over_and_a_right_password_forgives(self, site: Site) -> None:
        box = site.make_box()
        browser = site.first.browser()
        for _ in range(5):
            browser.login(box, os.urandom(32))
        assert browser.login(box).status_code == 429
        site.clock.advance(3_000)
        assert browser.login(box).status_code == 200
        assert [browser.login(box, os.urandom(32)).status_code for _ in range(5)] == [401] * 5

    def test_nobody_locks_a_known_device_out(self, site: Site) -> None:
        box = site.make_box()
        own = site.signed_in(box)
        attacker = site.first.browser("198.51.100.9")
        for _ in range(6):
            attacker.login(box, os.urandom(32))
        assert attacker.login(box).status_code == 429
        assert own.login(box).status_code == 200

    def test_a_device_is_known_to_all_its_mailboxes_whatever_else_is_opened_with_it(self, small_site: Site) -> None:
        site = small_site
        mine, other, of_pdf = site.make_box(), site.make_box(), site.make_box(kind="reply")
        token = new_id()
        body = {"box": of_pdf.id, "id": site.push_message(of_pdf, 1), "expires": None}
        assert site.first.link("PUT", f"tokens/{hash_of(token)}", body).status_code == 201
        own = site.signed_in(mine)
        before = known_device(own)
        assert own.login_token(token, of_pdf.auth).status_code == 200
        assert known_device(own) == before
        assert own.login(other).status_code == 200
        attacker = site.first.browser("198.51.100.9")
        for box in (mine, other):
            attacker.login(box, os.urandom(32))
        make_wait(site, "login:")
        assert [attacker.login(box).status_code for box in (mine, other)] == [429, 429]
        assert [own.login(box).status_code for box in (mine, other)] == [200, 200]
        # The cookie of one mailbox says nothing to another, is no longer than for ten, and forgets the oldest.
        attacker.client.set_cookie(DEVICE_COOKIE, before, domain="portal.bank.example", secure=True)
        assert attacker.login(other).status_code == 429
        for box in [site.make_box() for _ in range(9)]:
            assert own.login(box).status_code == 200
        assert [own.login(box).status_code for box in (other, mine)] == [200, 429]
        assert len(known_device(own).split("~")) == 10

    def test_nor_a_network_in_which_others_guess(self, small_site: Site) -> None:
        start_hour(small_site)
        box = small_site.make_box()
        own = small_site.signed_in(box)
        neighbour = small_site.first.browser(own.address)
        for _ in range(41):
            last = neighbour.login(stranger(small_site))
        assert last.status_code == 429
        assert own.login(box).status_code == 200
        codes = [own.login(box, os.urandom(32)).status_code for _ in range(6)]
        assert codes == [401] * 5 + [429]

    @pytest.mark.parametrize("is_opened", [True, False])
    def test_a_row_that_is_sealed_anew_meanwhile_makes_no_password_wrong(
        self, site: Site, monkeypatch: pytest.MonkeyPatch, is_opened: bool
    ) -> None:
        """By the sweep or after a new pepper: after the capsule was opened, or before and its old key is gone."""
        store, box = site.first.portal.store, site.make_box()
        short = store.rows.seal(CAPSULE, box.id, "", box.capsule)
        with store.main.write() as connection:
            values = {"capsule": short.sealed, "capsule_key": short.row_key}
            connection.execute(update(box_table).where(box_table.c.id == box.id).values(**values))
        padded: list[int] = []

        def meet(*args: Any) -> bytes | None:
            if is_opened:
                octets = open_capsule_row(*args)
                padded.append(pad_capsules(store))
                return octets
            padded.append(pad_capsules(store))
            return open_capsule_row(*args)

        monkeypatch.setattr("portal.accounts.login.open_capsule_row", meet)
        assert decode_b64(site.first.browser().login(box).get_json()["capsule"]) == box.capsule
        assert padded == ([1] if is_opened else [1, 0])
        assert site.first.link("GET", "reports").get_json()["reports"] == []

    def test_guesses_at_the_same_moment_are_all_counted(self, site: Site) -> None:
        box = site.make_box()
        nodes = [site.first, site.node()]
        codes: list[int] = []

        def guess(number: int) -> None:
            codes.append(nodes[number % 2].browser(f"192.0.2.{number}").login(box, os.urandom(32)).status_code)

        run_together(guess, 16)
        assert sorted(set(codes)) == [401, 429]
        assert codes.count(401) == 5

    def test_a_first_password_ends_after_ten_wrong_tries_in_all(self, site: Site) -> None:
        box = site.make_box("first")
        for number in range(10):
            assert site.first.browser(f"192.0.2.{number}").login(box, os.urandom(32)).status_code == 401
            site.clock.advance(20 * MINUTE)
        assert site.first.browser().login(box).status_code == 401
        kinds = {one["kind"]: one["count"] for one in site.first.link("GET", "reports").get_json()["reports"]}
        assert kinds["locked"] >= 10

    def test_a_first_password_ends_with_its_time(self, site: Site) -> None:
        box = site.make_box("first")
        site.clock.advance(7 * 24 * 60 * MINUTE + 1)
        assert site.first.browser().login(box).status_code == 401

    def test_a_network_that_guesses_at_many_is_slowed_down(self, small_site: Site) -> None:
        start_hour(small_site)
        browser = small_site.first.browser("2001:db8:1:2:3::4")
        codes = [browser.login(stranger(small_site)).status_code for _ in range(41)]
        assert codes == [401] * 40 + [429]
        neighbour = small_site.first.browser("2001:db8:1:2:ffff::1")
        assert neighbour.login(stranger(small_site)).status_code == 429
        assert small_site.first.browser("2001:db8:1:3::1").login(stranger(small_site)).status_code == 401
        # One address may stand for many people, so that somebody always signs in: it is slow to the end of the hour.
        box = small_site.make_box()
        for _ in range(3):
            small_site.clock.advance(19 * MINUTE)
            assert small_site.first.browser(neighbour.address).login(box).status_code == 200
        assert [browser.login(stranger(small_site)).status_code for _ in range(2)] == [401, 429]
        small_site.clock.advance(3 * MINUTE)
        assert [browser.login(stranger(small_site)).status_code for _ in range(2)] == [401, 401]

    def test_nor_do_many_addresses_of_one_neighbourhood_help(self, small_site: Site) -> None:
        site = small_site
        start_hour(site)
        own = site.signed_in(box := site.make_box())
        for guesser, neighbour, other in (
            ("198.51.100.9", "198.51.100.250", "198.51.101.1"),
            ("2001:db8:7:1::1", "2001:db8:7:ffff::1", "2001:db8:8:1::1"),
        ):
            assert site.first.browser(guesser).login(stranger(site)).status_code == 401
            with site.first.portal.store.main.write() as connection:
                # As after so many more from other addresses there.
                wide = throttle.c.name.startswith("wide:") & (throttle.c.wrong == 1)
                assert connection.execute(update(throttle).where(wide).values(wrong=WIDE_TRIES + 20)).rowcount == 1
            assert site.first.browser(guesser).login(stranger(site)).status_code == 401
            answer = site.first.browser(neighbour).login(stranger(site))
            assert (answer.status_code, answer.get_json()["seconds"]) in [(429, seconds) for seconds in range(1, 31)]
            assert site.first.browser(other).login(stranger(site)).status_code == 401
            with site.first.portal.store.main.write() as connection:
                connection.execute(update(throttle).where(throttle.c.wrong == 1).values(wrong=2))
        own.address = "198.51.100.7"
        assert own.login(box).status_code == 200
        site.clock.advance(HOUR)
        assert site.first.browser("198.51.100.250").login(stranger(site)).status_code == 401

    @pytest.mark.parametrize(
        ("change", "status", "error"),
        [
            ({"kdf": 2}, 400, "kdf"),
            ({"login_id": "anna@partner.example"}, 400, "bad-request"),
            ({"auth": "AA"}, 400, "bad-request"),
            ({"auth": "A" * 5000}, 413, "size"),
        ],
    )
    def test_what_is_no_login_is_refused(
        self, small_site: Site, change: dict[str, Any], status: int, error: str
    ) -> None:
        body = {"login_id": stranger(small_site).login_id, "kdf": 1, "auth": encode_b64(bytes(32))}
        answer = small_site.first.browser().call("POST", "/api/login", body | change)
        assert (answer.status_code, answer.get_json()["error"]) == (status, error)


class TestSession:
    def test_only_a_login_answers_with_what_could_be_guessed_at(self, site: Site) -> None:
        box = site.make_box()
        browser = site.first.browser()
        half = browser.login(box).get_json()["half"]
        found = browser.get("/api/session").get_json()
        assert found["half"] == half
        assert found["capsule"]["gen"] == 1
        assert not {"pw", "av", "escrow"} & set(found["capsule"])

    def test_it_ends_idle_absolutely_and_by_signing_out(self, site: Site) -> None:
        box = site.make_box()
        idle, absolute, left = (site.signed_in(box) for _ in range(3))
        assert left.call("POST", "/api/logout", {}).headers["Clear-Site-Data"] == '"cache", "storage"'
        assert left.get("/api/session").get_json()["error"] == "signed-out"
        for _ in range(33):
            site.clock.advance(14 * MINUTE + 50_000)
            last = absolute.get("/api/session").status_code
        assert last == 401
        assert idle.get("/api/session").status_code == 401

    def test_one_node_signs_in_another_reads_one_signs_out(self, site: Site) -> None:
        box = site.make_box()
        one = site.signed_in(box)
        other = Browser(site.node().web.test_client(), "192.0.2.7")
        move_cookies(one, other)
        assert other.get("/api/messages").status_code == 200
        assert one.call("POST", "/api/logout", {}).status_code == 204
        assert other.get("/api/messages").status_code == 401

    def test_the_reader_sees_and_ends_own_sessions(self, site: Site) -> None:
        box = site.make_box()
        here, there = site.signed_in(box), site.signed_in(box)
        found = here.get("/api/sessions").get_json()["sessions"]
        assert len(found) == 2
        assert sum(one["current"] for one in found) == 1
        other = next(one["id"] for one in found if not one["current"])
        assert here.call("POST", "/api/sessions/end", {"id": other}).status_code == 204
        assert there.get("/api/session").status_code == 401
        assert here.call("POST", "/api/sessions/end", {"all": True}).status_code == 204
        assert here.get("/api/session").status_code == 401

    def test_nobody_ends_the_sessions_of_another_box(self, site: Site) -> None:
        victim = site.signed_in(site.make_box())
        name = victim.get("/api/sessions").get_json()["sessions"][0]["id"]
        thief = site.signed_in(site.make_box())
        thief.call("POST", "/api/sessions/end", {"id": name})
        assert victim.get("/api/session").status_code == 200


class TestRekey:
    def test_a_new_password_takes_the_place_of_the_first(self, site: Site) -> None:
        box = site.make_box("first")
        browser, elsewhere = site.signed_in(box), site.signed_in(box)
        assert browser.get("/api/messages").get_json()["error"] == "first"
        new = box.next()
        answer = browser.call("POST", "/api/rekey", box.rekey_body(new, site.clock.now_ms()))
        assert answer.status_code == 200
        assert answer.get_json()["state"] == "active"
        assert answer.get_json()["gen"] == 2
        assert browser.get("/api/messages").status_code == 200
        assert browser.get("/api/session").get_json()["half"] == answer.get_json()["half"]
        assert elsewhere.get("/api/session").status_code == 401
        assert site.first.browser().login(box).status_code == 401
        assert decode_b64(site.first.browser().login(new).get_json()["capsule"]) == new.capsule
        entry = site.pull()[0]
        assert (entry["kind"], entry["box"], entry["gen"], entry["seq"]) == ("rekey", box.id, 2, 1)
        assert decode_b64(entry["capsule"]) == new.capsule

    def test_the_same_octets_again_are_answered_as_before(self, site: Site) -> None:
        box = site.make_box()
        browser = site.signed_in(box)
        body = box.rekey_body(box.next(), site.clock.now_ms())
        assert browser.call("POST", "/api/rekey", body).status_code == 200
        again = browser.call("POST", "/api/rekey", body)
        assert (again.status_code, again.get_json()["gen"]) == (200, 2)
        assert len(site.pull()) == 1

    def test_they_are_so_without_the_session_that_they_ended(self, site: Site) -> None:
        box = site.make_box("first")
        browser, lost = site.signed_in(box), site.first.browser()
        body = box.rekey_body(box.next(), site.clock.now_ms())
        assert browser.call("POST", "/api/rekey", body).status_code == 200
        again = lost.call("POST", "/api/rekey", body)
        assert (again.status_code, again.get_json()["state"], again.get_json()["gen"]) == (200, "active", 2)
        # A browser that lost the answer goes on as if it had come.
        assert lost.get("/api/session").get_json()["half"] == again.get_json()["half"]
        assert browser.get("/api/session").status_code == 200
        assert [entry["gen"] for entry in site.pull()] == [2]
        site.clock.advance(11 * MINUTE)
        late = site.first.browser()
        assert late.call("POST", "/api/rekey", body).get_json() == {"state": "active", "gen": 2, "half": None}
        assert late.get("/api/session").status_code == 401

    def test_whoever_has_other_octets_learns_nothing(self, site: Site) -> None:
        box = site.make_box()
        new = box.next()
        body = box.rekey_body(new, site.clock.now_ms())
        stranger_ = site.first.browser()
        unknown = stranger(site)
        before = stranger_.call("POST", "/api/rekey", body)
        assert site.signed_in(box).call("POST", "/api/rekey", body).status_code == 200
        answers = [before]
        for wrong in (
            body | {"sig": encode_b64(os.urandom(64))},
            new.rekey_body(new.next(), site.clock.now_ms()),
            unknown.rekey_body(unknown.next(), site.clock.now_ms()),
            {"capsule": "AAAA", "sig": "AA", "auth": "AA"},
        ):
            answers.append(stranger_.call("POST", "/api/rekey", wrong))
        assert {answer.status_code for answer in answers} == {401}
        assert {answer.get_json()["error"] for answer in answers} == {"signed-out"}
        # What was taken before the last change is no longer true, and says nothing.
        assert site.signed_in(new).call("POST", "/api/rekey", new.rekey_body(new.next(), 0)).status_code == 200
        assert site.first.browser().call("POST", "/api/rekey", body).status_code == 401

    def test_of_two_at_once_one_wins(self, site: Site) -> None:
        box = site.make_box()
        nodes = [site.first, site.node()]
        browsers = [node.browser() for node in nodes]
        for browser in browsers:
            assert browser.login(box).status_code == 200
        new = [box.next(), box.next()]
        bodies = [box.rekey_body(one, site.clock.now_ms()) for one in new]
        codes: dict[int, int] = {}

        def change(number: int) -> None:
            codes[number] = browsers[number].call("POST", "/api/rekey", bodies[number]).status_code

        run_together(change, 2)
        winner = next(number for number, code in codes.items() if code == 200)
        # Whoever came second holds a session that the first has ended, or a generation that is there already.
        assert codes[1 - winner] in (401, 409)
        assert site.first.browser("192.0.2.50").login(new[winner]).status_code == 200
        assert site.first.browser("192.0.2.51").login(new[1 - winner]).status_code == 401
        assert [entry["gen"] for entry in site.pull()] == [2]

    def test_nobody_outside_keeps_one_from_a_new_password(self, site: Site) -> None:
        box = site.make_box()
        own = site.signed_in(box)
        body = box.rekey_body(box.next(), site.clock.now_ms())
        # At the login, and from the reader's own network.
        site.first.browser(own.address).login(box, os.urandom(32))
        make_wait(site, "login:", "net:")
        assert [site.first.browser(own.address).login(one).status_code for one in (box, stranger(site))] == [429, 429]
        # A wrong old password is counted by itself, as tightly.
        wrong = body | {"auth": encode_b64(os.urandom(32))}
        assert [own.call("POST", "/api/rekey", wrong).status_code for _ in range(6)] == [401] * 5 + [429]
        assert own.call("POST", "/api/rekey", body).status_code == 429
        site.clock.advance(3_000)
        assert own.call("POST", "/api/rekey", body).status_code == 200

    @pytest.mark.parametrize("what", ["auth", "signature", "generation", "box", "by"])
    def test_a_wrong_one_changes_nothing(self, site: Site, what: str) -> None:
        box = site.make_box()
        browser = site.signed_in(box)
        now = site.clock.now_ms()
        new = box.next()
        expected = {"auth": 401, "generation": 409}.get(what, 400)
        if what == "generation":
            new = replace(new, gen=3)
        if what == "box":
            new = replace(new, id=new_id())
        if what == "by":
            new.write_capsule("relay", now)
        body = box.rekey_body(new, now)
        if what == "auth":
            body["auth"] = encode_b64(os.urandom(32))
        if what == "signature":
            body["sig"] = encode_b64(os.urandom(64))
        assert browser.call("POST", "/api/rekey", body).status_code == expected
        assert site.pull() == []
        assert site.first.browser().login(box).status_code == 200

    def test_the_old_row_key_is_gone(self, site: Site) -> None:
        from portal.store.sweep import count_rows

        box = site.make_box()
        before = count_rows(site.first.portal.store)
        browser = site.signed_in(box)
        assert browser.call("POST", "/api/rekey", box.rekey_body(box.next(), site.clock.now_ms())).status_code == 200
        # One for the outbox more; the capsule's was replaced.
        assert count_rows(site.first.portal.store) == before + 1

    def test_where_a_new_password_is_due_no_mail_is_given_out(self, site: Site) -> None:
        box = site.make_box()
        base = hash_of_capsule_of(box)
        before = site.signed_in(box)
        assert site.push(box, base=base).status_code == 200
        assert before.get("/api/session").status_code == 200
        assert site.push(box, must_change=True, base=base).status_code == 200
        # Whoever was signed in, a thief perhaps, is not any more.
        assert before.get("/api/session").status_code == 401
        browser = site.signed_in(box)
        assert browser.get("/api/session").get_json()["must_change"] is True
        assert browser.get("/api/messages").get_json()["error"] == "must-change"
        assert browser.call("POST", "/api/rekey", box.rekey_body(box.next(), site.clock.now_ms())).status_code == 200
        assert browser.get("/api/messages").status_code == 200


class TestReplyBox:
    def make(self, site: Site) -> tuple[Box, str, str]:
        box = site.make_box(kind="reply")
        token, ticket = new_id(), site.push_message(box, 1)
        body = {"box": box.id, "id": ticket, "expires": None}
        assert site.first.link("PUT", f"tokens/{hash_of(token)}", body).status_code == 201
        return box, token, ticket

    def test_the_pdf_password_opens_the_ticket(self, site: Site) -> None:
        box, token, ticket = self.make(site)
        browser = site.first.browser()
        found = browser.login_token(token, box.auth).get_json()
        assert (found["kind"], found["form"], found["ticket"], found["state"]) == ("reply", "b32", ticket, "active")
        assert [one["id"] for one in browser.get("/api/messages").get_json()["messages"]] == [ticket]
        assert browser.send(box, re=ticket).status_code == 201

    def lock(self, site: Site, token: str) -> None:
        for number in range(10):
            site.clock.advance(2 * MINUTE)
            last = site.first.browser(f"192.0.{number}.1").login_token(token, os.urandom(32))
        assert (last.status_code, last.get_json()["error"]) == (423, "locked")
        assert 86_000 < last.get_json()["seconds"] <= 86_400

    def add_link(self, site: Site, box: Box) -> str:
        token = new_id()
        body = {"box": box.id, "id": site.push_message(box, 2), "expires": None}
        assert site.first.link("PUT", f"tokens/{hash_of(token)}", body).status_code == 201
        return token

    def test_ten_wrong_tries_lock_a_link_and_no_other(self, site: Site) -> None:
        box, token, _ = self.make(site)
        other = self.add_link(site, box)
        left = []
        for number in range(9):
            site.clock.advance(20 * MINUTE)
            answer = site.first.browser(f"192.0.2.{number}").login_token(token, os.urandom(32))
            left.append((answer.status_code, answer.get_json()["tries_left"]))
        assert left == [(401, 9 - number) for number in range(9)]
        assert find_reply(site.first.web_portal, token) == ReplyLink(box.id, "b32", "open", 1)
        site.clock.advance(20 * MINUTE)
        assert site.first.browser("192.0.2.90").login_token(token, os.urandom(32)).status_code == 423
        assert site.first.browser("192.0.2.91").login_token(token, box.auth).get_json()["error"] == "locked"
        assert find_reply(site.first.web_portal, token) == ReplyLink(box.id, "b32", "locked", 0)
        reports = site.first.link("GET", "reports").get_json()["reports"]
        assert [(one["kind"], one["box"]) for one in reports if one["kind"] == "locked"] == [("locked", box.id)]
        # The same password, another PDF: nobody is locked out of what he holds by somebody else's link.
        assert site.first.browser("192.0.2.91").login_token(other, box.auth).status_code == 200

    def test_sign_ins_and_locks_stand_in_the_chain_of_events(self, site: Site) -> None:
        key = begin_chains(site.settings.state_dir)
        box, token, _ = self.make(site)
        assert site.first.browser().login_token(token, box.auth).status_code == 200
        self.lock(site, token)
        assert site.first.link("POST", f"boxes/{box.id}/end", {"end": "close"}).status_code == 204
        found = {}
        for path in sorted((site.settings.state_dir / "audit").glob("*.jsonl")):
            found[path.stem] = [json.loads(line)["event"] for line in path.read_bytes().splitlines()]
            assert box.login_id not in path.read_text("ascii")
        of_web, of_link = ["signed-in", "locked"], ["box-pushed", "box-ended"]
        if site.first.web_portal is site.first.portal:
            assert found == {"web": [], "link": [of_link[0], *of_web, of_link[1]]}
        else:
            assert found == {"web": of_web, "link": of_link}
        assert verify_files(site.settings.state_dir / "audit", key) == {
            name: len(events) for name, events in found.items()
        }

    def test_its_lock_ends_after_a_day_or_with_a_push(self, site: Site) -> None:
        box, token, _ = self.make(site)
        self.lock(site, token)
        assert site.push(box, base=hash_of_capsule_of(box)).status_code == 200
        assert site.first.browser("192.0.2.91").login_token(token, box.auth).status_code == 200
        self.lock(site, token)
        site.clock.advance(23 * 60 * MINUTE)
        site.mark(2)
        assert site.first.browser("192.0.2.91").login_token(token, box.auth).status_code == 423
        site.clock.advance(60 * MINUTE)
        assert find_reply(site.first.web_portal, token) == ReplyLink(box.id, "b32", "open", 10)
        # Ten tries anew, no more.
        self.lock(site, token)

    def test_a_hundred_wrong_tries_lock_all_links_of_a_box_to_the_end_of_the_day(self, small_site: Site) -> None:
        site = small_site
        site.clock.advance(86_400_000 - site.clock.now_ms() % 86_400_000 + MINUTE)
        box, token, _ = self.make(site)
        (name, _) = name_links(hash_of(token), box.id, site.clock.now_ms())[1]
        with site.first.portal.store.main.write() as connection:
            row = {"name": name, "wrong": 0, "total": 99, "until": 0, "changed": site.clock.now_ms()}
            connection.execute(insert(throttle), row)
        assert site.first.browser().login_token(token, os.urandom(32)).status_code == 423
        last = site.first.browser("192.0.2.91").login_token(token, box.auth)
        assert (last.status_code, last.get_json()["seconds"] > 86_000) == (423, True)
        found = find_reply(site.first.portal, token)
        assert found is not None
        assert found.state == "locked"
        site.clock.advance(86_400_000)
        assert site.first.browser("192.0.2.91").login_token(token, box.auth).status_code == 200

    def test_an_unknown_an_expired_and_a_closed_link_open_nothing(self, site: Site) -> None:
        box, token, _ = self.make(site)
        assert site.first.browser().login_token(new_id(), box.auth).status_code == 401
        assert site.first.link("POST", f"boxes/{box.id}/end", {"end": "close"}).status_code == 204
        assert site.first.browser("192.0.2.8").login_token(token, box.auth).status_code == 401

    def test_a_mailbox_is_not_opened_by_a_reply_boxs_way(self, site: Site) -> None:
        box, _, _ = self.make(site)
        assert site.first.browser().login(box).status_code == 401


# --- what the tests share ---------------------------------------------------------------------------------------------


def hash_of_capsule_of(box: Box) -> str:
    from portal.accounts.rekey import digest_capsule

    return digest_capsule(box.capsule)


def masked(answer: Any) -> tuple[bytes, list[tuple[str, str]]]:
    """Return body and headers with the reference, which is random, masked."""
    reference = (answer.get_json() or {}).get("reference", "").encode()
    body = answer.data.replace(reference, b"ABCD-1234") if reference else answer.data
    return body, [(name, value) for name, value in answer.headers if name != "Set-Cookie"]


def statements(node: Node, call: Any) -> list[str]:
    """Return every statement that a call sends to either database, and what it writes to files of its own."""
    found: list[str] = []
    fsync = os.fsync

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        found.append(statement)

    def note_file(descriptor: int) -> None:
        found.append("fsync")
        fsync(descriptor)

    engines = [database.engine for database in node.databases]
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "fsync", note_file)
            call()
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)
    return found


def start_hour(site: Site) -> None:
    """Let the hour begin by which networks are counted, so that it does not end during a test."""
    site.clock.advance(HOUR - site.clock.now_ms() % HOUR)


def make_wait(site: Site, *kinds: str) -> None:
    """Let every counter of these kinds be where many more wrong tries would bring it."""
    of_kinds = or_(*(throttle.c.name.startswith(kind) for kind in kinds))
    with site.first.portal.store.main.write() as connection:
        connection.execute(update(throttle).where(of_kinds).values(until=site.clock.now_ms() + 15 * MINUTE))


def known_device(browser: Browser) -> str:
    cookie = browser.client.get_cookie(DEVICE_COOKIE, "portal.bank.example")
    assert cookie is not None
    return cookie.value


def move_cookies(source: Browser, target: Browser) -> None:
    cookie = source.client.get_cookie("__Host-letterlock", "portal.bank.example")
    assert cookie is not None
    target.client.set_cookie("__Host-letterlock", cookie.value, domain="portal.bank.example", secure=True)


def run_together(work: Any, count: int) -> None:
    barrier = threading.Barrier(count)

    def one(number: int) -> None:
        barrier.wait()
        work(number)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
