"""SpoolIntake keeps what every Intake promises, and what a database can show beyond: one commit, sealed content."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator

import pytest

from relay.core.clock import MINUTE
from relay.core.envelope import BodyType, Envelope, Recipient, SessionInfo, Side
from relay.core.errors import StorageError, StorageFullError
from relay.core.lifecycle import State
from relay.core.ports import IncomingMessage, SpoolPublicKey
from relay.core.wire.errors import SealedDataError
from relay.core.wire.hpke import SUITE_P256, Opener, generate_private
from relay.core.wire.mailkey import open_mail_key
from relay.spool.claims import claim_work
from relay.spool.content import open_content
from relay.spool.intake import SpoolIntake
from relay.spool.recovery import sweep_orphans
from relay.store.base import Database
from relay.store.repositories.copies import copies_of
from relay.store.repositories.events import events_of, verify
from relay.store.repositories.messages import get_key, get_message
from tests.contract.intake_contract import ENVELOPE, SESSION, IntakeContract
from tests.contract.spool.spool import TENANT, Spool, make_spool
from tests.contract.store.databases import SteppedClock


class SpoolSubject:
    """SpoolIntake with eyes on what was committed."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    def has_room(self, octets: int) -> bool:
        return self._spool.intake.has_room(octets)

    def open(self, session: SessionInfo, envelope: Envelope) -> IncomingMessage:
        return self._spool.intake.open(session, envelope)

    def stored_ids(self) -> set[str]:
        with self._spool.db.reading() as tx:
            return {row[0] for row in tx.fetch_all("SELECT id FROM message")}

    def stored_content(self, message_id: str) -> bytes:
        return self._spool.content(message_id)

    def stored_envelope(self, message_id: str) -> Envelope:
        with self._spool.db.reading() as tx:
            message = get_message(tx, TENANT, message_id)
            recipients = {copy.forward_path: copy.recipient for copy in copies_of(tx, message_id)}
        order = [recipient.forward_path for recipient in ENVELOPE.recipients if recipient.forward_path in recipients]
        return Envelope(
            reverse_path=message.reverse_path,
            recipients=tuple(recipients[path] for path in order or sorted(recipients)),
            body_type=message.body_type,
            smtputf8=message.smtputf8,
            requiretls=message.requiretls,
            dsn_ret=message.dsn_ret,
            dsn_envid=message.dsn_envid,
        )


class TestSpoolIntake(IntakeContract):
    @pytest.fixture
    def subject(self, spool: Spool) -> SpoolSubject:
        return SpoolSubject(spool)


def test_session_and_states_are_stored(spool: Spool) -> None:
    async def scenario() -> str:
        incoming = spool.intake.open(SESSION, ENVELOPE)
        await incoming.write(b"Subject: x\r\n\r\n")
        await incoming.commit()
        return incoming.message_id

    message_id = asyncio.run(scenario())
    with spool.db.reading() as tx:
        message = get_message(tx, TENANT, message_id)
        (event,) = events_of(tx, message_id)
    stored, given = message.session(), SESSION
    assert (stored.listener, stored.side, stored.client_ip, stored.helo, stored.tls, stored.login) == (
        given.listener,
        given.side,
        given.client_ip,
        given.helo,
        given.tls,
        given.login,
    )
    assert message.size == 14
    assert message.origin == "client"
    copies = spool.copies(message_id)
    assert {copy.state for copy in copies} == {State.RECEIVED}
    assert {copy.normal_address for copy in copies} == {
        "bob@partner.example",
        '"carol doe"@partner.example',
        "dörte@xn--mller-kva.example",
    }
    assert event.kind == "message.received"
    assert event.actor == "user:erp"
    assert verify(spool.db) == []


def test_postmaster_without_domain_is_a_recipient(spool: Spool) -> None:
    assert spool.copy(spool.put("Postmaster")).normal_address == "postmaster"


def test_a_client_that_outlasts_an_epoch_is_sealed_to_the_new_one(db: Database, clock: SteppedClock) -> None:
    # What is sealed to an epoch that is destroyed an hour after its end would be acknowledged and lost.
    old, new = (Opener(SUITE_P256, generate_private(SUITE_P256)) for _ in range(2))
    published = [SpoolPublicKey("epoch-1", SUITE_P256, old.public_octets())]
    intake = SpoolIntake(db, lambda: published[-1], "gw.bank.example", TENANT, 1_000_000)

    async def scenario() -> str:
        incoming = intake.open(SESSION, Envelope("anna@bank.example", (Recipient("eva@partner.example"),)))
        await incoming.write(b"Subject: slow\r\n")
        published.append(SpoolPublicKey("epoch-2", SUITE_P256, new.public_octets()))
        await incoming.write(b"\r\nbody\r\n")
        await incoming.commit()
        return incoming.message_id

    message_id = asyncio.run(scenario())
    intake.close()
    with db.reading() as tx:
        wrapped = get_key(tx, message_id)
    assert wrapped.epoch == "epoch-2"
    key = open_mail_key(new, message_id, wrapped)
    with open_content(db, message_id, 0, key).open() as stream:
        assert stream.read() == b"Subject: slow\r\n\r\nbody\r\n"


def test_content_and_keys_are_sealed_at_rest(spool: Spool) -> None:
    secret = b"the merger is on Monday"
    message_id = spool.put(content=b"Subject: s\r\n\r\n" + secret + b"x" * 300_000)
    with spool.db.reading() as tx:
        blobs = [bytes(row[0]) for row in tx.fetch_all("SELECT data FROM chunk")]
        blobs += [bytes(row[0]) for row in tx.fetch_all("SELECT data FROM mail_key")]
    assert len(blobs) == 3
    assert not any(secret in blob for blob in blobs)
    assert spool.key(message_id) not in b"".join(blobs)
    with pytest.raises(SealedDataError):
        open_content(spool.db, message_id, 0, bytes(32)).open().read(1)


def test_each_message_has_a_key_of_its_own(spool: Spool) -> None:
    first, second = spool.put(), spool.put()
    assert spool.key(first) != spool.key(second)


def test_a_second_try_of_the_client_is_flagged_and_kept(spool: Spool) -> None:
    def mail(trace: bytes, end: bytes) -> bytes:
        return b"Received: from x\r\n\tby gw; " + trace + b"\r\nMessage-ID: <1@bank.example>\r\n\r\n" + end

    first = spool.put(content=mail(b"one", b"same"))
    other = spool.put(content=mail(b"two", b"different"))
    again = spool.put(content=mail(b"three", b"same"))
    with spool.db.reading() as tx:
        details = {m: events_of(tx, m)[0].detail for m in (first, other, again)}
    assert "retry_of" not in details[first]
    assert "retry_of" not in details[other]
    assert f'"retry_of":["{first}"]' in details[again]
    assert spool.copy(again).state is State.RECEIVED


def test_the_hash_leaves_out_our_own_trace_field(spool: Spool) -> None:
    own = b"Subject: x\r\n\r\n" + b"y" * 600_000
    message_id = spool.put(content=b"Received: by gw\r\n\t; now\r\n" + own)
    with spool.db.reading() as tx:
        assert get_message(tx, TENANT, message_id).sha256 == hashlib.sha256(own).hexdigest()


# --- large mail, written ahead ----------------------------------------------------------------------------------------


def _begin_large(spool: Spool) -> IncomingMessage:
    return spool.intake.open(SESSION, Envelope("a@bank.example", (Recipient("eva@partner.example"),)))


def test_what_was_written_ahead_is_seen_by_nobody(spool: Spool) -> None:
    async def scenario() -> None:
        incoming = _begin_large(spool)
        await incoming.write(bytes(3_000_000))
        assert spool.count("chunk") > 4
        assert spool.count("message") == 0
        assert claim_work(spool.db, "w", 10) == []
        await incoming.commit()
        assert spool.count("incoming") == 0
        assert spool.copy(incoming.message_id).state is State.RECEIVED

    asyncio.run(scenario())


def test_abort_drops_what_was_written_ahead_at_once(spool: Spool) -> None:
    async def scenario() -> None:
        incoming = _begin_large(spool)
        await incoming.write(bytes(3_000_000))
        await incoming.abort()
        assert (spool.count("chunk"), spool.count("incoming")) == (0, 0)

    asyncio.run(scenario())


def test_partial_rows_of_a_dead_process_are_gone_after_a_minute(spool: Spool) -> None:
    """Fault row 7: what dies in the middle of one large DATA leaves nothing behind."""

    async def scenario() -> str:
        incoming = _begin_large(spool)
        await incoming.write(bytes(3_000_000))
        return incoming.message_id

    asyncio.run(scenario())
    assert sweep_orphans(spool.db) == 0
    spool.clock.advance(MINUTE)
    assert sweep_orphans(spool.db) == 1
    assert (spool.count("chunk"), spool.count("incoming")) == (0, 0)


def test_swept_content_is_never_committed_by_half(spool: Spool) -> None:
    async def scenario() -> None:
        incoming = _begin_large(spool)
        await incoming.write(bytes(3_000_000))
        spool.clock.advance(MINUTE)
        sweep_orphans(spool.db)
        with pytest.raises(StorageError) as caught:
            await incoming.commit()
        assert caught.value.temporary
        await incoming.abort()

    asyncio.run(scenario())
    assert spool.count("message") == 0


def test_a_slow_client_keeps_what_it_sent(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.spool.intake._HEARTBEAT_SECONDS", 0.01)

    async def scenario() -> str:
        incoming = _begin_large(spool)
        await incoming.write(bytes(3_000_000))
        spool.clock.advance(MINUTE // 2)
        # Not just any beat: one that saw the time after the step.
        for _ in range(2000):
            if _lease(spool.db) > spool.clock.now_ms() + 35_000:
                break
            await asyncio.sleep(0.01)
        spool.clock.advance(MINUTE // 2)
        assert sweep_orphans(spool.db) == 0
        await incoming.write(b"end")
        await incoming.commit()
        return incoming.message_id

    assert spool.content(asyncio.run(scenario())).endswith(b"\0end")


def _lease(db: Database) -> int:
    with db.reading() as tx:
        row = tx.fetch_one("SELECT lease_until FROM incoming")
    assert row is not None
    return int(row[0])


# --- room -------------------------------------------------------------------------------------------------------------


def test_no_room_above_the_limit_for_one_message(spool: Spool) -> None:
    assert spool.intake.has_room(50_000_000)
    assert not spool.intake.has_room(50_000_001)


@pytest.fixture
def full_spool(db: Database, clock: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[Spool]:
    made = make_spool(db, clock)  # type: ignore[arg-type]
    monkeypatch.setattr(Database, "free_space_ok", lambda _self, _reserve: False)
    yield made
    made.intake.close()


def test_below_the_reserve_intake_says_full_and_steps_still_commit(full_spool: Spool, spool: Spool) -> None:
    assert not full_spool.intake.has_room(0)
    with pytest.raises(StorageFullError) as caught:
        full_spool.put()
    assert caught.value.status == "4.3.1"
    assert full_spool.count("message") == 0


def test_body_type_names_survive(spool: Spool) -> None:
    async def scenario() -> str:
        envelope = Envelope("", (Recipient("eva@partner.example"),), body_type=BodyType.BINARY_MIME, requiretls=True)
        incoming = spool.intake.open(SessionInfo("l", Side.OUTSIDE, "2001:db8::1", "h"), envelope)
        await incoming.commit()
        return incoming.message_id

    message_id = asyncio.run(scenario())
    with spool.db.reading() as tx:
        message = get_message(tx, TENANT, message_id)
        (event,) = events_of(tx, message_id)
    assert message.body_type is BodyType.BINARY_MIME
    assert message.requiretls is True
    assert message.side is Side.OUTSIDE
    assert event.actor == "peer:2001:db8::1"
    assert spool.content(message_id) == b""
