"""Making an installation: settings file, secrets, token, database, the organisation's first documents."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from string import Template

from relay.cli.certificate import write_self_signed
from relay.cli.exits import EX_CANTCREAT, CommandError
from relay.cli.portal import LINK_FILES, make_link_files
from relay.cli.portal_ceremony import hold_ceremony
from relay.core.clock import SystemClock
from relay.core.documents.organisation import Organisation
from relay.core.ports import Actor, Event
from relay.core.ports_mailbox import CardRequest
from relay.core.resources import templates_folder
from relay.keystore.pin import create_pin_file, read_pin_file
from relay.keystore.software import SoftwareToken
from relay.scheduler.jobs import EPOCH_BEGUN
from relay.settings import Settings, load_settings
from relay.store.base import Database, Tx
from relay.store.migrate import upgrade
from relay.store.repositories.configuration import put_active
from relay.store.repositories.tenants import ensure_tenant
from relay.wiring import make_clock, open_database

SETTINGS_FILE = "letterlock.toml"
NO_PORTAL = '''# url = "https://portal.example"
# id = ""
# link = "https://portal-link.example:8443"
# link_certificate = "link/inside.pem"
# link_key = "link/inside.key"
# link_peer = "link/portal.pem"'''
_TEST_CLOCK = """
[test]
# Moves the clock of all processes by so many seconds. For tests only.
clock_offset_file = "run/clock.offset"
"""


@dataclass(frozen=True, slots=True)
class PortalChoices:
    """A portal that stands already and is linked from the first start."""

    portal_id: str
    link_url: str
    peer: Path
    """The portal's certificate for the link, PEM; copied."""


@dataclass(frozen=True, slots=True)
class HostChoices:
    """What the settings file is written from."""

    hostname: str
    health_port: int = 0
    portal_url: str | None = None
    portal: PortalChoices | None = None
    self_signed: bool = False
    """Make a certificate of our own, for STARTTLS until the real one is there."""
    database_url: str | None = None
    test_clock: bool = False


def create_installation(directory: Path, choices: HostChoices, organisation: Organisation, actor: Actor) -> Settings:
    """Make a complete, working installation in a new or empty directory and return its settings.

    Raises CommandError when the directory holds anything, ConfigurationError, StorageError, KeyStoreError.
    """
    if directory.exists() and any(directory.iterdir()):
        raise CommandError(
            f"{directory} is not empty, and nothing is overwritten. Choose another folder, or empty it", EX_CANTCREAT
        )
    organisation.check()
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = directory / SETTINGS_FILE
        _write_private(path, _settings_text(choices))
        if choices.self_signed:
            write_self_signed(directory / "tls", choices.hostname, SystemClock())
        if choices.portal is not None:
            make_link_files(directory / "link", choices.hostname, choices.portal.peer)
    except OSError as error:
        raise CommandError(f"{directory} cannot be written ({error.strerror})", EX_CANTCREAT) from error
    settings = load_settings(path)
    for folder in (settings.state_dir, settings.run_dir):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    create_pin_file(settings.keys.pin_file)
    clock = make_clock(settings)
    with SoftwareToken.create(
        settings.keys.directory, read_pin_file(settings.keys.pin_file), clock, settings.keys.public_file
    ) as token:
        upgrade(settings.database_url)
        database = open_database(settings, "init")
        try:
            _fill(database, settings, organisation, actor, token.spool_public_key().epoch)
            if choices.portal is not None:
                request = CardRequest(choices.portal.portal_id, organisation.brands.find("default").organisation)
                hold_ceremony(token, database, settings.host.tenant, request, actor)
        finally:
            database.close()
    return settings


def _fill(database: Database, settings: Settings, organisation: Organisation, actor: Actor, epoch: str) -> None:
    with database.transaction() as tx:
        own = organisation.domains.domains[0]
        name = organisation.brands.find(own.brand).organisation
        ensure_tenant(tx, settings.host.tenant, name, actor)
        put_documents(tx, settings.host.tenant, organisation, actor)
        tx.append_event(Event(EPOCH_BEGUN, actor, settings.host.tenant, detail={"epoch": epoch}))


def put_documents(tx: Tx, tenant: str, organisation: Organisation, actor: Actor) -> None:
    """Make every document of the organisation the active one."""
    for kind, document in organisation.documents().items():
        put_active(tx, tenant, kind, json.dumps(document.to_json(), ensure_ascii=False, indent=1), actor)


def _settings_text(choices: HostChoices) -> str:
    template = Template((templates_folder() / "host" / SETTINGS_FILE).read_text("utf-8"))
    tls = '# certificate = "tls/fullchain.pem"\n# key = "tls/privkey.pem"'
    if choices.self_signed:
        tls = (
            "# This one is self-signed, made by `letterlock init`: replace both files by your own.\n"
            'certificate = "tls/fullchain.pem"\nkey = "tls/privkey.pem"'
        )
    portal = NO_PORTAL
    if choices.portal_url:
        lines = [("url", choices.portal_url)]
        if choices.portal is not None:
            lines += [("id", choices.portal.portal_id), ("link", choices.portal.link_url)]
            lines += [(name, f"link/{file}") for name, file in LINK_FILES]
        portal = "\n".join(f"{name} = {json.dumps(value)}" for name, value in lines)
    text = template.substitute(
        hostname=choices.hostname,
        database=json.dumps(choices.database_url or "sqlite:///state/letterlock.db"),
        health_port=choices.health_port,
        tls=tls,
        portal=portal,
    )
    if choices.test_clock:
        text += _TEST_CLOCK
    return text


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
