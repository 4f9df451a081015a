"""keyd's sockets within one process: what is in the way, who may connect, how it stops."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from relay.core.clock import ManualClock
from relay.core.errors import KeyStoreError
from relay.core.ports import Grant
from relay.core.wire.mailkey import MailKeySealer
from relay.keystore.audit import AuditLog, list_segments, verify_audit
from relay.keystore.client import RemoteKeyStore
from relay.keystore.daemon import Keyd, KeydConfig, socket_path
from relay.keystore.grants import Role
from relay.keystore.requests import MailKeyRequest
from relay.keystore.software import SoftwareToken
from tests.integration.keystore.keyd_process import config_in, short_directory

GRANT = Grant("protect", "copy-1", "process:worker")


@pytest.fixture
def place() -> Iterator[Path]:
    with short_directory() as base:
        yield base


@pytest.fixture
def token(place: Path) -> Iterator[SoftwareToken]:
    with SoftwareToken.create(place / "keys", b"a pin for the tests", ManualClock(), pin_memory_kib=64) as token:
        yield token


@pytest.fixture
def audit(place: Path) -> Iterator[AuditLog]:
    log = AuditLog(place / "audit", ManualClock())
    yield log
    log.close()


@pytest.fixture
def config(place: Path) -> KeydConfig:
    return config_in(place)


def test_a_dead_socket_is_replaced_and_a_live_one_is_not(
    token: SoftwareToken, audit: AuditLog, config: KeydConfig
) -> None:
    config.socket_dir.mkdir()
    path = socket_path(config.socket_dir, Role.WORKER)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    keyd = Keyd(token, audit, config)
    keyd.start()
    try:
        with RemoteKeyStore(path) as store:
            store.test()
        with pytest.raises(KeyStoreError, match="another keyd"):
            Keyd(token, audit, config).start()
    finally:
        keyd.stop()
    assert not path.exists()


def test_another_file_in_the_way_stays(token: SoftwareToken, audit: AuditLog, config: KeydConfig) -> None:
    config.socket_dir.mkdir()
    path = socket_path(config.socket_dir, Role.DELIVER)
    path.write_text("precious")
    with pytest.raises(KeyStoreError, match="in the way"):
        Keyd(token, audit, config).start()


def test_a_path_too_long_is_said_in_words(token: SoftwareToken, audit: AuditLog, config: KeydConfig) -> None:
    with pytest.raises(KeyStoreError, match="shorter directory"):
        Keyd(token, audit, replace(config, socket_dir=config.socket_dir / ("x" * 100))).start()


def test_only_named_users_may_connect(token: SoftwareToken, audit: AuditLog, config: KeydConfig) -> None:
    users = {Role.WORKER: frozenset({os.getuid()}), Role.DELIVER: frozenset({os.getuid() + 1})}
    keyd = Keyd(token, audit, replace(config, users=users))
    keyd.start()
    try:
        with RemoteKeyStore(socket_path(config.socket_dir, Role.WORKER)) as worker:
            worker.test()
        with RemoteKeyStore(socket_path(config.socket_dir, Role.DELIVER), patience=0) as deliver:
            with pytest.raises(KeyStoreError) as caught:
                deliver.test()
            assert caught.value.temporary
    finally:
        keyd.stop()


def test_what_was_asked_before_the_stop_is_answered(token: SoftwareToken, audit: AuditLog, config: KeydConfig) -> None:
    keyd = Keyd(token, audit, config)
    keyd.start()
    with RemoteKeyStore(socket_path(config.socket_dir, Role.WORKER), patience=0) as store:
        key, wrapped = MailKeySealer(store.spool_public_key()).make("message-1")
        answers: list[object] = []
        thread = threading.Thread(
            target=lambda: answers.extend(store.open_mail_keys([MailKeyRequest("message-1", wrapped, GRANT)] * 200))
        )
        asked = threading.Event()
        real = token.open_mail_key

        def open_mail_key(*arguments: object) -> bytes:
            asked.set()
            return real(*arguments)  # type: ignore[arg-type]

        token.open_mail_key = open_mail_key  # type: ignore[method-assign]
        thread.start()
        assert asked.wait(20)
        keyd.stop()
        thread.join(20)
        assert answers == [key] * 200
        with pytest.raises(KeyStoreError):
            store.test()


def test_without_its_log_keyd_does_nothing(
    token: SoftwareToken, audit: AuditLog, config: KeydConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyd = Keyd(token, audit, config)
    keyd.start()
    used: list[object] = []
    monkeypatch.setattr(token, "open_mail_key", lambda *arguments: used.append(arguments))
    try:
        with RemoteKeyStore(socket_path(config.socket_dir, Role.WORKER)) as store:
            _, wrapped = MailKeySealer(store.spool_public_key()).make("message-1")

            def fail(fd: int) -> None:
                raise OSError(28, "No space left on device")

            monkeypatch.setattr(os, "fdatasync", fail)
            for _ in range(2):
                with pytest.raises(KeyStoreError, match="audit log") as caught:
                    store.open_mail_key("message-1", wrapped, GRANT)
                assert caught.value.temporary
    finally:
        keyd.stop()
    assert used == []


def test_the_log_says_the_use_before_the_token_is_called(
    token: SoftwareToken, audit: AuditLog, config: KeydConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def open_mail_key(*_arguments: object) -> bytes:
        seen.extend(path.read_text() for path in list_segments(config.audit_dir))
        raise KeyStoreError("seen")

    monkeypatch.setattr(token, "open_mail_key", open_mail_key)
    keyd = Keyd(token, audit, config)
    keyd.start()
    try:
        with RemoteKeyStore(socket_path(config.socket_dir, Role.WORKER)) as store:
            _, wrapped = MailKeySealer(store.spool_public_key()).make("message-1")
            with pytest.raises(KeyStoreError, match="seen"):
                store.open_mail_key("message-1", wrapped, GRANT)
            head = store.audit_head()
    finally:
        keyd.stop()
    assert len(seen) == 1
    assert '"purpose":"protect","subject":"copy-1"' in seen[0]
    assert f'"pid":{os.getpid()}' in seen[0]
    assert verify_audit(list_segments(config.audit_dir)).hash == head.hash


def test_a_fault_of_the_token_is_temporary_and_said_without_words(
    token: SoftwareToken,
    audit: AuditLog,
    config: KeydConfig,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def open_mail_key(*_arguments: object) -> bytes:
        raise RuntimeError("canary")

    monkeypatch.setattr(token, "open_mail_key", open_mail_key)
    keyd = Keyd(token, audit, config)
    keyd.start()
    try:
        with RemoteKeyStore(socket_path(config.socket_dir, Role.WORKER)) as store:
            _, wrapped = MailKeySealer(store.spool_public_key()).make("message-1")
            with pytest.raises(KeyStoreError, match="internal error") as caught:
                store.open_mail_key("message-1", wrapped, GRANT)
            assert caught.value.temporary
            assert "canary" not in str(caught.value)
    finally:
        keyd.stop()
    assert "operation-failed" in [record.message for record in caplog.records]
