"""The portal's settings file: what it says, and errors that name the key and the fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from portal.cli import main
from portal.context import read_pepper
from portal.installation import Choices, create_portal
from portal.settings import FILE_NAME, find_settings_file, load_settings
from relay.core.errors import ConfigurationError

CHOICES = Choices("https://portal.bank.example", "Example Bank", "+49 241 123 456")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    create_portal(tmp_path / "portal", CHOICES)
    return tmp_path / "portal"


def change(folder: Path, old: str, new: str) -> Path:
    path = folder / FILE_NAME
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")
    return path


def test_init_makes_a_portal_that_reads(folder: Path) -> None:
    settings = load_settings(folder / FILE_NAME)
    assert len(settings.portal_id) == 22
    assert settings.url == "https://portal.bank.example"
    assert settings.is_secure
    assert settings.decrypt == "browser"
    assert settings.link.certificate == folder / "link" / "portal.pem"
    assert (settings.web.port, settings.link.port) == (8080, 8443)
    assert settings.database.url != settings.database.keys_url
    assert len(read_pepper(settings.pepper_file)) == 32
    assert settings.pepper_file.stat().st_mode & 0o777 == 0o600
    assert (folder / "link" / "portal.key").stat().st_mode & 0o777 == 0o600
    assert dict(settings.brands[0]) == {
        "name": "Example Bank",
        "host": "portal.bank.example",
        "phone": "+49 241 123 456",
    }


def test_init_overwrites_nothing(folder: Path) -> None:
    before = (folder / "secrets" / "pepper").read_bytes()
    with pytest.raises(ConfigurationError, match="is there already"):
        create_portal(folder, CHOICES)
    assert (folder / "secrets" / "pepper").read_bytes() == before


@pytest.mark.parametrize(
    ("old", "new", "key", "fix"),
    [
        ('decrypt = "browser"', 'decrypt = "always"', "portal.decrypt", "browser-or-server"),
        ('decrypt = "browser"', 'colour = "red"', "portal.colour", "spelling"),
        ('url = "https://portal.bank.example"', 'url = "http://portal.bank.example"', "portal.url", "https"),
        ('forwarded_for = "none"', 'forwarded_for = "all"', "web.forwarded_for", "last"),
        ('listen = "127.0.0.1:8080"', 'listen = "8080"', "web.listen", "127.0.0.1:8080"),
        ('listen = "127.0.0.1:8080"', "processes = 0", "web.processes", "1 to 64"),
        ('listen = "127.0.0.1:8080"', 'certificate = "link/portal.pem"', "web", "both"),
        ('certificate = "link/portal.pem"', "", "link", "both"),
        ("message_mib = 50", "message_mib = 5000", "limits.message_mib", "1 to 2048"),
        ("message_mib = 50", 'message_mib = "50"', "limits.message_mib", "whole number"),
        ('level = "info"', 'level = "loud"', "log.level", "debug"),
        ('keys_url = "sqlite:///state-keys/row-keys.db"', 'keys_url = "sqlite:///state/portal.db"', "keys_url", "own"),
        ('"sqlite:///state/portal.db"', '"mysql://x"', "database.url", "postgresql"),
        ("[log]", "[colours]\n[log]", "colours", "spelling"),
        ("[log]", "[log", "portal.toml", "Correct"),
    ],
)
def test_an_error_names_the_key_and_the_fix(folder: Path, old: str, new: str, key: str, fix: str) -> None:
    path = change(folder, old, new)
    with pytest.raises(ConfigurationError) as caught:
        load_settings(path)
    assert key in str(caught.value)
    assert fix in str(caught.value)


def test_the_file_is_found_by_option_environment_or_not_at_all(folder: Path) -> None:
    path = folder / FILE_NAME
    assert find_settings_file(str(folder), {}) == path
    assert find_settings_file(None, {"LETTERLOCK_PORTAL_CONFIG": str(path)}) == path
    with pytest.raises(ConfigurationError, match="init"):
        find_settings_file(str(folder / "nowhere"), {})


class TestPepper:
    def test_one_that_others_may_read_is_refused(self, folder: Path) -> None:
        pepper = folder / "secrets" / "pepper"
        pepper.chmod(0o640)
        with pytest.raises(ConfigurationError, match="0600"):
            read_pepper(pepper)

    def test_a_short_or_missing_one_is_refused(self, folder: Path) -> None:
        pepper = folder / "secrets" / "pepper"
        pepper.write_bytes(b"short")
        with pytest.raises(ConfigurationError, match="32 octets"):
            read_pepper(pepper)
        pepper.unlink()
        with pytest.raises(ConfigurationError, match="another node"):
            read_pepper(pepper)


class TestCommands:
    def test_init_pair_and_check(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        folder = tmp_path / "new"
        options = ["--url", "https://portal.bank.example", "--name", "Example Bank", "--phone", "+49 241 123 456"]
        assert main(["init", str(folder), *options]) == 0
        shown = capsys.readouterr().out
        assert load_settings(folder / FILE_NAME).portal_id in shown
        assert main(["--config", str(folder), "config", "check"]) == 78
        assert "letterlock-portal pair" in capsys.readouterr().err
        other = create_portal(tmp_path / "other", CHOICES).parent / "link" / "portal.pem"
        assert main(["--config", str(folder), "pair", str(other)]) == 0
        assert main(["--config", str(folder), "config", "check"]) == 0
        assert main(["--config", str(folder), "show"]) == 0
        assert capsys.readouterr().out.count(":") > 60

    def test_what_is_no_certificate_is_not_pinned(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["--config", str(folder), "pair", str(folder / "link" / "portal.key")]) == 78
        assert "holds no certificate" in capsys.readouterr().err
        assert not (folder / "link" / "relay.pem").exists()

    def test_backup_and_sweep(self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        from portal.context import open_portal

        open_portal(load_settings(folder / FILE_NAME)).close()
        assert main(["--config", str(folder), "backup", str(tmp_path / "backup")]) == 0
        assert len(capsys.readouterr().out.splitlines()) == 3

    def test_a_wrong_command_is_64(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["dance"]) == 64
        assert main([]) == 64
        assert main(["--help"]) == 0
        capsys.readouterr()
