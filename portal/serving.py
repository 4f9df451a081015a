"""The two listeners as gunicorn servers: the public one and the link's, each a process tree of its own.

The app is made in each worker after the fork, with its own database connections. Nothing here logs a request:
gunicorn's access log stays off, and of its own messages only the fixed words are written.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import signal
import socket
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication

from portal.app import build_pages, make_app
from portal.context import Portal, open_portal
from portal.link.app import make_link_app
from portal.link.ledger import check_mark
from portal.link.tls import fingerprint, make_context, read_certificates
from portal.settings import ListenSettings, Settings
from relay.core.errors import LetterlockError
from relay.log import Log

PARENT_VARIABLE = "LETTERLOCK_PORTAL_PARENT"
_PR_SET_PDEATHSIG = 1
_LOG = Log("portal.serving")


class FixedWordsLogger:
    """What gunicorn logs through: our handler, no access log, arguments never printed."""

    def __init__(self, _config: object) -> None:
        self.error_log = logging.getLogger("letterlock.portal.gunicorn")
        # Start-up chatter of gunicorn says nothing that our own lines do not say.
        self.error_log.setLevel(logging.WARNING)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.error_log, name)

    def critical(self, message: object, *args: object, **_options: object) -> None:
        """Write the fixed words only."""
        del args
        self.error_log.critical(str(message))

    def warning(self, message: object, *args: object, **_options: object) -> None:
        """Write the words up to what names a reader: gunicorn puts the address into the message itself."""
        del args
        self.error_log.warning(str(message).partition(" from ip=")[0])

    def exception(self, message: object, *args: object, **_options: object) -> None:
        """Write the fixed words and the code places."""
        del args
        self.error_log.error(str(message), exc_info=True)

    def access(self, *_args: object) -> None:
        """Nothing: paths hold tokens."""

    def reopen_files(self) -> None:
        """No files."""

    def close_on_exec(self) -> None:
        """No files."""


class _Server(BaseApplication):  # type: ignore[misc]
    def __init__(self, options: Mapping[str, Any], load: Callable[[], Flask]) -> None:
        self._options = options
        self._load = load
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        return self._load()


def address_file(settings: Settings, name: str) -> Path:
    """Return the file that holds where a listener listens, `host:port`, once it does."""
    return settings.state_dir / f"{name}.address"


class ListenError(LetterlockError):
    """The listener's address cannot be taken now."""


def _check_address(name: str, listen: ListenSettings) -> None:
    # gunicorn would try five times and then say it in its own words.
    family = socket.AF_INET6 if listen.host.startswith("[") else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((listen.host.strip("[]"), listen.port))
        except OSError as error:
            raise ListenError(
                f"{name}.listen: {listen.address} cannot be taken ({error.strerror}). "
                "End the other program, or choose another address"
            ) from error


def _options(settings: Settings, name: str, listen: ListenSettings) -> dict[str, Any]:
    _check_address(name, listen)
    place = address_file(settings, name)
    place.unlink(missing_ok=True)

    def tell(arbiter: Any) -> None:
        host, port = arbiter.LISTENERS[0].sock.getsockname()[:2]
        temporary = place.with_suffix(".new")
        temporary.write_text(f"{host}:{port}\n", "ascii")
        temporary.replace(place)
        _LOG.info("listening", listener=name, port=port)

    shared = Path("/dev/shm")  # noqa: S108 (gunicorn's heartbeat file, unlinked at once)
    return {
        "bind": listen.address,
        "workers": listen.processes,
        "threads": listen.threads,
        "worker_class": "gthread",
        "preload_app": False,
        "timeout": 60,
        "graceful_timeout": 5,
        "keepalive": 75,
        "proc_name": f"letterlock-portal-{name}",
        "logger_class": FixedWordsLogger,
        "accesslog": None,
        "forwarded_allow_ips": "",
        "secure_scheme_headers": {},
        "worker_tmp_dir": str(shared) if shared.is_dir() else None,
        "when_ready": tell,
        "control_socket_disable": True,
    }


def _end_with_parent() -> None:
    # `letterlock-portal serve` started us: without it nobody would end us.
    if PARENT_VARIABLE in os.environ:
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _prepare(settings: Settings, check: Callable[[Portal], object] | None = None) -> None:
    # Once before the workers start: the schema, the mark, and every error of the settings in one line.
    portal = open_portal(settings)
    try:
        if check is not None:
            check(portal)
        if check_mark(portal):
            _LOG.warning("waiting-for-the-relay", why="its last mark is older than ten minutes, or there is none")
    finally:
        portal.close()


def _run(options: Mapping[str, Any], load: Callable[[], Flask]) -> None:
    # gunicorn reads the program's own arguments otherwise.
    _Server(options, load).run()


def serve_web(settings: Settings) -> None:
    """Run the public listener until it is told to stop. Raises ConfigurationError."""
    _end_with_parent()
    _prepare(settings, build_pages)
    if settings.is_secure and settings.web.certificate is None and not settings.is_behind_proxy:
        # A proxy must be there, since we speak plain HTTP; without this all its readers share one count of wrong tries.
        _LOG.warning("one-network-for-all", fix='set web.forwarded_for = "last" in the settings')
    options = _options(settings, "web", settings.web)
    if settings.web.certificate is not None:
        options |= {"certfile": str(settings.web.certificate), "keyfile": str(settings.web.key)}

    def load() -> Flask:
        portal = open_portal(settings)
        check_mark(portal)
        return make_app(portal, build_pages(portal))

    _run(options, load)


def serve_link(settings: Settings) -> None:
    """Run the link listener until it is told to stop. Raises ConfigurationError."""
    _end_with_parent()
    _prepare(settings)
    listen = settings.link
    assert listen.certificate is not None
    assert listen.key is not None
    certificate, key = listen.certificate, listen.key
    pins = frozenset(map(fingerprint, read_certificates(settings.relay_certificates)))
    make_context(certificate, key, settings.relay_certificates)

    def give_context(_config: object, _default: object) -> ssl.SSLContext:
        return make_context(certificate, key, settings.relay_certificates)

    def load() -> Flask:
        portal = open_portal(settings)
        check_mark(portal)
        return make_link_app(portal, pins)

    options = _options(settings, "link", listen)
    options |= {
        "certfile": str(certificate),
        "keyfile": str(key),
        "cert_reqs": int(ssl.CERT_REQUIRED),
        "ca_certs": str(settings.relay_certificates),
        "ssl_context": give_context,
    }
    _run(options, load)
