"""The portal's settings file: what it says, and errors that name the key and the fix."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from portal.cli import main
from portal.context import open_portal, read_pepper
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


def test_the_mailbox_behind_a_reply_page_is_a_setting(folder: Path) -> None:
    assert load_settings(folder / FILE_NAME).mailbox_from_reply
    assert not load_settings(change(folder, 'from_reply = "on"', 'from_reply = "off"')).mailbox_from_reply
    with pytest.raises(ConfigurationError, match="mailbox_from_reply"):
        load_settings(change(folder, 'from_reply = "off"', 'from_reply = "maybe"'))


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


class TestTwoParties:
    OWNER = "postgresql://portal@192.0.2.40/portal"
    KEYS = "?options=-csearch_path%3Drow_keys"
    WEB = "postgresql://portal_web@192.0.2.40/portal"

    def write(self, folder: Path, *lines: str) -> Path:
        change(folder, 'url = "sqlite:///state/portal.db"', f'url = "{self.OWNER}"')
        change(folder, 'keys_url = "sqlite:///state-keys/row-keys.db"', f'keys_url = "{self.OWNER}{self.KEYS}"')
        return change(folder, "[web]\n", "\n".join((*lines, "[web]\n")))

    def test_each_reads_its_own_address_and_its_own_password(self, folder: Path) -> None:
        names = ("password_file", "keys_password_file", "web_password_file", "web_keys_password_file")
        lines = [f'{name} = "secrets/{name}"' for name in names]
        urls = [f'web_url = "{self.WEB}"', f'web_keys_url = "{self.WEB}{self.KEYS}"']
        path = self.write(folder, *urls, *lines)
        for name in names[:2]:
            (folder / "secrets" / name).write_text("of-link\n")
        found = load_settings(path).database
        assert found.url == "postgresql://portal:of-link@192.0.2.40/portal"
        assert (found.makes_schema, found.web_roles) == (True, ("portal_web", "portal_web"))
        with pytest.raises(ConfigurationError, match=r"database\.web_password_file"):
            load_settings(path, "web")
        for name in names[2:]:
            (folder / "secrets" / name).write_text("of-web\n")
            (folder / "secrets" / name.removeprefix("web_")).unlink()
        found = load_settings(path, "web").database
        assert found.keys_url == f"postgresql://portal_web:of-web@192.0.2.40/portal{self.KEYS}"
        assert not found.makes_schema

    def test_without_roles_both_come_by_the_same_address(self, folder: Path) -> None:
        web = load_settings(folder / FILE_NAME, "web")
        assert replace(web, party="owner") == load_settings(folder / FILE_NAME)
        assert main(["--config", str(folder), "grants"]) == 78

    @pytest.mark.parametrize(
        "lines",
        [
            ['web_url = "postgresql://portal_web@192.0.2.40/portal"'],
            ['web_url = "sqlite:///state/web.db"', 'web_keys_url = "sqlite:///state/keys.db"'],
            ['web_url = "postgresql://portal@192.0.2.40/p"', 'web_keys_url = "postgresql://portal@192.0.2.40/p"'],
        ],
    )
    def test_half_of_it_or_the_same_role_is_refused(self, folder: Path, lines: list[str]) -> None:
        with pytest.raises(ConfigurationError, match="role of its own"):
            load_settings(self.write(folder, *lines))

    def test_grants_are_shown_as_a_script(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.write(folder, f'web_url = "{self.WEB}"', f'web_keys_url = "{self.WEB}{self.KEYS}"')
        assert main(["--config", str(folder), "grants"]) == 0
        shown = capsys.readouterr().out
        assert 'GRANT INSERT ON "public"."outbox" TO "portal_web";' in shown
        assert 'GRANT SELECT ON "row_keys"."row_key" TO "portal_web";' in shown
        assert (shown.count("BEGIN;"), shown.count("COMMIT;")) == (2, 2)

    def test_init_opens_to_the_group_what_web_needs_and_not_the_links_key(self, tmp_path: Path) -> None:
        create_portal(tmp_path / "p", replace(CHOICES, has_web_user=True))
        modes = {
            name: (tmp_path / "p" / name).stat().st_mode & 0o7777
            for name in ("", FILE_NAME, "secrets/pepper", "state", "state-keys", "link/portal.key")
        }
        assert list(modes.values()) == [0o750, 0o640, 0o640, 0o2770, 0o2770, 0o600]
        settings = load_settings(tmp_path / "p" / FILE_NAME)
        before = os.umask(0o077)
        try:
            open_portal(settings).close()
        finally:
            os.umask(before)
        made = [path for name in ("state", "state-keys") for path in (tmp_path / "p" / name).iterdir()]
        assert {path.stat().st_mode & 0o777 for path in made} == {0o660}


class TestPepper:
    def test_one_that_others_may_read_is_refused(self, folder: Path) -> None:
        pepper = folder / "secrets" / "pepper"
        for mode in (0o644, 0o660):
            pepper.chmod(mode)
            with pytest.raises(ConfigurationError, match="0600"):
                read_pepper(pepper)
        # web and link may be two users of one group.
        pepper.chmod(0o640)
        assert len(read_pepper(pepper)) == 32

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
