"""The two logs vouch for each other's length: keyd's cannot be cut off alone (G18)."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.system.gateway import Gateway
from tests.system.test_main_job import outside, write_mail


def test_a_cut_end_of_keyds_log_is_found(fresh: Callable[[], Gateway]) -> None:
    gateway = fresh().start()
    to = "log@partner.example"
    gateway.send(write_mail(to), "anna@bank.example", to)
    gateway.wait(lambda left: len(outside(left, to)) == 1)
    log = gateway.state / "inside/state/keyd-audit/audit.jsonl"
    files = sorted(log.parent.iterdir())
    assert files
    # The next anchor is due in five minutes.
    (gateway.state / "inside/run/clock.offset").write_text("400")
    deadline = time.monotonic() + 60
    while gateway.cli("audit", "events", "--kind", "audit.keyd", "--json").count('"audit.keyd"') < 2:
        assert time.monotonic() < deadline
        time.sleep(0.5)
    gateway.stop()
    assert "Good" in gateway.cli("audit", "verify")
    for path in files:
        path.write_bytes(b"")
    assert "its end is gone" in gateway.cli("audit", "verify", code=65)
