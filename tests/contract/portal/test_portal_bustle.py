"""Everything at once on two nodes: logins, wrong tries, pushes, sends, pulls, rekeys. Nothing fails or is lost."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

from sqlalchemy import text

from relay.core.ids import new_id
from tests.contract.portal.site import Box, Site, hash_of_capsule, item

ROUNDS = 12


def test_all_at_once(site: Site) -> None:
    nodes = [site.first, site.node()]
    boxes = [site.make_box() for _ in range(2)]
    changing = site.make_box()
    strange: list[object] = []
    sent: dict[str, list[str]] = {box.id: [] for box in boxes}
    pulled: dict[str, list[str]] = {}
    done = threading.Event()

    def check(answer: Any, *expected: int) -> Any:
        if answer.status_code not in expected:
            strange.append((answer.request.path, answer.status_code, answer.get_json()))
        return answer

    def send(box: Box, node: int) -> None:
        browser = nodes[node].browser(f"192.0.2.{node}")
        check(browser.login(box), 200)
        for _ in range(ROUNDS):
            id_ = new_id()
            check(browser.call("PUT", f"/api/drafts/{id_}/0/0", os.urandom(500)), 201)
            check(browser.call("PUT", f"/api/drafts/{id_}", {"rev": 0, "sealed": "AAAA"}), 200)
            check(browser.call("POST", "/api/send", item(box, id=id_, parts=[{"i": 0, "chunks": 1}])), 201)
            sent[box.id].append(id_)
            check(browser.get("/api/messages"), 200)

    def push(box: Box) -> None:
        for no in range(ROUNDS):
            id_ = site.push_message(box, no, {(0, 0): os.urandom(100)})
            if no % 2:
                check(nodes[0].link("DELETE", f"boxes/{box.id}/messages/{id_}"), 204)

    def guess() -> None:
        for number in range(ROUNDS):
            box = boxes[number % 2]
            # From new networks; the login's own counter says wait soon.
            check(nodes[number % 2].browser(f"198.51.100.{number}").login(box, os.urandom(32)), 401, 429)
            check(nodes[number % 2].browser(f"203.0.113.{number}").login(changing, os.urandom(32)), 401, 429)

    def change() -> None:
        box, capsules = changing, [changing.capsule]
        for _ in range(ROUNDS // 2):
            new = box.next()
            new.write_capsule("relay", site.clock.now_ms())
            check(site.push(new, base=hash_of_capsule(capsules[-1])), 201)
            box, capsules = new, [*capsules, new.capsule]

    def pull() -> None:
        while not done.is_set() or site.pull():
            for entry in site.pull(limit=7):
                seen = pulled.setdefault(entry["box"], [])
                if entry["id"] not in seen:
                    seen.append(entry["id"])
                site.ack(entry)

    jobs: list[Callable[[], None]] = [lambda: send(boxes[0], 0), lambda: send(boxes[1], 1), guess, change]
    jobs += [lambda: push(boxes[0]), lambda: push(boxes[1])]
    puller = threading.Thread(target=pull)
    puller.start()
    workers = [threading.Thread(target=job) for job in jobs]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    done.set()
    puller.join()
    assert strange == []
    assert pulled == sent
    with site.first.portal.store.main.read() as connection:
        rows = connection.execute(text("SELECT id, used FROM box WHERE used <> 0")).all()
        sizes = connection.execute(text("SELECT box, sum(size) FROM chunk GROUP BY box")).all()
    assert sorted(map(tuple, rows)) == sorted(map(tuple, sizes))
