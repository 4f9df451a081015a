"""The intake process: listening sockets, start, graceful stop.

Does: bind in the parent (`bind_listeners`), serve on those sockets, stop without a half-taken message.
Must not: import store, policy or message; hold a private key of the organisation (a listener's TLS key is not one);
set SO_REUSEPORT, by which a forgotten old server would silently share the port.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import logging
import signal
import socket
import ssl
from collections.abc import Callable, Sequence

from relay.core.clock import Clock, SystemClock
from relay.core.errors import ConfigurationError
from relay.core.ports import Intake
from relay.log import Log
from relay.smtpd.acceptor import LoadBoard, SharedAcceptor
from relay.smtpd.channel import Channel
from relay.smtpd.config import ListenerConfig, SmtpdConfig
from relay.smtpd.logins import Logins
from relay.smtpd.names import DnsNames, Names
from relay.smtpd.service import Endpoint, make_endpoint, make_service
from relay.smtpd.stats import Stats

_log = Log("smtpd")
_BACKLOG = 1024
_WHY = {
    errno.EADDRINUSE: ("is taken", "Stop the other program or choose another port"),
    errno.EACCES: ("needs more rights", "Give CAP_NET_BIND_SERVICE or a socket from the service manager"),
    errno.EADDRNOTAVAIL: ("is on an address this host does not have", "Correct the host"),
}


def bind_listeners(config: SmtpdConfig) -> list[socket.socket]:
    """Return one bound socket for each listener, in their order. Raises ConfigurationError naming the port."""
    sockets: list[socket.socket] = []
    try:
        for listener in config.listeners:
            sockets.append(_bind(listener))  # those bound so far are closed on failure
    except ConfigurationError:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def _bind(listener: ListenerConfig) -> socket.socket:
    key = f"listeners.{listener.name}.port"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            listener.host, listener.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise ConfigurationError(
            f"listeners.{listener.name}.host", f"cannot resolve {listener.host}", "Give an address"
        ) from error
    sock = socket.socket(family, kind, protocol)
    try:
        # For connections in TIME_WAIT only; Linux still refuses a second listener.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        # A listening socket is needed here, for only listen() tells of a port that was taken in the meantime.
        sock.listen(_BACKLOG)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        problem, fix = _WHY.get(error.errno or 0, (f"cannot be opened (errno {error.errno})", "Check host and port"))
        raise ConfigurationError(key, f"port {listener.port} on {listener.host} {problem}", fix) from error
    return sock


def make_tls_context(listener: ListenerConfig) -> ssl.SSLContext | None:
    """Return the TLS side of a listener, None when it has none. Raises ConfigurationError."""
    if listener.starttls is None:
        return None
    certificate, key = listener.starttls
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 8996
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"listeners.{listener.name}.starttls",
            f"cannot use certificate {certificate} with key {key}",
            "Give a PEM chain and its unencrypted key, both readable",
        ) from error
    return context


class Server:
    """A running intake."""

    def __init__(
        self,
        config: SmtpdConfig,
        intake: Intake,
        logins: Logins,
        *,
        clock: Clock | None = None,
        names: Names | None,
        board: LoadBoard | None = None,
    ) -> None:
        """With `board` the sockets are shared with other processes, and connections are spread among them."""
        self._config = config
        self._service = make_service(config, intake, logins, clock or SystemClock(), board)
        self._names = names or DnsNames(config.limits.dns_timeout)
        self._servers: list[asyncio.Server] = []
        self._acceptors: list[SharedAcceptor] = []
        self._endpoints: list[Endpoint] = []
        self.addresses: list[tuple[str, int]] = []
        """Where the listeners really are, in their order."""

    def stats(self) -> Stats:
        """Return the live counters."""
        return self._service.stats

    async def start(self, sockets: Sequence[socket.socket] | None = None) -> None:
        """Accept connections on the given sockets, one for each listener, or on newly bound ones.

        Raises ConfigurationError.
        """
        # aiosmtpd's logger prints message lines at DEBUG, whatever the root logger is set to.
        mail_log = logging.getLogger("mail.log")
        mail_log.setLevel(max(logging.WARNING, mail_log.level))
        contexts = [make_tls_context(listener) for listener in self._config.listeners]
        bound = list(sockets) if sockets is not None else bind_listeners(self._config)
        if len(bound) != len(self._config.listeners):
            raise ConfigurationError("listeners", f"{len(bound)} sockets were handed over", "Give one for each")
        loop = asyncio.get_running_loop()
        for listener, sock, context in zip(self._config.listeners, bound, contexts, strict=True):
            endpoint = make_endpoint(self._config, listener, self._names, context)
            self._endpoints.append(endpoint)
            factory = functools.partial(Channel, self._service, endpoint)
            host, port = sock.getsockname()[:2]
            if self._service.board is None:
                self._servers.append(await loop.create_server(factory, sock=sock, backlog=_BACKLOG))
            else:
                self._acceptors.append(SharedAcceptor(sock, factory, self._service.board))
            self.addresses.append((host, port))
            _log.info("listening", listener=listener.name, host=host, port=port, side=listener.side.value)

    async def stop(self) -> None:
        """Take no new connection, let running content finish within the grace, wait for running commits."""
        service, limits = self._service, self._config.limits
        service.stats.stopping = True
        for server in self._servers:
            server.close()
        for acceptor in self._acceptors:
            acceptor.close()
        for channel in list(service.channels):
            channel.begin_stop()
        if not await self._drained(limits.stop_grace):
            for channel in list(service.channels):
                channel.end_stop()
        # Said 250 or not, a commit that has begun is waited for.
        await service.keeper.wait(max((one.limits.commit_timeout for one in self._endpoints), default=0.0))
        if not await self._drained(5.0):
            _log.warning("connections-left", count=len(service.channels))
        for server in self._servers:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await server.wait_closed()
        _log.info("stopped", accepted=service.stats.messages_accepted)

    async def _drained(self, seconds: float) -> bool:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while self._service.channels or self._service.stats.connections_open:
            if loop.time() >= end:
                return False
            await asyncio.sleep(0.02)
        return True


async def serve(  # noqa: PLR0917 - one argument for each thing a caller chooses
    config: SmtpdConfig,
    intake: Intake,
    logins: Logins,
    stop: asyncio.Event,
    sockets: Sequence[socket.socket] | None = None,
    ready: Callable[[Server], None] | None = None,
    *,
    clock: Clock | None = None,
    names: Names | None = None,
    board: LoadBoard | None = None,
) -> None:
    """Serve until `stop` is set, then stop gracefully. `ready` is called once all listeners accept.

    Raises ConfigurationError before anything is accepted.
    """
    server = Server(config, intake, logins, clock=clock, names=names, board=board)
    await server.start(sockets)
    try:
        if ready is not None:
            ready(server)
        await stop.wait()
    finally:
        await server.stop()


def run(
    config: SmtpdConfig,
    intake: Intake,
    logins: Logins,
    *,
    sockets: Sequence[socket.socket] | None = None,
    ready: Callable[[Server], None] | None = None,
    clock: Clock | None = None,
    board: LoadBoard | None = None,
) -> None:
    """Serve in this process until SIGTERM or SIGINT, on uvloop where it is installed. Raises ConfigurationError."""

    async def _main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await serve(config, intake, logins, stop, sockets, ready, clock=clock, board=board)

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_main())


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
