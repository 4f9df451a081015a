from __future__ import annotations

from pathlib import Path

import pytest

from relay.cli.installation import HostChoices, create_installation
from relay.core.documents.shipped import shipped_organisation
from relay.core.ports import Actor


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation to be copied: its settings are relative, and making one takes seconds."""
    folder = tmp_path_factory.mktemp("made") / "inside"
    organisation = shipped_organisation("bank.example", "Example Bank")
    host = HostChoices("gateway.bank.example", self_signed=True)
    create_installation(folder, host, organisation, Actor("operator", "test"))
    return folder
