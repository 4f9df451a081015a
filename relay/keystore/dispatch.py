"""From requests to replies: table, audit log, token, in this order and never another.

All requests that arrived together are judged first, then logged in one durable write, then done. If the log cannot be
written, nothing is done. Errors of ours go back in words; of any other fault only its class reaches the log, and the
caller hears "internal error", which is temporary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from relay.core.errors import GrantRefusedError, KeyStoreError, LetterlockError
from relay.core.ports import Actor, Grant, SealedBlob, SpoolPublicKey, WrappedMailKey
from relay.core.wire.contexts import read_label
from relay.core.wire.sealed import MailboxDataError
from relay.keystore.audit import AuditLog, Entry
from relay.keystore.grants import MAX_WORD, UNLOGGED, Operation, Role, Use, check_use
from relay.keystore.mailbox_wire import cards_result, made_result, read_card_call, read_name, read_order_call
from relay.keystore.protocol import Call, Reply, Request, Result, encode_reply
from relay.keystore.requests import TokenStore
from relay.log import Log

_SMALL_VALUES = frozenset({Operation.SEAL, Operation.OPEN})
_NUMBERED = frozenset({Operation.MAILBOX_NEW, Operation.MAILBOX_NEXT, Operation.SIGN_MANIFEST, Operation.OPEN_ITEM})
"""Their number is a generation or the serial of a card, and stands in the log."""
_INTERNAL = Result(error="unavailable", text="internal error of keyd")


@dataclass(frozen=True, slots=True)
class Peer:
    """Who asks: the role is the socket, process and user are what the kernel says."""

    role: Role
    pid: int
    uid: int


class Dispatcher:
    """Answers requests. May be called from any thread."""

    def __init__(self, token: TokenStore, audit: AuditLog) -> None:
        self._token = token
        self._audit = audit
        self._log = Log("keyd")

    def answer(self, peer: Peer, requests: Sequence[Request]) -> list[bytes]:
        """Return a frame for each request, in order. Never raises for what a request says."""
        refusals: dict[tuple[int, int], Result] = {}
        entries: list[Entry] = []
        for place, request in enumerate(requests):
            for index, call in enumerate(request.calls):
                refusal = _judge(peer.role, request.operation, call)
                if refusal is not None:
                    refusals[place, index] = refusal
                if refusal is not None or request.operation not in UNLOGGED:
                    entries.append(_describe(peer, request.operation, call, refusal is not None))
        try:
            self._audit.append(entries)
        except KeyStoreError as error:
            self._log.exception("audit-failed")
            failed = Result.of_error(error)
            return [_encode(Reply(request.number, (failed,) * len(request.calls))) for request in requests]
        return [
            _encode(
                Reply(
                    request.number,
                    tuple(
                        refusals.get((place, index)) or self._use(request.operation, call)
                        for index, call in enumerate(request.calls)
                    ),
                )
            )
            for place, request in enumerate(requests)
        ]

    def _use(self, operation: Operation, call: Call) -> Result:
        try:
            return self._perform(operation, call)
        except (KeyStoreError, MailboxDataError) as error:
            return Result.of_error(error)
        except Exception:
            # Whatever it was, the mail waits: the words of a foreign error may quote what was being opened.
            self._log.exception("operation-failed", operation=str(operation))
            return _INTERNAL

    def _perform(self, operation: Operation, call: Call) -> Result:
        grant = Grant(call.purpose, call.subject, call.actor)
        match operation:
            case Operation.OPEN_MAIL_KEY:
                return Result(data=self._token.open_mail_key(call.message_id, _mail_key(call), grant))
            case Operation.REWRAP_MAIL_KEY:
                wrapped = self._token.rewrap_mail_key(call.message_id, _mail_key(call), grant)
                return Result(epoch=wrapped.epoch, number=wrapped.suite, data=wrapped.data)
            case Operation.OPEN:
                blob = SealedBlob(call.key_id, call.mechanism, call.number, call.data)
                return Result(data=self._token.open(call.context, blob, grant))
            case Operation.SEAL:
                blob = self._token.seal(call.context, call.data)
                return Result(key_id=blob.key_id, mechanism=blob.mechanism, number=blob.format, data=blob.data)
            case Operation.BEGIN_EPOCH:
                return _public(self._token.begin_epoch(_actor(call.actor)))
            case Operation.DESTROY_EPOCH:
                self._token.destroy_epoch(call.epoch, _actor(call.actor))
                return Result()
            case Operation.SPOOL_PUBLIC_KEY:
                return _public(self._token.spool_public_key())
            case Operation.AUDIT_HEAD:
                head = self._audit.head()
                return Result(number=head.seq, text=head.hash)
            case Operation.TEST:
                self._token.test()
                return Result()
            case _:
                return self._perform_mailbox(operation, call, grant)

    def _perform_mailbox(self, operation: Operation, call: Call, grant: Grant) -> Result:
        match operation:
            case Operation.SIGN_MANIFEST:
                return Result(data=self._token.sign_manifest(call.number, call.data, grant))
            case Operation.OPEN_ITEM:
                return Result(data=self._token.open_item(call.number, call.context, call.data, grant))
            case Operation.CHECK_ESCROW:
                name = read_name(call.context)
                return Result(number=int(self._token.check_escrow(call.data, grant, name)))
            case Operation.MAILBOX_NEW:
                return made_result(self._token.mailbox_new(read_order_call(call)[0], grant))
            case Operation.MAILBOX_NEXT:
                return made_result(self._token.mailbox_next(*read_order_call(call), grant))
            case Operation.CREATE_CARD:
                return cards_result([self._token.create_card(read_card_call(call), _actor(call.actor))])
            case Operation.LIST_CARDS:
                return cards_result(self._token.list_cards(call.key_id))
            case _:
                raise KeyStoreError(f"keyd cannot {operation}")


def _judge(role: Role, operation: Operation, call: Call) -> Result | None:
    try:
        label = read_label(call.context) if operation in _SMALL_VALUES else ""
        check_use(Use(role, operation, call.purpose, call.subject, call.actor, label))
    except GrantRefusedError as error:
        return Result.of_error(error)
    except LetterlockError:
        return Result(error="refused", text="the value's context is not one of ours")
    return None


def _describe(peer: Peer, operation: Operation, call: Call, is_refused: bool) -> Entry:
    entry: dict[str, str | int | bool] = {
        "role": str(peer.role),
        "pid": peer.pid,
        "uid": peer.uid,
        "operation": str(operation),
        "refused": is_refused,
    }
    for name in ("purpose", "subject", "actor", "message_id", "epoch", "key_id"):
        if value := getattr(call, name):
            entry[name] = value
    if operation in _NUMBERED:
        entry["number"] = call.number
    if operation in _SMALL_VALUES:
        try:
            entry["label"] = read_label(call.context)[:MAX_WORD]
        except LetterlockError:
            entry["label"] = ""
    return entry


def _mail_key(call: Call) -> WrappedMailKey:
    return WrappedMailKey(epoch=call.epoch, suite=call.number, data=call.data)


def _public(key: SpoolPublicKey) -> Result:
    return Result(epoch=key.epoch, number=key.suite, data=key.public)


def _actor(untrusted_text: str) -> Actor:
    kind, _, name = untrusted_text.partition(":")
    return Actor(kind, name)


def _encode(reply: Reply) -> bytes:
    try:
        return encode_reply(reply)
    except KeyStoreError:
        # Each result is within its bounds; together they were too many octets for one frame.
        failed = Result(error="unavailable", text="the answer is too large; ask for fewer at once")
        return encode_reply(Reply(reply.number, (failed,) * len(reply.results)))
