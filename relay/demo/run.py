"""The demo: an installation of "Example Bank" on loopback, production's processes, and a catcher for what leaves.

Ports from the base on: +0 SMTP from inside, +1 SMTP as from the Internet, +2 portal (HTTPS), +3 its link, +4 page,
+5 console (to come), +6 submission, +7 health. The hops to the catcher take free ports of their own.
"""

from __future__ import annotations

import asyncio
import fcntl
import smtplib
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from relay.cli.exits import EX_UNAVAILABLE, CommandError, complain
from relay.cli.installation import SETTINGS_FILE, HostChoices, create_installation, put_documents
from relay.core.documents.organisation import Organisation
from relay.core.documents.sample import SamplePorts, sample_organisation
from relay.core.documents.shipped import policy_with_portal
from relay.core.errors import ConfigurationError
from relay.core.ports import Actor
from relay.demo.catcher import serve_catcher
from relay.demo.page import DemoLinks, create_app, make_page_server
from relay.demo.portal import DemoPortal, find_first_password
from relay.demo.samples import MIA, make_sample
from relay.log import configure_logging
from relay.process.health import HealthPage, gather_health
from relay.process.life import forget_starts, stop_on_signals
from relay.process.supervisor import ProcessSpec, StartError, Supervisor
from relay.settings import Settings, load_settings

HOST = "127.0.0.1"
_ACTOR = Actor("operator", "demo")
LOGIN_NAME, LOGIN_PASSWORD = "anna.keller", "demo-only-password"
ANNA = "anna.keller@bank.example"


def run_demo(
    state: Path, base_port: int, *, send_sample: bool, with_portal: bool = True, database_url: str | None = None
) -> int:
    """Run until SIGINT or SIGTERM. Returns the exit code."""
    from relay.cli.processes import inside_processes

    if not 1024 <= base_port <= 65528:
        raise CommandError("--base-port must be from 1024 to 65528")
    state = state.resolve()
    stop = stop_on_signals()
    with ExitStack() as stack:
        stack.enter_context(_lock(state))
        hops = {name: stack.enter_context(_listen(0)) for name in ("inside", "outside")}
        page_socket = stack.enter_context(_listen(base_port + 4))
        is_new = not (state / "inside" / SETTINGS_FILE).exists()
        for offset in (0, 1, 2, 3, 6, 7):
            _check_free(base_port + offset)
        hop_ports = {name: sock.getsockname()[1] for name, sock in hops.items()}
        is_linked = with_portal if is_new else (state / "portal").exists()
        portal = DemoPortal(state / "portal", base_port) if is_linked else None
        settings = _install(state, base_port, hop_ports, portal, database_url)
        log = stack.enter_context((state / "log.jsonl").open("a", encoding="utf-8"))
        configure_logging("demo", settings.log_level, log)
        stack.callback(_serve_catcher(state / "outbox", hops))
        stack.callback(_serve_page(state / "outbox", page_socket, base_port, portal.url if portal else ""))
        command = (sys.executable, "-m", "relay.cli.main", "--config", str(settings.path))
        inside = inside_processes(settings)
        specs = [ProcessSpec(name, (*command, name)) for name in inside]
        if portal is not None:
            specs.append(portal.spec())
        forget_starts(settings.run_dir)
        supervisor = Supervisor(specs, error_log=log)
        _say("Starting ...")
        try:
            supervisor.start()
        except StartError as error:
            last = _last_words(state / "log.jsonl")
            complain(f"{error.name} could not start: {last}")
            return error.exit_code or EX_UNAVAILABLE
        try:
            health = HealthPage(HOST, base_port + 7, lambda: gather_health(settings.run_dir, inside))
            stack.callback(health.close)
            names = ("offer", "contract") if portal is not None else ("offer",)
            if send_sample and is_new:
                _say("Sending the sample mails ..." if portal is not None else "Sending the sample mail ...")
                for name in names:
                    _send_sample(base_port, name)
                _wait_for(state / "outbox", mails=2 * len(names), told=MIA.addr_spec if portal is not None else "")
            _explain(state, base_port, portal, sample_sent=send_sample and is_new)
            return supervisor.run(stop)
        finally:
            supervisor.stop()
            _say("Stopped. Nothing runs any more.")


def _lock(state: Path) -> TextIO:
    """Own the folder until the file is closed: a second demo would turn the first one's listeners and routes."""
    try:
        state.mkdir(parents=True, exist_ok=True)
        file = (state / "demo.lock").open("w", encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            "--state", f"{state} cannot be written ({error.strerror})", "Choose another"
        ) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        problem = f"{state} is in use by another demo"
        raise ConfigurationError("--state", problem, "Stop that one, or choose another folder") from error
    return file


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _listen(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((HOST, port))
    except OSError as error:
        sock.close()
        raise _taken(port, error) from error
    sock.listen(128)
    return sock


def _check_free(port: int) -> None:
    _listen(port).close()


def _taken(port: int, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"port {port}",
        f"cannot be used ({error.strerror})",
        "Stop what uses it, or choose others: letterlock demo --base-port 18025",
    )


def _install(
    state: Path, base_port: int, hop_ports: dict[str, int], portal: DemoPortal | None, database_url: str | None
) -> Settings:
    """Make the installation at the first start; later bring its ports up to date."""
    from relay.store.migrate import upgrade
    from relay.wiring import open_database

    organisation = sample_organisation(
        SamplePorts(
            HOST,
            inside=base_port,
            outside=base_port + 1,
            submission=base_port + 6,
            inside_hop=hop_ports["inside"],
            outside_hop=hop_ports["outside"],
        )
    )
    directory = state / "inside"
    if not (directory / SETTINGS_FILE).exists():
        _say(f"Making Example Bank's gateway in {directory} ...")
        choices = HostChoices(
            "gateway.bank.example",
            portal_url=f"https://localhost:{base_port + 2}",
            portal=portal.make(directory / "run" / "clock.offset") if portal else None,
            database_url=database_url,
            test_clock=True,
        )
        if portal is not None:
            organisation = replace(organisation, policy=policy_with_portal(organisation.policy))
        settings = create_installation(directory, choices, organisation, _ACTOR)
        if portal is not None and settings.portal is not None and settings.portal.link is not None:
            portal.pair(settings.portal.link.certificate)
        _add_login(settings)
        return settings
    settings = load_settings(directory / SETTINGS_FILE)
    if portal is not None and settings.portal_url not in (None, portal.url):
        portal.move(settings.path, int(str(settings.portal_url).rpartition(":")[2]))
        settings = load_settings(settings.path)
    upgrade(settings.database_url)
    database = open_database(settings, "demo")
    try:
        with database.transaction() as tx:
            put_documents(tx, settings.host.tenant, _keep_changes(tx, settings, organisation), _ACTOR)
    finally:
        database.close()
    return settings


def _keep_changes(tx: object, settings: Settings, fresh: Organisation) -> Organisation:
    """Return the stored documents with only listeners and routes of this start: a user's policy stays."""
    from relay.organisation import load_organisation
    from relay.store.repositories.configuration import active_documents

    stored = load_organisation(active_documents(tx, settings.host.tenant))  # type: ignore[arg-type]
    return replace(stored, listeners=fresh.listeners, routes=fresh.routes)


def _add_login(settings: Settings) -> None:
    from argon2 import PasswordHasher

    from relay.store.repositories.logins import StoredLogin, put_login
    from relay.wiring import open_database

    encoded = PasswordHasher().hash(LOGIN_PASSWORD)
    database = open_database(settings, "demo")
    try:
        with database.transaction() as tx:
            put_login(tx, StoredLogin(settings.host.tenant, LOGIN_NAME, encoded, (ANNA,), enabled=True), _ACTOR)
    finally:
        database.close()


def _serve_catcher(outbox: Path, sockets: dict[str, socket.socket]) -> Callable[[], None]:
    """Run the catcher in a thread of its own; return what stops it."""
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    ready = threading.Event()

    def run() -> None:
        loop.run_until_complete(serve_catcher(outbox, sockets, stop, ready.set))
        loop.close()

    thread = threading.Thread(target=run, name="catcher", daemon=True)
    thread.start()
    ready.wait(10)

    def end() -> None:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)

    return end


def _serve_page(outbox: Path, sock: socket.socket, base_port: int, portal_url: str) -> Callable[[], None]:
    app = create_app(outbox, DemoLinks(inside_port=base_port, outside_port=base_port + 1, portal_url=portal_url))
    server = make_page_server(app, sock)
    thread = threading.Thread(target=server.serve_forever, name="page", daemon=True)
    thread.start()

    def end() -> None:
        server.shutdown()
        thread.join(10)
        server.server_close()

    return end


def _send_sample(base_port: int, name: str) -> None:
    sample = make_sample(name)
    with smtplib.SMTP(HOST, base_port, timeout=30) as client:
        client.sendmail(sample.mail_from, list(sample.rcpt_to), sample.data, ["BODY=8BITMIME"])


def _wait_for(outbox: Path, mails: int, told: str) -> None:
    """Wait until so many mails have left and a first password was told for `told`, so that the story is true when it
    is told; 45 s at most."""
    deadline = time.monotonic() + 45
    while time.monotonic() < deadline:
        if len(list(outbox.glob("[0-9]*.json"))) >= mails and (not told or find_first_password(outbox, told)):
            return
        time.sleep(0.1)


def _last_words(path: Path) -> str:
    """Return what the process said last, its own line on stderr, for the one line at the terminal."""
    lines = [line for line in path.read_text("utf-8", errors="replace").splitlines() if line.startswith("letterlock: ")]
    return lines[-1].removeprefix("letterlock: ") if lines else f"see {path}"


def _explain(state: Path, base_port: int, portal: DemoPortal | None, *, sample_sent: bool) -> None:
    story = "The gateway stands as you left it.\n"
    if sample_sent:
        story = (
            "Anna at the bank has just written to Jonas, who has no certificate. Her mail left as an encrypted PDF,\n"
            "and a notice told her the password.\n"
        )
        if portal is not None:
            story += (
                "Her mail to Mia waits in a mailbox on the portal; a notice told Mia so, and one Anna the password.\n"
            )
    script = Path(sys.executable).with_name("letterlock")
    command = script if script.exists() else f"{sys.executable} -m relay.cli.main"
    _say(
        f"\nLetterlock demo: Example Bank, bank.example.\n{story}\n"
        f"  Open         http://{HOST}:{base_port + 4}/   every mail that left, newest first\n"
        "               1. Open the notice to Anna and copy the password.\n"
        "               2. Open the mail to Jonas, open message.pdf, type the password.\n"
        + (_explain_portal(state, portal) if portal is not None else "")
        + f"  Send         any mail client or program: SMTP {HOST} port {base_port}, from ...@bank.example to anybody\n"
        f"  As Internet  SMTP {HOST} port {base_port + 1}, to ...@bank.example\n"
        f"  Log in       submission {HOST} port {base_port + 6}, name {LOGIN_NAME}, password {LOGIN_PASSWORD}\n"
        f"  Health       http://{HOST}:{base_port + 7}/health\n"
        f"  Look inside  {command} --config {state / 'inside'} trace | queue list | mailbox list | audit verify\n"
        f"  Logs         {state / 'log.jsonl'}\n"
        f"  Stop         Ctrl-C here.   Start afresh: delete {state}\n"
    )
    _say("ready")


def _explain_portal(state: Path, portal: DemoPortal) -> str:
    """Say which address to open, what to type there, and why the browser warns."""
    password = find_first_password(state / "outbox", MIA.addr_spec)
    known = f"password {password}" if password else "the password of the newest notice to Anna, or your own"
    return (
        f"  Portal       {portal.url}/   as the partner sees it\n"
        "               The browser warns, because this demo made its own certificate: go on all the same.\n"
        f"               1. Sign in: {MIA.addr_spec}, {known}.\n"
        "               2. Choose an own password, read, press Reply, add a file, send.\n"
        f"               3. The answer arrives at Anna: http://{HOST}:{portal.base_port + 4}/\n"
        "               The Reply button in Jonas's PDF opens the same portal with the PDF's password.\n"
    )
