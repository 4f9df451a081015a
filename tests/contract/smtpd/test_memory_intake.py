"""The in-memory Intake keeps the contract that the spool keeps."""

from __future__ import annotations

import pytest

from tests.contract.intake_contract import IntakeContract, IntakeSubject
from tests.contract.memory_intake import MemoryIntake


class TestMemoryIntake(IntakeContract):
    @pytest.fixture
    def subject(self) -> IntakeSubject:
        return MemoryIntake(room=2**40)
