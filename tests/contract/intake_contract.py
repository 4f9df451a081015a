"""What every Intake promises. A subclass gives the fixture `subject`; the spool and the in-memory one both run this."""

from __future__ import annotations

import asyncio
from typing import Protocol

import pytest

from relay.core.envelope import BodyType, Envelope, Recipient, SessionInfo, Side
from relay.core.errors import StorageError
from relay.core.ids import is_id
from relay.core.ports import Intake


class IntakeSubject(Intake, Protocol):
    """An Intake whose committed messages can be looked at. The three below see committed messages alone."""

    def stored_ids(self) -> set[str]: ...

    def stored_content(self, message_id: str) -> bytes: ...

    def stored_envelope(self, message_id: str) -> Envelope: ...


SESSION = SessionInfo(
    listener="inside",
    side=Side.INSIDE,
    client_ip="192.0.2.7",
    helo="client.bank.example",
    tls="TLSv1.3 TLS_AES_256_GCM_SHA384",
    login="erp",
    local_ip="192.0.2.1",
    local_port=25,
)
ENVELOPE = Envelope(
    reverse_path="alice@bank.example",
    recipients=(
        Recipient("bob@partner.example", frozenset({"SUCCESS", "FAILURE"}), "rfc822;bob+2Btag@partner.example"),
        Recipient('"Carol Doe"@partner.example', frozenset({"NEVER"})),
        Recipient("dörte@müller.example"),
    ),
    body_type=BodyType.EIGHT_BIT_MIME,
    smtputf8=True,
    dsn_ret="HDRS",
    dsn_envid="QQ314159",
)


class IntakeContract:
    """Inherit and define the fixture `subject`."""

    def test_nothing_is_visible_before_the_commit_returned(self, subject: IntakeSubject) -> None:
        async def scenario() -> None:
            before = subject.stored_ids()
            incoming = subject.open(SESSION, ENVELOPE)
            assert is_id(incoming.message_id)
            await incoming.write(b"Subject: x\r\n")
            await incoming.write(b"\r\nbody\r\n")
            assert subject.stored_ids() == before
            await incoming.commit()
            assert subject.stored_ids() == before | {incoming.message_id}
            assert subject.stored_content(incoming.message_id) == b"Subject: x\r\n\r\nbody\r\n"

        asyncio.run(scenario())

    def test_the_envelope_is_kept_as_given(self, subject: IntakeSubject) -> None:
        async def scenario() -> None:
            incoming = subject.open(SESSION, ENVELOPE)
            await incoming.write(b"\r\n")
            await incoming.commit()
            assert subject.stored_envelope(incoming.message_id) == ENVELOPE

        asyncio.run(scenario())

    def test_the_null_reverse_path_is_kept(self, subject: IntakeSubject) -> None:
        async def scenario() -> None:
            envelope = Envelope("", (Recipient("alice@bank.example"),))
            incoming = subject.open(SESSION, envelope)
            await incoming.write(b"\r\n")
            await incoming.commit()
            assert subject.stored_envelope(incoming.message_id).reverse_path == ""

        asyncio.run(scenario())

    def test_an_aborted_message_never_shows(self, subject: IntakeSubject) -> None:
        async def scenario() -> None:
            before = subject.stored_ids()
            incoming = subject.open(SESSION, ENVELOPE)
            await incoming.write(b"x" * 700_000)
            await incoming.abort()
            await incoming.abort()
            assert subject.stored_ids() == before

        asyncio.run(scenario())

    def test_abort_after_commit_changes_nothing(self, subject: IntakeSubject) -> None:
        async def scenario() -> None:
            incoming = subject.open(SESSION, ENVELOPE)
            await incoming.write(b"kept\r\n")
            await incoming.commit()
            await incoming.abort()
            assert subject.stored_content(incoming.message_id) == b"kept\r\n"

        asyncio.run(scenario())

    def test_commit_after_abort_is_refused(self, subject: IntakeSubject) -> None:
        async def scenario() -> None:
            incoming = subject.open(SESSION, ENVELOPE)
            await incoming.write(b"x\r\n")
            await incoming.abort()
            with pytest.raises(StorageError):
                await incoming.commit()
            assert incoming.message_id not in subject.stored_ids()

        asyncio.run(scenario())

    @pytest.mark.parametrize("size", [0, 1, 262_143, 262_144, 262_145, 3_000_001])
    def test_octets_come_back_as_written(self, subject: IntakeSubject, size: int) -> None:
        async def scenario() -> None:
            content = bytes(range(256)) * (size // 256 + 1)
            content = content[:size]
            incoming = subject.open(SESSION, ENVELOPE)
            for start in range(0, size, 100_003):
                await incoming.write(content[start : start + 100_003])
            await incoming.commit()
            assert subject.stored_content(incoming.message_id) == content

        asyncio.run(scenario())

    def test_many_at_once_do_not_mix(self, subject: IntakeSubject) -> None:
        async def one(number: int) -> tuple[str, bytes]:
            incoming = subject.open(SESSION, ENVELOPE)
            content = b""
            for piece in range(5):
                data = f"message {number} piece {piece}\r\n".encode()
                content += data
                await incoming.write(data)
                await asyncio.sleep(0)
            await incoming.commit()
            return incoming.message_id, content

        async def scenario() -> None:
            done = await asyncio.gather(*(one(number) for number in range(40)))
            assert len({message_id for message_id, _ in done}) == 40
            for message_id, content in done:
                assert subject.stored_content(message_id) == content

        asyncio.run(scenario())

    def test_there_is_room_for_a_small_message(self, subject: IntakeSubject) -> None:
        assert subject.has_room(0)
        assert subject.has_room(10_000)

    def test_there_is_no_room_for_more_than_any_disk(self, subject: IntakeSubject) -> None:
        assert not subject.has_room(2**62)
