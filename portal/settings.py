"""The DMZ host's settings: one TOML file, letterlock-portal.toml, plus secret files, checked at start.

An error names the key and says what to do. Nothing of the inside stands here: no mail server, no domain, no address of
a person. sealed-mailbox 2 (pepper, row keys apart), 13 (decrypt), 15 (link listener), 17 (limits).
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from relay.core.errors import ConfigurationError
from relay.core.ids import is_id
from relay.core.toml_table import TomlTable

ENVIRONMENT_VARIABLE = "LETTERLOCK_PORTAL_CONFIG"
FILE_NAME = "letterlock-portal.toml"
DEFAULT_PATH = Path("/etc/letterlock") / FILE_NAME
MIB = 1024 * 1024
_PROGRAM = "letterlock-portal"
Party = Literal["owner", "web"]
"""Who reads the settings: the web process, or everything else on the host (link, sweep, commands)."""
Decrypt = Literal["browser", "browser-or-server", "server"]
DECRYPT: tuple[Decrypt, ...] = get_args(Decrypt)
"""Where mail is opened: in the reader's browser, or by this host as well. As shipped the first (sealed-mailbox 13)."""
_LISTEN = re.compile(r"(?P<host>\[[0-9a-fA-F:]+\]|[^\s:]+):(?P<port>\d{1,5})")
_PUBLIC_URL = re.compile(r"https://[^\s/?#]+|http://(?:127\.0\.0\.1|localhost|\[::1\])(?::\d{1,5})?")


@dataclass(frozen=True, slots=True)
class ListenSettings:
    """One listener: where, how many processes and threads, and its certificate (None: plain HTTP behind a proxy)."""

    host: str
    port: int
    processes: int
    threads: int
    certificate: Path | None
    key: Path | None

    @property
    def address(self) -> str:
        """Return `host:port` as servers take it."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """Octets and days. sealed-mailbox 17."""

    message: int
    box: int
    sent_days: int


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """Two databases: everything, and the row keys, whose back-ups are kept at most 7 days."""

    url: str
    keys_url: str
    makes_schema: bool = True
    """False for the web process under a role of its own, which owns nothing."""
    web_roles: tuple[str, str] | None = None
    """PostgreSQL: the web process's own roles in the two databases, where it has them."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of one portal host. Paths are absolute."""

    path: Path
    portal_id: str
    url: str
    """Base of the public address, without a slash at its end."""
    decrypt: Decrypt
    state_dir: Path
    pepper_file: Path
    old_pepper_file: Path | None
    """The pepper before it was changed, until `letterlock-portal reseal` is through."""
    database: DatabaseSettings
    """As the party that reads the settings reaches it."""
    web: ListenSettings
    is_behind_proxy: bool
    """The last address in X-Forwarded-For is the reader's."""
    link: ListenSettings
    relay_certificates: Path
    """PEM file with the relay's link certificate, two of them during a change. Pinned octet by octet."""
    limits: LimitSettings
    brands: tuple[Mapping[str, Any], ...]
    """The `[[brand]]` tables, which portal.pages reads and checks."""
    mailbox_from_reply: bool
    """Whether a reply page's "My reader cannot open this" leads to the mailbox."""
    log_level: str
    clock_offset_file: Path | None
    party: Party

    @property
    def is_loopback(self) -> bool:
        """Tell whether the public address is this host's own: a browser must not remember anything about it."""
        return urlsplit(self.url).hostname in ("localhost", "127.0.0.1", "::1")

    @property
    def is_secure(self) -> bool:
        """Tell whether readers come by https; only a test on the loopback does not."""
        return self.url.startswith("https:")


def find_settings_file(option: str | None, environment: Mapping[str, str] | None = None) -> Path:
    """Return the file to read: --config, else $LETTERLOCK_PORTAL_CONFIG, else /etc/letterlock."""
    environment = os.environ if environment is None else environment
    for source, value in (("--config", option), (ENVIRONMENT_VARIABLE, environment.get(ENVIRONMENT_VARIABLE))):
        if value:
            path = Path(value)
            if path.is_dir():
                path = path / FILE_NAME
            if not path.is_file():
                raise ConfigurationError(source, f"{path} does not exist", "Run `letterlock-portal init DIR`")
            return path.resolve()
    if DEFAULT_PATH.is_file():
        return DEFAULT_PATH
    raise ConfigurationError(
        "--config",
        f"no settings file found (also looked at ${ENVIRONMENT_VARIABLE} and {DEFAULT_PATH})",
        "Run `letterlock-portal init DIR`, then `letterlock-portal --config DIR serve`",
    )


def _absolute(base: Path, text: str) -> Path:
    return (base / text).resolve()


def _existing(key: str, path: Path, fix: str) -> Path:
    if not path.exists():
        raise ConfigurationError(key, f"{path} does not exist", fix)
    return path


def _read_portal(table: TomlTable) -> tuple[str, str, Decrypt]:
    portal_id, url = table.required_text("id"), table.required_text("url").rstrip("/")
    if not is_id(portal_id):
        raise ConfigurationError("portal.id", "is not an id of 22 characters", "Run `letterlock-portal init` for one")
    if not _PUBLIC_URL.fullmatch(url):
        raise ConfigurationError("portal.url", "is not an https address", 'Write "https://portal.bank.example"')
    decrypt = table.text("decrypt", "browser")
    if decrypt not in DECRYPT:
        raise ConfigurationError(
            "portal.decrypt",
            f"is {decrypt!r}",
            'Write "browser", "browser-or-server" or "server"; inside the same (sealed-mailbox 13)',
        )
    table.finish()
    return portal_id, url, decrypt


def _read_listen(base: Path, name: str, table: TomlTable, default: str, processes: int) -> ListenSettings:
    found = _LISTEN.fullmatch(table.text("listen", default))
    if found is None or int(found["port"]) > 65535:
        raise ConfigurationError(f"{name}.listen", "is not HOST:PORT", f'Write "{default}"')
    files: list[Path | None] = []
    for key in ("certificate", "key"):
        text = table.text(key, "")
        files.append(_existing(f"{name}.{key}", _absolute(base, text), "Name a PEM file") if text else None)
    if (files[0] is None) != (files[1] is None):
        raise ConfigurationError(name, "needs both certificate and key", "Name both PEM files, or neither")
    return ListenSettings(
        found["host"],
        int(found["port"]),
        table.number("processes", processes, 1, 64),
        table.number("threads", 16, 2, 256),
        files[0],
        files[1],
    )


def _read_url(base: Path, key: str, url: str, password_file: str) -> str:
    if url.startswith("sqlite:///"):
        return "sqlite:///" + str(_absolute(base, url.removeprefix("sqlite:///")))
    if not url.startswith("postgresql://"):
        raise ConfigurationError(
            key, "is neither sqlite nor postgresql", 'Use "sqlite:///state/portal.db" or "postgresql://..."'
        )
    if not password_file:
        return url
    path = _existing(f"{key.rpartition('url')[0]}password_file", _absolute(base, password_file), "Create it, mode 0600")
    try:
        secret = quote(path.read_text("utf-8").strip(), safe="")
    except OSError as error:
        raise ConfigurationError(key, f"{path} cannot be read ({error.strerror})", "Give it to this user") from error
    parts = urlsplit(url)
    user, _, rest = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}:{secret}@{rest}"))


def _read_database(base: Path, table: TomlTable, party: Party) -> DatabaseSettings:
    url = table.text("url", "sqlite:///state/portal.db")
    default = "sqlite:///state-keys/row-keys.db" if url.startswith("sqlite:") else None
    keys_url = table.text("keys_url", default) if default else table.required_text("keys_url")
    files = {key: table.text(key, "") for key in ("password_file", "keys_password_file")}
    web_files = {key: table.text(f"web_{key}", "") for key in files}
    web_url, web_keys_url = table.text("web_url", ""), table.text("web_keys_url", "")
    table.finish()
    if url == keys_url:
        raise ConfigurationError(
            "database.keys_url",
            "is the same database as database.url",
            "Row keys need their own file, or their own schema: add ?options=-csearch_path%3Drow_keys",
        )
    roles = None
    if web_url or web_keys_url:
        roles = _find_role("web_url", web_url, url), _find_role("web_keys_url", web_keys_url, keys_url)
    # Only the own passwords: the other party's files are closed to this user.
    if roles is not None and party == "web":
        url, keys_url, prefix, files = web_url, web_keys_url, "database.web_", web_files
    else:
        prefix = "database."
    return DatabaseSettings(
        _read_url(base, f"{prefix}url", url, files["password_file"]),
        _read_url(base, f"{prefix}keys_url", keys_url, files["keys_password_file"]),
        makes_schema=roles is None or party == "owner",
        web_roles=roles,
    )


def _find_role(key: str, url: str, owner_url: str) -> str:
    role, owner = urlsplit(url).username, urlsplit(owner_url).username
    if not url.startswith("postgresql://") or not role or role == owner:
        raise ConfigurationError(
            f"database.{key}",
            "is not a PostgreSQL address with a role of its own",
            "Set web_url and web_keys_url, both with the web process's role, or neither",
        )
    return unquote(role)


def load_settings(path: Path, party: Party = "owner") -> Settings:
    """Read and check the settings file. Raises ConfigurationError that names the key and the fix."""
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(
            "--config", f"{path} cannot be read ({error.strerror})", "Check owner and mode"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(str(path), f"is not TOML: {error}", "Correct that line") from error
    base = path.parent
    top = TomlTable("", raw, _PROGRAM)
    portal_id, url, decrypt = _read_portal(top.table("portal"))
    paths = top.table("paths")
    state_dir = _absolute(base, paths.text("state", "state"))
    pepper = _absolute(base, paths.text("pepper", "secrets/pepper"))
    old_pepper = paths.text("old_pepper", "")
    paths.finish()
    web_table, link_table = top.table("web"), top.table("link")
    web = _read_listen(base, "web", web_table, "127.0.0.1:8080", 2)
    proxy = web_table.text("forwarded_for", "none")
    if proxy not in ("none", "last"):
        raise ConfigurationError("web.forwarded_for", f"is {proxy!r}", 'Write "last" behind a proxy, else "none"')
    web_table.finish()
    link = _read_listen(base, "link", link_table, "127.0.0.1:8443", 1)
    if link.certificate is None:
        raise ConfigurationError("link.certificate", "is missing", "Run `letterlock-portal init` for one")
    relay = _absolute(base, link_table.text("relay_certificates", "link/relay.pem"))
    link_table.finish()
    limits = top.table("limits")
    limit_settings = LimitSettings(
        limits.number("message_mib", 50, 1, 2048) * MIB,
        limits.number("box_mib", 1024, 10, 1024 * 1024) * MIB,
        limits.number("sent_days", 90, 1, 3650),
    )
    limits.finish()
    log = top.table("log")
    level = log.text("level", "info")
    if level not in ("debug", "info", "warning", "error"):
        raise ConfigurationError("log.level", f"is {level!r}", "Choose debug, info, warning or error")
    log.finish()
    test = top.table("test")
    offset = test.text("clock_offset_file", "")
    test.finish()
    database = _read_database(base, top.table("database"), party)
    pages = top.table("pages")
    from_reply = pages.text("mailbox_from_reply", "on")
    if from_reply not in ("on", "off"):
        raise ConfigurationError("pages.mailbox_from_reply", f"is {from_reply!r}", 'Write "on" or "off"')
    pages.finish()
    brands = top.tables("brand")
    top.finish()
    return Settings(
        path=path,
        portal_id=portal_id,
        url=url,
        decrypt=decrypt,
        state_dir=state_dir,
        pepper_file=pepper,
        old_pepper_file=_absolute(base, old_pepper) if old_pepper else None,
        database=database,
        web=web,
        is_behind_proxy=proxy == "last",
        link=link,
        relay_certificates=relay,
        limits=limit_settings,
        brands=brands,
        mailbox_from_reply=from_reply == "on",
        log_level=level,
        clock_offset_file=_absolute(base, offset) if offset else None,
        party=party,
    )
