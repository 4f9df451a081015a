"""keyd as a process: roles, many clients, crashes, and what never reaches a log."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from relay.core.errors import GrantRefusedError, KeyStoreError
from relay.core.ports import Actor, Grant
from relay.core.wire.contexts import next_hop_password_context, pair_password_context
from relay.core.wire.mailkey import MailKeySealer
from relay.core.wire.pae import encode_b64, encode_pae
from relay.keystore.audit import list_segments, verify_audit
from relay.keystore.client import RemoteKeyStore
from relay.keystore.daemon import socket_path
from relay.keystore.grants import Operation, Role
from relay.keystore.pin import read_pin_file
from relay.keystore.protocol import Call, Request, encode_request
from relay.keystore.requests import MailKeyRequest
from tests.integration.keystore.keyd_process import ROOT, KeydProcess, set_up, short_directory

PAIR = pair_password_context("bank", "anna@bank.example", "partner-1", 1)
WORKER = Grant("protect", "copy-1", "process:worker")
DELIVER = Grant("deliver", "copy-1", "process:deliver")
OPERATOR = Grant("show", "message-1", "operator:admin")


@pytest.fixture(scope="module")
def keyd() -> Iterator[KeydProcess]:
    with short_directory() as base:
        keyd = KeydProcess.start(set_up(base))
        yield keyd
        assert keyd.stop() == 0
        assert not list(keyd.config.socket_dir.iterdir())


@pytest.fixture
def own_keyd() -> Iterator[KeydProcess]:
    with short_directory() as base:
        keyd = KeydProcess.start(set_up(base))
        yield keyd
        if keyd.process.poll() is None:
            keyd.kill()


def audit_lines(keyd: KeydProcess) -> list[dict[str, object]]:
    return [
        json.loads(line) for path in list_segments(keyd.config.audit_dir) for line in path.read_bytes().splitlines()
    ]


def test_the_deliver_socket_opens_no_pair_password(keyd: KeydProcess) -> None:
    with keyd.client(Role.WORKER) as worker, keyd.client(Role.DELIVER) as deliver:
        blob = worker.seal(PAIR, b"dghz-4eb6-7gnc-xxd6")
        for grant in (DELIVER, WORKER, replace(WORKER, purpose="notice"), OPERATOR):
            with pytest.raises(GrantRefusedError):
                deliver.open(PAIR, blob, grant)
        with pytest.raises(GrantRefusedError):
            deliver.seal(PAIR, b"x")
    refused = [line for line in audit_lines(keyd) if line["role"] == "deliver" and line["operation"] == "open"]
    assert refused
    assert all(line["refused"] for line in refused)


def test_what_each_socket_may(keyd: KeydProcess) -> None:
    with (
        keyd.client(Role.WORKER) as worker,
        keyd.client(Role.DELIVER) as deliver,
        keyd.client(Role.SCHEDULER) as scheduler,
        keyd.client(Role.OPERATOR) as operator,
    ):
        key, wrapped = MailKeySealer(worker.spool_public_key()).make("message-1")
        assert worker.open_mail_key("message-1", wrapped, WORKER) == key
        assert deliver.open_mail_key("message-1", wrapped, DELIVER) == key
        assert operator.open_mail_key("message-1", wrapped, OPERATOR) == key
        with pytest.raises(GrantRefusedError):
            worker.open_mail_key("message-1", wrapped, DELIVER)
        with pytest.raises(GrantRefusedError):
            deliver.open_mail_key("message-1", wrapped, WORKER)
        for grant in (WORKER, DELIVER, replace(WORKER, purpose="rewrap")):
            with pytest.raises(GrantRefusedError):
                scheduler.open_mail_key("message-1", wrapped, grant)
        with pytest.raises(GrantRefusedError):
            operator.open_mail_key("message-1", wrapped, replace(OPERATOR, actor="process:worker"))
        with pytest.raises(GrantRefusedError):
            worker.rewrap_mail_key("message-1", wrapped, replace(WORKER, purpose="rewrap"))
        for store in (worker, deliver):
            with pytest.raises(GrantRefusedError):
                store.begin_epoch(Actor("process", "worker"))
            with pytest.raises(GrantRefusedError):
                store.destroy_epoch(wrapped.epoch, Actor("process", "worker"))
        hop = next_hop_password_context("bank", "relay")
        blob = operator.seal(hop, b"hop password")
        assert deliver.open(hop, blob, DELIVER) == b"hop password"
        with pytest.raises(GrantRefusedError):
            worker.open(hop, blob, WORKER)


def test_a_context_of_no_kind_is_refused(keyd: KeydProcess) -> None:
    with keyd.client(Role.WORKER) as worker:
        for context in (b"", b"not a PAE", encode_pae("letterlock/other", "x"), encode_pae(b"\xff")):
            with pytest.raises(GrantRefusedError):
                worker.seal(context, b"x")


def test_there_is_no_socket_for_smtpd(keyd: KeydProcess) -> None:
    names = {path.name for path in keyd.config.socket_dir.iterdir()}
    assert names == {f"{role}.sock" for role in ("worker", "deliver", "link", "scheduler", "operator")}
    assert stat.S_IMODE(keyd.config.socket_dir.stat().st_mode) == 0o700
    for path in keyd.config.socket_dir.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o660


def test_threads_share_one_connection(keyd: KeydProcess) -> None:
    with keyd.client(Role.WORKER) as worker:
        sealer = MailKeySealer(worker.spool_public_key())
        failures: list[object] = []

        def work(number: int) -> None:
            for n in range(40):
                message_id = f"message-{number}-{n}"
                key, wrapped = sealer.make(message_id)
                if worker.open_mail_key(message_id, wrapped, WORKER) != key:
                    failures.append(message_id)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []


CLIENT = """
import sys
from relay.core.ports import Grant
from relay.core.wire.mailkey import MailKeySealer
from relay.keystore.client import RemoteKeyStore
from relay.keystore.requests import MailKeyRequest
from pathlib import Path
grant = Grant("protect", "copy", "process:worker-" + sys.argv[2])
with RemoteKeyStore(Path(sys.argv[1])) as store:
    sealer = MailKeySealer(store.spool_public_key())
    for n in range(100):
        made = [sealer.make(f"m{n}-{i}") for i in range(3)]
        requests = [MailKeyRequest(f"m{n}-{i}", wrapped, grant) for i, (_, wrapped) in enumerate(made)]
        assert store.open_mail_keys(requests) == [key for key, _ in made]
print("done")
"""


def test_four_processes_ask_at_once_and_the_chain_holds(own_keyd: KeydProcess) -> None:
    path = socket_path(own_keyd.config.socket_dir, Role.WORKER)
    clients = [
        subprocess.Popen(
            [sys.executable, "-c", CLIENT, str(path), str(n)], env={"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE
        )
        for n in range(4)
    ]
    assert [client.communicate(timeout=60)[0] for client in clients] == [b"done\n"] * 4
    assert own_keyd.stop() == 0
    report = verify_audit(list_segments(own_keyd.config.audit_dir))
    assert (report.problem, report.seq) == ("", 1200)
    pids = {line["pid"] for line in audit_lines(own_keyd)}
    assert pids == {client.pid for client in clients}


def test_killed_in_the_middle_and_back(own_keyd: KeydProcess) -> None:
    with own_keyd.client(Role.WORKER, patience=0) as worker, own_keyd.client(Role.SCHEDULER, patience=0) as scheduler:
        key, wrapped = MailKeySealer(worker.spool_public_key()).make("message-1")
        blob = worker.seal(PAIR, b"secret")
        scheduler.test()
        own_keyd.kill()
        with pytest.raises(KeyStoreError) as caught:
            worker.open_mail_key("message-1", wrapped, WORKER)
        assert caught.value.temporary
        with pytest.raises(KeyStoreError):
            worker.open_mail_key("message-1", wrapped, WORKER)
        with pytest.raises(KeyStoreError):
            scheduler.begin_epoch(Actor("process", "scheduler"))
        again = KeydProcess.start(own_keyd.config)
        try:
            assert worker.open_mail_key("message-1", wrapped, WORKER) == key
            assert worker.open(PAIR, blob, WORKER) == b"secret"
            assert scheduler.begin_epoch(Actor("process", "scheduler")).epoch != wrapped.epoch
        finally:
            assert again.stop() == 0


def test_killed_while_clients_wait(own_keyd: KeydProcess) -> None:
    """kill -9 under load: every call ends with the right key or a temporary error, and the log's chain holds."""
    outcomes: list[object] = []
    begun = threading.Event()

    def work() -> None:
        with own_keyd.client(Role.WORKER, patience=0) as worker:
            sealer = MailKeySealer(worker.spool_public_key())
            while True:
                key, wrapped = sealer.make("message-1")
                try:
                    outcomes.append(worker.open_mail_key("message-1", wrapped, WORKER) == key)
                except KeyStoreError as error:
                    outcomes.append(error)
                    return
                if len(outcomes) > 50:
                    begun.set()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert begun.wait(30)
    own_keyd.kill()
    for thread in threads:
        thread.join(30)
    errors = [outcome for outcome in outcomes if outcome is not True]
    assert len(errors) == 4
    assert all(isinstance(error, KeyStoreError) and error.temporary for error in errors)
    again = KeydProcess.start(own_keyd.config)
    assert again.stop() == 0
    report = verify_audit(list_segments(own_keyd.config.audit_dir))
    assert report.problem == ""
    assert report.seq >= sum(1 for outcome in outcomes if outcome is True)


def test_a_silent_keyd_is_a_temporary_error() -> None:
    with short_directory() as base, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(base / "worker.sock"))
        listener.listen()
        with RemoteKeyStore(base / "worker.sock", timeout=0.2) as store:
            with pytest.raises(KeyStoreError, match="in time") as caught:
                store.test()
            assert caught.value.temporary


@pytest.mark.parametrize("answer", [b"", b"\0\0\0\1x", b"\xff" * 16, b"\0\0\0\x0a\0\0\0\2[]abcd"])
def test_a_keyd_that_answers_nonsense_is_a_temporary_error(answer: bytes) -> None:
    with short_directory() as base, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(base / "worker.sock"))
        listener.listen()

        def speak() -> None:
            # The client asks again after a lost connection, and not after nonsense: the test ends the wait.
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(1000)
                        connection.sendall(answer)

        thread = threading.Thread(target=speak, daemon=True)
        thread.start()
        with RemoteKeyStore(base / "worker.sock", timeout=5, patience=0) as store:
            with pytest.raises(KeyStoreError) as caught:
                store.test()
            assert caught.value.temporary
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


@pytest.mark.parametrize(
    "octets",
    [
        b"\0\0\0\0",
        b"\xff\xff\xff\xff",
        b"GET / HTTP/1.0\r\n\r\n",
        b"\0\0\0\x06\0\0\0\x02{}",
        b"\0\0\x4e\x24\0\0\x4e\x20" + b"[" * 20000,
    ],
    ids=["empty", "huge", "http", "object", "deep"],
)
def test_nonsense_ends_only_its_own_connection(keyd: KeydProcess, octets: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(socket_path(keyd.config.socket_dir, Role.WORKER)))
        client.sendall(octets)
        assert client.recv(1000) == b""
    with keyd.client(Role.WORKER) as worker:
        worker.test()


def test_pipelined_requests_are_all_answered(keyd: KeydProcess) -> None:
    frames = b"".join(encode_request(Request(n, Operation.SPOOL_PUBLIC_KEY, (Call(),))) for n in range(1, 51))
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(socket_path(keyd.config.socket_dir, Role.DELIVER)))
        client.sendall(frames)
        client.shutdown(socket.SHUT_WR)
        got = b""
        while piece := client.recv(65536):
            got += piece
    assert got.count(b"[1,") >= 50


def test_one_connection_too_many_is_closed(own_keyd: KeydProcess) -> None:
    stores = [own_keyd.client(Role.DELIVER, patience=0) for _ in range(9)]
    try:
        for store in stores[:8]:
            store.test()
        with pytest.raises(KeyStoreError):
            stores[8].test()
        with own_keyd.client(Role.WORKER) as worker:
            worker.test()
        stores[0].close()
        with own_keyd.client(Role.DELIVER, patience=0) as late:
            for _ in range(200):
                try:
                    late.test()
                    break
                except KeyStoreError:
                    time.sleep(0.02)
            else:
                pytest.fail("the place of a closed connection is not given again")
    finally:
        for store in stores:
            store.close()


def test_no_secret_reaches_a_log_or_a_message(own_keyd: KeydProcess) -> None:
    canary = "dghz-4eb6-7gnc-xxd6"
    secrets = [canary, encode_b64(canary.encode()), read_pin_file(own_keyd.config.pin_file).decode()]
    said: list[str] = []
    with own_keyd.client(Role.WORKER) as worker, own_keyd.client(Role.DELIVER) as deliver:
        blob = worker.seal(PAIR, canary.encode())
        assert worker.open(PAIR, blob, WORKER) == canary.encode()
        key, wrapped = MailKeySealer(worker.spool_public_key()).make("message-1")
        assert worker.open_mail_key("message-1", wrapped, WORKER) == key
        secrets += [key.hex(), encode_b64(key), repr(key)[2:-1]]
        for bad in (
            lambda: deliver.open(PAIR, blob, DELIVER),
            lambda: worker.open(PAIR + b"\0\0\0\0", blob, WORKER),
            lambda: worker.open_mail_key("message-2", wrapped, WORKER),
            lambda: deliver.seal(PAIR, canary.encode()),
        ):
            with pytest.raises(KeyStoreError) as caught:
                bad()
            said.append(repr(caught.value))
        said.append(repr(Call(context=PAIR, data=canary.encode())))
        said.append(repr(worker.open_mail_keys([MailKeyRequest("message-2", wrapped, WORKER)])))
    assert own_keyd.stop() == 0
    said.append(own_keyd.log.read_text())
    said += [path.read_text() for path in list_segments(own_keyd.config.audit_dir)]
    assert "copy-1" in said[-1]
    assert [secret for secret in secrets if any(secret in text for text in said)] == []
    for path in own_keyd.config.token_dir.rglob("*"):
        if path.is_file():
            assert canary.encode() not in path.read_bytes()


def test_a_second_keyd_is_refused(keyd: KeydProcess) -> None:
    second = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("keyd_process.py")), str(keyd.config.token_dir.parent)],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert second.returncode != 0
    assert "another process holds this token" in second.stderr
    with keyd.client(Role.WORKER) as worker:
        worker.test()


def test_keyd_forbids_dumps_of_itself(keyd: KeydProcess) -> None:
    limits = Path(f"/proc/{keyd.process.pid}/limits").read_text()
    core = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
    assert core.split()[4:6] == ["0", "0"]
    # A process that is not dumpable belongs to root in /proc, whoever runs it (proc(5)).
    assert Path(f"/proc/{keyd.process.pid}/mem").stat().st_uid == 0
    status = Path(f"/proc/{keyd.process.pid}/status").read_text()
    assert "NoNewPrivs:\t1" in status


def test_a_forked_child_makes_its_own_connection(keyd: KeydProcess) -> None:
    with keyd.client(Role.WORKER) as worker:
        worker.test()
        pid = os.fork()
        if pid == 0:
            try:
                worker.test()
                os._exit(0)
            except BaseException:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        worker.test()
