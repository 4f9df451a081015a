"""The whole gateway on PostgreSQL: the main job, and a power cut of gateway and database together (fault row 10)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.contract.store.databases import PostgresServer
from tests.system.gateway import Gateway, password_of, poppler_text
from tests.system.test_main_job import CANARY, outside, write_mail


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    made = PostgresServer()
    yield made
    made.close()


@pytest.mark.postgres
@pytest.mark.timeout(300)
def test_the_main_job_survives_a_power_cut_of_all(
    fresh: Callable[[], Gateway], server: PostgresServer, tmp_path: Path
) -> None:
    server.admin("CREATE DATABASE letterlock")
    gateway = fresh().start("--database", server.url("letterlock"))
    to = "jonas@partner.example"
    gateway.send(write_mail(to, "Before"), "anna@bank.example", to)
    gateway.wait(lambda left: len(outside(left, to)) == 1)
    gateway.send(write_mail(to, "In between"), "anna@bank.example", to)
    gateway.kill()
    server.stop("immediate")
    server.start()
    gateway.start()
    gateway.send(write_mail(to, "After"), "anna@bank.example", to)
    left = gateway.wait(
        lambda left: {"Before", "In between", "After"} <= {c.message["Subject"] for c in outside(left, to)}
    )
    notice = next(one for one in left if one.hop == "inside")
    for carrier in outside(left, to):
        assert CANARY in poppler_text(carrier.pdf, password_of(notice), tmp_path)
    assert "Good" in gateway.cli("audit", "verify")
