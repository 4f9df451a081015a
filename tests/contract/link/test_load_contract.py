"""Large answers in flat memory; several nodes that push at once, in order and once."""

from __future__ import annotations

import threading
import tracemalloc

from relay.core.lifecycle import State
from relay.core.ports import Actor
from relay.core.wire.sealed import CHUNK_SIZE, Part, PartSealer, count_chunks, read_card, seal_up
from relay.link.pushes import Pusher
from relay.mailbox.incoming_values import ItemEntry, PartCount, Result
from tests.contract.link.world import TENANT, Linked

MIB = 2**20


def test_an_answer_of_many_megabytes_takes_few(linked: Linked) -> None:
    reader = linked.open_mailbox()
    (mail,) = reader.read_all()
    size = 24 * MIB + 5
    linked.start(max_octets=size)
    item = reader.make_item("reply", mail.manifest.id, parts=(Part(0, "file", "big.bin", "application/zip", size),))
    sealer = PartSealer(item.key, item.id, 0)

    def fetch(i: int, n: int) -> bytes:
        assert (i, n) == (0, sealer.count)
        last = n == count_chunks(size) - 1
        return sealer.seal_next(bytes([n]) * (size - n * CHUNK_SIZE if last else CHUNK_SIZE), last=last)

    card = read_card(linked.inside.cards[-1].card)
    entry = ItemEntry(
        item.box, 1, item.id, item.gen, item.card, seal_up(item, reader.keys, card), (PartCount(0, count_chunks(size)),)
    )
    tracemalloc.start()
    try:
        assert linked.incoming.take(entry, fetch) is Result.TAKEN
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * MIB
    with linked.inside.db.reading() as tx:
        row = tx.fetch_one("SELECT id, size FROM message WHERE origin = 'portal'")
    assert row is not None
    assert row[1] > size * 4 // 3
    content = linked.inside.content(row[0])
    assert content.endswith(b"--\r\n")
    assert len(content) == row[1]


def test_two_nodes_push_each_box_in_order_and_each_message_once(linked: Linked) -> None:
    addresses = [f"p{n}@partner.example" for n in range(4)]
    ids = [linked.inside.send(to=address, subject=f"{n}") for n in range(3) for address in addresses]
    linked.inside.work()
    linked.calls.clear()
    pushers = []
    for name in ("node1", "node2"):
        linked.start()
        pusher = linked.pusher
        pusher._owner = str(Actor("process", f"{name}/link"))
        pushers.append(pusher)

    def run(pusher: Pusher) -> None:
        for _ in range(50):
            pusher.run_once()

    threads = [threading.Thread(target=run, args=(pusher,)) for pusher in pushers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert all(linked.state(one) is State.DELIVERED for one in ids)
    pushed = [path for method, path in linked.calls if method == "PUT" and "/messages/" in path]
    assert len(pushed) == len(set(pushed)) == len(ids)
    with linked.inside.db.reading() as tx:
        rows = tx.fetch_all(
            "SELECT box, id FROM mailbox_message WHERE kind = 'mail' AND tenant = ? ORDER BY no", [TENANT]
        )
    for box in {row[0] for row in rows}:
        wanted = [f"boxes/{box}/messages/{row[1]}" for row in rows if row[0] == box]
        assert [path for path in pushed if path.startswith(f"boxes/{box}/")] == wanted
