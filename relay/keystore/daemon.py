"""keyd: the one process that holds the token.

One unix socket a role: who may connect to it is the host's file permissions, what the role may do is the table in
grants.py, and every use is in the audit log before the token is called. Requests that have arrived together are checked
together, share one fsync and are answered together; a connection has a thread of a pool of fixed size. keyd parses no
mail, opens no network, and logs neither values nor keys.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import struct
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from relay.core.clock import Clock
from relay.core.errors import KeyStoreError
from relay.keystore.audit import AuditLog
from relay.keystore.dispatch import Dispatcher, Peer
from relay.keystore.files import UnusableFileError, file_error, make_directory
from relay.keystore.grants import Role
from relay.keystore.hardening import harden_process
from relay.keystore.opening import needs_operator, open_token
from relay.keystore.protocol import FrameReader, decode_request
from relay.keystore.requests import TokenStore
from relay.log import Log

_PIECE = 64 * 1024
_SEND_SECONDS = 10
_MAX_SOCKET_PATH = 107  # sun_path of unix(7)
_STOP_SECONDS = 10.0
_LOOK_SECONDS = 2.0


def socket_path(socket_dir: Path, role: Role) -> Path:
    """Return where a role finds keyd."""
    return socket_dir / f"{role}.sock"


@dataclass(frozen=True, slots=True)
class KeydConfig:
    """What keyd needs to know of its host."""

    token_dir: Path
    pin_file: Path
    public_file: Path
    socket_dir: Path
    audit_dir: Path
    connections: int = 16
    """At a time, for each role; one more is closed at once."""
    socket_mode: int = 0o660
    directory_mode: int = 0o700
    """0o711 where the roles are different OS users, each socket in its role's group."""
    socket_groups: Mapping[Role, int] = field(default_factory=dict)
    users: Mapping[Role, frozenset[int]] = field(default_factory=dict)
    """User ids that may use a role's socket; a role that is not named goes by the file permissions alone."""


class Keyd:
    """The server around an open token and audit log. `start`, then `stop`; both belong to one thread."""

    def __init__(self, token: TokenStore, audit: AuditLog, config: KeydConfig) -> None:
        self._config = config
        self._dispatcher = Dispatcher(token, audit)
        self._log = Log("keyd")
        self._listeners: dict[Role, socket.socket] = {}
        self._threads: list[threading.Thread] = []
        self._pool = ThreadPoolExecutor(config.connections * len(Role), thread_name_prefix="keyd")
        self._state = threading.Lock()
        self._open: dict[socket.socket, Role] = {}
        self._is_stopping = False

    def start(self) -> None:
        """Listen on all sockets. Raises KeyStoreError, in words, when a path is too long or in use."""
        make_directory(self._config.socket_dir, self._config.directory_mode)
        try:
            for role in Role:
                self._listeners[role] = _listen(socket_path(self._config.socket_dir, role), self._config, role)
        except BaseException:
            self.stop()
            raise
        for role, listener in self._listeners.items():
            thread = threading.Thread(target=self._accept, args=(role, listener), name=f"accept-{role}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Take no more requests, answer those that are in, and close everything. Never raises."""
        with self._state:
            self._is_stopping = True
            connections = list(self._open)
        for role, listener in self._listeners.items():
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            with contextlib.suppress(OSError):
                socket_path(self._config.socket_dir, role).unlink()
        for connection in connections:
            # Only reading ends: replies under way still go out.
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RD)
        for thread in self._threads:
            thread.join(_STOP_SECONDS)
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._listeners.clear()

    def has_lost_sockets(self) -> bool:
        """Tell whether somebody removed a socket: nobody could reach this process any more."""
        return not all(socket_path(self._config.socket_dir, role).exists() for role in self._listeners)

    def _accept(self, role: Role, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                if self._is_stopping:
                    return
                # Out of descriptors or memory: wait for some to come back instead of spinning.
                self._log.exception("accept-failed", role=str(role))
                threading.Event().wait(0.1)
                continue
            with self._state:
                is_full = sum(1 for other in self._open.values() if other is role) >= self._config.connections
                if not (self._is_stopping or is_full):
                    self._open[connection] = role
            if connection not in self._open:
                if is_full:
                    self._log.warning("too-many-connections", role=str(role))
                connection.close()
                continue
            self._pool.submit(self._serve, connection, role)

    def _serve(self, connection: socket.socket, role: Role) -> None:
        try:
            peer = read_peer(connection, role)
            users = self._config.users.get(role)
            if users is not None and peer.uid not in users:
                self._log.warning("user-refused", role=str(role), uid=peer.uid)
                return
            # A client that reads nothing must not hold the thread for ever.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", _SEND_SECONDS, 0))
            self._converse(connection, peer)
        except KeyStoreError as error:
            self._log.warning("connection-refused", role=str(role), reason=str(error))
        except OSError:
            self._log.info("connection-lost", role=str(role))
        except Exception:
            self._log.exception("connection-failed", role=str(role))
        finally:
            with self._state:
                self._open.pop(connection, None)
            connection.close()

    def _converse(self, connection: socket.socket, peer: Peer) -> None:
        reader = FrameReader()
        while untrusted_piece := connection.recv(_PIECE):
            frames = reader.feed(untrusted_piece)
            if frames:
                requests = [decode_request(frame) for frame in frames]
                connection.sendall(b"".join(self._dispatcher.answer(peer, requests)))


def read_peer(connection: socket.socket, role: Role) -> Peer:
    """Return who is at the other end, as the kernel saw it at connect (SO_PEERCRED, unix(7))."""
    pid, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return Peer(role, pid, uid)


def _listen(path: Path, config: KeydConfig, role: Role) -> socket.socket:
    if len(os.fsencode(path)) > _MAX_SOCKET_PATH:
        raise UnusableFileError(f"{path}: is longer than {_MAX_SOCKET_PATH} octets. Choose a shorter directory")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_dead_socket(path)
        listener.bind(str(path))
        # Nobody can connect before listen(), so the mode is right before the first client.
        path.chmod(config.socket_mode)
        if role in config.socket_groups:
            os.chown(path, -1, config.socket_groups[role])
        listener.listen(64)
    except OSError as error:
        listener.close()
        raise file_error(path, "listened at", error) from error
    except KeyStoreError:
        listener.close()
        raise
    return listener


def _remove_dead_socket(path: Path) -> None:
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise UnusableFileError(f"{path}: is in the way and not a socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        if probe.connect_ex(str(path)) == 0:
            raise KeyStoreError(f"{path}: another keyd answers there")
    path.unlink()


def run_keyd(config: KeydConfig, clock: Clock, stop: threading.Event, on_ready: Callable[[], None]) -> None:
    """Open the token, serve until `stop` is set, close all. The process does nothing else.

    Raises ConfigurationError, which names the key and the fix, when PIN, token, audit log or sockets are not usable and
    no later start changes that, KeyStoreError when one may.
    """
    log = Log("keyd")
    failed = harden_process()
    if failed:
        log.warning("hardening-incomplete", measures=failed)
    with open_token(config.token_dir, config.pin_file, config.public_file, clock) as token:
        with needs_operator("paths.state", "keyd starts with a whole log, or with none"):
            audit = AuditLog(config.audit_dir, clock)
        with contextlib.closing(audit):
            token.test()
            keyd = Keyd(token, audit, config)
            with needs_operator("paths.run", "Name a folder that is keyd's user's own"):
                keyd.start()
            try:
                log.info("keyd-ready", epochs=len(token.epochs()))
                on_ready()
                while not stop.wait(_LOOK_SECONDS):
                    if keyd.has_lost_sockets():
                        raise KeyStoreError(f"{config.socket_dir}: the sockets were removed; a new start makes them")
            finally:
                keyd.stop()
    log.info("keyd-stopped")
