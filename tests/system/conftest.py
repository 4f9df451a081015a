"""Gateways for the system tests: one shared by tests that only send, fresh ones for tests that break things."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.gateway import Gateway


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that many tests send through. Each test uses addresses of its own."""
    gateway = Gateway(tmp_path_factory.mktemp("shared")).start()
    yield gateway
    gateway.stop()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Callable[[], Gateway]]:
    """Return a maker of gateways that are this test's own; the state stays when one is started again."""
    made: list[Gateway] = []

    def make() -> Gateway:
        gateway = Gateway(tmp_path / f"state{len(made)}")
        made.append(gateway)
        return gateway

    yield make
    for gateway in made:
        if gateway.process is not None and gateway.process.poll() is None:
            gateway.stop()
