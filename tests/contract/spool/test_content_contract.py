"""Content: what was written is read, from any place; what was tampered with is not; variants exist whole or not."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.core.clock import HOUR
from relay.core.errors import StorageError
from relay.core.wire.chunks import CHUNK_SIZE
from relay.core.wire.errors import SealedDataError
from relay.spool.content import VariantWriter, open_content
from relay.spool.errors import ContentDamagedError, ContentMissingError
from relay.spool.recovery import sweep_orphans
from relay.store.base import Tx
from tests.contract.spool.spool import TENANT, Spool

ORIGINAL = b"Received: by gw\r\nSubject: x\r\n\r\n" + os.urandom(600_000)
MANY = settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)


def _writer(spool: Spool, message_id: str) -> VariantWriter:
    return VariantWriter(spool.db, message_id, TENANT, spool.key(message_id), "test/worker")


def _store(spool: Spool, message_id: str, content: bytes, body_offset: int | None = None) -> int:
    with _writer(spool, message_id) as writer:
        writer.write(content)
        with spool.db.transaction() as tx:
            return writer.finish(tx, "pdf", "bounce@bank.example", body_offset)


@MANY
@given(
    places=st.lists(st.tuples(st.integers(0, len(ORIGINAL) + 9), st.integers(0, 300_000)), min_size=1, max_size=8),
    own=st.integers(0, 300_000),
    offset=st.one_of(st.none(), st.integers(0, len(ORIGINAL))),
)
def test_any_place_reads_as_written(spool: Spool, places: list[tuple[int, int]], own: int, offset: int | None) -> None:
    message_id = spool.put(content=ORIGINAL)
    head = os.urandom(own)
    number = _store(spool, message_id, head, offset)
    expected = head if offset is None else head + ORIGINAL[offset:]
    source = open_content(spool.db, message_id, number, spool.key(message_id))
    assert source.size == len(expected)
    with source.open() as stream:
        for start, count in places:
            stream.seek(start)
            assert stream.read(count) == expected[start : start + count]
        assert stream.seek(0, os.SEEK_END) == len(expected)
        stream.seek(0)
        assert stream.read() == expected


def test_streams_are_independent_and_lines_can_be_read(spool: Spool) -> None:
    message_id = spool.put(content=b"a: 1\r\nb: 2\r\n\r\n" + b"x" * 400_000)
    source = open_content(spool.db, message_id, 0, spool.key(message_id))
    with source.open() as one, source.open() as two:
        assert one.readline() == b"a: 1\r\n"
        assert two.read(3) == b"a: "
        assert one.readline() == b"b: 2\r\n"


def test_variants_are_numbered_and_keep_their_reverse_path(spool: Spool) -> None:
    message_id = spool.put()
    assert [_store(spool, message_id, b"one"), _store(spool, message_id, b"two")] == [1, 2]
    assert spool.content(message_id, 2) == b"two"
    with spool.db.reading() as tx:
        row = tx.fetch_one("SELECT kind, reverse_path, size FROM variant WHERE number = 2")
    assert row == ("pdf", "bounce@bank.example", 3)


def test_a_variant_exists_exactly_if_its_transaction_commits(spool: Spool) -> None:
    for size in (10, 3_000_000):
        message_id = spool.put()
        before = spool.count("chunk")
        with _writer(spool, message_id) as writer:
            writer.write(bytes(size))
            with pytest.raises(ZeroDivisionError), spool.db.transaction() as tx:
                assert writer.finish(tx, "pdf", "") / 0
            assert spool.count("variant") == 0
            # The same writer can be finished in another try: a failed batch is written again item by item.
            with spool.db.transaction() as tx:
                number = writer.finish(tx, "pdf", "")
        assert spool.content(message_id, number) == bytes(size)
        spool.clock.advance(HOUR)
        assert sweep_orphans(spool.db) == 0
        assert spool.count("chunk") > before
        with spool.db.transaction() as tx:
            tx.run("DELETE FROM variant")


def test_leaving_a_variant_unfinished_drops_it(spool: Spool) -> None:
    message_id = spool.put()
    with _writer(spool, message_id) as writer:
        writer.write(bytes(3_000_000))
        assert spool.count("chunk") > 1
    assert (spool.count("chunk"), spool.count("incoming")) == (1, 0)
    with pytest.raises(ValueError, match="aborted"):
        writer.write(b"more")
    with pytest.raises(ContentMissingError), spool.db.transaction() as tx:
        writer.finish(tx, "pdf", "")


def test_half_a_variant_of_a_dead_worker_is_invisible_and_swept(spool: Spool) -> None:
    """Fault row 2: the worker dies in the middle; the next one makes its own variant under another number."""
    message_id = spool.put()
    dead = _writer(spool, message_id)
    dead.write(bytes(2_000_000))
    with pytest.raises(ContentMissingError):
        open_content(spool.db, message_id, 1, spool.key(message_id))
    assert _store(spool, message_id, b"good") == 2
    spool.clock.advance(HOUR)
    assert sweep_orphans(spool.db) == 1
    assert spool.content(message_id, 2) == b"good"
    with pytest.raises(StorageError):
        dead.write(bytes(2_000_000))
    with pytest.raises(ContentMissingError), spool.db.transaction() as tx:
        dead.finish(tx, "pdf", "")
    assert spool.content(message_id, 2) == b"good"


def test_two_workers_on_one_message_never_mix(spool: Spool) -> None:
    message_id = spool.put()
    with _writer(spool, message_id) as one, _writer(spool, message_id) as two:
        for _ in range(6):
            one.write(b"1" * 500_000)
            two.write(b"2" * 500_000)
        with spool.db.transaction() as tx:
            numbers = [one.finish(tx, "pdf", ""), two.finish(tx, "pdf", "")]
    assert [set(spool.content(message_id, number)) for number in numbers] == [{ord("1")}, {ord("2")}]


def test_memory_stays_flat_and_copyfileobj_works(spool: Spool) -> None:
    message_id = spool.put(content=ORIGINAL)
    with _writer(spool, message_id) as writer:
        with open_content(spool.db, message_id, 0, spool.key(message_id)).open() as source:
            shutil.copyfileobj(source, writer.as_file(), 100_000)
        assert writer.size == len(ORIGINAL)
        assert len(writer._buffer.peek()) <= CHUNK_SIZE
        with spool.db.transaction() as tx:
            number = writer.finish(tx, "pass", "")
    assert spool.content(message_id, number) == ORIGINAL


def _swap(tx: Tx) -> None:
    tx.run("UPDATE chunk SET n = 7 WHERE n = 0")
    tx.run("UPDATE chunk SET n = 0 WHERE n = 1")
    tx.run("UPDATE chunk SET n = 1 WHERE n = 7")


def _flip(tx: Tx) -> None:
    row = tx.fetch_one("SELECT data FROM chunk WHERE n = 1")
    assert row is not None
    data = bytearray(row[0])
    data[5000] ^= 1
    tx.run("UPDATE chunk SET data = ? WHERE n = 1", [bytes(data)])


def _drop_last(tx: Tx) -> None:
    tx.run("DELETE FROM chunk WHERE n = 2")


def _cut_off(tx: Tx) -> None:
    tx.run("DELETE FROM chunk WHERE n = 2")
    tx.run("UPDATE message SET size = ?", [2 * CHUNK_SIZE])


def _shorten(tx: Tx) -> None:
    tx.run("UPDATE message SET size = size - 1")


@pytest.mark.parametrize("tamper", [_swap, _flip, _drop_last, _cut_off, _shorten])
def test_tampered_content_is_refused_and_temporary(spool: Spool, tamper: Callable[[Tx], None]) -> None:
    message_id = spool.put(content=ORIGINAL)
    key = spool.key(message_id)
    with spool.db.transaction() as tx:
        tamper(tx)
    with pytest.raises((SealedDataError, ContentDamagedError)) as caught:
        open_content(spool.db, message_id, 0, key).open().read()
    assert caught.value.temporary


def test_a_body_offset_outside_the_original_is_refused(spool: Spool) -> None:
    message_id = spool.put(content=b"x" * 10)
    with _writer(spool, message_id) as writer:
        with pytest.raises(ValueError, match="body_offset"), spool.db.transaction() as tx:
            writer.finish(tx, "pass", "", 11)


def test_content_is_read_from_many_threads(spool: Spool) -> None:
    message_id = spool.put(content=ORIGINAL)
    source = open_content(spool.db, message_id, 0, spool.key(message_id))
    results: list[bool] = []

    def read() -> None:
        with source.open() as stream:
            results.append(stream.read() == ORIGINAL)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 8
