"""Settings that differ per host: one TOML file plus secret files, validated at start.

Everything that belongs to the organisation (domains, routes, brands, keywords, policy, listeners) lives in the database
with version and author. An error here names the key and says what to do.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from relay.core.errors import ConfigurationError
from relay.core.toml_table import TomlTable

ENVIRONMENT_VARIABLE = "LETTERLOCK_CONFIG"
KEY_ROLES = ("worker", "deliver", "scheduler", "link", "operator")
"""Roles that keyd has a socket for; relay.keystore.grants says what each may do."""
DEFAULT_PATH = Path("/etc/letterlock/letterlock.toml")
_PROGRAM = "letterlock"
_HOSTNAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")


@dataclass(frozen=True, slots=True)
class HostSettings:
    """Who this node is."""

    node: str
    hostname: str
    tenant: str


@dataclass(frozen=True, slots=True)
class KeySettings:
    """Where keyd finds its token and the others find keyd."""

    directory: Path
    pin_file: Path
    public_file: Path
    users: tuple[tuple[str, str], ...]
    """OS user by role of keyd's sockets, where the processes run as different users; empty goes by file permissions."""


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """The gateway's own certificate for STARTTLS, PEM files; None offers no STARTTLS."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class HealthSettings:
    """Where `letterlock serve` answers GET /health; port 0 means nowhere."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class SmtpdSettings:
    """How many processes take mail in at the listeners. Each counts connections, rates and failed logins for itself."""

    processes: int


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """Size of the worker's pool and the limits of one job."""

    processes: int
    job_seconds: int
    memory_mib: int
    recycle_jobs: int


@dataclass(frozen=True, slots=True)
class DeliverSettings:
    """Size of deliver's thread pool."""

    connections: int


DECRYPT = ("browser", "browser-or-server", "server")
"""Where partners' mail may be opened; as shipped in their browsers alone."""


@dataclass(frozen=True, slots=True)
class PortalLinkSettings:
    """How the inside reaches the portal's link listener: mutual TLS, both certificates pinned."""

    url: str
    """`https://HOST:PORT`, without a path."""
    certificate: Path
    key: Path
    peer_certificate: Path
    """The portal's own certificate, which is compared octet by octet; no authority counts."""


@dataclass(frozen=True, slots=True)
class PortalSettings:
    """The portal that partners see."""

    url: str
    """Base of all links to partners, `https://portal.bank.example`."""
    portal_id: str
    """22 characters; empty as long as no portal is linked."""
    link: PortalLinkSettings | None
    """None until the portal stands: PDFs carry a Reply button that waits for it; nothing is sent by webmail."""
    scanner: str
    """Where clamd listens: `unix:/path` or `tcp:HOST:PORT`; empty scans nothing."""
    decrypt: str = "browser"
    """One of DECRYPT, as on the portal: `browser` refuses what the portal's own process sealed (sealed-mailbox 13)."""

    @property
    def has_server_mode(self) -> bool:
        """Tell whether the organisation opted in to a portal that opens mail itself."""
        return self.decrypt != DECRYPT[0]


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of one host. Paths are absolute."""

    path: Path
    host: HostSettings
    state_dir: Path
    run_dir: Path
    database_url: str
    keys: KeySettings
    tls: TlsSettings | None
    health: HealthSettings
    smtpd: SmtpdSettings
    worker: WorkerSettings
    deliver: DeliverSettings
    log_level: str
    clock_offset_file: Path | None
    portal: PortalSettings | None
    """None leaves Reply out of PDFs."""

    @property
    def portal_url(self) -> str | None:
        """Base of reply links, or None."""
        return self.portal.url if self.portal else None


def find_settings_file(option: str | None, environment: Mapping[str, str] | None = None) -> Path:
    """Return the file to read: --config, else $LETTERLOCK_CONFIG, else /etc/letterlock/letterlock.toml."""
    environment = os.environ if environment is None else environment
    for source, value in (("--config", option), (ENVIRONMENT_VARIABLE, environment.get(ENVIRONMENT_VARIABLE))):
        if value:
            path = Path(value)
            if path.is_dir():
                path = path / "letterlock.toml"
            if not path.is_file():
                raise ConfigurationError(source, f"{path} does not exist", "Run `letterlock init DIR` to make one")
            return path.resolve()
    if DEFAULT_PATH.is_file():
        return DEFAULT_PATH
    raise ConfigurationError(
        "--config",
        f"no settings file found (also looked at ${ENVIRONMENT_VARIABLE} and {DEFAULT_PATH})",
        "Run `letterlock init DIR`, then `letterlock --config DIR serve`",
    )


def _absolute(base: Path, text: str) -> Path:
    return (base / text).resolve()


def _existing(key: str, path: Path, fix: str) -> Path:
    if not path.exists():
        raise ConfigurationError(key, f"{path} does not exist", fix)
    return path


def _read_host(table: TomlTable) -> HostSettings:
    hostname = table.required_text("hostname").lower()
    if not _HOSTNAME.fullmatch(hostname):
        raise ConfigurationError("host.hostname", f"{hostname!r} is not a host name", "Use the name that others reach")
    node = table.text("node", "node1")
    if not re.fullmatch(r"[a-z0-9-]{1,32}", node):
        raise ConfigurationError("host.node", f"{node!r} is not usable", "Use 1 to 32 of a-z, 0-9 and -")
    tenant = table.text("tenant", "main")
    if not re.fullmatch(r"[a-z0-9-]{1,32}", tenant):
        raise ConfigurationError("host.tenant", f"{tenant!r} is not usable", "Use 1 to 32 of a-z, 0-9 and -")
    table.finish()
    return HostSettings(node, hostname, tenant)


def _read_database(base: Path, table: TomlTable) -> str:
    url = table.required_text("url")
    password_file = table.text("password_file")
    table.finish()
    if url.startswith("sqlite:///"):
        return "sqlite:///" + str(_absolute(base, url.removeprefix("sqlite:///")))
    if not url.startswith("postgresql://"):
        raise ConfigurationError(
            "database.url",
            "is neither sqlite nor postgresql",
            'Use "sqlite:///state/letterlock.db" or "postgresql://..."',
        )
    if password_file:
        path = _existing("database.password_file", _absolute(base, password_file), "Create it with mode 0600")
        from urllib.parse import quote, urlsplit, urlunsplit

        parts = urlsplit(url)
        user, _, rest = parts.netloc.rpartition("@")
        secret = quote(path.read_text("utf-8").strip(), safe="")
        url = urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}:{secret}@{rest}"))
    return url


def _read_tls(base: Path, table: TomlTable) -> TlsSettings | None:
    certificate, key = table.text("certificate"), table.text("key")
    table.finish()
    if not certificate and not key:
        return None
    if not (certificate and key):
        raise ConfigurationError("tls", "needs both certificate and key", "Name both PEM files, or neither")
    return TlsSettings(
        _existing("tls.certificate", _absolute(base, certificate), "Name a PEM file with the chain"),
        _existing("tls.key", _absolute(base, key), "Name a PEM file with the private key"),
    )


def _read_portal(base: Path, table: TomlTable) -> PortalSettings | None:
    url = table.optional_text("url")
    portal_id = table.text("id", "")
    link_url = table.optional_text("link")
    names = ("link_certificate", "link_key", "link_peer")
    files = {name: table.text(name) for name in names}
    scanner = table.text("scanner", "")
    decrypt = table.text("decrypt", DECRYPT[0])
    table.finish()
    if url is None:
        if link_url or portal_id:
            raise ConfigurationError("portal.url", "is missing", 'Write url = "https://portal.bank.example"')
        return None
    if not re.fullmatch(r"https://[^\s/?#]+", url.rstrip("/")):
        raise ConfigurationError("portal.url", "is not an https address", 'Write "https://portal.bank.example"')
    if portal_id and not re.fullmatch(r"[A-Za-z0-9_-]{22}", portal_id):
        raise ConfigurationError("portal.id", "is not a portal's id", "Copy the 22 characters that the portal shows")
    if scanner and not re.fullmatch(r"unix:/.+|tcp:[^\s:]+:\d{1,5}", scanner):
        raise ConfigurationError(
            "portal.scanner", "is no address of clamd", 'Write "unix:/run/clamav/clamd.ctl" or "tcp:127.0.0.1:3310"'
        )
    if decrypt not in DECRYPT:
        raise ConfigurationError(
            "portal.decrypt", f"is {decrypt!r}", 'Write "browser", "browser-or-server" or "server", as on the portal'
        )
    link = None
    if link_url is not None:
        if not re.fullmatch(r"https://[^\s/?#]+:\d{1,5}", link_url.rstrip("/")):
            raise ConfigurationError("portal.link", "is not an https address", 'Write "https://dmz-host:8443"')
        if not portal_id:
            raise ConfigurationError("portal.id", "is missing", "Copy the 22 characters that the portal shows")
        paths = {
            name: _existing(f"portal.{name}", _absolute(base, str(value or name)), "Name a PEM file")
            for name, value in files.items()
        }
        link = PortalLinkSettings(link_url.rstrip("/"), *(paths[name] for name in names))
    return PortalSettings(url.rstrip("/"), portal_id, link, scanner, decrypt)


def load_settings(path: Path) -> Settings:
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
    host = _read_host(top.table("host"))
    paths = top.table("paths")
    state_dir = _absolute(base, paths.text("state", "state"))
    run_dir = _absolute(base, paths.text("run", "run"))
    paths.finish()
    database_url = _read_database(base, top.table("database"))
    keys = top.table("keys")
    key_dir = _absolute(base, keys.text("directory", "keys"))
    pin_file = _absolute(base, keys.text("pin_file", "secrets/token.pin"))
    public_file = _absolute(base, keys.text("public_file", "public/spool.json"))
    users = keys.table("users")
    key_users = tuple((role, name) for role in KEY_ROLES if (name := users.text(role, "")))
    users.finish()
    keys.finish()
    health = top.table("health")
    health_settings = HealthSettings(health.text("host", "127.0.0.1"), health.number("port", 0, 0, 65535))
    health.finish()
    smtpd = top.table("smtpd")
    smtpd_settings = SmtpdSettings(smtpd.number("processes", max(1, min(2, os.cpu_count() or 1)), 1, 64))
    smtpd.finish()
    worker = top.table("worker")
    worker_settings = WorkerSettings(
        worker.number("processes", max(1, min(8, os.cpu_count() or 1)), 1, 256),
        worker.number("job_seconds", 120, 10, 3600),
        worker.number("memory_mib", 1536, 256, 65536),
        worker.number("recycle_jobs", 2000, 1, 1_000_000),
    )
    worker.finish()
    deliver = top.table("deliver")
    deliver_settings = DeliverSettings(deliver.number("connections", 8, 1, 256))
    deliver.finish()
    log = top.table("log")
    level = log.text("level", "info")
    if level not in ("debug", "info", "warning", "error"):
        raise ConfigurationError("log.level", f"is {level!r}", "Choose debug, info, warning or error")
    log.finish()
    test = top.table("test")
    offset = test.text("clock_offset_file")
    test.finish()
    tls = _read_tls(base, top.table("tls"))
    portal = _read_portal(base, top.table("portal"))
    top.finish()
    return Settings(
        path=path,
        host=host,
        state_dir=state_dir,
        run_dir=run_dir,
        database_url=database_url,
        keys=KeySettings(key_dir, pin_file, public_file, key_users),
        tls=tls,
        health=health_settings,
        smtpd=smtpd_settings,
        worker=worker_settings,
        deliver=deliver_settings,
        log_level=level,
        clock_offset_file=_absolute(base, offset) if offset else None,
        portal=portal,
    )
