"""Settings errors name the key and the fix."""

from __future__ import annotations

import pwd
from pathlib import Path

import pytest

from relay.core.errors import ConfigurationError
from relay.keystore.grants import Role
from relay.settings import find_settings_file, load_settings
from relay.wiring.keyd import make_keyd_config

GOOD = """
[host]
hostname = "gateway.bank.example"
[database]
url = "sqlite:///state/letterlock.db"
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "letterlock.toml"
    path.write_text(text)
    return path


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, GOOD))
    assert settings.state_dir == tmp_path / "state"
    assert settings.database_url == f"sqlite:///{tmp_path}/state/letterlock.db"
    assert settings.tls is None


PORTAL = "[portal]\nurl = 'https://x'\nid = 'ENJHhdjed6rBfPOxg9HE-w'\n"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[host]\n[database]\nurl='sqlite:///x'", "host.hostname"),
        (GOOD.replace("gateway.bank.example", "a b"), "host.hostname"),
        (GOOD.replace("sqlite:", "mysql:"), "database.url"),
        (GOOD + "[worker]\nprocesses = 0", "worker.processes"),
        (GOOD + "[worker]\nprocesses = 'two'", "worker.processes"),
        (GOOD + "[worker]\nprocess = 2", "worker.process"),
        (GOOD + "[tls]\ncertificate = 'x.pem'", "tls"),
        (GOOD + "[log]\nlevel = 'loud'", "log.level"),
        (GOOD + "[portal]\nurl = 'http://x'", "portal.url"),
        (GOOD + "[portal]\nlink = 'https://dmz.example:8443'", "portal.url"),
        (GOOD + "[portal]\nurl = 'https://x'\nid = 'short'", "portal.id"),
        (GOOD + "[portal]\nurl = 'https://x'\nlink = 'https://dmz.example:8443'", "portal.id"),
        (GOOD + PORTAL + "link = 'https://dmz.example'", "portal.link"),
        (GOOD + PORTAL + "link = 'https://dmz.example:8443'", "portal.link_certificate"),
        (GOOD + PORTAL + "scanner = 'localhost'", "portal.scanner"),
        (GOOD + PORTAL + "decrypt = 'always'", "portal.decrypt"),
        (GOOD + "colour = 1\n", "database.colour"),
        ("host = 1", "host"),
    ],
)
def test_a_wrong_key_is_named_with_a_fix(tmp_path: Path, text: str, key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(write(tmp_path, text))
    assert caught.value.key == key
    assert caught.value.fix


def test_broken_toml_says_which_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="line 2"):
        load_settings(write(tmp_path, "[host]\nx = \n"))


def test_the_database_password_comes_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("p@ss/word\n")
    text = GOOD.replace("sqlite:///state/letterlock.db", "postgresql://ll@db.example:5432/ll")
    settings = load_settings(write(tmp_path, text.replace("[database]", "[database]\npassword_file = 'pw'")))
    assert settings.database_url == "postgresql://ll:p%40ss%2Fword@db.example:5432/ll"


def test_the_file_is_found_by_option_then_environment(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    assert find_settings_file(str(path), {}) == path
    assert find_settings_file(str(tmp_path), {}) == path
    assert find_settings_file(None, {"LETTERLOCK_CONFIG": str(path)}) == path
    with pytest.raises(ConfigurationError, match="does not exist"):
        find_settings_file(str(tmp_path / "none.toml"), {})
    with pytest.raises(ConfigurationError, match="letterlock init"):
        find_settings_file(None, {})


def test_the_link_to_the_portal_is_read_with_its_files(tmp_path: Path) -> None:
    for name in ("inside.pem", "inside.key", "portal.pem"):
        (tmp_path / name).write_text("", "utf-8")
    file = tmp_path / "letterlock.toml"
    link = "link = 'https://dmz.example:8443/'\nlink_certificate = 'inside.pem'\nlink_key = 'inside.key'\n"
    file.write_text(GOOD + PORTAL + link + "link_peer = 'portal.pem'\nscanner = 'tcp:127.0.0.1:3310'\n", "utf-8")
    portal = load_settings(file).portal
    assert portal is not None
    assert portal.link is not None
    assert portal.link.url == "https://dmz.example:8443"
    assert portal.link.peer_certificate == tmp_path / "portal.pem"
    assert portal.scanner == "tcp:127.0.0.1:3310"


def test_each_role_of_keyd_may_have_a_user_of_its_own(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, GOOD + "[keys.users]\nworker = 'nobody'\n"))
    config = make_keyd_config(settings)
    account = pwd.getpwnam("nobody")
    assert config.users == {Role.WORKER: frozenset({account.pw_uid})}
    assert config.socket_groups == {Role.WORKER: account.pw_gid}
    assert config.directory_mode == 0o711
    unknown = load_settings(write(tmp_path, GOOD + "[keys.users]\ndeliver = 'no-such-user'\n"))
    with pytest.raises(ConfigurationError, match="no user 'no-such-user'"):
        make_keyd_config(unknown)
    with pytest.raises(ConfigurationError, match="smtpd"):
        load_settings(write(tmp_path, GOOD + "[keys.users]\nsmtpd = 'nobody'\n"))
