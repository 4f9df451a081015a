"""keyd and its client keep the contract that the token behind them keeps."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from relay.keystore.grants import Role
from tests.contract.keystore_contract import KeyStoreContract, Stores
from tests.integration.keystore.keyd_process import KeydProcess, set_up, short_directory


@pytest.fixture(scope="module")
def keyd() -> Iterator[KeydProcess]:
    with short_directory() as base:
        keyd = KeydProcess.start(set_up(base))
        yield keyd
        assert keyd.stop() == 0


class TestRemoteKeyStore(KeyStoreContract):
    @pytest.fixture
    def stores(self, keyd: KeydProcess) -> Iterator[Stores]:
        with keyd.client(Role.WORKER) as worker, keyd.client(Role.SCHEDULER) as scheduler:
            yield Stores(worker, scheduler)
