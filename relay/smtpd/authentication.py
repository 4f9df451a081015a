"""AUTH PLAIN and LOGIN (RFC 4954, RFC 4616, draft-murchison-sasl-login).

Does: the exchange, the check in a thread, the throttle of failures per client and per login.
Must not: log or keep a password, check one without need, block the loop.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from typing import TYPE_CHECKING

from relay.log import Log
from relay.smtpd import replies
from relay.smtpd.limits import client_key
from relay.smtpd.logins import Login
from relay.smtpd.replies import RefusalError, Reply
from relay.smtpd.service import Service

if TYPE_CHECKING:
    from relay.smtpd.channel import Channel

_log = Log("smtpd")
MECHANISMS = "PLAIN LOGIN"
LINE_OCTETS = 12_288  # RFC 4954 4
_NAME_OCTETS = 320
_PASSWORD_OCTETS = 1024


async def authenticate(channel: Channel, service: Service, untrusted_rest: str) -> Login:
    """Run the exchange that an AUTH command began. Raises RefusalError, ConnectionError."""
    mechanism, _, initial = untrusted_rest.partition(" ")
    if not mechanism:
        raise RefusalError(replies.ARGUMENT_MISSING)
    if mechanism.upper() == "PLAIN":
        name, password = await _run_plain(channel, initial)
    elif mechanism.upper() == "LOGIN":
        name, password = await _run_login(channel, initial)
    else:
        raise RefusalError(replies.LOGIN_UNKNOWN_MECHANISM)
    return await _check(channel.client_ip, service, name, password)


async def _run_plain(channel: Channel, initial: str) -> tuple[str, str]:
    response = _decode(initial) if initial else await _challenge(channel, b"")
    parts = response.split(b"\0")
    if len(parts) != 3:
        raise RefusalError(replies.LOGIN_BAD_ENCODING)
    authorise_as, name, password = (_text(part) for part in parts)
    if authorise_as not in ("", name):
        # RFC 4616 2: acting as somebody else; nobody may.
        raise RefusalError(replies.LOGIN_REFUSED)
    return name, password


async def _run_login(channel: Channel, initial: str) -> tuple[str, str]:
    name = _decode(initial) if initial else await _challenge(channel, b"Username:")
    password = await _challenge(channel, b"Password:")
    return _text(name), _text(password)


async def _challenge(channel: Channel, prompt: bytes) -> bytes:
    channel.reply(Reply(334, "", base64.b64encode(prompt).decode("ascii")))
    line = await channel.next_command(LINE_OCTETS)
    if line is None:
        raise ConnectionResetError
    if not line.endswith(b"\r\n"):
        raise RefusalError(replies.BARE_LINE_END)
    if line == b"*\r\n":
        raise RefusalError(replies.LOGIN_CANCELLED)
    try:
        return _decode(line[:-2].decode("ascii"))
    except UnicodeDecodeError as error:
        raise RefusalError(replies.LOGIN_BAD_ENCODING) from error


def _decode(untrusted_base64: str) -> bytes:
    if untrusted_base64 == "=":  # RFC 4954 4: an empty initial response
        return b""
    try:
        return base64.b64decode(untrusted_base64, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RefusalError(replies.LOGIN_BAD_ENCODING) from error


def _text(octets: bytes) -> str:
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RefusalError(replies.LOGIN_BAD_ENCODING) from error


async def _check(client_ip: str, service: Service, name: str, password: str) -> Login:
    limits = service.config.limits
    loop = asyncio.get_running_loop()
    client = client_key(client_ip)
    if (
        service.failed_clients.count(client, loop.time()) >= limits.auth_failures_per_client
        or service.failed_logins.count(name, loop.time()) >= limits.auth_failures_per_login
    ):
        service.stats.logins_refused += 1
        raise RefusalError(replies.LOGIN_THROTTLED)
    login: Login | None = None
    is_plausible = (
        0 < len(name.encode("utf-8")) <= _NAME_OCTETS
        and 0 < len(password.encode("utf-8")) <= _PASSWORD_OCTETS
        and "\0" not in name + password
    )
    if is_plausible:
        try:
            async with service.login_slots:
                login = await asyncio.to_thread(service.logins.verify, name, password)
        except Exception as error:  # whatever fails there, the login is undecided, not wrong
            _log.exception("login-check-failed")
            raise RefusalError(replies.LOGIN_NOT_NOW) from error
    if login is None:
        service.stats.logins_refused += 1
        service.failed_clients.add(client, loop.time())
        service.failed_logins.add(name[:_NAME_OCTETS], loop.time())
        _log.warning("login-refused", client=client_ip)
        await asyncio.sleep(limits.auth_failure_delay)
        raise RefusalError(replies.LOGIN_REFUSED)
    service.stats.logins_accepted += 1
    return login
