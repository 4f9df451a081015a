"""Back-up and restore: all that belongs, from wherever it lies, and nothing outside of the new folder is touched."""

from __future__ import annotations

import io
import re
import shutil
import sqlite3
import stat
import tarfile
import tomllib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from relay.cli.main import main
from relay.cli.relocate import find_places, rewrite_settings
from relay.core.clock import SystemClock
from relay.core.ports import Grant
from relay.keystore.pin import read_pin_file
from relay.keystore.software import SoftwareToken
from relay.settings import Settings, load_settings

GRANT = Grant("test", "probe", "process:test")


def install(made: Path, folder: Path) -> Settings:
    shutil.copytree(made, folder)
    return load_settings(folder / "letterlock.toml")


def set_key(settings: Settings, table: str, key: str, value: str) -> None:
    text = settings.path.read_text()
    changed, count = re.subn(rf'(?ms)(^\[{table}\].*?^){key} = "[^"]*"', rf'\g<1>{key} = "{value}"', text, count=1)
    assert count == 1, key
    settings.path.write_text(changed)


def spread(settings: Settings, var: Path) -> Settings:
    """Move all but the settings away from them, as on a host with /etc/letterlock and /var/lib/letterlock."""
    base = settings.path.parent
    var.mkdir()
    for name in ("keys", "secrets", "public", "state", "tls"):
        (base / name).rename(var / name)
    for table, key, value in (
        ("paths", "state", "state"),
        ("paths", "run", "run"),
        ("keys", "directory", "keys"),
        ("keys", "pin_file", "secrets/token.pin"),
        ("keys", "public_file", "public/spool.json"),
        ("tls", "certificate", "tls/fullchain.pem"),
        ("tls", "key", "tls/privkey.pem"),
    ):
        set_key(settings, table, key, str(var / value))
    set_key(settings, "database", "url", f"sqlite:///{var}/state/letterlock.db")
    return load_settings(settings.path)


def open_token(settings: Settings) -> SoftwareToken:
    keys = settings.keys
    return SoftwareToken.load(keys.directory, read_pin_file(keys.pin_file), SystemClock(), keys.public_file)


def write_name(settings: Settings, name: str) -> None:
    with closing(sqlite3.connect(settings.database_url.removeprefix("sqlite:///"))) as connection, connection:
        connection.execute("UPDATE tenant SET name = ?", (name,))


def read_name(settings: Settings) -> str:
    with closing(sqlite3.connect(settings.database_url.removeprefix("sqlite:///"))) as connection:
        return str(connection.execute("SELECT name FROM tenant").fetchone()[0])


def snapshot(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Which file each name is, with its mode and octets."""
    found: dict[str, tuple[int, int, bytes]] = {}
    for path in sorted(folder.rglob("*")):
        status = path.stat()
        found[str(path)] = (status.st_ino, status.st_mode, path.read_bytes() if path.is_file() else b"")
    return found


def test_restore_beside_a_living_installation_touches_nothing_of_it(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = spread(install(made, tmp_path / "etc"), tmp_path / "var")
    (tmp_path / "etc/secrets").mkdir()
    (tmp_path / "etc/secrets/hop").write_text("hop-password")
    (tmp_path / "etc/tls").mkdir()
    (tmp_path / "etc/tls/hop-ca.pem").write_text("certificates")
    with open_token(settings) as token:
        blob = token.seal(b"context", b"pair password")
    write_name(settings, "before")
    config = ["--config", str(settings.path)]
    assert main([*config, "backup", str(tmp_path / "a.bak")]) == 0
    assert (tmp_path / "a.bak").stat().st_mode & 0o777 == 0o600
    write_name(settings, "lives on")
    capsys.readouterr()

    live = snapshot(tmp_path / "etc") | snapshot(tmp_path / "var")
    assert main(["restore", str(tmp_path / "a.bak"), str(tmp_path / "new")]) == 0
    assert snapshot(tmp_path / "etc") | snapshot(tmp_path / "var") == live
    shown = capsys.readouterr().out
    for key in ("paths.state", "keys.directory", "keys.pin_file", "keys.public_file", "database.url", "tls.key"):
        assert f"{key} is relative to the new folder now (it was " in shown
    assert f"it was {tmp_path}/var/keys)" in shown

    # The living one is gone: the restored one is whole by itself.
    shutil.rmtree(tmp_path / "etc")
    shutil.rmtree(tmp_path / "var")
    restored = load_settings(tmp_path / "new/letterlock.toml")
    assert read_name(restored) == "before"
    with open_token(restored) as token:
        assert token.open(b"context", blob, GRANT) == b"pair password"
        assert len(token.epochs()) == 1
    assert (tmp_path / "new/secrets/hop").read_text() == "hop-password"
    assert (tmp_path / "new/tls/hop-ca.pem").read_text() == "certificates"
    assert main(["--config", str(tmp_path / "new"), "config", "check"]) == 0
    assert main(["--config", str(tmp_path / "new"), "audit", "verify"]) == 0
    # And can be saved and restored again.
    assert main(["--config", str(tmp_path / "new"), "backup", str(tmp_path / "b.bak")]) == 0
    assert main(["restore", str(tmp_path / "b.bak"), str(tmp_path / "newer")]) == 0
    assert "relative to the new folder" not in capsys.readouterr().out
    assert read_name(load_settings(tmp_path / "newer/letterlock.toml")) == "before"


def test_restored_files_are_as_private_as_they_were(made: Path, tmp_path: Path) -> None:
    settings = install(made, tmp_path / "old")
    assert main(["--config", str(settings.path), "backup", str(tmp_path / "a.bak")]) == 0
    assert main(["restore", str(tmp_path / "a.bak"), str(tmp_path / "new")]) == 0
    names = [path.relative_to(tmp_path / "new") for path in (tmp_path / "new").rglob("*") if path.is_file()]
    for name in names:
        mode = stat.S_IMODE((tmp_path / "new" / name).stat().st_mode)
        if (tmp_path / "old" / name).exists():
            assert mode == stat.S_IMODE((tmp_path / "old" / name).stat().st_mode), name
        assert mode & 0o022 == 0 or name.name == "letterlock.db", name
        assert mode & 0o007 == 0 or name.suffix in (".json", ".pem", ".nobackup"), name
    assert Path("state/letterlock.db") in names
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "new/secrets").stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["keys/token.json", "secrets/token.pin", "public/spool.json", "state/letterlock.db"])
def test_a_back_up_without_what_belongs_into_it_is_none(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    settings = spread(install(made, tmp_path / "etc"), tmp_path / "var")
    (tmp_path / "var" / name).unlink()
    capsys.readouterr()
    assert main(["--config", str(settings.path), "backup", str(tmp_path / "a.bak")]) == 66
    shown = capsys.readouterr()
    assert str(tmp_path / "var" / name) in shown.err
    assert "Written" not in shown.out
    assert not (tmp_path / "a.bak").exists()
    assert not (tmp_path / "var" / name).exists()


def test_a_database_that_cannot_be_copied_leaves_no_file(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = install(made, tmp_path / "old")
    (tmp_path / "old/state/letterlock.db").write_bytes(b"no database at all" * 300)
    assert main(["--config", str(settings.path), "backup", str(tmp_path / "a.bak")]) == 73
    assert "nothing was written" in capsys.readouterr().err
    assert not (tmp_path / "a.bak").exists()


def change(source: Path, target: Path, edit: Callable[[str, bytes], tuple[str, bytes]]) -> None:
    """Copy a back-up, member by member, as somebody else might have made it."""
    with tarfile.open(source) as archive, tarfile.open(target, "w") as out:
        for member in archive.getmembers():
            opened = archive.extractfile(member)
            assert opened is not None
            member.name, octets = edit(member.name, opened.read())
            member.size = len(octets)
            out.addfile(member, io.BytesIO(octets))


@pytest.fixture(scope="module")
def backup(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("backup")
    assert main(["--config", str(made), "backup", str(folder / "a.bak")]) == 0
    return folder / "a.bak"


@pytest.mark.parametrize(
    ("key", "old", "new"),
    [
        ("database.url", 'url = "sqlite:///state/letterlock.db"', 'url = "sqlite:///{live}/live.db"'),
        ("keys.directory", 'directory = "keys"', 'directory = "{live}"'),
        ("keys.pin_file", 'pin_file = "secrets/token.pin"', 'pin_file = "{live}/pin"'),
        ("keys.public_file", 'public_file = "public/spool.json"', 'public_file = "../live/spool.json"'),
        ("paths.state", 'state = "state"', 'state = "../live"'),
        ("paths.run", 'run = "run"', 'run = "{live}"'),
    ],
)
def test_settings_that_lead_outside_are_refused(
    backup: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str, old: str, new: str
) -> None:
    live = tmp_path / "live"
    live.mkdir()
    (live / "live.db").write_bytes(b"lives")
    before = snapshot(live)

    def edit(name: str, octets: bytes) -> tuple[str, bytes]:
        if name.endswith("letterlock.toml"):
            assert old.encode() in octets
            octets = octets.replace(old.encode(), new.format(live=live).encode())
        return name.replace("backup-2", "backup-1"), octets

    change(backup, tmp_path / "b.bak", edit)
    assert main(["restore", str(tmp_path / "b.bak"), str(tmp_path / "new")]) == 73
    assert key in capsys.readouterr().err
    assert snapshot(live) == before
    assert not any((tmp_path / "new").iterdir())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("files/keys/token.json", "files/../../token.json"),
        ("files/keys/token.json", "/tmp/token.json"),
        ("files/keys/token.json", "keys/token.json"),
        ("database.sqlite", "files/state/letterlock.db"),
        ("files/letterlock.toml", "files/other.toml"),
        ("letterlock-backup-2", "letterlock-backup-3"),
    ],
)
def test_a_foreign_file_restores_nothing(
    backup: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str
) -> None:
    change(backup, tmp_path / "b.bak", lambda name, octets: (new if name == old else name, octets))
    assert main(["restore", str(tmp_path / "b.bak"), str(tmp_path / "new")]) == 65
    assert capsys.readouterr().err.count("\n") == 1
    assert not any((tmp_path / "new").iterdir()) if (tmp_path / "new").exists() else True
    assert not (tmp_path / "token.json").exists()


def test_a_restore_that_fails_can_be_done_again(
    backup: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    octets = backup.read_bytes()
    (tmp_path / "torn").write_bytes(octets[: len(octets) // 2])
    assert main(["restore", str(tmp_path / "torn"), str(tmp_path / "new")]) == 65
    assert main(["restore", str(tmp_path / "missing"), str(tmp_path / "new")]) == 66
    assert main(["restore", str(backup), str(tmp_path / "new"), "--epochs", str(tmp_path / "none")]) == 66
    capsys.readouterr()
    assert main(["restore", str(backup), str(tmp_path / "torn")]) == 73
    assert "Not a directory. Name a folder that is not there yet" in capsys.readouterr().err
    assert main(["restore", str(backup), str(tmp_path / "torn" / "new")]) == 73
    assert main(["restore", str(backup), str(tmp_path / "new")]) == 0
    assert main(["restore", str(backup), str(tmp_path / "new")]) == 73


def test_with_postgresql_the_restored_settings_are_told_to_be_looked_at(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = install(made, tmp_path / "old")
    (tmp_path / "password").write_text("database-password")
    # Nobody listens there: whoever tried to reach the database would fail.
    set_key(settings, "database", "url", "postgresql://letterlock@127.0.0.1:1/letterlock")
    text = settings.path.read_text().replace('# password_file = "secrets/database.password"', "password_file = '@'")
    settings.path.write_text(text.replace("@'", f"{tmp_path}/password'"))
    assert main(["--config", str(settings.path), "backup", str(tmp_path / "a.bak")]) == 0
    assert "pg_dump" in capsys.readouterr().out
    assert main(["restore", str(tmp_path / "a.bak"), str(tmp_path / "new")]) == 0
    assert "PostgreSQL and was not touched" in capsys.readouterr().out
    (tmp_path / "password").unlink()
    restored = load_settings(tmp_path / "new/letterlock.toml")
    assert restored.database_url == "postgresql://letterlock:database-password@127.0.0.1:1/letterlock"


@pytest.mark.parametrize(
    "write",
    [
        lambda text, keys: text.replace('directory = "keys"', f'"directory"="{keys}"   # moved'),
        lambda text, keys: text.replace('directory = "keys"', f"directory = '{keys}'"),
        lambda text, keys: text.replace('directory = "keys"', f'directory = """\n{keys}"""'),
        lambda text, keys: re.sub(r"(?ms)^\[keys\].*?(?=^\[)", f"[keys]\ndirectory = '{keys}'\n", text),
        lambda text, keys: f"keys = {{directory = '{keys}'}}\n" + re.sub(r"(?ms)^\[keys\].*?(?=^\[)", "", text),
        lambda text, keys: f"keys.directory = '{keys}'\n" + re.sub(r"(?ms)^\[keys\].*?(?=^\[)", "", text),
        lambda text, keys: text.replace("[tls]\n", "[keys.users]\nworker = 'root'\n\n[tls]\n").replace(
            'directory = "keys"', f"directory = '{keys}'"
        ),
    ],
)
def test_settings_written_in_any_way_are_named_anew(
    backup: Path, tmp_path: Path, write: Callable[[str, Path], str]
) -> None:
    with tarfile.open(backup) as archive:
        opened = archive.extractfile("files/letterlock.toml")
        assert opened is not None
        text = opened.read().decode()
    (tmp_path / "tls").mkdir()
    for name in ("fullchain.pem", "privkey.pem"):
        (tmp_path / "tls" / name).touch()
    path = tmp_path / "letterlock.toml"
    # A folder that is a link, which the settings' own names lead through.
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "state").symlink_to("elsewhere")
    text = write(text, Path("/srv/keys"))
    path.write_text(text)
    settings = load_settings(path)
    places = find_places(settings, text)
    rewritten = tomllib.loads(rewrite_settings(text, places.values()))
    assert rewritten["keys"].pop("directory") == "outside/keys"
    assert rewritten["paths"].pop("state") == "elsewhere"
    assert rewritten["database"].pop("url") == "sqlite:///elsewhere/letterlock.db"
    original = tomllib.loads(text)
    for table, key in (("keys", "directory"), ("paths", "state"), ("database", "url")):
        del original[table][key]
    assert rewritten == original
    assert [key for key, place in places.items() if place.is_moved] == [
        "paths.state", "keys.directory", "database.url",
    ]  # fmt: skip
