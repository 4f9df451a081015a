"""`letterlock-portal`: the console script of the DMZ host. Exit codes are those of sysexits.h."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from portal.settings import Party, Settings, find_settings_file, load_settings
from relay.core.errors import ConfigurationError, LetterlockError

DEFAULT_DATABASE = "sqlite:///state/portal.db"
DEFAULT_KEYS = "sqlite:///state-keys/row-keys.db"
EX_OK, EX_USAGE, EX_DATAERR = os.EX_OK, os.EX_USAGE, os.EX_DATAERR
EX_UNAVAILABLE, EX_CONFIG = os.EX_UNAVAILABLE, os.EX_CONFIG


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="letterlock-portal", description="The portal of Letterlock on the DMZ host.")
    parser.add_argument("--config", metavar="FILE", help="settings file, or the folder it is in")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    init = commands.add_parser("init", help="make settings, pepper and link key in a folder")
    init.add_argument("folder", type=Path)
    init.add_argument("--url", required=True, help="public address, https://portal.bank.example")
    init.add_argument("--name", required=True, help="the organisation, as readers see it")
    init.add_argument("--phone", required=True, help="whom readers call")
    init.add_argument("--listen", default="127.0.0.1:8080", help="public listener, HOST:PORT")
    init.add_argument("--link", default="127.0.0.1:8443", help="listener for the relay, HOST:PORT")
    init.add_argument("--id", dest="portal_id", help="id of an existing portal, for a further node")
    init.add_argument("--certificate", type=Path, help="certificate chain for TLS without a proxy, PEM")
    init.add_argument("--key", type=Path, help="its private key, PEM")
    init.add_argument("--database", default=DEFAULT_DATABASE, help="postgresql://... for several nodes")
    init.add_argument("--keys-database", default=DEFAULT_KEYS, help="the row keys' own database or schema")
    init.add_argument("--web-user", action="store_true", help="web will run as another user of this user's group")
    init.add_argument("--clock-offset-file", help=argparse.SUPPRESS)
    pair = commands.add_parser("pair", help="pin the relay's certificate")
    pair.add_argument("file", type=Path, help="PEM file with the relay's link certificate")
    config = commands.add_parser("config", help="look at the settings").add_subparsers(dest="action", required=True)
    config.add_parser("check", help="read and check them, without starting anything")
    commands.add_parser("show", help="show what the relay needs to know: id and fingerprints")
    commands.add_parser("serve", help="run both listeners on this host")
    commands.add_parser("web", help="run the public listener alone")
    commands.add_parser("link", help="run the relay's listener alone")
    commands.add_parser("sweep", help="clear up what is over, once")
    commands.add_parser("reseal", help="after a change of the pepper: seal every row anew")
    grants = commands.add_parser("grants", help="PostgreSQL: what the web process's own role may do, as SQL")
    grants.add_argument("--apply", action="store_true", help="run it, as the role of database.url, the tables' owner")
    audit = commands.add_parser("audit", help="the chain of events").add_subparsers(dest="action", required=True)
    audit.add_parser("begin", help="begin it; shows its first key, which is kept inside and not here")
    verify = audit.add_parser("verify", help="check that nothing was changed, taken out or cut off")
    verify.add_argument("--folder", type=Path, help="a copy of the folder, on whatever host")
    verify.add_argument("--key-file", type=Path, help="file with the first key, - for standard input")
    backup = commands.add_parser("backup", help="copy both SQLite databases while the portal runs")
    backup.add_argument("folder", type=Path)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, run, and return the exit code."""
    try:
        parsed = _make_parser().parse_args(arguments)
    except SystemExit as error:
        return EX_OK if not error.code else EX_USAGE
    try:
        if parsed.command == "init":
            return _init(parsed)
        if parsed.command == "audit" and parsed.action == "verify" and parsed.folder:
            return _verify(parsed.folder, parsed)
        # What web opens under its own role, nobody else does, and the other way round.
        party: Party = "web" if parsed.command == "web" else "owner"
        settings = load_settings(find_settings_file(parsed.config), party)
        return _COMMANDS[parsed.command](settings, parsed)
    except ConfigurationError as error:
        print(f"letterlock-portal: {error}", file=sys.stderr)
        return EX_CONFIG
    except LetterlockError as error:
        print(f"letterlock-portal: {error}", file=sys.stderr)
        return EX_UNAVAILABLE


def _init(parsed: argparse.Namespace) -> int:
    from portal.installation import Choices, create_portal

    choices = Choices(
        parsed.url,
        parsed.name,
        parsed.phone,
        parsed.listen,
        parsed.link,
        parsed.portal_id,
        database=parsed.database,
        keys_database=parsed.keys_database,
        certificate=parsed.certificate.resolve() if parsed.certificate else None,
        key=parsed.key.resolve() if parsed.key else None,
        clock_offset_file=parsed.clock_offset_file,
        has_web_user=parsed.web_user,
    )
    path = create_portal(parsed.folder, choices)
    settings = load_settings(path)
    print(f"Made {path}")
    _show(settings, parsed)
    print(f"\nNext: copy {settings.link.certificate} to the relay (its link_peer), bring its certificate here, then")
    print(f"  letterlock-portal --config {parsed.folder} pair RELAY.pem")
    print(f"  letterlock-portal --config {parsed.folder} serve")
    return EX_OK


def _show(settings: Settings, _parsed: argparse.Namespace) -> int:
    from portal.installation import show_fingerprint
    from portal.link.tls import fingerprint, read_certificates

    assert settings.link.certificate is not None
    print(f"portal id:        {settings.portal_id}")
    print(f"address:          {settings.url}")
    print(f"link listener:    {settings.link.address}")
    for one in read_certificates(settings.link.certificate):
        print(f"link certificate: {show_fingerprint(fingerprint(one))}")
    if settings.relay_certificates.exists():
        for one in read_certificates(settings.relay_certificates):
            print(f"relay pinned:     {show_fingerprint(fingerprint(one))}")
    return EX_OK


def _pair(settings: Settings, parsed: argparse.Namespace) -> int:
    from portal.installation import pair_relay, show_fingerprint

    for one in pair_relay(settings, parsed.file):
        print(f"relay pinned: {show_fingerprint(one)}")
    print("Restart the link listener if it runs.")
    return EX_OK


def _check(settings: Settings, _parsed: argparse.Namespace) -> int:
    from portal.app import read_brands
    from portal.context import read_pepper
    from portal.link.tls import make_context

    read_pepper(settings.pepper_file)
    read_brands(settings)
    assert settings.link.certificate is not None
    assert settings.link.key is not None
    make_context(settings.link.certificate, settings.link.key, settings.relay_certificates)
    print(f"{settings.path}: good")
    return EX_OK


def _serve(settings: Settings, _parsed: argparse.Namespace) -> int:
    from portal.supervisor import Supervisor

    _log("portal", settings)
    return Supervisor(settings).run()


def _web(settings: Settings, _parsed: argparse.Namespace) -> int:
    from portal.serving import serve_web

    _log("portal-web", settings)
    serve_web(settings)
    return EX_OK


def _link(settings: Settings, _parsed: argparse.Namespace) -> int:
    from portal.serving import serve_link

    _log("portal-link", settings)
    serve_link(settings)
    return EX_OK


def _sweep(settings: Settings, _parsed: argparse.Namespace) -> int:
    from portal.context import open_portal
    from portal.link.messages import sweep_expired
    from portal.store.sweep import sweep

    _log("portal-sweep", settings)
    portal = open_portal(settings)
    try:
        while sweep_expired(portal):
            pass
        sweep(portal.store, settings.limits.sent_days)
    finally:
        portal.close()
    return EX_OK


def _reseal(settings: Settings, _parsed: argparse.Namespace) -> int:
    from portal.context import open_portal
    from portal.store.reseal import reseal_rows

    if settings.old_pepper_file is None:
        raise ConfigurationError(
            "paths.old_pepper", "is missing", "Name the pepper before the change, and the new one as paths.pepper"
        )
    portal = open_portal(settings)
    try:
        print(f"{reseal_rows(portal.store)} rows sealed anew. Remove paths.old_pepper and its file on every node.")
    finally:
        portal.close()
    return EX_OK


def _grants(settings: Settings, parsed: argparse.Namespace) -> int:
    from portal.context import open_portal
    from portal.store.grants import apply_grants, keys_grants, main_grants

    database = settings.database
    if database.web_roles is None:
        raise ConfigurationError(
            "database.web_url", "is missing", "Name the role of the web process, in web_url and web_keys_url"
        )
    wanted = (main_grants(database.url, database.web_roles[0]), keys_grants(database.keys_url, database.web_roles[1]))
    if not parsed.apply:
        for grants, where in zip(wanted, ("database.url", "database.keys_url"), strict=True):
            print(f"-- In the database of {where}, as the owner of its tables:\n{grants.script}")
        return EX_OK
    # Opening makes the tables, or brings them up to date.
    portal = open_portal(settings)
    try:
        for grants, is_main in zip(wanted, (True, False), strict=True):
            apply_grants(portal.store, grants, is_main=is_main)
            print(f"{grants.role}: {len(grants.statements)} statements in schema {grants.schema}")
    finally:
        portal.close()
    return EX_OK


def _audit(settings: Settings, parsed: argparse.Namespace) -> int:
    from portal.audit import audit_folder, begin_chains
    from relay.core.wire.pae import encode_b64

    if parsed.action == "verify":
        return _verify(audit_folder(settings.state_dir), parsed)
    key = begin_chains(settings.state_dir)
    print(f"audit key: {encode_b64(key)}\nKeep it inside, with the date. It is not on this host, nor shown again.")
    return EX_OK


def _verify(folder: Path, parsed: argparse.Namespace) -> int:
    from portal.audit import AuditError, read_first_key, verify_files

    first_key = read_first_key(parsed.key_file) if parsed.key_file else None
    try:
        found = verify_files(folder, first_key)
    except AuditError as error:
        print(f"letterlock-portal: {error}", file=sys.stderr)
        return EX_DATAERR
    for chain, count in found.items():
        print(f"{chain}: {count} events, {'unchanged' if first_key else 'each follows the one before'}")
    if first_key is None:
        print("Without the first key (--key-file) somebody who was root here could have made the whole anew.")
    return EX_OK


def _backup(settings: Settings, parsed: argparse.Namespace) -> int:
    from portal.backup import make_backup
    from relay.core.clock import SystemClock

    for path in make_backup(settings, parsed.folder, SystemClock().now_ms()):
        print(path)
    print("Keep row keys apart from the database and at most 7 days. The pepper belongs into neither.")
    return EX_OK


def _log(process: str, settings: Settings) -> None:
    from relay.log import configure_logging

    configure_logging(process, settings.log_level)


_COMMANDS: dict[str, Callable[[Settings, argparse.Namespace], int]] = {
    "pair": _pair,
    "config": _check,
    "show": _show,
    "serve": _serve,
    "web": _web,
    "link": _link,
    "sweep": _sweep,
    "reseal": _reseal,
    "grants": _grants,
    "audit": _audit,
    "backup": _backup,
}


def run() -> None:
    """Entry of the console script."""
    sys.exit(main())


if __name__ == "__main__":
    run()
