"""The port KeyStore as a client of keyd.

One connection a process, shared by its threads: each sends its request at once and whoever waits first reads for all.
When keyd is down, hangs or answers nonsense, the call raises KeyStoreError, which is temporary: the mail waits.
A use that was cut off is asked again once; a change of the token (epochs) is not, because it may have been done.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from relay.core.errors import KeyStoreError
from relay.core.ports import Actor, Grant, SealedBlob, SpoolPublicKey, WrappedMailKey
from relay.keystore.audit import AuditHead
from relay.keystore.grants import CHANGES, Operation
from relay.keystore.mailbox_client import RemoteMailboxKeys
from relay.keystore.protocol import Call, FrameReader, Reply, Request, Result, decode_reply, encode_request
from relay.keystore.requests import MAX_BATCH, MailKeyRequest

_PIECE = 64 * 1024


class _ConnectionLostError(KeyStoreError):
    """The connection ended before the reply."""


class _Connection:
    """One connection and the requests that wait on it."""

    def __init__(self, path: Path, timeout: float) -> None:
        self.pid = os.getpid()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(timeout)
            self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            raise KeyStoreError(f"keyd does not answer at {path} ({error.strerror or 'timeout'})") from error
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        self._reader = FrameReader()
        self._sending = threading.Lock()
        self._turn = threading.Condition()
        self._is_read = False
        self._waiting: set[int] = set()
        self._arrived: dict[int, Reply] = {}
        self.is_lost = False

    def exchange(self, number: int, frame: bytes, deadline: float) -> Reply:
        """Send a request and return its reply. Raises KeyStoreError."""
        with self._turn:
            self._waiting.add(number)
        try:
            with self._sending:
                try:
                    self._socket.sendall(frame)
                except OSError as error:
                    raise _ConnectionLostError("keyd closed the connection") from error
            return self._await(number, deadline)
        except BaseException:
            # Whatever happened, the stream's state is unknown: nobody uses this connection again.
            self.lose()
            raise
        finally:
            with self._turn:
                self._waiting.discard(number)
                self._arrived.pop(number, None)
                self._close_unused()

    def _await(self, number: int, deadline: float) -> Reply:
        with self._turn:
            while number not in self._arrived:
                if self.is_lost:
                    raise _ConnectionLostError("keyd closed the connection")
                if time.monotonic() >= deadline:
                    raise KeyStoreError("keyd did not answer in time")
                if self._is_read:
                    self._turn.wait(max(0.0, deadline - time.monotonic()))
                    continue
                self._is_read = True
                self._turn.release()
                replies: list[Reply] = []
                try:
                    replies = self._receive(deadline)
                finally:
                    self._turn.acquire()
                    self._is_read = False
                    self._arrived.update((reply.number, reply) for reply in replies if reply.number in self._waiting)
                    self._turn.notify_all()
            return self._arrived[number]

    def _receive(self, deadline: float) -> list[Reply]:
        if not self._poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise KeyStoreError("keyd did not answer in time")
        try:
            untrusted_piece = self._socket.recv(_PIECE, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return []
        except OSError as error:
            raise _ConnectionLostError("keyd closed the connection") from error
        if not untrusted_piece:
            raise _ConnectionLostError("keyd closed the connection")
        return [decode_reply(frame) for frame in self._reader.feed(untrusted_piece)]

    def lose(self) -> None:
        """Mark as lost and wake all who wait; the last of them closes the descriptor."""
        with self._turn:
            if not self.is_lost:
                self.is_lost = True
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)
            self._close_unused()
            self._turn.notify_all()

    def _close_unused(self) -> None:
        # A descriptor that another thread polls must not be closed, because its number may be given out again.
        if self.is_lost and not self._waiting:
            self._socket.close()

    def abandon(self) -> None:
        """Close a forked child's copy; the parent's connection goes on."""
        self._socket.close()


class RemoteKeyStore(RemoteMailboxKeys):
    """Asks keyd through one role's socket. Implements TokenStore; all methods may be called from any thread."""

    def __init__(self, path: Path, timeout: float = 15.0, patience: float = 1.0) -> None:
        """Connect at the first call. In seconds, `timeout` bounds a call, `patience` the wait for a restarting keyd."""
        self._path = path
        self._timeout = timeout
        self._patience = patience
        self._state = threading.Lock()
        self._connection: _Connection | None = None
        self._number = 0
        self._is_closed = False

    def close(self) -> None:
        """Close the connection; calls after this raise KeyStoreError."""
        with self._state:
            self._is_closed = True
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.lose()

    def __enter__(self) -> RemoteKeyStore:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    # --- the port -----------------------------------------------------------------------------------------------------

    def seal(self, context: bytes, plaintext: bytes) -> SealedBlob:
        """Seal a small value (up to 64 KiB); `context` comes from relay.core.wire.contexts."""
        result = self._ask(Operation.SEAL, Call(context=context, data=plaintext))
        return SealedBlob(result.key_id, result.mechanism, result.number, result.data)

    def open(self, context: bytes, blob: SealedBlob, grant: Grant) -> bytes:
        """Open a sealed value."""
        call = Call(
            purpose=grant.purpose,
            subject=grant.subject,
            actor=grant.actor,
            key_id=blob.key_id,
            mechanism=blob.mechanism,
            number=blob.format,
            context=context,
            data=blob.data,
        )
        return self._ask(Operation.OPEN, call).data

    def spool_public_key(self) -> SpoolPublicKey:
        """Return the newest epoch's public key."""
        return _public(self._ask(Operation.SPOOL_PUBLIC_KEY, Call()))

    def open_mail_key(self, message_id: str, wrapped: WrappedMailKey, grant: Grant) -> bytes:
        """Return a message's 32-octet content key."""
        return self._ask(Operation.OPEN_MAIL_KEY, _mail_call(message_id, wrapped, grant)).data

    def open_mail_keys(self, requests: Sequence[MailKeyRequest]) -> list[bytes | KeyStoreError]:
        """Return a key or the error for each request, in order. Raises KeyStoreError when keyd cannot be asked."""
        results: list[Result] = []
        for begin in range(0, len(requests), MAX_BATCH):
            calls = tuple(
                _mail_call(request.message_id, request.wrapped, request.grant)
                for request in requests[begin : begin + MAX_BATCH]
            )
            results += self._ask_many(Operation.OPEN_MAIL_KEY, calls)
        return [result.to_error() if result.error else result.data for result in results]

    def rewrap_mail_key(self, message_id: str, wrapped: WrappedMailKey, grant: Grant) -> WrappedMailKey:
        """Seal a message's key to the newest epoch."""
        result = self._ask(Operation.REWRAP_MAIL_KEY, _mail_call(message_id, wrapped, grant))
        return WrappedMailKey(epoch=result.epoch, suite=result.number, data=result.data)

    def begin_epoch(self, actor: Actor) -> SpoolPublicKey:
        """Make a new epoch key and return its public half."""
        return _public(self._ask(Operation.BEGIN_EPOCH, Call(actor=str(actor))))

    def destroy_epoch(self, epoch: str, actor: Actor) -> None:
        """Destroy an epoch's private key."""
        self._ask(Operation.DESTROY_EPOCH, Call(epoch=epoch, actor=str(actor)))

    def test(self) -> None:
        """Let keyd seal and open a probe."""
        self._ask(Operation.TEST, Call())

    def audit_head(self) -> AuditHead:
        """Return the newest line of keyd's audit log, to be kept elsewhere."""
        result = self._ask(Operation.AUDIT_HEAD, Call())
        return AuditHead(result.number, result.text)

    # --- asking -------------------------------------------------------------------------------------------------------

    def _ask(self, operation: Operation, call: Call) -> Result:
        result = self._ask_many(operation, (call,))[0]
        result.raise_error()
        return result

    def _ask_many(self, operation: Operation, calls: tuple[Call, ...]) -> tuple[Result, ...]:
        deadline = time.monotonic() + self._timeout
        try:
            reply = self._exchange(operation, calls, deadline)
        except _ConnectionLostError:
            # keyd restarted, or closed an idle connection.
            if operation in CHANGES:
                raise
            reply = self._exchange(operation, calls, deadline)
        if len(reply.results) != len(calls):
            raise KeyStoreError("keyd answered something else than was asked")
        return reply.results

    def _exchange(self, operation: Operation, calls: tuple[Call, ...], deadline: float) -> Reply:
        with self._state:
            self._number += 1
            number = self._number
        frame = encode_request(Request(number, operation, calls))
        return self._connected(deadline).exchange(number, frame, deadline)

    def _connected(self, deadline: float) -> _Connection:
        give_up = min(deadline, time.monotonic() + self._patience)
        while True:
            with self._state:
                if self._is_closed:
                    raise KeyStoreError("the connection to keyd is closed")
                if self._connection is not None:
                    if self._connection.pid != os.getpid():
                        self._connection.abandon()
                    elif not self._connection.is_lost:
                        return self._connection
                    self._connection = None
                try:
                    self._connection = _Connection(self._path, max(0.1, deadline - time.monotonic()))
                    return self._connection
                except KeyStoreError:
                    if time.monotonic() >= give_up:
                        raise
            time.sleep(0.02)


def _mail_call(message_id: str, wrapped: WrappedMailKey, grant: Grant) -> Call:
    return Call(
        purpose=grant.purpose,
        subject=grant.subject,
        actor=grant.actor,
        message_id=message_id,
        epoch=wrapped.epoch,
        number=wrapped.suite,
        data=wrapped.data,
    )


def _public(result: Result) -> SpoolPublicKey:
    return SpoolPublicKey(epoch=result.epoch, suite=result.number, public=result.data)
