"""The loop over the real spool on both databases: every claimed copy ends as it should, none is lost or sent twice."""

from __future__ import annotations

import threading

import pytest

from relay.core.clock import DAY, HOUR, MINUTE
from relay.core.decision import Method
from relay.core.documents.routes import RoutesDocument
from relay.core.envelope import Recipient
from relay.core.errors import KeyStoreError, StorageError
from relay.core.lifecycle import State
from relay.delivery.link import Timeouts
from relay.delivery.route import MailerTable
from relay.spool.claims import claim_delivery
from relay.spool.settle import settle
from relay.store.repositories.events import recent_events
from tests.contract.delivery.conftest import ACTOR, DATA, Bench, running
from tests.integration.delivery.fault_server import CLOSE, HANG, Dialogue, FaultServer, refusing_port


def key_of(server: FaultServer) -> str:
    return f"outside:127.0.0.1:{server.port}"


def test_delivers_what_is_queued_byte_for_byte(bench: Bench):
    with FaultServer() as server:
        ids = [bench.put(hop=key_of(server), data=DATA + b"%d\r\n" % n) for n in range(10)]
        deliverer = bench.deliverer(server.port)
        with running(deliverer) as wait_until:
            wait_until(lambda: all(bench.states(i) == ["delivered"] for i in ids))
        assert sorted(mail.data for mail in server.mails) == [DATA + b"%d\r\n" % n for n in range(10)]
        assert deliverer.report()["delivered"] == 10
        assert bench.copies(ids[0])[0].last_status == "2.0.0"
        assert server.connections <= 4


def test_protected_variant_goes_and_the_original_stays(bench: Bench):
    with FaultServer() as server:
        message = bench.put(hop=key_of(server), method=Method.PDF, variant=b"Subject: y\r\n\r\nlocked\r\n")
        with running(bench.deliverer(server.port)) as wait_until:
            wait_until(lambda: bench.states(message) == ["delivered"])
        assert [mail.data for mail in server.mails] == [b"Subject: y\r\n\r\nlocked\r\n"]


@pytest.mark.parametrize(
    ("method", "variant", "kind"),
    [
        (Method.PDF, None, ""),
        (Method.PDF, b"Subject: y\r\n\r\nclear\r\n", "header"),
        (Method.HOLD, None, ""),
        (Method.REJECT, None, ""),
        (Method.DISCARD, b"Subject: y\r\n\r\nclear\r\n", "pdf"),
    ],
)
def test_what_no_decision_approves_is_shunted_and_never_leaves(bench: Bench, method, variant, kind):
    """A fault upstream that queues the clear original for a protected copy ends here, not at the recipient."""
    with FaultServer() as server:
        message = bench.put(hop=key_of(server), method=method, variant=variant, kind=kind)
        with running(bench.deliverer(server.port)) as wait_until:
            wait_until(lambda: bench.states(message) == ["shunted"])
        assert server.commands == []
        assert bench.reports.told == []


def test_one_of_three_refused_is_told_alone(bench: Bench):
    def script(_: Dialogue, command: str) -> str | None:
        return "550 5.1.1 no such user" if command.startswith("RCPT") and "bob@" in command else None

    with FaultServer(script=script) as server:
        names = ("anna@partner.example", "bob@partner.example", "carl@partner.example")
        message = bench.put(*(Recipient(name) for name in names), hop=key_of(server))
        with running(bench.deliverer(server.port)) as wait_until:
            wait_until(lambda: bench.states(message) == ["delivered", "failed", "delivered"])
        assert bench.reports.told == [("failed", "bob@partner.example")]
        assert len(server.mails) == 1
        assert bench.copies(message)[1].last_text == "550 5.1.1 no such user"


def test_4xx_waits_for_the_time_stored_by_the_claim_then_goes(bench: Bench):
    refusing = [True]

    def script(_: Dialogue, command: str) -> str | None:
        return "451 4.7.1 later" if command.startswith("RCPT") and refusing[0] else None

    with FaultServer(script=script) as server:
        message = bench.put(hop=key_of(server))
        began = bench.clock.now_ms()
        with running(bench.deliverer(server.port)) as wait_until:
            wait_until(lambda: bench.states(message) == ["deferred"])
            copy = bench.copies(message)[0]
            assert 48_000 <= copy.next_at - began <= 72_000
            assert (copy.attempts, copy.crashes, copy.last_status) == (1, 0, "4.7.1")
            refusing[0] = False
            bench.clock.advance(2 * MINUTE)
            wait_until(lambda: bench.states(message) == ["delivered"])
        assert len([c for c in server.commands if c.startswith("MAIL")]) == 2


def test_delay_is_told_once_after_four_hours_and_failure_after_five_days(bench: Bench):
    with FaultServer(script=lambda _, command: "451 4.3.0 no" if command.startswith("MAIL") else None) as server:
        message = bench.put(hop=key_of(server))

        def attempts() -> int:
            return sum(c.startswith("MAIL") for c in server.commands)

        with running(bench.deliverer(server.port)) as wait_until:
            for hours in (1, 2, 2, 2, 2):
                before = attempts()
                wait_until(lambda: bench.copies(message)[0].owner == "")
                bench.clock.advance(hours * HOUR)
                wait_until(lambda: attempts() > before and bench.copies(message)[0].owner == "")  # noqa: B023
            assert bench.reports.told == [("delayed", "jonas.weber@partner.example")]
            bench.clock.advance(5 * DAY)
            wait_until(lambda: bench.states(message) == ["failed"])
        assert bench.reports.told[1:] == [("failed", "jonas.weber@partner.example")]
        assert bench.copies(message)[0].last_status == "4.4.7"


def test_copies_for_a_dead_hop_wait_untouched_and_in_order(bench: Bench):
    """Row 14: one mail is tried, the others are not even claimed; when the hop is back they go in their order."""
    with refusing_port() as port:
        ids = []
        for n in range(12):
            ids.append(bench.put(hop=f"outside:127.0.0.1:{port}", data=b"Subject: %03d\r\n\r\nx\r\n" % n))
            bench.clock.advance(10)
        deliverer = bench.deliverer(port, threads=1)
        with running(deliverer) as wait_until:
            wait_until(lambda: deliverer.report()["hops_down"] == 1 and deliverer.report()["open"] == 0)
            tried = [i for i in ids if bench.copies(i)[0].attempts]
            assert len(tried) == 1, [(c.attempts, c.last_status, c.last_text) for i in tried for c in bench.copies(i)]
            assert all(bench.copies(i)[0].state is State.QUEUED for i in ids if i not in tried)
            bench.monotonic[0] += 16
            bench.clock.advance(2 * HOUR)
            wait_until(lambda: bench.caches[0].statuses()[0].failures == 2 and deliverer.report()["open"] == 0)
        tried = [b"%03d" % n for n, i in enumerate(ids) if bench.copies(i)[0].attempts]
        assert len(tried) in (1, 2)
    with FaultServer() as server:
        # The same port cannot be had again for sure: the mailer table now names another.
        with running(bench.deliverer(server.port, threads=1)) as wait_until:
            bench.clock.advance(2 * HOUR)
            wait_until(lambda: all(bench.states(i) == ["delivered"] for i in ids))
        order = [mail.data.partition(b"\r\n\r\nx")[0][-3:] for mail in server.mails]
        untouched = [text for text in order if text not in tried]
        assert untouched == sorted(untouched)
        assert len(order) == 12


def test_senders_hear_of_a_dead_hop_though_their_mail_is_not_tried(bench: Bench):
    with refusing_port() as port:
        ids = [bench.put(hop=f"outside:127.0.0.1:{port}") for _ in range(9)]
        deliverer = bench.deliverer(port, sweep_seconds=0.0)
        with running(deliverer) as wait_until:
            wait_until(lambda: deliverer.report()["hops_down"] == 1)
            bench.clock.advance(4 * HOUR)
            wait_until(lambda: len(bench.reports.told) >= 9)
            wait_until(lambda: all(bench.copies(i)[0].delay_notified_at for i in ids))
            assert sorted(bench.reports.told) == [("delayed", "jonas.weber@partner.example")] * 9
            bench.clock.advance(5 * DAY)
            wait_until(lambda: all(bench.states(i) == ["failed"] for i in ids))
        assert len(bench.reports.told) == 18


def test_lost_reply_after_the_dot_is_tried_again_with_the_same_bytes(bench: Bench):
    broken = [True]

    def script(_: Dialogue, command: str) -> str | None:
        return CLOSE if command == "<dot>" and broken[0] else None

    with FaultServer(script=script) as server:
        message = bench.put(hop=key_of(server))
        with running(bench.deliverer(server.port)) as wait_until:
            wait_until(lambda: bench.states(message) == ["deferred"])
            assert bench.copies(message)[0].last_status == "4.4.2"
            broken[0] = False
            bench.clock.advance(2 * MINUTE)
            wait_until(lambda: bench.states(message) == ["delivered"])
        assert len(server.mails) == 2
        assert len({mail.data for mail in server.mails}) == 1


def test_relayed_is_told_only_where_asked_and_the_hop_has_no_dsn(bench: Bench):
    asking = Recipient("a@partner.example", notify=frozenset({"SUCCESS", "FAILURE"}))
    for features, told in (((), [("relayed", "a@partner.example")]), (("DSN",), [])):
        with FaultServer(features) as server:
            bench.reports.told.clear()
            message = bench.put(asking, Recipient("b@partner.example"), hop=key_of(server))
            with running(bench.deliverer(server.port)) as wait_until:
                wait_until(lambda: bench.states(message) == ["delivered", "delivered"])  # noqa: B023
            assert bench.reports.told == told


def test_a_late_settlement_is_refused_by_the_fence(bench: Bench):
    """Row 11: somebody else took the copy during a long hand-over; what comes late writes nothing."""
    message = bench.put(hop="outside:127.0.0.1:1")
    holding, go_on = threading.Event(), threading.Event()

    def script(_: Dialogue, command: str) -> str | None:
        if command == "<dot>":
            holding.set()
            go_on.wait(20)
        return None

    with FaultServer(script=script) as server:
        deliverer = bench.deliverer(server.port)
        (delivery,) = claim_delivery(bench.database, "test/deliver", 5)
        thread = threading.Thread(target=deliverer._deliver, args=(delivery, False))
        thread.start()
        assert holding.wait(20)
        bench.clock.advance(10 * MINUTE)
        (taken,) = claim_delivery(bench.database, "other/deliver", 5)
        go_on.set()
        thread.join(20)
        assert len(server.mails) == 1
        # Never run as a loop, so nobody else closes its signal.
        deliverer._ended.close()
        deliverer._end_signal.close()
    (copy,) = bench.copies(message)
    assert (copy.state, copy.owner, copy.fence) == (State.QUEUED, "other/deliver", taken.copies[0].fence)
    with bench.database.transaction() as tx:
        settle(tx, copy.id, copy.fence, State.DEFERRED, actor=ACTOR, status="4.0.0")
    assert bench.states(message) == ["deferred"]


def test_keyd_away_costs_no_attempt(bench: Bench):
    away = [True]

    def is_given_back(copy) -> bool:
        untouched = (copy.state, copy.attempts, copy.crashes, copy.owner) == (State.QUEUED, 0, 0, "")
        return untouched and copy.next_at > bench.clock.now_ms()

    real = bench.token.open_mail_key

    def open_mail_key(*args):
        if away[0]:
            raise KeyStoreError("away")
        return real(*args)

    with FaultServer() as server:
        message = bench.put(hop=key_of(server))
        bench.token.open_mail_key = open_mail_key  # type: ignore[method-assign]
        with running(bench.deliverer(server.port)) as wait_until:
            wait_until(lambda: is_given_back(bench.copies(message)[0]))
            away[0] = False
            bench.clock.advance(10_000)
            wait_until(lambda: bench.states(message) == ["delivered"])
        assert len(server.mails) == 1


def test_database_away_after_the_hand_over_does_not_repeat_it(bench: Bench):
    deliverer_db = bench.database
    failing = [3]
    real = deliverer_db.transaction

    def transaction():
        if failing[0] and threading.current_thread().name == "settle":
            failing[0] -= 1
            raise StorageError("away")
        return real()

    with FaultServer() as server:
        message = bench.put(hop=key_of(server))
        deliverer_db.transaction = transaction  # type: ignore[method-assign]
        with running(bench.deliverer(server.port)) as wait_until:
            wait_until(lambda: bench.states(message) == ["delivered"])
        assert failing == [0]
        assert len(server.mails) == 1


def test_stop_breaks_what_hangs_and_gives_back_what_waits(bench: Bench):
    patient = Timeouts(10, 60, 60, 60, 60, 60, 60, quit=0.2)
    with FaultServer(script=lambda _, command: HANG if command.startswith("MAIL") else None) as server:
        ids = [bench.put(hop=key_of(server)) for _ in range(8)]
        # Four threads, and three of them at most for one hop.
        deliverer = bench.deliverer(server.port, threads=4, grace_seconds=0.1, timeouts=patient)
        with running(deliverer) as wait_until:
            wait_until(lambda: sum(c.startswith("MAIL") for c in server.commands) == 3)
    copies = [bench.copies(i)[0] for i in ids]
    assert all(copy.owner == "" and copy.crashes == 0 for copy in copies)
    assert sorted(copy.state.value for copy in copies) == ["deferred"] * 3 + ["queued"] * 5
    assert sum(copy.attempts for copy in copies) == 3


def test_leases_of_a_dead_process_are_freed_at_its_next_start(bench: Bench):
    with FaultServer() as server:
        message = bench.put(hop=key_of(server))
        assert claim_delivery(bench.database, "test/deliver", 5)
        with running(bench.deliverer(server.port)) as wait_until:
            wait_until(lambda: bench.states(message) == ["delivered"])


def test_two_deliverers_send_each_mail_once(bench: Bench):
    with FaultServer() as server:
        ids = [bench.put(hop=key_of(server)) for _ in range(40)]
        with running(bench.deliverer(server.port, owner="a/deliver")) as wait_until:
            with running(bench.deliverer(server.port, owner="b/deliver")):
                wait_until(lambda: all(bench.states(i) == ["delivered"] for i in ids))
        assert len(server.mails) == 40


def alerts(bench: Bench) -> list[str]:
    with bench.database.reading() as tx:
        return [event.detail for event in recent_events(tx, "main", kinds=("alert.raised",))]


def test_operator_hears_once_of_a_hop_that_stays_dead(bench: Bench):
    with FaultServer(script=lambda _, command: "554 5.3.2 closed" if command == "<connect>" else None) as server:
        bench.put(hop=key_of(server))
        deliverer = bench.deliverer(server.port)
        with running(deliverer) as wait_until:
            for failures in range(1, 7):
                wait_until(lambda: bench.caches[0].statuses()[:1] != [] and server.connections >= failures)  # noqa: B023
                wait_until(lambda: bench.caches[0].statuses()[0].failures == failures)  # noqa: B023
                bench.clock.advance(2 * HOUR)
                bench.monotonic[0] += 301
            wait_until(lambda: len(alerts(bench)) >= 1)
    assert len(alerts(bench)) == 1
    assert key_of(server) in alerts(bench)[0]


def test_operator_hears_of_a_recipient_without_a_route(bench: Bench):
    message = bench.put(Recipient("a@nowhere.example"), hop="")
    deliverer = bench.deliverer(1)
    empty = MailerTable(RoutesDocument())
    deliverer._attempt._run._table = lambda: empty
    with running(deliverer) as wait_until:
        wait_until(lambda: bench.states(message) == ["deferred"])
        bench.clock.advance(2 * HOUR)
        wait_until(lambda: bench.copies(message)[0].attempts == 2)
    assert bench.copies(message)[0].last_status == "4.4.4"
    assert len(alerts(bench)) == 1
