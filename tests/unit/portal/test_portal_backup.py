"""A back-up of the portal is both copies or none, and never takes the place of another."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from portal.backup import make_backup
from portal.installation import Choices, create_portal
from portal.settings import Settings, load_settings
from relay.core.errors import StorageError

NOW_MS = 1_795_000_000_000


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The settings lie in one folder, both databases in others, as in /etc and /var/lib."""
    path = create_portal(tmp_path / "etc", Choices("https://portal.bank.example", "Example Bank", "+49 241 123 456"))
    text = path.read_text()
    for name, new in (("state/portal.db", "portal.db"), ("state-keys/row-keys.db", "keys/row-keys.db")):
        (tmp_path / "var" / new).parent.mkdir(exist_ok=True, parents=True)
        assert f"sqlite:///{name}" in text
        text = text.replace(f"sqlite:///{name}", f"sqlite:///{tmp_path}/var/{new}")
        with sqlite3.connect(tmp_path / "var" / new) as connection:
            connection.execute("CREATE TABLE probe (value TEXT)")
        connection.close()
    path.write_text(text)
    return load_settings(path)


def test_databases_anywhere_are_copied(settings: Settings, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in (tmp_path / "var").rglob("*") if path.is_file()}
    files = make_backup(settings, tmp_path / "backup", NOW_MS)
    assert [path.stat().st_mode & 0o777 for path in files] == [0o600, 0o600]
    assert {path: path.read_bytes() for path in (tmp_path / "var").rglob("*") if path.is_file()} == before
    octets = [path.read_bytes() for path in files]
    with pytest.raises(StorageError, match="is there already"):
        make_backup(settings, tmp_path / "backup", NOW_MS)
    assert [path.read_bytes() for path in files] == octets
    assert sorted(path for path in (tmp_path / "backup").rglob("*") if path.is_file()) == sorted(files)


def test_without_row_keys_there_is_no_back_up(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "var/keys/row-keys.db").write_bytes(b"no database at all" * 300)
    with pytest.raises(StorageError, match="no back-up was written"):
        make_backup(settings, tmp_path / "backup", NOW_MS)
    assert not [path for path in (tmp_path / "backup").rglob("*") if path.is_file()]
