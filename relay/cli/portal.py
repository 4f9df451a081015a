"""`letterlock portal`: pairing the inside with the portal's host, checking the link, the portal's cards.

Pairing writes files beside the settings and shows the lines to put into them; it changes no settings file itself.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import ssl
import sys
from pathlib import Path
from typing import Any

from relay.cli import portal_boxes, portal_keys, portal_use
from relay.cli.exits import EX_CANTCREAT, EX_NOINPUT, EX_UNAVAILABLE, CommandError
from relay.cli.options import open_inside, read_settings

LINK_DAYS = 3650
"""As long as the portal's own: what ends such a certificate is that it is pinned no more, not its date."""
LINK_FILES = (("link_certificate", "inside.pem"), ("link_key", "inside.key"), ("link_peer", "portal.pem"))
"""Keys of [portal] and the files below `link/`."""
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----")


def add(nouns: Any) -> None:
    """Add the commands."""
    portal = nouns.add_parser("portal", help="the portal in the DMZ: pairing, the link, cards")
    things = portal.add_subparsers(metavar="THING", required=True)
    pair = things.add_parser("pair", help="make our certificate for the link and show the settings' lines")
    pair.add_argument("--url", required=True, help="the portal's public address, https://portal.bank.example")
    pair.add_argument("--id", required=True, dest="portal_id", help="the 22 characters that letterlock-portal shows")
    pair.add_argument("--link", required=True, help="the link listener, https://dmz-host:8443")
    pair.add_argument("--peer", required=True, type=Path, metavar="PEM", help="the portal's link certificate")
    pair.add_argument("--replace", action="store_true", help="make a new key; the old files stay beside it as *.old")
    pair.set_defaults(run=run_pair)
    check = things.add_parser("check", help="ask the portal through the link, once")
    check.add_argument("--pages", action="store_true", help="compare its public pages and scripts with this release")
    check.set_defaults(run=run_check)
    use = things.add_parser("use", help="let the policy end in webmail in place of PDF, wherever nothing else is said")
    use.add_argument("--draft", action="store_true", help="store the new policy without making it active")
    use.set_defaults(run=portal_use.run_use)
    again = things.add_parser("reoffer", help="after a stolen link key: fetch answers again that were acknowledged")
    again.add_argument("--since", required=True, metavar="TIME", help="2027-01-04T08:00:00Z")
    again.set_defaults(run=run_reoffer)
    portal_boxes.add_skip(things)
    portal_keys.add_card(things)


def make_link_files(directory: Path, hostname: str, peer: Path, *, is_replacing: bool = False) -> None:
    """Write our key and certificate for the link and a copy of the portal's. Raises CommandError, KeyStoreError.

    `is_replacing`: what is there stays as `*.old`; else a key that is there is not touched.
    """
    from relay.cli.certificate import write_self_signed
    from relay.core.clock import SystemClock
    from relay.keystore.files import write_atomically

    names = dict(LINK_FILES)
    if (directory / names["link_key"]).exists() and not is_replacing:
        raise CommandError(
            f"{directory} holds a key already, which is not overwritten. For a new one add --replace", EX_CANTCREAT
        )
    try:
        octets = peer.read_bytes()
    except OSError as error:
        raise CommandError(f"{peer} cannot be read ({error.strerror})", EX_NOINPUT) from error
    if b"-----BEGIN CERTIFICATE-----" not in octets or b"PRIVATE KEY" in octets:
        raise CommandError(f"{peer} is no certificate. Copy link/portal.pem from the portal's host", EX_NOINPUT)
    for name in names.values():
        if (directory / name).exists():
            (directory / name).replace(directory / f"{name}.old")
    pair = (names["link_certificate"], names["link_key"])
    write_self_signed(directory, hostname, SystemClock(), pair, LINK_DAYS)
    write_atomically(directory / names["link_peer"], octets, 0o644)


def show_fingerprints(path: Path) -> str:
    """Return the SHA-256 of each certificate in a PEM file, as openssl and `letterlock-portal show` write it."""
    found = _PEM.findall(path.read_text("ascii", "replace"))
    digests = [hashlib.sha256(ssl.PEM_cert_to_DER_cert(one)).digest() for one in found]
    return ", ".join(digest.hex(":").upper() for digest in digests)


def run_pair(options: argparse.Namespace) -> int:
    """Make the files and say what is left to do."""
    settings = read_settings(options)
    folder = settings.path.parent / "link"
    make_link_files(folder, settings.host.hostname, options.peer, is_replacing=options.replace)
    lines = [("url", options.url.rstrip("/")), ("id", options.portal_id), ("link", options.link.rstrip("/"))]
    lines += [(name, f"link/{file}") for name, file in LINK_FILES]
    section = "\n".join(f"{name} = {json.dumps(value)}" for name, value in lines)
    ours, theirs = (show_fingerprints(folder / dict(LINK_FILES)[name]) for name in ("link_certificate", "link_peer"))
    sys.stdout.write(
        f"Written: {folder}\n\nCompare by phone with what letterlock-portal shows there:\n"
        f"  ours    {ours}\n  portal  {theirs}\n\n"
        f"Put this in place of the section [portal] of {settings.path}:\n\n[portal]\n{section}\n\n"
        f"Then, in this order:\n"
        f"  on the portal's host   letterlock-portal pair {dict(LINK_FILES)['link_certificate']}   (copy it there)\n"
        f"  here, with keyd up     letterlock portal card new\n"
        f"  here                   restart all processes, letterlock portal check\n"
        f"  when it is good        letterlock portal use   (mail goes there where the policy says nothing else)\n"
    )
    return 0


def run_reoffer(options: argparse.Namespace) -> int:
    """Let the portal offer acknowledged entries again; what came before comes no second time."""
    from relay.core.errors import LetterlockError
    from relay.core.wire.errors import SealedDataError
    from relay.core.wire.sealed.jsontext import parse_time
    from relay.link.client import PortalLink
    from relay.wiring.link import make_link_settings

    try:
        parse_time(options.since)
    except (SealedDataError, ValueError) as error:
        raise CommandError(f"{options.since}: write the time as 2027-01-04T08:00:00Z") from error
    link = PortalLink(make_link_settings(read_settings(options)))
    try:
        link.reoffer(options.since)
    except LetterlockError as error:
        raise CommandError(f"the portal cannot be used: {error}", EX_UNAVAILABLE) from error
    finally:
        link.close()
    sys.stdout.write("The portal offers again what it still has since then; the link fetches it.\n")
    return 0


def run_check(options: argparse.Namespace) -> int:
    """Connect, ask for the mark, say how it went and whether mail goes there; 69 when the portal cannot be used."""
    from relay.core.errors import LetterlockError
    from relay.link.client import PortalLink
    from relay.organisation import CurrentOrganisation
    from relay.wiring.link import make_link_settings

    if options.pages:
        return portal_boxes.run_pages(options)
    settings = read_settings(options)
    link = PortalLink(make_link_settings(settings))
    try:
        mark = link.get_mark()
    except LetterlockError as error:
        raise CommandError(f"the portal cannot be used: {error}", EX_UNAVAILABLE) from error
    finally:
        link.close()
    seen = f"our last mark there is number {mark.number}" if mark.number else "it has no mark of ours yet"
    sys.stdout.write(f"The link is good; {seen}.\n")
    if mark.is_waiting:
        sys.stdout.write("The portal takes no logins until `letterlock link` has compared both sides.\n")
    try:
        with open_inside(options) as (_, database):
            policy = CurrentOrganisation(database, settings.host.tenant)().policy
    except LetterlockError as error:
        # It is the link that is asked for; that it is good stays true.
        sys.stdout.write(f"Whether mail goes there cannot be said: {error}\n")
    else:
        sys.stdout.write(f"Mail: {portal_use.describe_last_resort(policy)}\n")
    return 0
