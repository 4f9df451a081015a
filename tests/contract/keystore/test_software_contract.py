"""The software token keeps the contract."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.core.clock import ManualClock
from relay.keystore.software import SoftwareToken
from tests.contract.keystore_contract import KeyStoreContract, Stores


class TestSoftwareToken(KeyStoreContract):
    @pytest.fixture
    def stores(self, tmp_path: Path) -> Iterator[Stores]:
        with SoftwareToken.create(tmp_path / "keys", b"a pin for the tests", ManualClock(), pin_memory_kib=64) as token:
            yield Stores(token, token)
